"""``ocrsearch benchmark``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ocrsearch.deployment import Candidate, benchmark, measuring

if TYPE_CHECKING:
    from tests.conftest import CommandResult

Command = Callable[..., "CommandResult"]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure briefly, in this process: tests/deployment measures in others."""

    def ask(candidate: Candidate, request: dict[str, Any], n_threads: int) -> dict[str, Any]:
        content = {**request, "model": str(candidate.path), "runtime": candidate.runtime}
        return measuring.answer(json.loads(json.dumps(content)))

    monkeypatch.setattr(measuring, "MAX_SECONDS", 0.1)
    monkeypatch.setattr(benchmark, "_ask", ask)
    monkeypatch.setattr(benchmark, "n_cores", lambda: 2)
    monkeypatch.setattr(benchmark, "has_openvino", lambda: False)


def test_a_model_and_its_exports_are_compared(
    command: Command, model_file: Path, number_folder: Path, tmp_path: Path
) -> None:
    data, page = f"captcha:{number_folder}", tmp_path / "page.html"
    words = ("benchmark", model_file, "--data", data, "--onnx", "--int8", "--json", "--plot", page)
    done = command(*words)
    assert done.code == 0, done.err
    content = done.json()
    rows = content["measurements"]
    names = ["model.pt", "model.pt, float32", "model.pt, int8"]
    assert [(r["name"], r["n_threads"]) for r in rows] == [(n, t) for n in names for t in (1, 2)]
    assert [r["runtime"] for r in rows[::2]] == ["torch", "onnxruntime", "onnxruntime"]
    evaluated = command("evaluate", model_file, "--data", data, "--json").json()
    for row in rows[:4]:
        assert row["n"] == content["n"] == evaluated["n"]
        for key in ("cer", "cer_low", "cer_high"):
            assert row[key] == evaluated[key]
    assert page.read_text(encoding="utf-8").count("<figure>") == 2
    assert content["plot"] == str(page)


def test_the_table(command: Command, model_file: Path, number_folder: Path) -> None:
    data = f"captcha:{number_folder}"
    done = command("benchmark", model_file, "--data", data, "--split", "all", "--onnx")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == f"40 images of the all split of {data}"
    assert "threads" in lines[1]
    assert [line.split("  ")[0] for line in lines[3:]] == ["model.pt"] * 2 + [
        "model.pt, float32"
    ] * 2
    assert "'pip install openvino' measures it too" in done.err


def test_a_damaged_file_is_found_before_anything_is_measured(
    command: Command, model_file: Path, number_folder: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"bad")
    done = command("benchmark", model_file, bad, "--data", f"captcha:{number_folder}")
    assert (done.code, done.out) == (1, "")
    assert done.err == f"ocrsearch: {bad}: not a model of ONNX, or cut off\n"


def test_without_any_measurement_it_fails(
    command: Command,
    model_file: Path,
    number_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(benchmark, "_ask", lambda *_: {"error": "it broke"})
    page = tmp_path / "page.html"
    words = ("benchmark", model_file, "--data", f"captcha:{number_folder}")
    done = command(*words)
    assert (done.code, done.out) == (1, "")
    assert "not measured: model.pt with PyTorch: it broke\n" in done.err
    assert "ocrsearch: no model could be measured" in done.err
    done = command(*words, "--plot", page)
    assert done.code == 1
    assert f"{page}: not written: no model could be measured" in done.err
    assert not page.exists()


def test_the_page_must_be_html(command: Command, model_file: Path, number_folder: Path) -> None:
    data = f"captcha:{number_folder}"
    done = command("benchmark", model_file, "--data", data, "--plot", "page.png")
    assert done.code == 2
    assert "--plot page.png: must end in .html" in done.err
