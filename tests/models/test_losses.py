"""The training losses against plain Python, and what must have no effect on them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import pytest
import torch
from torch import Tensor

from ocrsearch.core.config import (
    DEFAULT_RECIPE,
    FRAME_STRIDE,
    ClassifierConfig,
    Config,
    CrnnConfig,
    DecoderConfig,
    EncoderConfig,
    ImageConfig,
    ModelConfig,
    Seq2SeqConfig,
)
from ocrsearch.data.batches import Batch
from ocrsearch.models.architecture import build_network
from ocrsearch.models.classifier import Classifier
from ocrsearch.models.crnn import Crnn
from ocrsearch.models.ctc_heads import (
    consistency_loss,
    ctc_loss,
    flat_start_loss,
    suppress_blank,
)
from ocrsearch.models.encoder import Encoded, zero_padding
from ocrsearch.models.recogniser import Recogniser
from ocrsearch.models.seq2seq import Seq2Seq, Seq2SeqOutput

Attention = Literal["additive", "location_aware", "none"]

HEIGHT = 16
N_SYMBOLS = 4
BLANK = N_SYMBOLS
SMALL = EncoderConfig(conv_depth=2, conv_base=8, linear_width=8, hidden_size=8, dropout=0.0)

COLUMN_HEAD_WEIGHT = DEFAULT_RECIPE.column_head_weight
SAMPLING_STEPS = DEFAULT_RECIPE.sampling_steps


def batch_of(labels: Sequence[Sequence[int]], widths: Sequence[int]) -> Batch:
    """A batch of random pictures, zero behind their widths."""
    generator = torch.Generator().manual_seed(7)
    images = torch.randn(len(widths), 1, HEIGHT, max(widths), generator=generator)
    targets = torch.zeros(len(labels), max(map(len, labels)), dtype=torch.int64)
    for row, label in zip(targets, labels, strict=True):
        row[: len(label)] = torch.tensor(label)
    lengths = torch.tensor([len(label) for label in labels])
    images = zero_padding(images, torch.tensor(widths), dim=3)
    return Batch(images, torch.tensor(widths), targets, lengths)


def random_log_probs(batch: Batch) -> Tensor:
    """Return (B, T, V) log probabilities for the frames of a batch."""
    shape = (len(batch.widths), batch.images.shape[3] // FRAME_STRIDE, N_SYMBOLS + 1)
    generator = torch.Generator().manual_seed(8)
    return (2 * torch.randn(shape, generator=generator)).log_softmax(2)


def build(model: ModelConfig) -> Recogniser:
    return build_network(Config(images=ImageConfig(height=HEIGHT), model=model), N_SYMBOLS, 0)


def seq2seq(ctc_weight: float, attention: Attention = "additive") -> Seq2Seq:
    decoder = DecoderConfig(attention=attention, ctc_weight=ctc_weight)
    network = build(Seq2SeqConfig(encoder=SMALL, decoder=decoder))
    assert isinstance(network, Seq2Seq)
    return network


def crnn() -> Crnn:
    network = build(CrnnConfig(encoder=SMALL))
    assert isinstance(network, Crnn)
    return network


def collapse(path: Sequence[int]) -> list[int]:
    return [symbol for symbol, _ in itertools.groupby(path) if symbol != BLANK]


def ctc_reference(log_probs: Tensor, label: Sequence[int]) -> float:
    """The loss per symbol of one (T, V) picture: the sum over all paths, one by one."""
    n_frames, n_outputs = log_probs.shape
    total = 0.0
    for path in itertools.product(range(n_outputs), repeat=n_frames):
        if collapse(path) == list(label):
            total += math.exp(sum(log_probs[t, v].item() for t, v in enumerate(path)))
    return -math.log(total) / len(label)


@pytest.mark.parametrize("label", [[0], [2, 1], [3, 3], [0, 1, 2, 3]])
def test_ctc_loss_sums_all_paths(label: list[int]) -> None:
    batch = batch_of([label], [4 * FRAME_STRIDE])
    log_probs = random_log_probs(batch)
    loss = ctc_loss(log_probs, batch, BLANK)
    assert loss.item() == pytest.approx(ctc_reference(log_probs[0], label), abs=1e-4)


def test_ctc_loss_is_the_mean_over_pictures_of_their_own_frames() -> None:
    labels, n_frames = [[2, 1], [0], [1, 3, 1]], [3, 2, 4]
    batch = batch_of(labels, [n * FRAME_STRIDE for n in n_frames])
    log_probs = random_log_probs(batch)
    each = [ctc_reference(log_probs[b, :n], labels[b]) for b, n in enumerate(n_frames)]
    assert ctc_loss(log_probs, batch, BLANK).item() == pytest.approx(sum(each) / 3, abs=1e-4)


@pytest.mark.parametrize(
    ("label", "n_frames"),
    [
        ([0, 1, 2], 2),
        ([1, 1], 2),  # a doubled symbol needs a blank between
    ],
)
def test_ctc_loss_of_a_label_that_does_not_fit_is_zero(label: list[int], n_frames: int) -> None:
    batch = batch_of([label], [n_frames * FRAME_STRIDE])
    log_probs = random_log_probs(batch).requires_grad_()
    loss = ctc_loss(log_probs, batch, BLANK)
    loss.backward()
    assert loss.item() == 0.0
    assert log_probs.grad is not None
    assert bool((log_probs.grad == 0).all())


def test_ctc_loss_of_a_label_that_does_not_fit_leaves_its_neighbours_alone() -> None:
    together = batch_of([[0, 1, 2], [0, 1]], [2 * FRAME_STRIDE, 4 * FRAME_STRIDE])
    log_probs = random_log_probs(together)
    loss = ctc_loss(log_probs, together, BLANK)
    assert loss.item() == pytest.approx(ctc_reference(log_probs[1], [0, 1]) / 2, abs=1e-4)


def test_crnn_loss_in_training_reads_both_heads() -> None:
    network, batch = crnn(), batch_of([[0, 1], [2]], [24, 16])
    encoded = network.encoder(batch.images, batch.widths)
    main, aux = (
        ctc_loss(log_probs, batch, BLANK)
        for log_probs in (network.read(encoded), network.column_head(encoded.columns))
    )
    torch.testing.assert_close(network.loss(encoded, batch, 30), main + COLUMN_HEAD_WEIGHT * aux)


def test_flat_start_suppresses_the_blank_and_spreads_symbols_in_both_heads() -> None:
    network, batch = crnn(), batch_of([[0, 1], [2]], [24, 16])
    encoded = network.encoder(batch.images, batch.widths)
    main, aux = (
        ctc_loss(suppress_blank(log_probs, BLANK, 30), batch, BLANK)
        + flat_start_loss(log_probs, batch, BLANK)
        for log_probs in (network.read(encoded), network.column_head(encoded.columns))
    )
    torch.testing.assert_close(
        network.loss(encoded, batch, 30, flat=True), main + COLUMN_HEAD_WEIGHT * aux
    )


def test_crnn_loss_in_evaluation_is_plain_ctc() -> None:
    network, batch = crnn().eval(), batch_of([[0, 1], [2]], [24, 16])
    output = network(batch.images, batch.widths)
    torch.testing.assert_close(
        network.loss(output, batch, 0), ctc_loss(output.log_probs, batch, BLANK)
    )


def cross_entropy_reference(log_probs: Tensor, batch: Batch, eos_id: int) -> float:
    """The mean over all symbols and ends of (B, L + 1, V) log probabilities, in a loop."""
    losses = []
    for b, length in enumerate(batch.target_lengths.tolist()):
        label = [*batch.targets[b, :length].tolist(), eos_id]
        losses += [-log_probs[b, i, symbol].item() for i, symbol in enumerate(label)]
    return sum(losses) / len(losses)


LABELS = ([3, 0, 0], [1], [2, 3])
WIDTHS = (32, 8, 20)


@pytest.mark.parametrize("attention", ["additive", "location_aware", "none"])
def test_seq2seq_loss_in_evaluation_is_cross_entropy(
    attention: Attention,
) -> None:
    network, batch = seq2seq(0.5, attention).eval(), batch_of(LABELS, WIDTHS)
    output = network(batch.images, batch.widths, batch.targets)
    expected = cross_entropy_reference(output.log_probs, batch, network.eos_id)
    encoded = network.encoder(batch.images, batch.widths)
    assert network.loss(encoded, batch, 0).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("ctc_weight", [0.0, 0.3, 1.0])
def test_seq2seq_loss_in_training_adds_ctc(ctc_weight: float) -> None:
    network, batch = seq2seq(ctc_weight), batch_of(LABELS, WIDTHS)
    output = network(batch.images, batch.widths, batch.targets)
    columns = network.column_head(network.encoder(batch.images, batch.widths).columns)
    ctc = ctc_loss(columns, batch, BLANK)
    expected = cross_entropy_reference(output.log_probs, batch, network.eos_id)
    expected += ctc_weight * ctc.item()
    assert ctc.item() > 0.1
    encoded = network.encoder(batch.images, batch.widths)
    assert network.loss(encoded, batch, 30).item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize(
    ("step", "share"),
    [
        (0, 0.0),
        (SAMPLING_STEPS // 2, 0.2),
        (SAMPLING_STEPS, 0.4),
        (10**6, 0.4),
    ],
)
def test_the_share_of_own_readings_rises_and_is_for_training_only(
    step: int, share: float, is_training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, batch = seq2seq(0.0).train(is_training), batch_of(LABELS, WIDTHS)
    network.sampling = 0.4
    teach, given = network.teach, []

    def noting(encoded: Encoded, targets: Tensor, sampling: float) -> Seq2SeqOutput:
        given.append(sampling)
        return teach(encoded, targets, sampling)

    monkeypatch.setattr(network, "teach", noting)
    network.loss(network.encoder(batch.images, batch.widths), batch, step)
    assert given == pytest.approx([share if is_training else 0.0])


@pytest.mark.parametrize("filling", range(N_SYMBOLS))
@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("model", [CrnnConfig(encoder=SMALL), Seq2SeqConfig(encoder=SMALL)])
def test_what_stands_behind_a_label_has_no_effect(
    model: ModelConfig, is_training: bool, filling: int
) -> None:
    network, batch = build(model).train(is_training), batch_of(LABELS, WIDTHS)
    targets = torch.nn.functional.pad(batch.targets, (0, 2), value=filling)
    for row, label in zip(targets, LABELS, strict=True):
        row[len(label) :] = filling
    output = network.encode(batch.images, batch.widths)

    def loss(of: Batch) -> Tensor:
        return network.loss(output, of, 0)

    expected, found = loss(batch), loss(replace(batch, targets=targets))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    shorter = replace(batch, target_lengths=batch.target_lengths - torch.tensor([1, 0, 0]))
    assert abs((loss(shorter) - expected).item()) > 1e-3


@pytest.mark.parametrize(
    ("labels", "counted"),
    [
        ([[3], [0], [1]], [0, 1, 2]),
        ([[3]], [0]),
        ([[3], [0, 1], [2, 2, 2]], [0]),  # the few that have more symbols are left out
        ([[0, 1], [2, 2]], []),
    ],
)
def test_classifier_loss_is_cross_entropy_of_single_symbols(
    labels: list[list[int]], counted: list[int]
) -> None:
    network, batch = build(ClassifierConfig()), batch_of(labels, [8, 16, 12][: len(labels)])
    assert isinstance(network, Classifier)
    log_probs = network(batch.images, batch.widths)
    loss = network.loss(log_probs, batch, 0)
    expected = [-log_probs[i, labels[i][0]].item() for i in counted]
    assert loss.item() == pytest.approx(sum(expected) / max(1, len(counted)), abs=1e-5)
    loss.backward()


def test_consistency_is_the_symmetric_divergence_of_two_views() -> None:
    batch = batch_of([[1, 2], [3], [1, 2], [3]], [24, 16, 24, 16])
    log_probs = random_log_probs(batch)
    rows = log_probs.exp().tolist()
    expected = 0.0
    for line, (n_frames, length) in enumerate([(6, 2), (4, 1)]):
        for first, second in zip(rows[line][:n_frames], rows[line + 2][:n_frames], strict=True):
            for p, q in zip(first, second, strict=True):
                expected += (p - q) * (math.log(p) - math.log(q)) / 2 / length / 2
    assert float(consistency_loss(log_probs, batch)) == pytest.approx(expected, rel=1e-4)


def test_equal_views_are_consistent_and_each_view_moves_to_the_other() -> None:
    batch = batch_of([[1, 2], [3], [1, 2], [3]], [24, 16, 24, 16])
    logits = random_log_probs(batch)
    same = torch.cat([logits[:2], logits[:2]])
    assert float(consistency_loss(same, batch)) == pytest.approx(0.0, abs=1e-6)
    logits.requires_grad_()
    loss = consistency_loss(logits.log_softmax(2), batch)
    loss.backward()
    assert logits.grad is not None
    moved = (logits - 0.1 * logits.grad).detach().log_softmax(2)
    assert float(consistency_loss(moved, batch)) < loss.item()
    assert (logits.grad[0, :6].abs().sum(1) > 0).all()
    assert (logits.grad[2, :6].abs().sum(1) > 0).all()
    assert float(logits.grad[1, 4:].abs().sum()) == 0.0  # padding
