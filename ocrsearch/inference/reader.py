"""Readers: one network, or an ensemble whose members vote on each line.

Each member recognises the line separately; in test-time augmentation the members are one network at
several widths. If the texts differ, the best text is edited place by place towards the other texts,
as long as the mean log probability over all members rises. Voting place by place follows ROVER
(Fiscus, 1997, IEEE ASRU). A member with too few time steps for most of the texts does not vote.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np

from ocrsearch.core import BundleError, ImageConfig
from ocrsearch.data import (
    MAX_BATCH_SIZE,
    MAX_COLUMNS,
    GrayImage,
    Progress,
    padded_width,
    width_sorted_batches,
)
from ocrsearch.data.images import prepare_image
from ocrsearch.inference.networks import Network
from ocrsearch.models.decoding import BeamSearch, Hypothesis, Readout

Text = tuple[int, ...]
Score = Callable[[Mapping[int, Sequence[Text]]], Mapping[int, Sequence[float]]]
"""Function that maps candidate texts, by line, to their scores; higher is better."""

MAX_ROUNDS = 3

MIN_PLACES, MAX_PLACES = 4, 24
"""Minimum and maximum number of changes tried per candidate; excess neighbours are merged."""

MAX_SYMBOLS = 2400
"""Total length of the texts with one change each; it bounds the time for scoring."""


class Change(NamedTuple):
    """Replacement of the slice from ``start`` to ``end`` of a text by ``ids``."""

    start: int
    end: int
    ids: Text


def agree(readings: Mapping[int, Sequence[Text]], score: Score) -> dict[int, Text]:
    """Return the best-scoring text of each line among all candidates and the changes tried.

    Args:
        readings: two or more different candidate texts for each line. If scores are equal, the
            earlier candidate wins.
        score: scoring function. Each call includes all lines that may still change.
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
    """Return the changes, each in one place, that turn a text into the others."""
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
    """Return the places where two texts differ: start and end in ``text`` and in ``other``."""
    from rapidfuzz.distance import Levenshtein  # one network does not need it

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
    """Apply changes to a text; the changes must not touch each other."""
    for start, end, ids in sorted(changes, reverse=True):
        text = text[:start] + ids + text[end:]
    return text


def _learn(
    known: dict[int, dict[Text, float]], texts: Mapping[int, Sequence[Text]], score: Score
) -> None:
    """Score the texts that are not known yet and add them."""
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
    """Apply all changes that raise the score; if some touch each other, only the best of them."""
    gains = {change: scores[changed(text, [change])] - scores[text] for change in changes}
    taken: list[Change] = []
    for change in sorted(changes, key=lambda change: -gains[change]):
        is_free = all(change.end < other.start or other.end < change.start for other in taken)
        if is_free and gains[change] > 0.0 and math.isfinite(gains[change]):
            taken.append(change)
    return changed(text, taken)


CHUNK_COLUMNS = 32_768
"""Total width in pixels, at a height of 32, of the images recognised before a vote.

The network outputs of all members are kept in memory until the vote.
"""


NOT_NUMBERS = (
    "the model outputs NaN for an image: its weights are damaged, or its training failed; export "
    "or train it again"
)


class Encoding(NamedTuple):
    """A recognised batch.

    Attributes:
        ids: indices of the images.
        width_px: width of the padded images in pixels.
        output: output of the network.
        read: decoded hypothesis for each image.
    """

    ids: list[int]
    width_px: int
    output: Readout
    read: list[Hypothesis]


class Reader:
    """A network with its image scaling and its decoding method."""

    def __init__(self, network: Network, images: ImageConfig, search: BeamSearch | None) -> None:
        """Prepare to read images; without a search the network is decoded greedily."""
        self._network, self._config, self._search = network, images, search

    def at_width(self, factor: float) -> Reader:
        """Return a reader for the same network that scales the width of images by a factor."""
        other = copy.copy(self)
        scale = factor * self._config.width_scale
        other._config = self._config.model_copy(update={"width_scale": scale})
        return other

    def read(self, images: Sequence[GrayImage]) -> Iterator[Encoding]:
        """Recognise images, (H, W) uint8 each, batch by batch.

        Raises:
            BundleError: the output of the network contains NaN.
        """
        prepared = [prepare_image(image, self._config) for image in images]
        widths = [image.shape[1] for image in prepared]
        for ids in width_sorted_batches(widths, MAX_BATCH_SIZE):
            output = self._network.read([prepared[i] for i in ids])
            if output.has_nan():
                raise BundleError(NOT_NUMBERS)
            read = output.greedy() if self._search is None else output.beam_search(self._search)
            if not all(math.isfinite(hypothesis.confidence) for hypothesis in read):
                raise BundleError(NOT_NUMBERS)
            yield Encoding(ids, padded_width([widths[i] for i in ids]), output, read)

    def score(
        self, encodings: Iterable[Encoding], texts: Mapping[int, Sequence[Text]]
    ) -> dict[int, list[float]]:
        """Return the scores of candidate texts, by the index of the image.

        The score is the objective of beam search: the log probability plus the contributions of
        the language model and the lexicon. It is minus infinity if the network cannot output the
        text.
        """
        weight = self._search.ctc_weight if self._search else 0.0
        scores: dict[int, list[float]] = {}
        for output, pairs in _parts(encodings, texts):
            own = output.score([t for _, t in pairs], weight)
            for (i, text), value in zip(pairs, own.tolist(), strict=True):
                added = self._search.fusion.score(text) if self._search else 0.0
                scores.setdefault(i, []).append(value + added)
        return scores

    def rate(
        self, encodings: Iterable[Encoding], texts: Mapping[int, Text]
    ) -> dict[int, Hypothesis]:
        """Return hypotheses with the confidences of given texts, by the index of the image."""
        rated: dict[int, Hypothesis] = {}
        for output, pairs in _parts(encodings, {i: [text] for i, text in texts.items()}):
            found = output.rate([t for _, t in pairs])
            rated |= {i: hypothesis for (i, _), hypothesis in zip(pairs, found, strict=True)}
        return rated


