"""Files of ONNX from anybody: refused in one harmless line, before ONNX Runtime sees them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from ocrsearch.core import BundleError, OptionError
from ocrsearch.inference import load, load_model
from ocrsearch.inference.onnx_content import RefusedError, fields
from ocrsearch.training import Bundle
from tests.deployment.onnx_makers import exported

MakeBundle = Callable[..., Bundle]
Change = Callable[[onnx.ModelProto], None]


@pytest.fixture(scope="module")
def onnx_file(make_bundle: MakeBundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    exported(make_bundle("seq2seq"), path)
    return path


def refused(path: Path) -> str:
    """Return the message with which a file is refused."""
    with pytest.raises(BundleError) as caught:
        load(path, "cpu")
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 1000
    assert message.startswith(str(path))
    return message


def set_metadata(key: str, value: object) -> Change:
    def change(model: onnx.ModelProto) -> None:
        for entry in model.metadata_props:
            if entry.key == key:
                entry.value = value if isinstance(value, str) else json.dumps(value)

    return change


def change_networks(edit: Callable[[list[Any]], object]) -> Change:
    def change(model: onnx.ModelProto) -> None:
        (entry,) = (e for e in model.metadata_props if e.key == "networks")
        networks = json.loads(entry.value)
        edit(networks)
        entry.value = json.dumps(networks)

    return change


def external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"


def external_in_secret(model: onnx.ModelProto) -> None:
    entry = model.graph.initializer[0].external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"


def custom_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "evil\x1b[2J"
    model.opset_import.append(helper.make_opsetid("evil\x1b[2J", 1))


def unknown_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "Loop"


def subgraph(model: onnx.ModelProto) -> None:
    inner = helper.make_graph([], "inner", [], [])
    model.graph.node[0].attribute.append(helper.make_attribute("body", inner))


def function(model: onnx.ModelProto) -> None:
    model.functions.append(
        helper.make_function("d", "f", [], [], [], [helper.make_opsetid("", 17)])
    )


def huge_constant(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    del tensor.dims[:]
    tensor.dims.extend([2**40, 2**20])


def negative_size(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[0] = -1


def huge_size(model: onnx.ModelProto) -> None:
    tensor = next(t for t in model.graph.initializer if t.data_type == TensorProto.INT64)
    tensor.raw_data = np.full(tensor.dims, 2**40, np.int64).tobytes()


def nan_weights(model: onnx.ModelProto) -> None:
    tensor = next(t for t in model.graph.initializer if t.data_type == TensorProto.FLOAT)
    tensor.raw_data = np.full(tensor.dims, np.nan, np.float32).tobytes()


def no_output(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = "other"


def without_graph(model: onnx.ModelProto) -> None:
    model.ClearField("graph")


CHANGES: list[tuple[Change, str]] = [
    (external, "another file"),
    (external_in_secret, "another file"),
    (custom_operator, "custom operators|never writes"),
    (unknown_operator, "Loop"),
    (subgraph, "graph or a tensor inside"),
    (function, "functions"),
    (huge_constant, "too many or too few"),
    (negative_size, "unknown type or size"),
    (huge_size, "sizes that are too large"),
    (nan_weights, "infinite or NaN"),
    (no_output, "ONNX Runtime"),
    (without_graph, "no model of ONNX"),
    (set_metadata("format", "something else"), "not an ocrsearch model"),
    (set_metadata("version", "99\x1b"), "model of version"),
    (set_metadata("charset", {"symbols": ["ab"]}), "charset"),
    (set_metadata("charset", {"symbols": list("01")}), "damaged model"),
    (set_metadata("charset", "{"), "damaged model"),
    (set_metadata("charset", "[" * 100_000), "damaged model"),
    (set_metadata("charset", [1]), "not a dict"),
    (set_metadata("networks", []), "0 networks"),
    (set_metadata("networks", [1]), "damaged model"),
    (change_networks(lambda n: n.extend(n * 40)), "networks"),
    (change_networks(lambda n: n.append(n[0])), "graph/1/main is missing"),
    (change_networks(lambda n: n[0]["config"].update(evil=1)), "damaged model"),
    (change_networks(lambda n: n[0]["metrics"].update(cer="x\x1b")), "cer is not a finite number"),
    (change_networks(lambda n: n[0]["metrics"].update(cer=float("nan"))), "not a finite number"),
    (change_networks(lambda n: n[0]["provenance"].update(epochs=1)), "damaged model"),
    (change_networks(lambda n: n[0]["config"]["images"].update(height=64)), "ONNX Runtime"),
    (set_metadata("graph/0/step", "?"), "not base64"),
    (set_metadata("graph/0/step", "AAAA"), "refused|damaged"),
    (set_metadata("graph/0/step", ""), "no model of ONNX"),
]


@pytest.mark.parametrize("number", range(len(CHANGES)))
def test_a_hostile_file_is_refused(onnx_file: Path, tmp_path: Path, number: int) -> None:
    change, message = CHANGES[number]
    model = onnx.load(onnx_file)
    change(model)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    assert re.search(message, refused(path))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_a_file_that_was_cut_off(onnx_file: Path, tmp_path: Path, share: float) -> None:
    content = onnx_file.read_bytes()
    path = tmp_path / "model.onnx"
    path.write_bytes(content[: int(share * len(content))])
    assert str(path) in refused(path)


@pytest.mark.parametrize(
    "content", [b"PK\x03\x04" * 50, b"\xff" * 500, b"text\n", b"\x0a\xff\xff\x7f"]
)
def test_a_foreign_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    assert str(path) in refused(path)


def test_a_model_of_another_program(tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in "xy"]
    model = helper.make_model(helper.make_graph([node], "g", values[:1], values[1:]))
    onnx.save(model, tmp_path / "model.onnx")
    assert "not an ocrsearch model" in refused(tmp_path / "model.onnx")


def test_wrong_bytes_never_end_in_a_traceback(onnx_file: Path, tmp_path: Path) -> None:
    content, rng, path = onnx_file.read_bytes(), np.random.default_rng(0), tmp_path / "model.onnx"
    image = np.zeros((16, 40), np.uint8)
    for _ in range(150):
        spoilt = bytearray(content)
        for place in rng.integers(0, len(content), 3):
            spoilt[place] = rng.integers(256)
        path.write_bytes(spoilt)
        try:
            load(path, "cpu").predict(image)
        except BundleError as error:
            assert str(error).isprintable()  # noqa: PT017 - some changes do no harm


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    assert "no such model file" in refused(tmp_path / "none.onnx")
    (tmp_path / "folder.onnx").mkdir()
    assert "a folder" in refused(tmp_path / "folder.onnx")


def test_a_gpu_is_not_used(onnx_file: Path) -> None:
    with pytest.raises(OptionError, match="runs on the CPU"):
        load(onnx_file, "cuda")


def test_it_is_no_start_of_a_training(onnx_file: Path) -> None:
    from ocrsearch.training import load_bundle

    with pytest.raises(BundleError, match="only recognises text"):
        load_bundle(onnx_file)


def test_the_suffix_decides(onnx_file: Path, model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "model.ONNX").write_bytes(onnx_file.read_bytes())
    assert load_model(tmp_path / "model.ONNX").config == load_model(onnx_file).config
    (tmp_path / "model.pt").write_bytes(onnx_file.read_bytes())
    assert "not an ocrsearch model file" in refused(tmp_path / "model.pt")


@pytest.mark.parametrize("message", [b"\x08", b"\x0a\x05ab", b"\x0f", b"\xff" * 11, b"\x09abc"])
def test_damaged_messages(message: bytes) -> None:
    with pytest.raises(RefusedError):
        list(fields(memoryview(message)))


def test_fields_of_a_message() -> None:
    message = b"\x08\x96\x01" + b"\x12\x02hi" + b"\x1d\x00\x00\x80\x3f" + b"\x21" + bytes(8)
    found = [(n, k, bytes(v) if k else v) for n, k, v in fields(memoryview(message))]
    assert found == [(1, 0, 150), (2, 2, b"hi"), (3, 5, b"\x00\x00\x80\x3f"), (4, 1, bytes(8))]
