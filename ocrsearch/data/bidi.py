"""Right-to-left text: from logical order, as typed, to visual order, as seen, and back.

A recogniser reads columns from left to right, so it is trained on labels in visual order. The
levels are those of the Unicode bidirectional algorithm (UAX 9) by python-bidi. Combining marks
stay after their base letter (rule L3), so that the letter that is drawn comes first in either
order, and brackets become those that are seen (rule L4).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from bidi import get_base_level, get_display
from bidi.mirror import MIRRORED

Bidi = Literal["off", "ltr", "rtl", "auto-ltr", "auto-rtl"]
"""Base direction of lines. "auto": a line's first letter tells; behind the dash what is assumed
of a reading that two lines, one of each direction, would look like. "off": no reordering."""

BidiSetting = Literal["auto", "rtl", "ltr", "off"]
"""From which the data makes a ``Bidi``."""

RTL_CLASSES = frozenset({"R", "AL", "AN"})
LETTER_CLASSES = frozenset({"L", "R", "AL"})

_CONTROLS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_LEVEL = re.compile(r"Level\(\s*(\d+)")


@dataclass(frozen=True)
class Reordered:
    """A text in another order.

    Attributes:
        text: as long as the one it was made of.
        order: for each character its index in that one.
    """

    text: str
    order: Sequence[int]


def has_rtl(text: str) -> bool:
    """Whether a text has letters or digits of a right-to-left script."""
    return not text.isascii() and any(unicodedata.bidirectional(c) in RTL_CLASSES for c in text)


def is_mixed(text: str) -> bool:
    """Whether a text has letters of either direction."""
    kinds = {unicodedata.bidirectional(c) for c in text}
    return "L" in kinds and bool(kinds & {"R", "AL"})


def resolve_bidi(setting: str, texts: Iterable[str]) -> Bidi:
    """Return how the labels of a data set are reordered; "off" if none of them has to be.

    Args:
        setting: "auto", "ltr", "rtl" or "off".
        texts: the labels in logical order.
    """
    rtl = [text for text in texts if has_rtl(text)] if setting != "off" else []
    if not rtl:
        return "off"
    if setting == "ltr":
        return "ltr"
    if setting == "rtl":
        return "rtl"
    n_to_left = sum(get_base_level(text) for text in rtl)
    return "auto-rtl" if 2 * n_to_left >= len(rtl) else "auto-ltr"


def to_visual(text: str, bidi: Bidi) -> str:
    """Return a text as it is seen, from left to right."""
    if not _is_reordered(text, bidi):
        return text
    return _reorder(text, _base(text, bidi)).text


def to_logical(text: str, bidi: Bidi) -> Reordered:
    """Return the logical order of a text that is seen: ``to_visual`` makes it of what is returned.

    Several texts may look the same; one of the direction that ``bidi`` names is preferred.
    """
    if not _is_reordered(text, bidi):
        return Reordered(text, range(len(text)))
    preferred = 0 if bidi.endswith("ltr") else 1
    found = _invert(text, preferred)
    if bidi.startswith("auto") and to_visual(found.text, bidi) != text:
        other = _invert(text, 1 - preferred)
        if to_visual(other.text, bidi) == text:
            return other
    return found


def has_controls(text: str) -> bool:
    """Whether a text has invisible direction marks."""
    return _CONTROLS.search(text) is not None


def remove_controls(text: str, bidi: Bidi) -> str:
    """Return a text without its direction marks, in an order in which it looks the same."""
    visible = _CONTROLS.sub("", to_visual(text, bidi))
    return to_logical(visible, bidi).text.strip()


def _is_reordered(text: str, bidi: Bidi) -> bool:
    return bidi != "off" and (bidi == "rtl" or has_rtl(text))


def _base(text: str, bidi: Bidi) -> int:
    """Return the level of the base direction: 0 or 1."""
    return get_base_level(text) if bidi.startswith("auto") else int(bidi == "rtl")


def _invert(text: str, base: int) -> Reordered:
    """Reorder a visual text, with digits as they are in their logical context.

    Behind an Arabic letter digits behave as Arabic ones do (rule W2), and what is before or
    behind is known after a first try.
    """
    shown = list(text)
    last = ""
    for i in _reorder(text, base).order:
        kind = unicodedata.bidirectional(text[i])
        last = kind if kind in LETTER_CLASSES else last
        if kind == "AL":
            shown[i] = "א"
        elif kind == "EN" and last == "AL":
            shown[i] = "٠"
    return _reorder(text, base, "".join(shown))


def _reorder(text: str, base: int, classes_of: str = "") -> Reordered:
    """Reorder a text by the levels of another one of the same length, or its own."""
    levels = _levels(classes_of or text, base)
    clusters = list(_clusters(text))
    for level in range(max(levels, default=0), 0, -1):  # rule L2
        clusters = list(_reversed_runs(clusters, levels, level))
    order = [i for cluster in clusters for i in cluster]
    seen = [MIRRORED.get(text[i], text[i]) if levels[i] % 2 else text[i] for i in order]
    return Reordered("".join(seen), order)


def _levels(text: str, base: int) -> list[int]:
    """Return the embedding level of each character, with rule L1 for the end of the line."""
    dump = str(get_display(text, base_dir="LR"[base], debug=True))
    of_bytes = _LEVEL.findall(dump.rpartition("levels: [")[2].partition("paragraphs: [")[0])
    levels: list[int] = []
    at = 0
    for character in text:
        levels.append(int(of_bytes[at]))
        at += len(character.encode())
    for i in range(len(text) - 1, -1, -1):
        if unicodedata.bidirectional(text[i]) not in ("WS", "S", "B", "BN"):
            break
        levels[i] = base
    return levels


def _clusters(text: str) -> Iterator[range]:
    """Yield the indices of each character with the marks that combine with it."""
    start = 0
    for i in range(1, len(text) + 1):
        if i == len(text) or unicodedata.bidirectional(text[i]) != "NSM":
            yield range(start, i)
            start = i


def _reversed_runs(clusters: Sequence[range], levels: Sequence[int], level: int) -> Iterator[range]:
    """Yield clusters with each run of a level or above reversed."""
    run: list[range] = []
    for cluster in clusters:
        if levels[cluster[0]] >= level:
            run.append(cluster)
            continue
        yield from reversed(run)
        run = []
        yield cluster
    yield from reversed(run)
