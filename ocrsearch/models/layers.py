"""Shapes, weights and multiply-adds of a configuration's layers, without building the network.

Plain arithmetic that takes microseconds and needs no torch; the tests compare it with the
networks. Multiply-adds are those of convolutions, linear and recurrent layers and attention, for
one image; norms, activations and pooling are not counted. The number of values that training saves
for the backward pass is an estimate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from ocrsearch.core import (
    FRAME_STRIDE,
    ClassifierConfig,
    Config,
    CrnnConfig,
    EncoderConfig,
    InfeasibleError,
    Seq2SeqConfig,
    TowerConfig,
)

MIN_ROWS = 2
"""Pooling halves the height of the feature map while at least this number of rows remains."""

MAX_PARAMETERS = 75_000_000
"""Largest number of weights of a network: 300 MB, and four times that in training."""

CHANNEL_MULTIPLE = 8

EMBEDDING_SIZE = 64
"""Size of the embedding of a symbol in the decoder."""

LOCATION_FILTERS = 8
"""Number of filters over the past weights of location-aware attention."""

LOCATION_WIDTH = 15
"""Width of these filters in time steps: one or two symbols to either side."""

N_BINS = 4
"""Number of bins across the width of a classifier's image."""

N_GATES = {"lstm": 4, "gru": 3}

KEPT_OF_POOL = 3
"""Numbers saved for each value of a pooling: the value, and its source in 8 bytes."""


