"""The decoder of an encoder-decoder: its interface, greedy decoding, and scores of given texts.

A ``Decoder`` computes one step for many texts at once. How it computes is its own affair: its
state can be arrays or tensors on a GPU. Everything else takes and returns arrays.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from ocrsearch.models.decoding.automata import Ints
from ocrsearch.models.decoding.ctc import CtcOutput, Hypothesis
from ocrsearch.models.decoding.rows import Rows

State = tuple[Any, ...]
"""State of N unfinished texts: arrays or tensors with N rows, opaque to decoding."""


class Decoder(ABC):
    """Writes texts for B encoded images, symbol by symbol.

    Attributes:
        eos_id: id of the end, after the symbols. The begin has the id after it.
        frame_lengths: (B,) int64 number of time steps; no text has more symbols.
        max_rows: number of texts, of all lines together, that a step should compute at once; None
            for any number.
    """

    eos_id: int
    frame_lengths: Ints
    max_rows: int | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.frame_lengths)

    @abstractmethod
    def start(self) -> State:
        """Return the state of an empty text for each image."""

    @abstractmethod
    def step(self, ids: Ints, state: State, rows: Rows | None = None) -> tuple[np.ndarray, State]:
        """Compute a step of N texts.

        Args:
            ids: (N,) last symbol of each text; the begin for an empty text.
            state: state of the texts.
            rows: images of the texts; None for one text for each image.

        Returns:
            The log probabilities (N, V) of the next symbol, and the state after ``ids``.
        """

    @abstractmethod
    def ctc(self) -> CtcOutput:
        """Return the output of the CTC head beside the decoder."""

    @abstractmethod
    def take(self, rows: Ints) -> Decoder:
        """Return a decoder for some of the images, given their positions."""

    @abstractmethod
    def has_nan(self) -> bool:
        """Return whether the encoded images contain NaN."""


def begin_ids(decoder: Decoder) -> Ints:
    """Return the begin as the first input for each image."""
    return np.full(len(decoder), decoder.eos_id + 1)


def select(state: State, parents: Ints) -> State:
    """Return the state of the texts that continue others, given the rows of those."""
    return tuple(part[parents] for part in state)


def decoder_best_path(decoder: Decoder) -> list[Hypothesis]:
    """Write the most probable symbol at each step until the end.

    A text has at most as many symbols as its image has time steps.
    """
    state, ids, end = decoder.start(), begin_ids(decoder), decoder.eos_id
    done = np.zeros(len(decoder), bool)
    steps: list[Ints] = []
    scores: list[np.ndarray] = []
    for i in range(int(decoder.frame_lengths.max(initial=0)) + 1):
        log_probs, state = decoder.step(ids, state)
        ids = np.where(done | (decoder.frame_lengths <= i), end, log_probs.argmax(1))
        steps.append(ids)
        score = np.take_along_axis(log_probs, ids[:, None], 1)[:, 0].astype(np.float64)
        scores.append(np.where(done, 0.0, score))
        done = done | (ids == end)
        if done.all():
            break
    found = []
    for row, score in zip(np.stack(steps, 1).tolist(), np.stack(scores, 1), strict=True):
        text = row[: row.index(end)] if end in row else row
        found.append(Hypothesis.from_log_probs(text, score[: len(text) + 1]))
    return found


def decoder_scores(decoder: Decoder, texts: Sequence[Sequence[int]]) -> list[np.ndarray]:
    """Return the log probability of each symbol and of the end, given a text for each image."""
    n_steps = max(map(len, texts), default=0) + 1
    targets = np.full((len(texts), n_steps), decoder.eos_id)
    for row, text in zip(targets, texts, strict=True):
        row[: len(text)] = text
    state, ids = decoder.start(), begin_ids(decoder)
    scores = np.zeros(targets.shape)
    for i, following in enumerate(targets.T):
        log_probs, state = decoder.step(ids, state)
        scores[:, i] = np.take_along_axis(log_probs, following[:, None], 1)[:, 0]
        ids = following
    return [row[: len(text) + 1] for row, text in zip(scores, texts, strict=True)]
