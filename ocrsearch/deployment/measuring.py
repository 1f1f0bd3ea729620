"""The process in which ``benchmark.py`` measures one recogniser: times, memory and texts.

It is started anew for each recogniser and number of threads, so that the memory of one does not
count for another, and imports nothing that recognition does not need. It reads a request in JSON
from standard input, and writes a reply in JSON to standard output.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ocrsearch.core import OcrSearchError
from ocrsearch.data import GrayImage, PackedImages

if TYPE_CHECKING:
    from ocrsearch.inference import Predictor

N_WARM_UP = 2
MIN_CALLS = 20
"""Least number of calls that are measured, if MAX_SECONDS allow so many."""

MIN_SECONDS, MAX_SECONDS = 1.0, 10.0
"""Least and largest time to measure calls of one size."""


@dataclass(frozen=True)
class Request:
    """What to measure.

    Attributes:
        model: model file.
        runtime: one of RUNTIMES in ``benchmark.py``.
        pixels: file of numpy with the pixels of all images.
        shapes: height and width of each image.
        n_timed: number of images to measure times with, from the first.
        at_once: numbers of images that are recognised at a time.
        reads_all: whether to recognise all images and return the texts.
    """

    model: str
    runtime: str
    pixels: str
    shapes: list[tuple[int, int]]
    n_timed: int
    at_once: tuple[int, ...]
    reads_all: bool


@dataclass(frozen=True)
class Timing:
    """Times to recognise images.

    Attributes:
        at_once: number of images that were recognised at a time.
        median_ms: median of the milliseconds per image.
        p95_ms: 95th percentile of them.
        n_calls: number of calls that were measured.
    """

    at_once: int
    median_ms: float
    p95_ms: float
    n_calls: int


@dataclass(frozen=True)
class Reply:
    """What was measured.

    Attributes:
        load_s: seconds to import the program and to load the model.
        timings: times for each number of images at a time.
        peak_memory_mb: peak memory of the process in megabytes, before all images were read.
        texts: text of each image; empty unless all were read.
    """

    load_s: float
    timings: tuple[Timing, ...]
    peak_memory_mb: float
    texts: tuple[str, ...]


def measure(request: Request) -> Reply:
    """Load a model, measure it, and recognise all images if that is wanted.

    Raises:
        OcrSearchError: the model cannot be read.
    """
    start = time.perf_counter()
    predictor = _load(Path(request.model), request.runtime)
    load_s = time.perf_counter() - start
    pixels = np.load(request.pixels, mmap_mode="r", allow_pickle=False)
    images = PackedImages(pixels, request.shapes)
    timed = [np.array(image) for image in images[: request.n_timed]]
    timings = tuple(_timing(predictor, timed, n) for n in request.at_once)
    peak = peak_memory_mb()
    texts = [p.text for p in predictor.predict_many(list(images))] if request.reads_all else []
    return Reply(load_s, timings, peak, tuple(texts))


def _load(path: Path, runtime: str) -> Predictor:
    if runtime == "openvino":
        from ocrsearch.deployment.openvino_network import load_openvino

        return load_openvino(path)
    from ocrsearch.inference import load

    return load(path, "cpu")


def _timing(predictor: Predictor, images: Sequence[GrayImage], at_once: int) -> Timing:
    """Measure calls with a number of images at a time, over and over all images."""
    batches = _batches(images, at_once)
    for _ in range(N_WARM_UP):
        predictor.predict_many(next(batches))
    times: list[float] = []
    start = time.perf_counter()
    while True:
        batch = next(batches)
        before = time.perf_counter()
        predictor.predict_many(batch)
        now = time.perf_counter()
        times.append(1000.0 * (now - before) / len(batch))
        is_enough = len(times) >= MIN_CALLS and now - start >= MIN_SECONDS
        if is_enough or now - start >= MAX_SECONDS:
            median, p95 = np.percentile(times, [50, 95]).tolist()
            return Timing(at_once, median, p95, len(times))


def _batches(images: Sequence[GrayImage], at_once: int) -> Iterator[list[GrayImage]]:
    """Yield full batches without end; with few images some are in a batch more than once."""
    place = 0
    while True:
        yield [images[(place + i) % len(images)] for i in range(at_once)]
        place += at_once


def peak_memory_mb() -> float:
    """Return the largest resident memory that this process had, in megabytes."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count the memory of the parent before the start
        (line,) = (x for x in status.read_text().splitlines() if x.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def answer(values: dict[str, Any]) -> dict[str, Any]:
    """Return the reply to a request, or the ``error`` that prevents it."""
    shapes = [(height, width) for height, width in values["shapes"]]
    request = Request(**{**values, "shapes": shapes, "at_once": tuple(values["at_once"])})
    try:
        return asdict(measure(request))
    except OcrSearchError as error:
        return {"error": error.problem}


def main() -> None:
    """Answer the request on standard input."""
    json.dump(answer(json.load(sys.stdin)), sys.stdout)


if __name__ == "__main__":
    main()
