"""The benchmark of model files: what is measured, and what is said of files that cannot be."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ocrsearch.core import BundleError
from ocrsearch.data import LabelledImages, PackedImages
from ocrsearch.deployment import (
    Candidate,
    Measurement,
    benchmark_page,
    candidates_of,
    measuring,
    run_benchmark,
)
from ocrsearch.deployment import benchmark as module
from ocrsearch.deployment.benchmark_page import benchmark_figure
from ocrsearch.inference import load
from ocrsearch.training import Bundle
from tests.deployment.onnx_makers import exported

N = 12


@pytest.fixture(scope="module")
def images() -> LabelledImages:
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 256, (20, int(w)), np.uint8) for w in rng.integers(30, 90, N)]
    names = [f"{i}.png" for i in range(N)]
    return LabelledImages(names, ["12"] * N, PackedImages.pack(pixels))


@pytest.fixture(scope="module")
def onnx_file(make_bundle: Callable[..., Bundle], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    exported(make_bundle(), path)
    return path


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "MAX_SECONDS", 0.2)
    monkeypatch.setattr(module, "has_openvino", lambda: False)


def answered_here(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Measure in this process; return the list of the numbers of threads that were asked for."""
    threads = []

    def ask(candidate: Candidate, request: dict[str, object], n_threads: int) -> dict[str, object]:
        threads.append(n_threads)
        content = {**request, "model": str(candidate.path), "runtime": candidate.runtime}
        return measuring.answer(json.loads(json.dumps(content)))

    monkeypatch.setattr(module, "_ask", ask)
    return threads


def test_times_sizes_and_errors(
    monkeypatch: pytest.MonkeyPatch, onnx_file: Path, images: LabelledImages
) -> None:
    threads = answered_here(monkeypatch)
    monkeypatch.setattr(module, "n_cores", lambda: 4)
    calls: list[tuple[int, int]] = []
    found = run_benchmark(
        candidates_of("m", onnx_file), images, lambda *counts: calls.append(counts)
    )
    assert threads == [m.n_threads for m in found] == [1, 4]
    assert calls == [(1, 2), (2, 2)]
    texts = [p.text for p in load(onnx_file).predict_many(list(images.images))]
    wrong = sum(module.compute_metrics(["12"], [text]).cer for text in texts) / N
    for m in found:
        assert m.cer == pytest.approx(wrong)
        assert m.cer_low is not None
        assert m.cer_high is not None
        assert m.cer_low <= m.cer <= m.cer_high
        assert (m.n, m.size_mb) == (N, onnx_file.stat().st_size / 1e6)
        assert [t.at_once for t in m.timings] == [1, 8]
        assert all(0 < t.median_ms <= t.p95_ms and t.n_calls > 0 for t in m.timings)
        assert m.peak_memory_mb > 10


def test_one_core_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "n_cores", lambda: 1)
    assert module.thread_counts() == (1,)


@pytest.mark.slow
def test_memory_and_threads_are_those_of_a_process_of_its_own(
    monkeypatch: pytest.MonkeyPatch, onnx_file: Path, images: LabelledImages
) -> None:
    monkeypatch.setattr(module, "n_cores", lambda: 1)
    ballast = np.ones(60_000_000)  # 480 MB that must not count
    (found,) = run_benchmark(candidates_of("m", onnx_file), images)
    assert ballast[-1] == 1
    assert not found.problem
    assert 30 < found.peak_memory_mb < 300
    assert found.timings[0].n_calls >= measuring.MIN_CALLS


def test_measuring_an_onnx_model_loads_no_torch(onnx_file: Path, images: LabelledImages) -> None:
    code = (
        "import json, sys; from ocrsearch.deployment import measuring; "
        "measuring.MAX_SECONDS = 0.1; reply = measuring.answer(json.load(sys.stdin)); "
        "assert len(reply['texts']) == 12, reply; "
        "print([name for name in ('torch', 'onnx', 'pandas', 'plotly') if name in sys.modules])"
    )
    with module._stored(images) as request:
        content = {**request, "reads_all": True, "model": str(onnx_file), "runtime": "onnxruntime"}
        done = subprocess.run(
            [sys.executable, "-c", code],
            input=json.dumps(content),
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_model_that_cannot_be_read_is_a_row_with_its_problem(
    monkeypatch: pytest.MonkeyPatch, onnx_file: Path, images: LabelledImages, tmp_path: Path
) -> None:
    answered_here(monkeypatch)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(onnx_file.read_bytes()[:500])
    bad, *good = run_benchmark(
        [*candidates_of("broken", broken), *candidates_of("good", onnx_file)], images
    )
    assert bad.problem.startswith(f"{broken}: not a model of ONNX")
    assert bad.cer is None
    assert all(m.cer is not None for m in good)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import sys; sys.exit('first\\nlast')", "last"),
        ("import os; os.kill(os.getpid(), 9)", "killed, perhaps for want of memory"),
        ("import time; time.sleep(60)", "takes over 0.5 s"),
    ],
)
def test_a_process_that_fails_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, said: str
) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!{sys.executable}\n{code}\n")
    program.chmod(0o755)
    monkeypatch.setattr(module.sys, "executable", str(program))
    monkeypatch.setattr(module, "MAX_SECONDS", 0.5)
    reply = module._ask(Candidate("m", tmp_path / "m.onnx", "onnxruntime"), {}, 1)
    assert said in reply["error"]


def test_batches_are_full_and_go_round() -> None:
    images = [np.full((1, 1), i, np.uint8) for i in range(3)]
    batches = measuring._batches(images, 2)
    assert [[int(i[0, 0]) for i in next(batches)] for _ in range(3)] == [[0, 1], [2, 0], [1, 2]]


def measurement(name: str, cer: float | None, size_mb: float, problem: str = "") -> Measurement:
    timings = () if cer is None else (measuring.Timing(1, 2.0 * size_mb, 3.0 * size_mb, 20),)
    low, high = (None, None) if cer is None else (cer / 2, cer * 2)
    numbers = (size_mb, 1, 0.5, timings, 100.0, 10, cer, low, high)
    return Measurement(name, "torch", *numbers, problem=problem)


def test_the_page_has_a_marker_for_each_model_and_escapes_names() -> None:
    rows = [measurement("<b>", 0.1, 4.0), measurement("small", 0.2, 1.0)]
    figure = benchmark_figure(rows)
    first, second = figure.data
    assert (first.x, first.y) == ((8.0,), (0.1,))
    assert first.error_y.array == (0.1,)
    assert first.error_y.arrayminus == (0.05,)
    assert first.marker.size == 2 * second.marker.size  # the areas are in proportion
    page = benchmark_page([*rows, measurement("bad", None, 1.0, "<i>damaged")], "<u>data")
    for text in ("<b>", "<i>damaged", "<u>data"):
        assert text not in page
    assert "Not measured: bad, PyTorch: &lt;i&gt;damaged" in page


def test_openvino_reads_the_same(
    make_bundle: Callable[..., Bundle], onnx_file: Path, images: LabelledImages
) -> None:
    pytest.importorskip("openvino")
    from ocrsearch.deployment.openvino_network import load_openvino

    pictures = list(images.images)
    first = load(onnx_file).predict_many(pictures)
    second = load_openvino(onnx_file).predict_many(pictures)
    assert [p.text for p in first] == [p.text for p in second]
    with pytest.raises(BundleError, match="no such model file"):
        load_openvino(onnx_file.with_name("none.onnx"))
