"""Comparison of model files and runtimes: size, speed, memory and error rate on the same images.

Each recogniser is measured in a process of its own, once with one thread and once with all; see
``measuring.py``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ocrsearch.core import n_cores, printable
from ocrsearch.data import LabelledImages, Progress
from ocrsearch.deployment.measuring import Timing
from ocrsearch.evaluation import bootstrap_intervals, compute_metrics

Runtime = Literal["torch", "onnxruntime", "openvino"]

RUNTIME_NAMES: dict[Runtime, str] = {
    "torch": "PyTorch",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
}

AT_ONCE = (1, 8)
"""Numbers of images that are recognised at a time."""

N_TIMED = 64
"""Largest number of images to measure times with; the error rate is of all images."""

MAX_SECONDS = 3600
"""Longest time for one process. A PyTorch model on thousands of lines takes minutes."""


@dataclass(frozen=True)
class Candidate:
    """A model file and the program that computes it.

    Attributes:
        name: name for people.
        path: model file.
        runtime: program that computes it.
    """

    name: str
    path: Path
    runtime: Runtime


@dataclass(frozen=True)
class Measurement:
    """A candidate, measured with a number of threads.

    Attributes:
        name: name of the candidate.
        runtime: program that computed it.
        size_mb: size of the file in megabytes.
        n_threads: number of threads.
        load_s: seconds to import the program and to load the model.
        timings: milliseconds per image for each number of images at a time.
        peak_memory_mb: peak memory of the process in megabytes.
        n: number of images of the error rate.
        cer: character error rate; None if the candidate cannot be measured.
        cer_low: lower end of its 95 % interval.
        cer_high: upper end.
        problem: reason why the candidate cannot be measured; empty if it was.
    """

    name: str
    runtime: Runtime
    size_mb: float
    n_threads: int
    load_s: float = 0.0
    timings: tuple[Timing, ...] = ()
    peak_memory_mb: float = 0.0
    n: int = 0
    cer: float | None = None
    cer_low: float | None = None
    cer_high: float | None = None
    problem: str = ""

    def to_plain(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)


def has_openvino() -> bool:
    """Return whether OpenVINO is installed."""
    return find_spec("openvino") is not None


def candidates_of(name: str, path: Path) -> list[Candidate]:
    """Return the candidates of a model file: one for each program that computes it."""
    if path.suffix.lower() != ".onnx":
        return [Candidate(name, path, "torch")]
    found = [Candidate(name, path, "onnxruntime")]
    return [*found, Candidate(name, path, "openvino")] if has_openvino() else found


def thread_counts() -> tuple[int, ...]:
    """Return the numbers of threads to measure with: 1, and all cores."""
    return tuple(sorted({1, n_cores()}))


def run_benchmark(
    candidates: Sequence[Candidate], images: LabelledImages, progress: Progress | None = None
) -> list[Measurement]:
    """Measure model files on labelled images, on the CPU.

    Args:
        candidates: model files. One that cannot be measured has its problem in the result.
        images: images and labels; times are measured with the first N_TIMED.
        progress: called with the number of processes that have ended, and their number.

    Returns:
        A measurement for each candidate and number of threads. The error rate does not depend on
        the threads.

    """
    threads = thread_counts()
    n_all, n_done = len(candidates) * len(threads), 0
    found: list[Measurement] = []
    with _stored(images) as request:
        for candidate in candidates:
            of_candidate = []
            for n in threads:
                # the texts are read once, with all threads, which is the faster way
                reply = _ask(candidate, {**request, "reads_all": n == threads[-1]}, n)
                of_candidate.append(_measurement(candidate, n, reply))
                n_done += 1
                if progress:
                    progress(n_done, n_all)
            found += _with_errors(of_candidate, images.texts, reply.get("texts", []))
    return found


@contextmanager
def _stored(images: LabelledImages) -> Iterator[dict[str, Any]]:
    """Write the pixels of images to a temporary file, and yield the request that names it."""
    with tempfile.TemporaryDirectory() as folder:
        pixels = Path(folder) / "pixels.npy"
        np.save(pixels, images.images.pixels)
        yield {
            "pixels": str(pixels),
            "shapes": images.images.shapes,
            "n_timed": min(N_TIMED, len(images)),
            "at_once": AT_ONCE,
        }


def _ask(candidate: Candidate, request: dict[str, Any], n_threads: int) -> dict[str, Any]:
    """Measure a candidate in a new process, and return the reply; see ``measuring.Reply``."""
    content = {**request, "model": str(candidate.path), "runtime": candidate.runtime}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "ocrsearch.deployment.measuring"],
            input=json.dumps(content),
            capture_output=True,
            text=True,
            check=False,
            timeout=MAX_SECONDS,
            env={**os.environ, "OMP_NUM_THREADS": str(n_threads)},
        )
    except subprocess.TimeoutExpired:
        return {"error": f"takes over {MAX_SECONDS} s; give fewer images"}
    if done.returncode == 0:
        reply: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return reply
    if done.returncode < 0:
        return {"error": "the process was killed, perhaps for want of memory"}
    lines = done.stderr.strip().splitlines() or ["no message"]
    return {"error": printable(lines[-1], max_length=200)}


def _measurement(candidate: Candidate, n_threads: int, reply: dict[str, Any]) -> Measurement:
    size_mb = candidate.path.stat().st_size / 1e6
    about = (candidate.name, candidate.runtime, size_mb, n_threads)
    if "error" in reply:
        return Measurement(*about, problem=reply["error"])
    timings = tuple(Timing(**values) for values in reply["timings"])
    return Measurement(*about, reply["load_s"], timings, reply["peak_memory_mb"])


def _with_errors(
    measured: Sequence[Measurement], references: Sequence[str], texts: Sequence[str]
) -> list[Measurement]:
    """Add the error rate of the texts; keep one measurement if there are none."""
    problem = next((m.problem for m in measured if m.problem), "")
    if problem:
        return [replace(measured[0], problem=problem)]
    cer = compute_metrics(references, texts).cer
    low, high = bootstrap_intervals(references, texts)["cer"]
    return [replace(m, n=len(texts), cer=cer, cer_low=low, cer_high=high) for m in measured]
