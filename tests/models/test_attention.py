"""Attention against plain Python, and decoders that go on from their own readings."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from torch import Tensor

from ocrsearch.core.config import (
    FRAME_STRIDE,
    Config,
    DecoderConfig,
    EncoderConfig,
    ImageConfig,
    Seq2SeqConfig,
)
from ocrsearch.models.architecture import build_network
from ocrsearch.models.attention import AdditiveAttention, LocationAttention, Memory
from ocrsearch.models.encoder import Encoded, zero_padding
from ocrsearch.models.seq2seq import Seq2Seq
from tests.rounding import double_precision

Attention = Literal["additive", "location_aware", "none"]

HEIGHT, N_SYMBOLS, HIDDEN = 16, 4, 8
WIDTHS = (32, 8, 20)
LABELS = ((3, 0, 2), (1, 1, 0), (2, 3, 3))

every_attention = pytest.mark.parametrize("attention", ["additive", "location_aware"])


def network(attention: Attention = "location_aware") -> Seq2Seq:
    """A network with large random weights, so that each step differs from the last."""
    encoder = EncoderConfig(
        conv_depth=2, conv_base=8, linear_width=8, hidden_size=HIDDEN, dropout=0.0
    )
    model = Seq2SeqConfig(encoder=encoder, decoder=DecoderConfig(attention=attention))
    built = build_network(Config(images=ImageConfig(height=HEIGHT), model=model), N_SYMBOLS, 3)
    assert isinstance(built, Seq2Seq)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.mul_(3.0)
    return built.eval()


def encode(model: Seq2Seq, widths: tuple[int, ...] = WIDTHS) -> Encoded:
    """Encode random pictures; the first is the same whatever comes behind it."""
    rows = [
        torch.randn(1, HEIGHT, max(WIDTHS), generator=torch.Generator().manual_seed(i))
        for i in range(len(widths))
    ]
    images = zero_padding(torch.stack(rows), torch.tensor(widths), dim=3)
    images = images[..., : max(widths)].to(model.head.weight.dtype)
    encoded: Encoded = model.encoder(images, torch.tensor(widths))
    return encoded


def steps_of(model: Seq2Seq, encoded: Encoded, targets: Tensor) -> list[Tensor]:
    """Return the past (B, n_past, T) behind each step of writing (B, L) labels."""
    memory, state, ids = model.start(encoded)
    pasts = []
    for following in [ids, *targets.unbind(1)]:
        _, state = model.step(following, state, memory)
        pasts.append(state[2])
    return pasts


@every_attention
@torch.no_grad()
def test_weights_are_one_in_all_and_nothing_in_the_padding(attention: Attention) -> None:
    model = network(attention)
    pasts = steps_of(model, encode(model), torch.tensor(LABELS))
    for past in pasts:
        weights = past[:, 0]
        assert weights.shape == (len(WIDTHS), max(WIDTHS) // FRAME_STRIDE)
        assert bool((weights >= 0).all())
        torch.testing.assert_close(weights.sum(1), torch.ones(len(WIDTHS)))
        for row, width in zip(past, WIDTHS, strict=True):
            assert bool((row[:, width // FRAME_STRIDE :] == 0).all())
    assert not torch.allclose(pasts[0][:, 0], pasts[1][:, 0], atol=1e-3)


@every_attention
@torch.no_grad()
def test_weights_are_the_same_alone_and_among_others(attention: Attention) -> None:
    model = network(attention).double()
    with double_precision():
        together = steps_of(model, encode(model), torch.tensor(LABELS))
        alone = model.attention_weights(encode(model, WIDTHS[:1]), LABELS[0])
    n_frames = WIDTHS[0] // FRAME_STRIDE
    assert alone.shape == (len(LABELS[0]) + 1, n_frames)
    expected = torch.stack([past[0, 0, :n_frames] for past in together])
    torch.testing.assert_close(alone, expected)


@torch.no_grad()
def test_location_is_the_last_step_and_the_sum_of_all() -> None:
    model = network("location_aware")
    pasts = steps_of(model, encode(model), torch.tensor(LABELS))
    for i, past in enumerate(pasts):
        torch.testing.assert_close(past[:, 1], sum(p[:, 0] for p in pasts[: i + 1]))


def reference_weights(
    attention: LocationAttention, hidden: Tensor, past: Tensor, keys: Tensor
) -> list[float]:
    """Return the weights of one picture: (hidden_size,), (2, T) and (T, hidden_size)."""
    filters, half = attention.filters.weight, attention.filters.kernel_size[0] // 2
    n_frames = len(keys)
    energies = []
    for t in range(n_frames):
        located = torch.zeros(len(filters))
        for offset in range(-half, half + 1):
            if 0 <= t + offset < n_frames:
                located += filters[:, :, half + offset] @ past[:, t + offset]
        total = attention.query(hidden) + keys[t] + attention.location.weight @ located
        energies.append(float(attention.score.weight[0] @ total.tanh()))
    powers = [math.exp(e) for e in energies]
    return [p / sum(powers) for p in powers]


@torch.no_grad()
def test_location_aware_attention_equals_plain_python() -> None:
    torch.manual_seed(0)
    attention, n_frames = LocationAttention(HIDDEN), 20
    hidden, values = torch.randn(2, HIDDEN), torch.randn(2, n_frames, 6)
    keys, mask = torch.randn(2, n_frames, HIDDEN), torch.ones(2, n_frames, dtype=torch.bool)
    past = torch.rand(2, 2, n_frames)
    context, following = attention(hidden, past, Memory(values, keys, mask))
    for b in range(2):
        expected = torch.tensor(reference_weights(attention, hidden[b], past[b], keys[b]))
        torch.testing.assert_close(following[b, 0], expected)
        torch.testing.assert_close(following[b, 1], past[b, 1] + expected)
        torch.testing.assert_close(context[b], expected @ values[b])


@torch.no_grad()
def test_before_the_first_step_location_says_nothing() -> None:
    located, plain = LocationAttention(HIDDEN), AdditiveAttention(HIDDEN)
    plain.load_state_dict(located.state_dict(), strict=False)
    hidden, values, keys = torch.randn(1, HIDDEN), torch.randn(1, 9, 6), torch.randn(1, 9, HIDDEN)
    memory = Memory(values, keys, torch.ones(1, 9, dtype=torch.bool))
    found, past = located(hidden, torch.zeros(1, 2, 9), memory)
    expected, plain_past = plain(hidden, torch.zeros(1, 1, 9), memory)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(past, plain_past.expand(1, 2, 9))
    assert not torch.allclose(located(hidden, past, memory)[0], expected)


# --- own readings -----------------------------------------------------------------------------


def own_readings(model: Seq2Seq, encoded: Encoded, n_steps: int) -> Tensor:
    """Return (B, n_steps, V) log probabilities if each input is the best symbol before it."""
    memory, state, ids = model.start(encoded)
    rows = []
    for _ in range(n_steps):
        log_probs, state = model.step(ids, state, memory)
        rows.append(log_probs)
        ids = log_probs[:, : model.eos_id].argmax(1)
    return torch.stack(rows, 1)


@pytest.mark.parametrize("attention", ["additive", "location_aware", "none"])
@torch.no_grad()
def test_with_all_of_its_own_readings_the_labels_have_no_effect(attention: Attention) -> None:
    model = network(attention)
    encoded, targets = encode(model), torch.tensor(LABELS)
    found = model.teach(encoded, targets, sampling=1.0).log_probs
    torch.testing.assert_close(found, own_readings(model, encoded, 4), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(found, model.teach(encoded, targets).log_probs, atol=1e-3)


@torch.no_grad()
def test_own_readings_follow_from_the_random_state() -> None:
    model = network()
    encoded, targets = encode(model), torch.tensor(LABELS)
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(model.teach(encoded, targets, sampling=0.5).log_probs)
    assert torch.equal(found[0], found[1])
    assert not torch.allclose(found[0], found[2], atol=1e-3)


@torch.no_grad()
def test_without_own_readings_nothing_is_drawn() -> None:
    model = network()
    state = torch.get_rng_state()
    model.teach(encode(model), torch.tensor(LABELS))
    assert torch.equal(torch.get_rng_state(), state)


def test_own_readings_leave_a_gradient() -> None:
    model = network().train()
    model.teach(encode(model), torch.tensor(LABELS), sampling=1.0).log_probs[:, 1].sum().backward()
    without = [n for n, p in model.named_parameters() if p.grad is None and "column" not in n]
    assert without == []


@torch.no_grad()
def test_an_empty_label_has_no_inputs_to_replace() -> None:
    model = network()
    targets = torch.zeros(len(WIDTHS), 0, dtype=torch.int64)
    assert model.teach(encode(model), targets, sampling=0.5).log_probs.shape == (3, 1, 5)
