"""Recognition by ONNX Runtime, of models in ``.onnx`` files. Needs no PyTorch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnxruntime
from typing_extensions import override

from ocrsearch.core import (
    FRAME_STRIDE,
    BundleError,
    Config,
    OptionError,
    Seq2SeqConfig,
    n_cores,
    printable,
)
from ocrsearch.data import GrayImage, padded_width
from ocrsearch.inference.networks import Network
from ocrsearch.inference.onnx_file import OnnxModel
from ocrsearch.models.decoding import (
    CtcOutput,
    CtcReadout,
    Decoder,
    DecoderReadout,
    Readout,
    Rows,
    SymbolReadout,
)

Arrays = dict[str, np.ndarray]

SILENT = 4
"""Severity from which ONNX Runtime logs: fatal errors. All errors are raised too."""

MAX_ROWS = 320
"""Number of texts, of all lines together, that a step extends: they fit the cache."""


def n_threads() -> int:
    """Return the number of threads for a network: OMP_NUM_THREADS, at most the cores."""
    n = n_cores()
    with suppress(KeyError, ValueError):
        n = min(n, max(1, int(os.environ["OMP_NUM_THREADS"])))
    return n


def open_onnx(model: OnnxModel, device: str) -> list[Network]:
    """Return the networks of a model; see ``open_networks``."""
    if device not in ("auto", "cpu"):
        if device == "cuda":
            raise OptionError(f"{model.path}: an ONNX model runs on the CPU; use cpu", "device")
        raise OptionError(f"must be 'auto', 'cpu' or 'cuda', got {device!r}", "device")
    return [OnnxNetwork(member) for member in model.members]


class Graph:
    """A graph that ONNX Runtime computes.

    Attributes:
        inputs: names of the inputs.
        outputs: names of the outputs.
    """

    def __init__(self, path: Path, content: bytes) -> None:
        """Load a graph.

        Args:
            path: file, for messages.
            content: checked graph.

        Raises:
            BundleError: ONNX Runtime refuses it.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = n_threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = SILENT
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._path = path
        try:
            self._session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except MemoryError:
            raise
        except Exception as error:  # ONNX Runtime has many, without a common class
            raise self._problem(error) from None
        self.inputs = [value.name for value in self._session.get_inputs()]
        self.outputs = [value.name for value in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        """Return the outputs by name.

        Raises:
            BundleError: the graph cannot be computed.
        """
        try:
            found = self._session.run(self.outputs, dict(inputs))
        except MemoryError:
            raise
        except Exception as error:
            raise self._problem(error) from None
        return dict(zip(self.outputs, found, strict=True))

    def log_probs(self, found: Arrays, shape: tuple[int, ...]) -> np.ndarray:
        """Return the log probabilities among the outputs.

        Raises:
            BundleError: they have another shape, or another type than float32.
        """
        log_probs = found.get("log_probs")
        if log_probs is None or log_probs.shape != shape or log_probs.dtype != np.float32:
            raise BundleError(f"{self._path}: damaged model (its outputs are not its charset's)")
        return log_probs

    def _problem(self, error: Exception) -> BundleError:
        reason = printable(" ".join(str(error).split()), max_length=200)
        return BundleError(f"{self._path}: damaged model (ONNX Runtime: {reason})")


def names_of_values(config: Config) -> dict[str, tuple[set[str], set[str]]]:
    """Return the inputs and the outputs of each graph of a configuration's network."""
    model, images = config.model, {"images", "widths"}
    if not isinstance(model, Seq2SeqConfig):
        return {"main": (images, {"log_probs"})}
    memory = ["values", *["keys"] * model.has_attention]
    columns = ["columns"] * model.has_joint_ctc
    state = ["hidden", *["cell"] * (model.encoder.rnn_cell == "lstm")]
    state += ["past"] * (model.decoder.attention == "location_aware")
    placed = ["slots", "n_places", "lengths"] * model.has_attention
    following = [f"next_{name}" for name in state]
    names = {
        "main": (images, {"hidden", *memory, *columns}),
        "step": ({"ids", "lines", *memory, *placed, *state}, {"log_probs", *following}),
    }
    if model.has_joint_ctc:
        names["ctc"] = ({"columns"}, {"log_probs"})
    return names


class OnnxNetwork(Network):
    """A network of ONNX.

    Attributes:
        graph_class: class that computes the graphs.
    """

    graph_class: type[Graph] = Graph

    def __init__(self, model: OnnxModel) -> None:
        """Load the graphs, and read an empty image as a test.

        Raises:
            BundleError: the graphs are damaged, or not those of the configuration.
        """
        self._path, self._config = model.path, model.config
        self._n_symbols = len(model.charset)
        graphs = model.graphs.items()
        self._graphs = {name: self.graph_class(model.path, graph) for name, graph in graphs}
        names = {n: (set(g.inputs), set(g.outputs)) for n, g in self._graphs.items()}
        problem = "" if names == names_of_values(self._config) else "other values"
        image = np.zeros((self._config.images.height, 4 * FRAME_STRIDE), np.uint8)
        try:
            if not problem:
                self.read([image]).greedy()
        except (IndexError, ValueError):
            problem = "values of other shapes"
        if problem:
            raise BundleError(f"{model.path}: damaged model ({problem} than its network's)")

    @override
    def read(self, images: Sequence[GrayImage]) -> Readout:
        widths = [image.shape[1] for image in images]
        pixels = np.zeros((len(images), self._config.images.height, padded_width(widths)), np.uint8)
        for row, image in zip(pixels, images, strict=True):
            row[:, : image.shape[1]] = image
        main = self._graphs["main"]
        found = main.run({"images": pixels, "widths": np.array(widths, np.int64)})
        n, n_frames = len(images), pixels.shape[2] // FRAME_STRIDE
        lengths = np.array(widths, np.int64) // FRAME_STRIDE
        model = self._config.model
        if model.has_decoder:
            return DecoderReadout(OnnxDecoder(self._n_symbols, self._graphs, found, lengths))
        if model.reads_one:
            return SymbolReadout(main.log_probs(found, (n, self._n_symbols)))
        log_probs = main.log_probs(found, (n, n_frames, self._n_symbols + 1))
        return CtcReadout(CtcOutput(log_probs, lengths))


class OnnxDecoder(Decoder):
    """The decoder of an encoder-decoder: the graphs ``step`` and ``ctc``."""

    max_rows = MAX_ROWS

    def __init__(
        self,
        n_symbols: int,
        graphs: Mapping[str, Graph],
        encoded: Arrays,
        lengths: np.ndarray,
    ) -> None:
        self.eos_id, self.frame_lengths = n_symbols, lengths
        self._graphs, self._encoded = graphs, encoded
        step = graphs["step"]
        self._state = [name for name in ("hidden", "cell", "past") if name in step.inputs]
        self._memory = {name: encoded[name] for name in ("values", "keys") if name in step.inputs}
        if "lengths" in step.inputs:
            self._memory["lengths"] = lengths

    @override
    def start(self) -> tuple[np.ndarray, ...]:
        hidden = self._encoded["hidden"]
        n, n_frames = len(self), int(self._encoded["values"].shape[1])
        first = {
            "hidden": hidden,
            "cell": np.zeros_like(hidden),
            "past": np.zeros((n, 2, n_frames), np.float32),
        }
        return tuple(first[name] for name in self._state)

    @override
    def step(
        self, ids: np.ndarray, state: tuple[np.ndarray, ...], rows: Rows | None = None
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        rows = rows or Rows.one_each(len(self))
        inputs = {"ids": ids, "lines": rows.lines, **self._memory}
        if "slots" in self._graphs["step"].inputs:
            inputs["slots"] = rows.lines * rows.n_places + rows.places
            inputs["n_places"] = np.array([rows.n_places])
        inputs |= dict(zip(self._state, state, strict=True))
        graph = self._graphs["step"]
        found = graph.run(inputs)
        log_probs = graph.log_probs(found, (len(ids), self.eos_id + 1))
        return log_probs, tuple(found[f"next_{name}"] for name in self._state)

    @override
    def ctc(self) -> CtcOutput:
        columns, graph = self._encoded["columns"], self._graphs["ctc"]
        shape = (*columns.shape[:2], self.eos_id + 1)
        log_probs = graph.log_probs(graph.run({"columns": columns}), shape)
        return CtcOutput(log_probs, self.frame_lengths)

    @override
    def take(self, rows: np.ndarray) -> OnnxDecoder:
        encoded = {name: values[rows] for name, values in self._encoded.items()}
        lengths = self.frame_lengths[rows]
        return OnnxDecoder(self.eos_id, self._graphs, encoded, lengths)

    @override
    def has_nan(self) -> bool:
        return any(bool(np.isnan(values).any()) for values in self._encoded.values())
