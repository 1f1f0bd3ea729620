"""Beam search of the encoder-decoder against everything that it could write."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ocrsearch.core.config import (
    Config,
    DecoderConfig,
    EncoderConfig,
    ImageConfig,
    Seq2SeqConfig,
)
from ocrsearch.models.architecture import build_network
from ocrsearch.models.attention import Memory, State
from ocrsearch.models.decoding.automata import Fusion
from ocrsearch.models.decoding.ctc import CtcOutput, Hypothesis
from ocrsearch.models.decoding.ctc_beam import BeamSearch
from ocrsearch.models.decoding.rows import Rows
from ocrsearch.models.decoding.seq2seq_beam import CtcPrefixes
from ocrsearch.models.encoder import Encoded, zero_padding
from ocrsearch.models.seq2seq import CPU_ROWS, Seq2Seq
from tests.models.decoding_references import (
    CHARSET,
    Text,
    all_texts,
    automata,
    ctc_probabilities,
    fused_score,
    log_of,
    random_output,
)

HEIGHT, STRIDE = 16, 4
N_SYMBOLS = len(CHARSET)
SMALL = EncoderConfig(conv_depth=2, conv_base=8, linear_width=8, hidden_size=8, dropout=0.0)


def network(attention: str = "additive", eos_bias: float = 0.0) -> Seq2Seq:
    """A network with large random weights, so that it reads each picture differently."""
    decoder = DecoderConfig.model_validate({"attention": attention})
    model = Seq2SeqConfig(encoder=SMALL, decoder=decoder)
    config = Config(images=ImageConfig(height=HEIGHT), model=model)
    built = build_network(config, N_SYMBOLS, seed=5).eval()
    assert isinstance(built, Seq2Seq)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.mul_(4.0)
        built.head.bias[built.eos_id] += eos_bias
    return built


def encode(model: Seq2Seq, widths: list[int], seed: int = 5) -> Encoded:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(len(widths), 1, HEIGHT, max(widths) + 8, generator=generator)
    lengths = torch.tensor(widths)
    encoded: Encoded = model.encoder(zero_padding(images, lengths, dim=3), lengths)
    return encoded


def one(encoded: Encoded, b: int) -> Encoded:
    return Encoded(*(part[b : b + 1] for part in encoded))


def beam_search(model: Seq2Seq, encoded: Encoded, search: BeamSearch) -> list[Hypothesis]:
    return model.readout(encoded).beam_search(search)


def text_score(model: Seq2Seq, encoded: Encoded, text: Text) -> float:
    """Return the log probability of a text and its end, of a batch of one."""
    targets = torch.tensor([list(text)], dtype=torch.int64)
    log_probs = model.teach(encoded, targets).log_probs[0]
    ids = [*text, model.eos_id]
    return sum(float(row[i]) for row, i in zip(log_probs, ids, strict=True))


@pytest.mark.parametrize("kinds", ["", "ml"])
@pytest.mark.parametrize("ctc_weight", [0.0, 0.6])
@pytest.mark.parametrize("bonus", [0.0, 1.0])
@pytest.mark.parametrize("attention", ["additive", "location_aware", "none"])
@torch.no_grad()
def test_a_wide_beam_finds_the_best_of_all_texts(
    kinds: str, ctc_weight: float, bonus: float, attention: str
) -> None:
    model, weighted = network(attention), automata(kinds)
    widths = [12, 4, 8, 12, 12]
    encoded = encode(model, widths)
    found = beam_search(
        model, encoded, BeamSearch(100, Fusion(weighted, bonus), ctc_weight, math.inf)
    )
    for b, width in enumerate(widths):
        n_frames = width // STRIDE
        ctc = ctc_probabilities(model.column_head(encoded.columns)[b, :n_frames], N_SYMBOLS)
        scores = {}
        for text in all_texts(N_SYMBOLS, n_frames):
            own = text_score(model, one(encoded, b), text)
            joint = ctc_weight * max(log_of(ctc.get(text, 0.0)), -1e9) if ctc_weight else 0.0
            scores[text] = own + joint + fused_score(weighted, text, bonus)
        best = max(scores, key=lambda t: scores[t])
        assert found[b].ids == best
        own = text_score(model, one(encoded, b), best)
        assert found[b].confidence == pytest.approx(float(torch.tensor(own).exp()), rel=1e-3)
        assert len(found[b].symbol_confidences) == len(best)


@pytest.mark.parametrize("beam", [1, 4])
@torch.no_grad()
def test_a_batch_is_read_as_each_line_alone(beam: int) -> None:
    model = network()
    encoded = encode(model, [8, 40, 16, 24])
    search = BeamSearch(beam, Fusion(automata("ml"), 0.5), 0.4)
    together = beam_search(model, encoded, search)
    for b, hypothesis in enumerate(together):
        (alone,) = beam_search(model, one(encoded, b), search)
        assert alone.ids == hypothesis.ids
        assert alone.confidence == pytest.approx(hypothesis.confidence, rel=1e-3)


@pytest.mark.parametrize("margin", [0.0, math.inf])
@torch.no_grad()
def test_only_texts_within_the_margin_are_prolonged(
    margin: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, n_lines, most = network(eos_bias=-2.0), CPU_ROWS // 2 + 3, []
    step = model.step

    def counting(ids: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        most.append(memory.n_places)
        return step(ids, state, memory)

    monkeypatch.setattr(model, "step", counting)
    found = beam_search(model, encode(model, [24] * n_lines), BeamSearch(4, margin=margin))
    assert len(found) == n_lines
    assert max(most) == (1 if margin == 0.0 else 4)


@pytest.mark.parametrize("attention", ["additive", "location_aware"])
@torch.no_grad()
def test_a_beam_of_one_is_greedy(attention: str) -> None:
    model = network(attention)
    encoded = encode(model, [8, 40, 16, 24, 12])
    found = beam_search(model, encoded, BeamSearch(1))
    for beam, greedy in zip(found, model.readout(encoded).greedy(), strict=True):
        assert beam.ids == greedy.ids
        assert beam.confidence == pytest.approx(greedy.confidence, rel=1e-4)
        assert beam.symbol_confidences == pytest.approx(greedy.symbol_confidences, rel=1e-4)


@pytest.mark.parametrize("ctc_weight", [0.0, 0.5])
@torch.no_grad()
def test_no_text_is_longer_than_the_frames(ctc_weight: float) -> None:
    model = network(eos_bias=-1e4)  # it never says that it is at the end
    widths = [8, 32, 20]
    encoded = encode(model, widths)
    found = beam_search(model, encoded, BeamSearch(3, Fusion((), 5.0), ctc_weight))
    assert all(len(h.ids) <= width // STRIDE for h, width in zip(found, widths, strict=True))
    assert all(model.eos_id not in h.ids for h in found)


@torch.no_grad()
def test_ctc_forbids_what_does_not_fit_the_frames() -> None:
    """The same symbol over and over needs a blank between: half as many fit."""
    model = network(eos_bias=-8.0)
    model.head.weight[1:] = 0.0
    model.head.bias[0] += 20.0
    encoded = encode(model, [32])
    (runaway,) = beam_search(model, encoded, BeamSearch(3))
    assert runaway.ids == (0,) * 8
    (joint,) = beam_search(model, encoded, BeamSearch(3, Fusion(), 0.3))
    assert len(joint.ids) < 8


def prefix_probability(totals: dict[Text, float], prefix: Text) -> float:
    return sum(p for text, p in totals.items() if text[: len(prefix)] == prefix)


@pytest.mark.parametrize("seed", range(3))
def test_prefix_scores_are_sums_over_all_texts(seed: int) -> None:
    lengths = [5, 2, 4]
    output = random_output(seed, lengths, 5)
    totals = [
        ctc_probabilities(log_probs[:n], N_SYMBOLS)
        for log_probs, n in zip(output.log_probs, lengths, strict=True)
    ]
    rows = Rows(np.array([0, 1, 1, 2]), 3)
    for text in all_texts(N_SYMBOLS, 3):
        prefixes = CtcPrefixes(output)
        parents = rows.lines
        for symbol in text:
            prefixes.follow(parents, np.full(4, symbol), rows.lines)
            parents = np.arange(4)
        is_grown = len(text) > 0
        used = rows if is_grown else Rows.one_each(3)
        scores = prefixes.scores(used)
        for row, line in zip(scores, used.lines.tolist(), strict=True):
            assert_log(row[N_SYMBOLS], totals[line].get(text, 0.0))
            for symbol in range(N_SYMBOLS):
                assert_log(row[symbol], prefix_probability(totals[line], (*text, symbol)))


def assert_log(found: float, p: float) -> None:
    assert math.exp(found) == pytest.approx(p, rel=1e-6, abs=1e-12)


def test_prefix_scores_of_impossible_symbols_are_finite() -> None:
    log_probs = np.full((1, 200, N_SYMBOLS + 1), -np.inf)
    log_probs[..., 0] = 0.0
    prefixes, zero = CtcPrefixes(CtcOutput(log_probs, np.array([200]))), np.array([0])
    for symbol in (0, 1, 1):
        assert np.isfinite(prefixes.scores(Rows(zero, 1))).all()
        prefixes.follow(zero, np.array([symbol]), zero)
    assert np.isfinite(prefixes.scores(Rows(zero, 1))).all()
