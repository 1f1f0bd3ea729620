"""Plain Python that decoding is compared with: everything is tried."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from ocrsearch.data.charset import Charset
from ocrsearch.models.decoding.automata import Automaton, Lexicon
from ocrsearch.models.decoding.ctc import CtcOutput
from ocrsearch.models.decoding.language_model import LanguageModel
from ocrsearch.models.decoding.ngrams import count_ngrams

Text = tuple[int, ...]
CHARSET = Charset("ab ")
WORDS = ("ab", "b", "bab")
TEXTS = ("ab b", "bab", "ba ab", "aab", "b ab b")


def ctc_probabilities(log_probs: Tensor | np.ndarray, blank_id: int) -> dict[Text, float]:
    """Return the probability of each text, over all (T, V) alignments."""
    probs = np.exp(np.asarray(log_probs, np.float64)).tolist()
    totals: dict[Text, float] = defaultdict(float)
    for path in itertools.product(range(blank_id + 1), repeat=len(probs)):
        text = tuple(symbol for symbol, _ in groupby(path) if symbol != blank_id)
        totals[text] += math.prod(frame[symbol] for frame, symbol in zip(probs, path, strict=True))
    return totals


def best_alignment(log_probs: Tensor | np.ndarray, text: Text, blank_id: int) -> tuple[float, ...]:
    """Return the highest probability of each symbol on the best of all alignments of a text."""
    probs = np.exp(np.asarray(log_probs, np.float64)).tolist()
    best, best_p = (), -1.0
    for path in itertools.product(range(blank_id + 1), repeat=len(probs)):
        runs = [(symbol, list(run)) for symbol, run in groupby(enumerate(path), lambda x: x[1])]
        if tuple(symbol for symbol, _ in runs if symbol != blank_id) != text:
            continue
        p = math.prod(frame[symbol] for frame, symbol in zip(probs, path, strict=True))
        if p > best_p:
            best_p = p
            kept = [(symbol, run) for symbol, run in runs if symbol != blank_id]
            best = tuple(max(probs[t][symbol] for t, _ in run) for symbol, run in kept)
    return best


def random_output(
    seed: int, lengths: Sequence[int], n_frames: int, n_symbols: int = len(CHARSET)
) -> CtcOutput:
    """Return random output of a network, with something in the padding too."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2.0 * torch.randn(len(lengths), n_frames, n_symbols + 1, generator=generator)
    return as_output(logits.log_softmax(2), lengths)


def as_output(log_probs: Tensor, lengths: Sequence[int]) -> CtcOutput:
    """Return (B, T, V) log probabilities as the output of a network."""
    return CtcOutput(log_probs.numpy(), np.array(lengths))


def language_model(order: int = 3, charset: Charset = CHARSET) -> LanguageModel:
    counts, n_left_out = count_ngrams(TEXTS, charset, order)
    assert n_left_out == 0
    return LanguageModel(counts, charset)


def automata(kinds: str) -> list[tuple[Automaton, float]]:
    """Return the automata of which the first letters are given, with weights."""
    made: dict[str, tuple[Automaton, float]] = {
        "m": (language_model(), 0.7),
        "l": (Lexicon(WORDS, CHARSET), 1.5),
    }
    return [made[kind] for kind in kinds]


def fused_score(weighted: Sequence[tuple[Automaton, float]], text: Text, bonus: float) -> float:
    scores = (weight * float(automaton.score_texts([text])[0]) for automaton, weight in weighted)
    return sum(scores) + bonus * len(text)


def all_texts(n_symbols: int, longest: int) -> list[Text]:
    lengths = range(longest + 1)
    return [t for n in lengths for t in itertools.product(range(n_symbols), repeat=n)]


def log_of(p: float) -> float:
    return float(np.log(p)) if p > 0 else -math.inf