@dataclass(frozen=True)
class Layer:
    """A layer with the norm after it, if there is one.

    Attributes:
        name: name of the module, as in the names of its weights.
        kind: description for people.
        output: shape for one image: (C, H, W), (T, D) or (D,).
        n_parameters: number of trained weights.
        n_multiply_adds: number of multiply-adds for one image.
        n_kept: approximate number of values that training saves for one image, for the backward
            pass.
        training_only: whether recognition does not use the layer.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    n_parameters: int
    n_multiply_adds: int
    n_kept: int = 0
    training_only: bool = False


@dataclass(frozen=True)
class Work:
    """The input and output sizes of a network.

    Attributes:
        height: height of the scaled image in pixels.
        width: width of the scaled image in pixels, a multiple of FRAME_STRIDE.
        n_symbols: size of the charset.
        n_written: number of symbols of the text; a decoder takes a step for each.
    """

    height: int
    width: int
    n_symbols: int
    n_written: int

    @property
    def n_frames(self) -> int:
        """Number of time steps."""
        return self.width // FRAME_STRIDE


def list_layers(config: Config, n_symbols: int, width: int, n_written: int) -> list[Layer]:
    """Return the layers of a network in the order of their computation.

    Args:
        config: configuration; its model and image height are used.
        n_symbols: size of the charset.
        width: width of the scaled image in pixels, a multiple of FRAME_STRIDE.
        n_written: number of symbols of the text.
    """
    work = Work(config.images.height, width, n_symbols, n_written)
    return LAYERS[config.model.architecture](config.model, work)


def check_size(config: Config, n_symbols: int) -> None:
    """Refuse a network that is too large, before memory is allocated for it.

    Raises:
        InfeasibleError: the network has more than MAX_PARAMETERS weights.
    """
    layers = list_layers(config, n_symbols, FRAME_STRIDE, 1)
    n_parameters = sum(layer.n_parameters for layer in layers)
    if n_parameters > MAX_PARAMETERS:
        raise InfeasibleError(
            f"the network needs {n_parameters:,} weights, limit {MAX_PARAMETERS:,}; choose a "
            "smaller conv_base, conv_growth, conv_depth, linear_width or hidden_size"
        )


def count_multiply_adds(layers: Iterable[Layer]) -> int:
    """Return the number of multiply-adds of recognition."""
    return sum(layer.n_multiply_adds for layer in layers if not layer.training_only)


def training_memory_mb(layers: Iterable[Layer], batch_size: int) -> float:
    """Return the approximate memory that training needs in addition to the program, in megabytes.

    It is the sum of weights, gradients, two moments of the optimiser, and the values that each
    image of a batch saves for the backward pass, 4 bytes each.
    """
    layers = list(layers)
    n_weights = sum(layer.n_parameters for layer in layers)
    n_kept = sum(layer.n_kept for layer in layers)
    return 4 * (4 * n_weights + batch_size * n_kept) / 1e6


def count_parameters(layers: Iterable[Layer]) -> int:
    """Return the number of weights that recognition uses."""
    return sum(layer.n_parameters for layer in layers if not layer.training_only)


def int8_size_mb(layers: Iterable[Layer]) -> float:
    """Return the approximate size of an exported file with weights of 8 bits, in megabytes.

    Matrices, LSTMs and cells have 8 bits, everything else 16. The graphs of a decoder are stored as
    text (base64), which takes a third more.
    """
    used = [layer for layer in layers if not layer.training_only]
    has_decoder = any(layer.name == "embedding" for layer in used)
    n_bytes = 0.0
    for layer in used:
        in_encoder = layer.name.startswith("encoder.")
        in_8_bits = not layer.kind.startswith(("conv", "embedding", "GRU x", "GRU,"))
        in_text = has_decoder and not in_encoder
        n_bytes += layer.n_parameters * (1 if in_8_bits else 2) * (4 / 3 if in_text else 1)
    return n_bytes / 1e6


def conv_channels(config: TowerConfig) -> list[int]:
    """Return the channels of each convolution: conv_base * conv_growth**i, rounded to 8."""
    widths = [config.conv_base * config.conv_growth**i for i in range(config.conv_depth)]
    return [max(1, round(w / CHANNEL_MULTIPLE)) * CHANNEL_MULTIPLE for w in widths]


def pool_sizes(config: TowerConfig, height: int) -> list[tuple[int, int]]:
    """Return the (height, width) pooling after each convolution, (1, 1) for none.

    The first two halve the width (FRAME_STRIDE is 4). Each halves the height until MIN_ROWS.
    """
    pools: list[tuple[int, int]] = []
    rows = height
    while len(pools) < config.conv_depth and (rows // 2 >= MIN_ROWS or len(pools) < 2):
        pool_rows = 2 if rows // 2 >= MIN_ROWS else 1
        rows //= pool_rows
        pools.append((pool_rows, 2 if len(pools) < 2 else 1))
    if config.conv_pooling == "spread":
        n_without = config.conv_depth - len(pools)
        for i in range(1, min(n_without, len(pools) - 1) + 1):
            pools.insert(2 * i - 1, (1, 1))
    return pools + [(1, 1)] * (config.conv_depth - len(pools))


def _tower(config: TowerConfig, work: Work, prefix: str) -> list[Layer]:
    layers = []
    channels, pools = conv_channels(config), pool_sizes(config, work.height)
    c_in, rows, columns = 1, work.height, work.width
    for i, (c_out, (pool_rows, pool_columns)) in enumerate(zip(channels, pools, strict=True)):
        n_weights, n_multiply_adds = 9 * c_in * c_out, 9 * c_in * c_out * rows * columns
        n_kept = c_out * rows * columns
        rows, columns = rows // pool_rows, columns // pool_columns
        pooled = (pool_rows, pool_columns) != (1, 1)
        kind = "conv 3 x 3" + (f", pool {pool_rows} x {pool_columns}" * pooled)
        output = (c_out, rows, columns)
        name = f"{prefix}.convs.{i}"
        n_kept += (1 + KEPT_OF_POOL * pooled) * math.prod(output)  # 1 for the activation
        n_parameters = n_weights + 2 * c_out
        layers.append(Layer(name, kind, output, n_parameters, n_multiply_adds, n_kept))
        c_in = c_out
    return layers


def _encoder(config: EncoderConfig, work: Work) -> list[Layer]:
    tower = _tower(config, work, "encoder.tower")
    channels, rows, n_frames = tower[-1].output
    size, width = channels * rows, config.linear_width
    linear = _linear("encoder.linear", size, width, n_frames, normed=True)
    hidden, n_rnns = config.hidden_size, config.rnn_layers
    sizes = [width] + [2 * hidden] * (n_rnns - 1)
    cells = [_cell_size(config.rnn_cell, size, hidden) for size in sizes]
    rnn = Layer(
        "encoder.rnn",
        f"{config.rnn_cell.upper()}{f' x {n_rnns}' * (n_rnns > 1)}, both directions",
        (n_frames, 2 * hidden),
        sum(2 * n_parameters + 4 * hidden * config.rnn_batch_norm for n_parameters, _ in cells),
        sum(2 * n_frames * n_multiply_adds for _, n_multiply_adds in cells),
        2 * n_frames * n_rnns * hidden * (N_GATES[config.rnn_cell] + 3 + config.rnn_batch_norm),
    )
    return [*tower, linear, rnn]


def crnn_layers(config: CrnnConfig, work: Work) -> list[Layer]:
    """Return the layers of a CRNN: the encoder and its two heads."""
    n_frames, n_outputs = work.n_frames, work.n_symbols + 1
    head = _linear("head", 2 * config.encoder.hidden_size, n_outputs, n_frames)
    return [*_encoder(config.encoder, work), head, _column_head(config.encoder, work)]


def seq2seq_layers(config: Seq2SeqConfig, work: Work) -> list[Layer]:
    """Return the layers of an encoder-decoder: encoder, decoder and the CTC head on the columns."""
    hidden, n_frames = config.encoder.hidden_size, work.n_frames
    size, n_steps = 2 * hidden, work.n_written + 1  # the end takes a step
    cell = _cell_size(config.encoder.rnn_cell, EMBEDDING_SIZE + size, hidden)
    decoder = [
        _linear("initial", size, hidden, None),
        *_attention(config.decoder.attention, hidden, n_frames, n_steps),
        Layer(
            "embedding",
            "embedding",
            (n_steps, EMBEDDING_SIZE),
            (work.n_symbols + 2) * EMBEDDING_SIZE,
            0,
        ),
        Layer(
            "cell",
            f"{config.encoder.rnn_cell.upper()} cell",
            (n_steps, hidden),
            cell[0],
            n_steps * cell[1],
            n_steps * hidden * (N_GATES[config.encoder.rnn_cell] + 3),
        ),
        _linear("head", hidden + size, work.n_symbols + 1, n_steps),
    ]
    column_head = _column_head(config.encoder, work)
    return [*_encoder(config.encoder, work), *decoder, column_head]


def classifier_layers(config: ClassifierConfig, work: Work) -> list[Layer]:
    """Return the layers of a classifier: tower, linear layer over bins, head."""
    tower = _tower(config.encoder, work, "tower")
    channels, rows, n_frames = tower[-1].output
    n_features, width = N_BINS * channels * rows, config.encoder.linear_width
    linear = _linear("linear", n_features, width, None, normed=True)
    binning = n_frames * n_features  # matrix product of the bins' weights and the columns
    linear = replace(linear, n_multiply_adds=linear.n_multiply_adds + binning)
    return [*tower, linear, _linear("head", width, work.n_symbols, None)]


def _attention(kind: str, hidden: int, n_frames: int, n_steps: int) -> list[Layer]:
    if kind == "none":
        return []
    n_past, n_filters = (2, LOCATION_FILTERS) if kind == "location_aware" else (0, 0)
    n_location = n_filters * (n_past * LOCATION_WIDTH + hidden)  # filters and their projection
    n_frame_ops = hidden + 2 * hidden + n_location  # score, context, location
    attention = Layer(
        "attention",
        "location-aware attention" if kind == "location_aware" else "additive attention",
        (n_steps, 2 * hidden),
        hidden * hidden + 2 * hidden + n_location,
        n_steps * (hidden * hidden + n_frames * n_frame_ops),
        n_steps * n_frames * (hidden + n_past + n_filters),
    )
    return [_linear("key", 2 * hidden, hidden, n_frames), attention]


def _column_head(config: EncoderConfig, work: Work) -> Layer:
    n_outputs = work.n_symbols + 1
    n_weights = 3 * config.linear_width * n_outputs
    return Layer(
        "column_head.conv",
        "conv 3",
        (work.n_frames, n_outputs),
        n_weights + n_outputs,
        n_weights * work.n_frames,
        2 * work.n_frames * n_outputs,
        training_only=True,
    )


def _linear(
    name: str, size: int, n_outputs: int, n_rows: int | None, *, normed: bool = False
) -> Layer:
    """Return a linear layer for n rows, or for a single vector, with a bias or a norm."""
    return Layer(
        name,
        "linear",
        (n_outputs,) if n_rows is None else (n_rows, n_outputs),
        size * n_outputs + (2 * n_outputs if normed else n_outputs),
        size * n_outputs * (1 if n_rows is None else n_rows),
        2 * n_outputs * (1 if n_rows is None else n_rows),
    )


def _cell_size(kind: str, size: int, hidden: int) -> tuple[int, int]:
    """Return the number of weights of a recurrent cell and of multiply-adds of one step."""
    n_weights = N_GATES[kind] * hidden * (size + hidden)
    return n_weights + 2 * N_GATES[kind] * hidden, n_weights


LAYERS: dict[str, Callable[..., list[Layer]]] = {
    "crnn": crnn_layers,
    "seq2seq": seq2seq_layers,
    "classifier": classifier_layers,
}
"""Functions from an architecture's configuration and ``Work`` to layers; keys of ARCHITECTURES."""
