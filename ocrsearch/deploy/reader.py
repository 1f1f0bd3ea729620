"""Readers: a network ready to read pictures, and several that read together.

Each member of an ensemble reads by itself, and so does one network at several widths. Where their
texts differ, they agree on one by the mean of the log probabilities that they give to texts. One
that cannot write some of what was read, as it has too few frames, has no say about that line.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import torch

from ocrsearch.data.lines import Line
from ocrsearch.data.preprocess import prepare_image
from ocrsearch.data.samples import GrayImage
from ocrsearch.data.usable import Progress
from ocrsearch.deploy.agreement import Text, agree
from ocrsearch.deploy.bundle import Bundle
from ocrsearch.models.beam import BeamSearch
from ocrsearch.models.decoding import Hypothesis
from ocrsearch.models.factory import ARCHITECTURES
from ocrsearch.training.evaluation import MAX_BATCH_SIZE, encode_lines

CHUNK = 256
"""Pictures that are read at a time; what networks make of them is kept until all agree."""

Encodings = list[tuple[list[int], Any]]
"""Batches: the numbers of the pictures, and what the network made of them."""


class Reader:
    """A network on its device, with its own size of pictures and its own way to decode."""

    def __init__(self, member: Bundle, device: torch.device, search: BeamSearch | None) -> None:
        """Build the network; it decodes greedily if there is no search."""
        self._device, self._search = device, search
        self._config = member.config.images
        self._network = member.build_network().to(device)
        self._architecture = ARCHITECTURES[member.config.model.architecture]

    def at_width(self, factor: float) -> Reader:
        """Return one of the same network that sees pictures so many times as wide."""
        other = copy.copy(self)
        scale = factor * self._config.width_scale
        other._config = self._config.model_copy(update={"width_scale": scale})
        return other

    @torch.inference_mode()
    def read(
        self, images: Sequence[GrayImage], progress: Progress | None = None
    ) -> tuple[list[Hypothesis], Encodings]:
        """Read pictures.

        Args:
            images: (H, W) uint8 each.
            progress: told how many are read.

        Returns:
            What was read in each, and what ``rate`` needs.
        """
        lines = [Line(prepare_image(image, self._config)) for image in images]
        found: dict[int, Hypothesis] = {}
        encodings: Encodings = []
        for ids, _, output in encode_lines(self._network, self._architecture, lines, self._device):
            found |= dict(zip(ids, self._decode(output), strict=True))
            encodings.append((ids, output))
            if progress:
                progress(len(found), len(lines))
        return [found[i] for i in range(len(lines))], encodings

    @torch.inference_mode()
    def rate(
        self, encodings: Encodings, texts: Mapping[int, Sequence[Text]]
    ) -> dict[int, list[Hypothesis]]:
        """Return texts of some pictures, by their numbers, with the confidences that they have."""
        rated: dict[int, list[Hypothesis]] = {}
        for ids, output in encodings:
            pairs = [(row, i, text) for row, i in enumerate(ids) for text in texts.get(i, ())]
            for start in range(0, len(pairs), MAX_BATCH_SIZE):
                part = pairs[start : start + MAX_BATCH_SIZE]
                repeated = _take(output, torch.tensor([row for row, _, _ in part]))
                found = self._architecture.rate(self._network, repeated, [t for *_, t in part])
                for (_, i, _), hypothesis in zip(part, found, strict=True):
                    rated.setdefault(i, []).append(hypothesis)
        return rated

    def score(self, hypothesis: Hypothesis) -> float:
        """Return the log probability of a text, with what a language model or lexicon adds."""
        if hypothesis.confidence == 0.0:
            return -math.inf
        added = self._search.fusion.score(hypothesis.ids) if self._search else 0.0
        return math.log(hypothesis.confidence) + added

    def _decode(self, output: Any) -> list[Hypothesis]:
        if self._search is None or self._architecture.beam is None:
            return self._architecture.greedy(self._network, output)
        return self._architecture.beam(self._network, output, self._search)


def read_together(
    readers: Sequence[Reader], images: Sequence[GrayImage], progress: Progress | None = None
) -> list[Hypothesis]:
    """Read pictures with all readers; confidences are means over them.

    Args:
        readers: one or more, of one charset; the best first.
        images: (H, W) uint8 each.
        progress: told how many pictures are read, as a share of the readers has read them.
    """
    found: list[Hypothesis] = []
    for start in range(0, len(images), CHUNK):
        chunk = images[start : start + CHUNK]
        read = [
            reader.read(chunk, _share(progress, start, len(images), i, len(readers)))
            for i, reader in enumerate(readers)
        ]
        found += _join([h for h, _ in read], _Jury(readers, [e for _, e in read]))
    return found


def _join(readings: Sequence[Sequence[Hypothesis]], jury: _Jury) -> list[Hypothesis]:
    """Return what all together read: the texts on which they agree, with mean confidences."""
    of_lines = list(zip(*readings, strict=True))
    texts = {i: list(dict.fromkeys(h.ids for h in of_line)) for i, of_line in enumerate(of_lines)}
    differing = {i: of_line for i, of_line in texts.items() if len(of_line) > 1}
    agreed = agree(differing, jury.score)
    return [
        _joined(jury.ratings[i][agreed[i]] if i in agreed else of_line)
        for i, of_line in enumerate(of_lines)
    ]


class _Jury:
    """Readers that rate texts of the pictures that they have read."""

    def __init__(self, readers: Sequence[Reader], encodings: Sequence[Encodings]) -> None:
        self.ratings: dict[int, dict[Text, list[Hypothesis]]] = {}
        self._judges: dict[int, list[int]] = {}
        self._readers, self._encodings = readers, encodings

    def score(self, texts: Mapping[int, Sequence[Text]]) -> dict[int, list[float]]:
        """Return mean scores of texts of lines; see ``agree``."""
        by_reader = [
            reader.rate(encodings, texts)
            for reader, encodings in zip(self._readers, self._encodings, strict=True)
        ]
        return {
            line: self._of_line(line, of_line, [rated[line] for rated in by_reader])
            for line, of_line in texts.items()
        }

    def _of_line(
        self, line: int, texts: Sequence[Text], rated: Sequence[Sequence[Hypothesis]]
    ) -> list[float]:
        """Return means over those that can write all of the texts that were read."""
        scores = [
            [reader.score(h) for h in own] for reader, own in zip(self._readers, rated, strict=True)
        ]
        if line not in self._judges:  # the first texts are those that were read
            able = [r for r, own in enumerate(scores) if min(own) > -math.inf]
            self._judges[line] = able
        judges = self._judges[line]
        of_texts = dict(zip(texts, map(list, zip(*rated, strict=True)), strict=True))
        self.ratings.setdefault(line, {}).update(of_texts)
        return [fmean(scores[r][t] for r in judges) if judges else 0.0 for t in range(len(texts))]


def _joined(ratings: Sequence[Hypothesis]) -> Hypothesis:
    """Return a text with the means of the confidences that it has."""
    symbols = zip(*(h.symbol_confidences for h in ratings), strict=True)
    return Hypothesis(
        ratings[0].ids, fmean(h.confidence for h in ratings), tuple(map(fmean, symbols))
    )


def _take(output: Any, rows: torch.Tensor) -> Any:
    """Return some rows of a network's output: a tensor, or several in a named tuple."""
    if isinstance(output, torch.Tensor):
        return output[rows.to(output.device)]
    return type(output)(*(part if part is None else _take(part, rows) for part in output))


def _share(progress: Progress | None, start: int, n: int, i: int, k: int) -> Progress | None:
    """Return what the i-th of k readers tells, of a chunk that starts at a picture of n."""
    if progress is None:
        return None
    return lambda done, of: progress(start + (i * of + done) // k, n)
