"""The output of a network for a batch of images, ready to be decoded.

Each class belongs to a kind of output, not to an architecture: probabilities at each time step
(CTC), probabilities of one symbol, or a decoder that writes symbol by symbol. Whatever computes
the network, PyTorch or ONNX Runtime, returns one of these.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from ocrsearch.models.decoding.automata import Ints
from ocrsearch.models.decoding.ctc import (
    CtcOutput,
    Hypothesis,
    ctc_best_path,
    ctc_confidences,
    ctc_scores,
)
from ocrsearch.models.decoding.ctc_beam import BeamSearch, ctc_beam_search
from ocrsearch.models.decoding.decoder import Decoder, decoder_best_path, decoder_scores
from ocrsearch.models.decoding.seq2seq_beam import seq2seq_beam_search


class Readout(ABC):
    """The output of a network for B images. Texts are symbol ids."""

    @abstractmethod
    def greedy(self) -> list[Hypothesis]:
        """Read each image by the most probable symbol at each place."""

    def beam_search(self, search: BeamSearch) -> list[Hypothesis]:
        """Read each image by the text with the best score; without a beam search, greedily."""
        del search
        return self.greedy()

    @abstractmethod
    def score(self, texts: Sequence[Sequence[int]], ctc_weight: float = 0.0) -> np.ndarray:
        """Return the score of a text for each image, as beam search computes it.

        Args:
            texts: B texts.
            ctc_weight: weight of a CTC head beside a decoder.

        Returns:
            (B,) log probabilities; minus infinity for a text that the network cannot write.
        """

    @abstractmethod
    def rate(self, texts: Sequence[Sequence[int]]) -> list[Hypothesis]:
        """Return a given text for each image with its confidences."""

    @abstractmethod
    def take(self, rows: Ints) -> Readout:
        """Return the output for some of the images, given their positions; they may repeat."""

    @abstractmethod
    def has_nan(self) -> bool:
        """Return whether the output contains NaN."""


@dataclass(frozen=True)
class CtcReadout(Readout):
    """Probabilities at each time step, the blank last."""

    output: CtcOutput

    @property
    def blank_id(self) -> int:
        """Id of the blank."""
        return int(self.output.log_probs.shape[2]) - 1

    @override
    def greedy(self) -> list[Hypothesis]:
        return ctc_best_path(self.output, self.blank_id)

    @override
    def beam_search(self, search: BeamSearch) -> list[Hypothesis]:
        return ctc_beam_search(self.output, self.blank_id, search)

    @override
    def score(self, texts: Sequence[Sequence[int]], ctc_weight: float = 0.0) -> np.ndarray:
        return ctc_scores(texts, self.output, self.blank_id)

    @override
    def rate(self, texts: Sequence[Sequence[int]]) -> list[Hypothesis]:
        return ctc_confidences(texts, self.output, self.blank_id)

    @override
    def take(self, rows: Ints) -> CtcReadout:
        return CtcReadout(CtcOutput(*(part[rows] for part in self.output)))

    @override
    def has_nan(self) -> bool:
        return bool(np.isnan(self.output.log_probs).any())


@dataclass(frozen=True)
class SymbolReadout(Readout):
    """Probabilities of a single symbol for each image.

    Attributes:
        log_probs: (B, V) float32, without a blank.
    """

    log_probs: np.ndarray

    @override
    def greedy(self) -> list[Hypothesis]:
        ids = self.log_probs.argmax(1)
        return self.rate(ids[:, None].tolist())

    @override
    def score(self, texts: Sequence[Sequence[int]], ctc_weight: float = 0.0) -> np.ndarray:
        """Return log probabilities; minus infinity unless the text is one symbol."""
        pairs = zip(self.log_probs.astype(np.float64), texts, strict=True)
        return np.array([row[text[0]] if len(text) == 1 else -np.inf for row, text in pairs])

    @override
    def rate(self, texts: Sequence[Sequence[int]]) -> list[Hypothesis]:
        """Return the texts with their confidences: 0 unless the text is one symbol."""
        rows = self.log_probs.astype(np.float64)
        return [
            Hypothesis.from_log_probs(text, row[list(text)], total)
            for text, row, total in zip(texts, rows, self.score(texts), strict=True)
        ]

    @override
    def take(self, rows: Ints) -> SymbolReadout:
        return SymbolReadout(self.log_probs[rows])

    @override
    def has_nan(self) -> bool:
        return bool(np.isnan(self.log_probs).any())


@dataclass(frozen=True)
class DecoderReadout(Readout):
    """Encoded images, and the decoder that writes their texts."""

    decoder: Decoder

    @override
    def greedy(self) -> list[Hypothesis]:
        return decoder_best_path(self.decoder)

    @override
    def beam_search(self, search: BeamSearch) -> list[Hypothesis]:
        return seq2seq_beam_search(self.decoder, search)

    @override
    def score(self, texts: Sequence[Sequence[int]], ctc_weight: float = 0.0) -> np.ndarray:
        """Return the log probabilities of the decoder, plus those of the CTC head, weighted."""
        totals = np.array([scores.sum() for scores in decoder_scores(self.decoder, texts)])
        if ctc_weight == 0.0:
            return totals
        return totals + ctc_weight * ctc_scores(texts, self.decoder.ctc(), self.decoder.eos_id)

    @override
    def rate(self, texts: Sequence[Sequence[int]]) -> list[Hypothesis]:
        pairs = zip(texts, decoder_scores(self.decoder, texts), strict=True)
        return [Hypothesis.from_log_probs(text, scores) for text, scores in pairs]

    @override
    def take(self, rows: Ints) -> DecoderReadout:
        return DecoderReadout(self.decoder.take(rows))

    @override
    def has_nan(self) -> bool:
        return self.decoder.has_nan()