def read_together(
    readers: Sequence[Reader], images: Sequence[GrayImage], progress: Progress | None = None
) -> list[Hypothesis]:
    """Recognise images with all readers; confidences are averaged over the readers.

    Args:
        readers: one or more readers with the same charset, the best first.
        images: images, (H, W) uint8 each.
        progress: called with the number of recognised images. An image that some of the readers
            have recognised counts in part.
    """
    n, n_readers = len(images), len(readers)
    found: list[Hypothesis] = []
    for chunk in _chunks(images) if n_readers > 1 else [images]:
        jury = _Jury(readers)
        for i, reader in enumerate(readers):
            n_read = i * len(chunk)
            for encoding in reader.read(chunk):
                jury.hear(i, encoding)
                n_read += len(encoding.ids)
                if progress:
                    progress(len(found) + n_read // n_readers, n)
        found += jury.verdict()
    return found


def _chunks(images: Sequence[GrayImage]) -> Iterator[Sequence[GrayImage]]:
    start, columns = 0, 0.0
    for i, image in enumerate(images):
        width = 32 * image.shape[1] / image.shape[0]
        if i > start and columns + width > CHUNK_COLUMNS:
            yield images[start:i]
            start, columns = i, 0.0
        columns += width
    if start < len(images):
        yield images[start:]


class _Jury:
    """Collects the hypotheses of all readers and lets them vote."""

    def __init__(self, readers: Sequence[Reader]) -> None:
        self._readers = readers
        self._readings: list[dict[int, Hypothesis]] = [{} for _ in readers]
        self._encodings: list[list[Encoding]] = [[] for _ in readers]
        self._judges: dict[int, list[int]] = {}

    def hear(self, i: int, encoding: Encoding) -> None:
        """Add the hypotheses of the i-th reader."""
        self._readings[i] |= dict(zip(encoding.ids, encoding.read, strict=True))
        if len(self._readers) > 1:
            self._encodings[i].append(encoding)

    def verdict(self) -> list[Hypothesis]:
        """Return the text of each image, in order, with mean confidences."""
        lines = range(len(self._readings[0]))
        of_lines = [[read[line] for read in self._readings] for line in lines]
        texts = {line: list(dict.fromkeys(h.ids for h in of_lines[line])) for line in lines}
        agreed = agree(
            {i: differing for i, differing in texts.items() if len(differing) > 1}, self.score
        )
        rated = [
            reader.rate(encodings, agreed)
            for reader, encodings in zip(self._readers, self._encodings, strict=True)
        ]
        return [
            Hypothesis.average([own[line] for own in rated] if line in agreed else of_lines[line])
            for line in lines
        ]

    def score(self, texts: Mapping[int, Sequence[Text]]) -> dict[int, list[float]]:
        """Return the mean scores of candidate texts, by line; see ``agree``."""
        by_reader = [
            reader.score(encodings, texts)
            for reader, encodings in zip(self._readers, self._encodings, strict=True)
        ]
        return {line: self._means(line, [own[line] for own in by_reader]) for line in texts}

    def _means(self, line: int, scores: Sequence[Sequence[float]]) -> list[float]:
        """Return the mean score of each text of a line over the readers that may vote.

        The first call, with the hypotheses of the readers, decides who may vote. Texts that fewer
        than half of the readers can output are ignored. A reader votes only if it can output all
        the other texts. If no reader can, the first hypothesis wins.
        """
        of_texts = list(zip(*scores, strict=True))
        can_count = [2 * sum(s > -math.inf for s in own) >= len(scores) for own in of_texts]
        if line not in self._judges:
            counting = [t for t, can in enumerate(can_count) if can]
            able = [r for r, own in enumerate(scores) if all(own[t] > -math.inf for t in counting)]
            self._judges[line] = able if counting else []
            if not self._judges[line]:
                return [0.0 if can else -math.inf for can in can_count]
        judges = self._judges[line]
        return [fmean(own[r] for r in judges) if judges else -math.inf for own in of_texts]


def _parts(
    encodings: Iterable[Encoding], texts: Mapping[int, Sequence[Text]]
) -> Iterator[tuple[Readout, list[tuple[int, Text]]]]:
    """Yield network outputs, and for each row the index of its image and the text to score."""
    for ids, width_px, output, _ in encodings:
        pairs = [(row, i, text) for row, i in enumerate(ids) for text in texts.get(i, ())]
        size = min(MAX_BATCH_SIZE, max(1, MAX_COLUMNS // width_px))
        for start in range(0, len(pairs), size):
            part = pairs[start : start + size]
            rows = np.array([row for row, _, _ in part])
            yield output.take(rows), [(i, text) for _, i, text in part]
