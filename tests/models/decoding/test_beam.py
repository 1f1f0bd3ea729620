"""CTC beam search against everything that could be read."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrsearch.models.decoding.automata import Fusion
from ocrsearch.models.decoding.ctc import CtcOutput, ctc_best_path
from ocrsearch.models.decoding.ctc_beam import BeamSearch, ctc_beam_search
from tests.models.decoding_references import (
    CHARSET,
    as_output,
    automata,
    best_alignment,
    ctc_probabilities,
    fused_score,
    log_of,
    random_output,
)

BLANK = len(CHARSET)
WIDE = 500
"""More than there are texts of five frames and three symbols."""


@pytest.mark.parametrize("kinds", ["", "m", "l", "ml"])
@pytest.mark.parametrize("bonus", [0.0, 0.8])
@pytest.mark.parametrize("seed", range(3))
def test_a_wide_beam_finds_the_best_of_all_texts(kinds: str, bonus: float, seed: int) -> None:
    weighted = automata(kinds)
    lengths = [5, 1, 3, 4, 5]
    output = random_output(seed, lengths, 5)
    search = BeamSearch(WIDE, Fusion(weighted, bonus))
    found = ctc_beam_search(output, BLANK, search)
    for hypothesis, log_probs, length in zip(found, output.log_probs, lengths, strict=True):
        totals = ctc_probabilities(log_probs[:length], BLANK)
        scores = {t: log_of(p) + fused_score(weighted, t, bonus) for t, p in totals.items()}
        assert hypothesis.ids == max(scores, key=lambda t: scores[t])
        assert hypothesis.confidence == pytest.approx(totals[hypothesis.ids])
        expected = best_alignment(log_probs[:length], hypothesis.ids, BLANK)
        assert hypothesis.symbol_confidences == pytest.approx(expected)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12), st.sampled_from(["", "m", "ml"]))
def test_a_batch_with_padding_is_read_as_each_line_alone(seed: int, beam: int, kinds: str) -> None:
    lengths = [7, 12, 1, 4, 9]
    output = random_output(seed, lengths, 15)
    search = BeamSearch(beam, Fusion(automata(kinds), 0.3))
    together = ctc_beam_search(output, BLANK, search)
    for b, length in enumerate(lengths):
        alone = CtcOutput(output.log_probs[b : b + 1, :length], np.array([length]))
        (expected,) = ctc_beam_search(alone, BLANK, search)
        assert together[b].ids == expected.ids
        assert together[b].confidence == pytest.approx(expected.confidence)
        assert together[b].symbol_confidences == pytest.approx(expected.symbol_confidences)


@pytest.mark.parametrize("kinds", ["", "m", "l", "ml"])
@pytest.mark.parametrize("text", [(), (1,), (0, 1, 2, 1)])
def test_fusion_scores_a_whole_text_as_it_does_step_by_step(
    kinds: str, text: tuple[int, ...]
) -> None:
    fusion = Fusion(automata(kinds), 0.3)
    states, total = fusion.start((1, 1)), 0.0
    for symbol in text:
        ids = np.array([[symbol]])
        total += float(fusion.gains(states, ids)[0, 0, 0])
        states = fusion.follow(states, np.zeros((1, 1), np.int64), ids)
    total += float(np.sum(fusion.end_gains(states)))
    assert fusion.score(text) == pytest.approx(total)


def test_a_text_dropped_and_found_again_is_the_same_text() -> None:
    """A beam of two is too narrow; still no text is counted in two places."""
    for seed in range(50):
        output = random_output(seed, [12], 12)
        (found,) = ctc_beam_search(output, BLANK, BeamSearch(2))
        assert 0.0 < found.confidence <= 1.0


def test_a_wider_beam_finds_what_is_more_probable_on_average() -> None:
    outputs = [random_output(seed, [14] * 4, 14) for seed in range(5)]
    means = [
        sum(h.confidence for o in outputs for h in ctc_beam_search(o, BLANK, BeamSearch(beam)))
        for beam in (1, 3, 30)
    ]
    assert means == sorted(means)
    greedy = sum(h.confidence for o in outputs for h in ctc_best_path(o, BLANK))
    assert greedy < means[-1]


@pytest.mark.parametrize("text", [(), (0,), (1, 1), (0, 1, 0), (2, 2, 2)])
def test_what_is_certain_is_read(text: tuple[int, ...]) -> None:
    path = [BLANK]
    for symbol in text:
        path += [symbol, symbol, BLANK]
    log_probs = torch.full((1, len(path), BLANK + 1), -100.0)
    log_probs[0, torch.arange(len(path)), torch.tensor(path)] = 0.0
    output = as_output(log_probs, [len(path)])
    (found,) = ctc_beam_search(output, BLANK, BeamSearch(5))
    assert found.ids == text
    assert found.confidence == pytest.approx(1.0)
    assert found.symbol_confidences == pytest.approx([1.0] * len(text))


def test_symbols_of_no_probability_at_all_are_not_written() -> None:
    log_probs = torch.full((2, 3, BLANK + 1), -torch.inf)
    log_probs[0, :, BLANK] = 0.0
    log_probs[1, :, 1] = 0.0
    output = as_output(log_probs, [3, 3])
    found = ctc_beam_search(output, BLANK, BeamSearch(10, Fusion(automata("ml"), 2.0)))
    assert [h.ids for h in found] == [(), (1,)]


def test_one_symbol_is_enough() -> None:
    output = random_output(1, [4], 4, n_symbols=1)
    (found,) = ctc_beam_search(output, 1, BeamSearch(20))
    totals = ctc_probabilities(output.log_probs[0], 1)
    assert found.ids == max(totals, key=lambda t: totals[t])
