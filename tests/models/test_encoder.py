"""The shared encoder: sizes, and that padding stays out of everything."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import nn

from ocrsearch.core.config import (
    FRAME_STRIDE,
    EncoderConfig,
    TowerConfig,
)
from ocrsearch.models.encoder import (
    BiRnn,
    ConvTower,
    Encoder,
    FrameNorm,
    zero_padding,
)
from ocrsearch.models.layers import (
    CHANNEL_MULTIPLE,
    MIN_ROWS,
    conv_channels,
    pool_sizes,
)
from tests.rounding import double_precision

SMALL = EncoderConfig(conv_depth=3, conv_base=8, linear_width=8, hidden_size=8, dropout=0.0)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("depth", "base", "growth", "expected"),
    [
        (2, 8, 1.0, [8, 8]),
        (3, 16, 2.0, [16, 32, 64]),
        (5, 32, 1.5, [32, 48, 72, 112, 160]),  # 108 and 162 are rounded, a half to even
        (2, 9, 1.0, [8, 8]),
        (2, 13, 1.0, [16, 16]),
        (3, 8, 1.1, [8, 8, 8]),
        (2, 256, 3.0, [256, 768]),
    ],
)
def test_conv_channels(depth: int, base: int, growth: float, expected: list[int]) -> None:
    config = EncoderConfig(conv_depth=depth, conv_base=base, conv_growth=growth)
    assert conv_channels(config) == expected


@pytest.mark.parametrize("base", [8, 11, 12, 20, 100])
@pytest.mark.parametrize("growth", [1.0, 1.26, 3.0])
def test_channels_are_multiples_of_eight_and_never_fewer(base: int, growth: float) -> None:
    channels = conv_channels(EncoderConfig(conv_depth=6, conv_base=base, conv_growth=growth))
    assert len(channels) == 6
    assert all(c >= CHANNEL_MULTIPLE and c % CHANNEL_MULTIPLE == 0 for c in channels)
    assert channels == sorted(channels)


@pytest.mark.parametrize(
    ("depth", "height", "expected"),
    [
        (2, 16, [(2, 2), (2, 2)]),
        (5, 16, [(2, 2), (2, 2), (2, 1), (1, 1), (1, 1)]),
        (5, 32, [(2, 2), (2, 2), (2, 1), (2, 1), (1, 1)]),
        (3, 128, [(2, 2), (2, 2), (2, 1)]),
        (4, 23, [(2, 2), (2, 2), (2, 1), (1, 1)]),  # 23, 11, 5, 2 rows
    ],
)
def test_early_pooling(depth: int, height: int, expected: list[tuple[int, int]]) -> None:
    assert pool_sizes(TowerConfig(conv_depth=depth), height) == expected


@pytest.mark.parametrize(
    ("depth", "height", "expected"),
    [
        (2, 16, [(2, 2), (2, 2)]),
        (4, 32, [(2, 2), (2, 2), (2, 1), (2, 1)]),  # none to spare
        (6, 32, [(2, 2), (1, 1), (2, 2), (1, 1), (2, 1), (2, 1)]),
        (7, 32, [(2, 2), (1, 1), (2, 2), (1, 1), (2, 1), (1, 1), (2, 1)]),
        (6, 16, [(2, 2), (1, 1), (2, 2), (1, 1), (2, 1), (1, 1)]),  # one behind the last pooling
    ],
)
def test_spread_pooling(depth: int, height: int, expected: list[tuple[int, int]]) -> None:
    config = TowerConfig(conv_depth=depth, conv_pooling="spread")
    assert pool_sizes(config, height) == expected


@pytest.mark.parametrize("pooling", ["early", "spread"])
@pytest.mark.parametrize("depth", range(2, 13))
def test_pooling_has_the_frame_stride_and_leaves_rows(depth: int, pooling: str) -> None:
    config = TowerConfig.model_validate({"conv_depth": depth, "conv_pooling": pooling})
    for height in range(16, 129):
        pools = pool_sizes(config, height)
        stride, rows = 1, height
        for pool_rows, pool_columns in pools:
            stride *= pool_columns
            rows //= pool_rows
            assert rows >= MIN_ROWS
        assert len(pools) == depth
        assert stride == FRAME_STRIDE


@pytest.mark.parametrize(("depth", "height"), [(2, 16), (3, 23), (6, 128), (12, 16)])
def test_tower_gives_one_column_for_each_frame(depth: int, height: int) -> None:
    tower = ConvTower(EncoderConfig(conv_depth=depth, conv_base=8, conv_growth=1.0), height)
    columns = tower(torch.randn(2, 1, height, 24), torch.tensor([24, 8]))
    assert columns.shape == (2, 24 // FRAME_STRIDE, tower.column_size)
    assert columns[0].abs().sum(1).min() > 0
    assert columns[1, 2:].abs().sum() == 0


@pytest.mark.parametrize("dim", [1, 3])
def test_zero_padding_clears_what_lies_behind_the_lengths(dim: int) -> None:
    values = torch.ones(3, 4, 2, 4)
    lengths = torch.tensor([4, 1, 0])
    result = zero_padding(values, lengths, dim)
    for b, length in enumerate(lengths.tolist()):
        item = result[b].movedim(dim - 1, 0)
        assert bool((item[:length] == 1).all())
        assert bool((item[length:] == 0).all())


def test_zero_padding_leaves_full_rows_alone() -> None:
    values = torch.randn(2, 3, 5)
    assert torch.equal(zero_padding(values, torch.tensor([5, 7]), dim=2), values)


def test_frame_norm_leaves_the_padding_out_of_its_statistics() -> None:
    frames = torch.randn(2, 5, 8)
    frames[1, 2:] = 1000.0  # padding
    norm, reference = FrameNorm(8), nn.BatchNorm1d(8)
    result = norm(frames, torch.tensor([5, 2]))
    expected = reference(torch.cat([frames[0], frames[1, :2]]))
    torch.testing.assert_close(torch.cat([result[0], result[1, :2]]), expected)
    torch.testing.assert_close(norm.norm.running_mean, reference.running_mean)
    assert result[1, 2:].abs().max() == 0


def test_frame_norm_of_equal_lengths_is_plain_batch_norm() -> None:
    frames = torch.randn(2, 5, 8)
    result = FrameNorm(8)(frames, torch.tensor([5, 5]))
    torch.testing.assert_close(result.flatten(0, 1), nn.BatchNorm1d(8)(frames.flatten(0, 1)))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("n_layers", [1, 2])
@pytest.mark.parametrize("normed", [False, True])
def test_rnn_reads_no_padding(cell: Literal["lstm", "gru"], n_layers: int, normed: bool) -> None:
    config = SMALL.model_copy(
        update={"rnn_cell": cell, "rnn_layers": n_layers, "rnn_batch_norm": normed}
    )
    rnn = BiRnn(config).double().eval()
    frames, lengths = torch.randn(3, 6, 8).double(), torch.tensor([2, 6, 1])
    with double_precision():
        together = rnn(frames, lengths)
        for b, length in enumerate(lengths.tolist()):
            alone = rnn(frames[b : b + 1, :length], lengths[b : b + 1])
            torch.testing.assert_close(together[b, :length], alone[0])
            assert bool((together[b, length:] == 0).all())


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("n_layers", [1, 2])
def test_rnn_is_pytorchs_over_packed_sequences(cell: Literal["lstm", "gru"], n_layers: int) -> None:
    config = SMALL.model_copy(update={"rnn_cell": cell, "rnn_layers": n_layers})
    rnn = BiRnn(config)
    reference = {"lstm": nn.LSTM, "gru": nn.GRU}[cell](
        8, 8, num_layers=n_layers, batch_first=True, bidirectional=True
    )
    weights = dict(reference.named_parameters())
    for layers, suffix in ((rnn.forwards, ""), (rnn.backwards, "_reverse")):
        for i, layer in enumerate(layers):
            names = {name: name.replace("_l0", f"_l{i}{suffix}") for name in layer.state_dict()}
            layer.load_state_dict({name: weights[theirs] for name, theirs in names.items()})
    rnn, reference = rnn.double(), reference.double()
    frames, lengths = torch.randn(4, 7, 8).double().requires_grad_(), torch.tensor([3, 7, 1, 5])
    packed = nn.utils.rnn.pack_padded_sequence(frames, lengths, True, enforce_sorted=False)
    expected, _ = nn.utils.rnn.pad_packed_sequence(reference(packed)[0], batch_first=True)
    with double_precision():
        result = rnn(frames, lengths)
    torch.testing.assert_close(result, expected)
    slopes = [torch.autograd.grad(out.square().sum(), frames)[0] for out in (result, expected)]
    torch.testing.assert_close(*slopes)


def test_each_layer_of_a_normed_rnn_gives_features_of_mean_0_and_deviation_1() -> None:
    config = SMALL.model_copy(update={"rnn_layers": 2, "rnn_batch_norm": True})
    rnn = BiRnn(config)
    given = []
    for norm in rnn.norms:
        norm.register_forward_hook(lambda *call: given.append(call[2]))
    result = rnn(torch.randn(3, 6, 8), torch.tensor([2, 6, 4]))
    assert len(given) == 2
    assert torch.equal(given[-1], result)
    for features in given:
        frames = torch.cat([features[0, :2], features[1], features[2, :4]])
        torch.testing.assert_close(frames.mean(0), torch.zeros(16), atol=1e-5, rtol=0)
        torch.testing.assert_close(frames.var(0, correction=0), torch.ones(16), atol=0.01, rtol=0)


def test_encoder_gives_zeros_behind_each_picture() -> None:
    images, widths = torch.randn(2, 1, 16, 32), torch.tensor([32, 12])
    encoded = Encoder(SMALL, 16)(images, widths)
    assert encoded.frame_lengths.tolist() == [8, 3]
    assert encoded.features.shape == (2, 8, 2 * SMALL.hidden_size)
    assert encoded.columns.shape == (2, 8, SMALL.linear_width)
    for values in (encoded.features, encoded.columns):
        assert values[1, 3:].abs().max() == 0
        assert values[1, :3].abs().sum(1).min() > 0
