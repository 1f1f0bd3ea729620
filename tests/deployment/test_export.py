"""Export to ONNX: what is written, and when nothing is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from ocrsearch.core import BundleError, Config
from ocrsearch.data import load_split
from ocrsearch.deployment import ComparisonImages, OnnxExport, export_onnx
from ocrsearch.deployment import export as export_module
from ocrsearch.deployment.networks import BUILDERS
from ocrsearch.deployment.parity import Compared
from ocrsearch.deployment.quantization import quantized
from ocrsearch.deployment.writing import build_graphs, file_content
from ocrsearch.inference import load, load_onnx
from ocrsearch.models import ARCHITECTURES, int8_size_mb, list_layers
from ocrsearch.training import Bundle
from tests.deployment.onnx_makers import random_bundle, random_config

MakeBundle = Callable[..., Bundle]


@pytest.fixture(scope="module")
def images(number_folder: Path) -> ComparisonImages:
    labelled, _ = load_split(f"captcha:{number_folder}", None)
    return ComparisonImages(labelled, "numbers")


def test_every_architecture_can_be_exported() -> None:
    assert BUILDERS.keys() == ARCHITECTURES.keys()


def test_a_file_says_what_it_is(
    make_bundle: MakeBundle, images: ComparisonImages, tmp_path: Path
) -> None:
    bundle, path = make_bundle(), tmp_path / "model.onnx"
    done = export_onnx(bundle, path, images)
    assert (done.n_images, done.n_random, done.n_different) == (40, 0, 0)
    assert done.cer_before == done.cer_after
    assert done.size_mb == path.stat().st_size / 1e6
    model = load_onnx(path)
    assert (model.config, model.charset) == (bundle.config, bundle.charset)
    assert (model.metrics, model.provenance) == (bundle.metrics, bundle.provenance)
    assert model.export["max_log_prob_difference"] == done.max_log_prob_difference < 1e-4
    assert model.export["cer_after"] == done.cer_after
    assert {"torch", "onnx", "onnxruntime", "ocrsearch"} <= model.export["versions"].keys()


def test_other_programs_can_read_the_file(
    make_bundle: MakeBundle, images: ComparisonImages, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    export_onnx(make_bundle(), path, images)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)]
    assert [i.name for i in model.graph.input] == ["images", "widths"]
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(metadata["decoding"])["blank_id"] == 10
    assert json.loads(metadata["charset"])["symbols"] == list("0123456789")


@pytest.mark.parametrize("architecture", ["crnn", "seq2seq"])
def test_weights_of_8_bits(
    make_bundle: MakeBundle, images: ComparisonImages, tmp_path: Path, architecture: str
) -> None:
    bundle = make_bundle(architecture)
    paths = [tmp_path / f"{name}.onnx" for name in ("float", "int8")]
    export_onnx(bundle, paths[0], images)
    done = export_onnx(bundle, paths[1], images, int8=True, max_cer_increase=1.0)
    assert done.precision == "int8"
    assert done.max_log_prob_difference > 0
    operators = {node.op_type for node in onnx.load(paths[1]).graph.node}
    assert "DynamicQuantizeLSTM" in operators
    assert len(load(paths[1], "cpu").predict_many(list(images.labelled.images))) == 40


@pytest.mark.parametrize(("seed", "size_mb"), [(8, 0.7), (9, 2.6), (5, 3.8), (2, 1.65)])
def test_the_size_with_8_bits_is_known_before_training(seed: int, size_mb: float) -> None:
    """The networks are CRNNs with LSTM and GRU, a seq2seq and a classifier of usual size."""
    content = random_config(seed).model_dump()
    sizes = {"conv_base": 32, "conv_depth": 5, "linear_width": 160, "hidden_size": 160}
    encoder = content["model"]["encoder"]
    encoder |= {name: size for name, size in sizes.items() if name in encoder}
    bundle = random_bundle(Config.model_validate(content), 10, seed)
    graphs = [quantized(g, reduce_range=False) for g in build_graphs(bundle)]
    written = len(file_content(bundle, graphs, {})) / 1e6
    assert written == pytest.approx(size_mb, rel=0.05)
    assert int8_size_mb(list_layers(bundle.config, 10, 128, 5)) == pytest.approx(written, rel=0.06)


def test_a_gru_is_told_to_keep_its_precision(images: ComparisonImages, tmp_path: Path) -> None:
    seed = next(
        s for s in range(99) if getattr(random_config(s).model.encoder, "rnn_cell", "") == "gru"
    )
    bundle = random_bundle(random_config(seed), 5, 0)
    done = export_onnx(bundle, tmp_path / "m.onnx", images, int8=True, max_cer_increase=1.0)
    assert "GRU" in done.notes[0]


def compared(n_different: int, difference: float, after: float) -> Callable[..., Compared]:
    return lambda *_: Compared(40, 0, n_different, "'a' became 'b'", difference, 0.1, after)


@pytest.mark.parametrize(
    ("result", "int8", "message"),
    [
        (compared(2, 0.1, 0.1), False, "2 texts differ"),
        (compared(0, float("nan"), 0.1), False, "NaN"),
        (compared(0, 0.1, 0.2), True, "CER rises from 0.1000 to 0.2000"),
        (compared(0, 0.1, float("nan")), True, "CER rises"),
    ],
)
def test_a_file_that_reads_otherwise_is_not_written(
    result: Callable[..., Compared],
    int8: bool,
    message: str,
    make_bundle: MakeBundle,
    images: ComparisonImages,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(export_module, "compare", result)
    path = tmp_path / "model.onnx"
    with pytest.raises(BundleError, match=message) as caught:
        export_onnx(make_bundle(), path, images, int8=int8)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_weights_of_8_bits_need_labels(make_bundle: MakeBundle, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="needs labelled images"):
        export_onnx(make_bundle(), tmp_path / "m.onnx", ComparisonImages(None, "random"), int8=True)


def test_an_architecture_without_a_graph(
    make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(BUILDERS, "crnn")
    with pytest.raises(BundleError, match="a crnn cannot be exported"):
        export_onnx(make_bundle(), tmp_path / "m.onnx", ComparisonImages(None, "random"))


def test_a_damaged_network_is_not_exported(make_bundle: MakeBundle, tmp_path: Path) -> None:
    bundle = make_bundle()
    weights = {**bundle.weights, "head.bias": bundle.weights["head.bias"] * float("nan")}
    broken = replace(bundle, weights=weights)
    with pytest.raises(BundleError, match="infinite or NaN"):
        export_onnx(broken, tmp_path / "m.onnx", ComparisonImages(None, "random"))


def test_progress_covers_both_comparisons(
    make_bundle: MakeBundle, images: ComparisonImages, tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []
    done: OnnxExport = export_onnx(
        make_bundle(),
        tmp_path / "m.onnx",
        images,
        int8=True,
        max_cer_increase=1.0,
        progress=lambda *state: seen.append(state),
    )
    assert seen[-1][0] == seen[-1][1]
    assert [n for n, _ in seen] == sorted(n for n, _ in seen)
    assert len({total for _, total in seen}) == 1
    assert done.n_images == 40
