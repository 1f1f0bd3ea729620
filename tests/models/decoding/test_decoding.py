"""Decoding against plain Python, and its degenerate inputs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import groupby
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ocrsearch.core.config import (
    FRAME_STRIDE,
    ClassifierConfig,
    Config,
    DecoderConfig,
    EncoderConfig,
    ImageConfig,
    Seq2SeqConfig,
)
from ocrsearch.models.architecture import build_network
from ocrsearch.models.classifier import Classifier
from ocrsearch.models.crnn import Crnn
from ocrsearch.models.ctc_heads import CtcTensors
from ocrsearch.models.decoding.ctc import Hypothesis, ctc_best_path
from ocrsearch.models.encoder import zero_padding
from ocrsearch.models.seq2seq import Seq2Seq
from tests.models.decoding_references import as_output, ctc_probabilities, log_of
from tests.rounding import double_precision

Attention = Literal["additive", "location_aware", "none"]
Cell = Literal["lstm", "gru"]

HEIGHT = 16
SEEDS = {"additive": 5, "location_aware": 15, "none": 5}
"""With which networks read each picture differently."""
N_SYMBOLS = 3
BLANK = N_SYMBOLS
SMALL = EncoderConfig(conv_depth=2, conv_base=8, linear_width=8, hidden_size=8, dropout=0.0)


def best_path_reference(log_probs: Tensor, n_frames: int, blank_id: int) -> Hypothesis:
    """The same as ``ctc_best_path`` for the (T, V) log probabilities of one picture."""
    frames = [max((p, v) for v, p in enumerate(row)) for row in log_probs[:n_frames].tolist()]
    runs = [(v, [p for p, _ in run]) for v, run in groupby(frames, key=lambda frame: frame[1])]
    symbols = [(v, math.exp(max(ps))) for v, ps in runs if v != blank_id]
    return Hypothesis(
        tuple(v for v, _ in symbols),
        ctc_probabilities(log_probs[:n_frames], blank_id)[tuple(v for v, _ in symbols)],
        tuple(confidence for _, confidence in symbols),
    )


def assert_same(found: Hypothesis, expected: Hypothesis, tolerance: float = 1e-6) -> None:
    assert found.ids == expected.ids
    assert found.confidence == pytest.approx(expected.confidence, abs=tolerance)
    assert found.symbol_confidences == pytest.approx(expected.symbol_confidences, abs=tolerance)


def output_of(ids: list[list[int]], frame_lengths: list[int], p: float = 0.7) -> CtcTensors:
    """An output whose best symbols are the given ones, each with probability p."""
    rest = (1 - p) / N_SYMBOLS
    probs = torch.full((len(ids), len(ids[0]), N_SYMBOLS + 1), rest)
    probs.scatter_(2, torch.tensor(ids)[..., None], p)
    return CtcTensors(probs.log(), torch.tensor(frame_lengths))


@settings(deadline=None, max_examples=200)
@given(
    seed=st.integers(0, 2**32 - 1),
    lengths=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    n_symbols=st.integers(1, 3),
)
def test_best_path_equals_plain_python(seed: int, lengths: list[int], n_symbols: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    shape = (len(lengths), max(lengths), n_symbols + 1)
    log_probs = (3 * torch.randn(shape, generator=generator)).log_softmax(2)
    found = ctc_best_path(as_output(log_probs, lengths), n_symbols)
    assert len(found) == len(lengths)
    for b, n_frames in enumerate(lengths):
        assert_same(found[b], best_path_reference(log_probs[b], n_frames, n_symbols))


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32 - 1))
def test_best_path_confidences_are_probabilities(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    log_probs = (9 * torch.randn(2, 6, 4, generator=generator)).log_softmax(2)
    for found in ctc_best_path(as_output(log_probs, [6, 3]), BLANK):
        assert 0.0 <= found.confidence <= 1.0
        assert len(found.symbol_confidences) == len(found.ids)
        assert all(0.0 < c <= 1.0 for c in found.symbol_confidences)


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([BLANK], ()),
        ([0], (0,)),
        ([BLANK] * 4, ()),
        ([1, 1, 1], (1,)),
        ([1, BLANK, 1], (1, 1)),
        ([1, 1, BLANK, BLANK, 1, 1], (1, 1)),
        ([BLANK, 2, BLANK], (2,)),
        ([0, 1, 1, 0], (0, 1, 0)),
        ([2, 2, 0, BLANK, 0], (2, 0, 0)),
    ],
)
def test_best_path_merges(frames: list[int], expected: tuple[int, ...]) -> None:
    output = output_of([frames], [len(frames)])
    (found,) = ctc_best_path(output.to_numpy(), BLANK)
    assert found.ids == expected
    assert found.confidence == pytest.approx(
        ctc_probabilities(output.log_probs[0], BLANK)[expected]
    )
    assert found.symbol_confidences == pytest.approx((0.7,) * len(expected))


def test_confidence_is_that_of_the_text_and_not_of_a_path() -> None:
    """Before, in and behind a certain frame, half for the symbol and half for the blank."""
    log_probs = torch.full((1, 3, BLANK + 1), -100.0)
    log_probs[0, :, [0, BLANK]] = math.log(0.5)
    log_probs[0, 1] = torch.tensor([0.0, -100.0, -100.0, -100.0])
    (found,) = ctc_best_path(as_output(log_probs, [3]), BLANK)
    assert found.ids == (0,)
    assert found.confidence == pytest.approx(1.0)  # each of the four paths, 0.25


def test_best_path_does_not_read_symbols_in_the_padding() -> None:
    output = output_of([[0, BLANK, 1, 2], [0, 0, 0, 0]], [2, 4])
    first, second = ctc_best_path(output.to_numpy(), BLANK)
    assert (first.ids, second.ids) == ((0,), (0,))
    assert first.confidence == pytest.approx(0.7 * 0.7 + 0.7 * 0.1 + 0.1 * 0.1)  # 0-, 00, -0


def test_best_path_takes_no_confidence_from_the_padding() -> None:
    output = output_of([[BLANK, 1, 1, 1]], [2])
    output.log_probs[0, 2:] = torch.tensor([0.01, 0.97, 0.01, 0.01]).log()
    (found,) = ctc_best_path(output.to_numpy(), BLANK)
    assert found.ids == (1,)
    assert found.symbol_confidences == pytest.approx((0.7,))


@pytest.fixture(autouse=True, scope="module")
def _in_double_precision() -> Iterator[None]:
    with double_precision():
        yield


def network(attention: Attention, cell: Cell, eos_bias: float = 0.0) -> Seq2Seq:
    """A network with large random weights, so that it reads each picture differently."""
    encoder = SMALL.model_copy(update={"rnn_cell": cell})
    model = Seq2SeqConfig(encoder=encoder, decoder=DecoderConfig(attention=attention))
    config = Config(images=ImageConfig(height=HEIGHT), model=model)
    built = build_network(config, N_SYMBOLS, seed=SEEDS[attention]).eval()
    assert isinstance(built, Seq2Seq)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.mul_(4.0)
        built.head.bias[built.eos_id] += eos_bias
    return built.double()


def random_pictures(widths: list[int]) -> Tensor:
    """Return (B, 1, H, W) pictures, zero behind their widths, with some padding for all."""
    generator = torch.Generator().manual_seed(5)
    images = torch.randn(len(widths), 1, HEIGHT, max(widths) + 8, generator=generator)
    return zero_padding(images.double(), torch.tensor(widths), dim=3)


def greedy_reference(model: Seq2Seq, image: Tensor, width: int) -> Hypothesis:
    """The same as ``Seq2Seq.greedy`` for one (1, H, W) picture, symbol by symbol."""
    encoded = model.encoder(image[None, :, :, :width], torch.tensor([width]))
    memory, state, ids = model.start(encoded)
    symbols: list[int] = []
    scores: list[float] = []
    while True:
        log_probs, state = model.step(ids, state, memory)
        is_full = len(symbols) == width // FRAME_STRIDE
        best = model.eos_id if is_full else int(log_probs.argmax())
        scores.append(math.exp(log_probs[0, best]))
        if best == model.eos_id:
            return Hypothesis(tuple(symbols), math.prod(scores), tuple(scores[:-1]))
        symbols.append(best)
        ids = torch.tensor([best])


@pytest.mark.parametrize("attention", ["additive", "location_aware", "none"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
@torch.no_grad()
def test_greedy_of_a_batch_equals_plain_python_of_each_alone(
    attention: Attention, cell: Cell
) -> None:
    model = network(attention, cell)
    widths = [8, 40, 16, 24, 12, 36, 20, 28]
    images = random_pictures(widths)
    found = model.readout(model.encoder(images, torch.tensor(widths))).greedy()
    assert len({h.ids for h in found}) > 2
    n_ended = 0
    for hypothesis, image, width in zip(found, images, widths, strict=True):
        expected = greedy_reference(model, image, width)
        if len(expected.ids) < width // FRAME_STRIDE:
            assert_same(hypothesis, expected, tolerance=1e-9)
            n_ended += 1
        assert hypothesis.ids == expected.ids
        assert 0.0 <= hypothesis.confidence <= 1.0
        assert all(0.0 <= c <= 1.0 for c in hypothesis.symbol_confidences)
    assert n_ended > 0


@pytest.mark.parametrize("attention", ["additive", "location_aware", "none"])
@torch.no_grad()
def test_greedy_is_never_longer_than_the_frames(attention: Attention) -> None:
    model = network(attention, "lstm", eos_bias=-1e4)  # it never says that it is at the end
    widths = [8, 32, 20]
    found = model.readout(model.encoder(random_pictures(widths), torch.tensor(widths))).greedy()
    assert [len(h.ids) for h in found] == [width // FRAME_STRIDE for width in widths]
    assert all(len(h.symbol_confidences) == len(h.ids) for h in found)
    assert all(model.eos_id not in h.ids for h in found)


@torch.no_grad()
def test_a_label_cut_off_is_as_probable_as_its_symbols_and_end() -> None:
    model = network("additive", "lstm", eos_bias=-3.0)
    widths = [8, 16]
    images = random_pictures(widths)
    found = model.readout(model.encoder(images, torch.tensor(widths))).greedy()
    for hypothesis, image, width in zip(found, images, widths, strict=True):
        assert len(hypothesis.ids) == width // FRAME_STRIDE
        assert_same(hypothesis, greedy_reference(model, image, width), tolerance=1e-9)


@torch.no_grad()
def test_greedy_may_read_nothing() -> None:
    model = network("additive", "lstm", eos_bias=1e4)
    found = model.readout(model.encoder(random_pictures([16, 8]), torch.tensor([16, 8]))).greedy()
    assert len(found) == 2
    for hypothesis in found:
        assert_same(hypothesis, Hypothesis((), 1.0, ()))


def test_a_classifier_takes_the_best_symbol() -> None:
    model = Classifier(ClassifierConfig(), HEIGHT, N_SYMBOLS)
    probs = torch.tensor([[0.2, 0.7, 0.1], [0.6, 0.0, 0.4], [0.0, 0.0, 1.0]])
    found = model.readout(probs.log()).greedy()
    for hypothesis, symbol, p in zip(found, (1, 0, 2), (0.7, 0.6, 1.0), strict=True):
        assert_same(hypothesis, Hypothesis((symbol,), p, (p,)))


# --- confidences of given texts ---------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["crnn", "seq2seq", "classifier"])
@torch.no_grad()
def test_what_is_read_is_rated_as_it_was_read(architecture: str) -> None:
    images = ImageConfig(height=HEIGHT)
    config = Config.model_validate({"images": images, "model": {"architecture": architecture}})
    model = build_network(config, N_SYMBOLS, seed=3).double().eval()
    for parameter in model.parameters():
        parameter.mul_(2.0)
    widths = [8, 40, 16, 24]
    output = model.encode(random_pictures(widths), torch.tensor(widths))
    read = model.readout(output).greedy()
    assert any(h.ids for h in read)
    rated = model.readout(output).rate([h.ids for h in read])
    for found, expected in zip(rated, read, strict=True):
        assert_same(found, expected, tolerance=1e-9)
    scores = model.readout(output).score([h.ids for h in read], 0.0)
    assert scores == pytest.approx([log_of(h.confidence) for h in rated], rel=1e-4)


@pytest.mark.parametrize("text", [(), (0,), (2, 2), (1, 0, 2)])
@torch.no_grad()
def test_a_text_is_as_probable_as_its_steps(text: tuple[int, ...]) -> None:
    model = network("location_aware", "lstm")
    widths = [8, 40]
    images = random_pictures(widths)
    other = (0, 1, 2, 0, 1)  # beside it in the batch
    found = model.readout(model.encoder(images, torch.tensor(widths))).rate([text, other])[0]
    memory, state, ids = model.start(model.encoder(images[:1, :, :, :8], torch.tensor([8])))
    steps = []
    for symbol in [*text, model.eos_id]:
        log_probs, state = model.step(ids, state, memory)
        steps.append(math.exp(log_probs[0, symbol]))
        ids = torch.tensor([symbol])
    assert_same(found, Hypothesis(text, math.prod(steps), tuple(steps[:-1])), tolerance=1e-9)


def test_a_classifier_reads_one_symbol_and_nothing_else() -> None:
    model = Classifier(ClassifierConfig(), HEIGHT, N_SYMBOLS)
    log_probs = torch.tensor([[0.2, 0.7, 0.1]] * 3).log()
    found = model.readout(log_probs).rate([(2,), (), (1, 1)])
    assert [h.confidence for h in found] == pytest.approx([0.1, 0.0, 0.0])
    assert [h.ids for h in found] == [(2,), (), (1, 1)]
    assert [len(h.symbol_confidences) for h in found] == [1, 0, 2]


def test_a_text_that_does_not_fit_its_frames_has_no_probability() -> None:
    model = build_network(Config(images=ImageConfig(height=HEIGHT)), N_SYMBOLS, seed=0)
    assert isinstance(model, Crnn)
    found = model.readout(output_of([[0, 1]], [2])).rate([(0, 0)])
    assert found[0].confidence == 0.0
    assert model.readout(output_of([[0, 1]], [2])).score([(0, 0)], 0.0).tolist() == [-math.inf]


@torch.no_grad()
def test_a_score_is_no_less_exact_where_a_probability_is_too_small_for_a_float() -> None:
    model = build_network(Config(images=ImageConfig(height=HEIGHT)), N_SYMBOLS, seed=0)
    assert isinstance(model, Crnn)
    frames = output_of([[0] * 800], [800], p=0.97)
    (score,) = model.readout(frames).score([(1,)], 0.0)
    assert -math.inf < score < -1000.0


@torch.no_grad()
def test_the_score_of_a_seq2seq_has_its_ctc_head_in_it() -> None:
    config = Config(images=ImageConfig(height=HEIGHT), model=Seq2SeqConfig(encoder=SMALL))
    model = build_network(config, N_SYMBOLS, seed=0).double().eval()
    assert isinstance(model, Seq2Seq)
    widths, texts = [8, 20], [(0, 1), (2, 1, 0)]
    encoded = model.encoder(random_pictures(widths), torch.tensor(widths))
    plain, both = (model.readout(encoded).score(texts, weight) for weight in (0.0, 0.5))
    columns = model.column_head(encoded.columns)
    for b, (width, text) in enumerate(zip(widths, texts, strict=True)):
        p = ctc_probabilities(columns[b, : width // FRAME_STRIDE], N_SYMBOLS)[text]
        assert both[b] - plain[b] == pytest.approx(0.5 * math.log(p), abs=1e-4)
    impossible = model.readout(encoded).score([(0, 0, 0), (1,)], 0.5)
    assert impossible[0] == -math.inf
    assert math.isfinite(impossible[1])
