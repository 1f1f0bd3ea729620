"""Agreement: from what several have read to the text that all together find best.

Where readings of a line differ, they differ in places, and none need be right in all of them. So
the best reading is changed, place by place, into what another has read there, as long as that
raises the score. The idea of voting place by place is that of ROVER (Fiscus, 1997, IEEE ASRU);
here the networks that rate whole texts decide, not counts of votes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from rapidfuzz.distance import Levenshtein

Text = tuple[int, ...]
Score = Callable[[Mapping[int, Sequence[Text]]], Mapping[int, Sequence[float]]]
"""From texts of lines, by their number, to a score of each: the higher the better."""

MAX_ROUNDS = 3

MIN_PLACES, MAX_PLACES = 4, 24
"""Places in which one reading's changes are tried apart; where there are more, some go together."""

MAX_SYMBOLS = 2400
"""In all texts with one of these changes: to rate a longer text takes longer."""


class Change(NamedTuple):
    """What stands from start to end in a text becomes something else."""

    start: int
    end: int
    ids: Text


def agree(readings: Mapping[int, Sequence[Text]], score: Score) -> dict[int, Text]:
    """Return the text of each line that scores best, of all readings and changes tried.

    Args:
        readings: of each line, two or more that differ; of equal scores the earlier one's counts.
        score: is called some times, each time with all lines that are not settled.
    """
    known: dict[int, dict[Text, float]] = {line: {} for line in readings}
    _learn(known, readings, score)
    best = {line: _best(scores) for line, scores in known.items()}
    unsettled = list(readings)
    for _ in range(MAX_ROUNDS):
        changes = {line: changes_to(best[line], readings[line]) for line in unsettled}
        singles = {i: [changed(best[i], [change]) for change in changes[i]] for i in unsettled}
        _learn(known, singles, score)
        joined = {i: [with_gains(best[i], changes[i], known[i])] for i in unsettled}
        _learn(known, joined, score)
        unsettled = [line for line in unsettled if _best(known[line]) != best[line]]
        best |= {line: _best(known[line]) for line in unsettled}
    return best


def changes_to(text: Text, others: Iterable[Text]) -> list[Change]:
    """Return the changes, each in one place, that lead from a text towards others."""
    found: dict[Change, None] = {}
    for other in others:
        places = _places(text, other)
        n_tried = min(MAX_PLACES, max(MIN_PLACES, MAX_SYMBOLS // max(1, len(text))))
        size = max(1, math.ceil(len(places) / n_tried))
        for i in range(0, len(places), size):
            (start, _, from_, _), (_, end, _, to) = (
                places[i],
                places[min(i + size, len(places)) - 1],
            )
            found[Change(start, end, other[from_:to])] = None
    return list(found)


def _places(text: Text, other: Text) -> list[tuple[int, int, int, int]]:
    """Return where two texts differ: start and end in the one and in the other."""
    places: list[tuple[int, int, int, int]] = []
    for edit in Levenshtein.opcodes(text, other):
        if edit.tag == "equal":
            continue
        start, from_ = edit.src_start, edit.dest_start
        if places and places[-1][1] == start and places[-1][3] == from_:  # edits that touch
            start, _, from_, _ = places.pop()
        places.append((start, edit.src_end, from_, edit.dest_end))
    return places


def changed(text: Text, changes: Iterable[Change]) -> Text:
    """Return a text with changes that do not touch each other."""
    for start, end, ids in sorted(changes, reverse=True):
        text = text[:start] + ids + text[end:]
    return text


def _learn(
    known: dict[int, dict[Text, float]], texts: Mapping[int, Sequence[Text]], score: Score
) -> None:
    """Add the scores of the texts that have none yet."""
    fresh = {
        line: [text for text in dict.fromkeys(of_line) if text not in known[line]]
        for line, of_line in texts.items()
    }
    fresh = {line: of_line for line, of_line in fresh.items() if of_line}
    if fresh:
        for line, scores in score(fresh).items():
            known[line] |= dict(zip(fresh[line], scores, strict=True))


def _best(scores: Mapping[Text, float]) -> Text:
    return max(scores, key=lambda text: scores[text])


def with_gains(text: Text, changes: Sequence[Change], scores: Mapping[Text, float]) -> Text:
    """Return the text with all changes that raise its score, of those that touch the best."""
    gains = {change: scores[changed(text, [change])] - scores[text] for change in changes}
    taken: list[Change] = []
    for change in sorted(changes, key=lambda change: -gains[change]):
        is_free = all(change.end < other.start or other.end < change.start for other in taken)
        if is_free and gains[change] > 0.0 and math.isfinite(gains[change]):
            taken.append(change)
    return changed(text, taken)
