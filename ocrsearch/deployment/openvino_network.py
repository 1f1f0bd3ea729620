"""Recognition by OpenVINO, of models in ``.onnx`` files. Only the benchmark uses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from typing_extensions import override

from ocrsearch.core import BundleError, printable
from ocrsearch.data import GrayImage
from ocrsearch.inference import Graph, OnnxNetwork, Predictor, load_onnx, n_threads
from ocrsearch.models.decoding import CtcOutput, CtcReadout, Readout, SymbolReadout


class OpenVinoGraph(Graph):
    """A graph that OpenVINO computes."""

    def __init__(self, path: Path, content: bytes) -> None:
        """Load a graph; see ``Graph``.

        Raises:
            BundleError: OpenVINO lacks an operator of the graph.
        """
        try:
            core = openvino.Core()
            # without the hint it computes in bfloat16 on some processors, and reads worse
            options: dict[str, Any] = {
                "INFERENCE_NUM_THREADS": n_threads(),
                "INFERENCE_PRECISION_HINT": "f32",
            }
            self._compiled: Any = core.compile_model(core.read_model(content), "CPU", options)
        except MemoryError:
            raise
        except Exception as error:  # OpenVINO has no class of its own for its errors
            reason = printable(" ".join(str(error).split()), max_length=120)
            raise BundleError(f"{path}: OpenVINO cannot compute it ({reason})") from None
        self.inputs = [value.get_any_name() for value in self._compiled.inputs]
        self.outputs = [value.get_any_name() for value in self._compiled.outputs]

    @override
    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        found = self._compiled(dict(inputs))
        return {name: np.array(found[name]) for name in self.outputs}


class OpenVinoNetwork(OnnxNetwork):
    """A network of ONNX that OpenVINO computes, image by image.

    OpenVINO 2026.4 ignores the lengths of lines in LSTMs that read in both directions, so the
    results for a padded image would be wrong.
    """

    graph_class = OpenVinoGraph

    @override
    def read(self, images: Sequence[GrayImage]) -> Readout:
        if self._config.model.has_decoder:
            raise BundleError(f"{self._path}: an encoder-decoder is not measured with OpenVINO")
        main = self._graphs["main"]
        widths = [np.array([image.shape[1]], np.int64) for image in images]
        pairs = zip(images, widths, strict=True)
        found = [main.run({"images": i[None], "widths": w})["log_probs"][0] for i, w in pairs]
        if self._config.model.reads_one:
            return SymbolReadout(np.stack(found))
        lengths = np.array([len(log_probs) for log_probs in found], np.int64)
        padded = np.zeros((len(found), int(lengths.max()), found[0].shape[1]), np.float32)
        for row, log_probs in zip(padded, found, strict=True):
            row[: len(log_probs)] = log_probs
        return CtcReadout(CtcOutput(padded, lengths))


def load_openvino(path: Path) -> Predictor:
    """Load a recogniser whose networks OpenVINO computes.

    Raises:
        BundleError: the file is damaged, or OpenVINO cannot compute it.
    """
    model = load_onnx(path)
    return Predictor(model, "cpu", networks=[OpenVinoNetwork(m) for m in model.members])
