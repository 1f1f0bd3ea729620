"""Batching: order, batch sizes, bounds, errors and the end."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest

from ocrsearch.core import BundleError
from ocrsearch.data.samples import GrayImage
from ocrsearch.deployment import batching
from ocrsearch.deployment.batching import Batcher, BusyError, Outcome, ReadingError
from ocrsearch.inference.predictor import Prediction

POISON, CRASH = 200, 201


def image(number: int, width: int = 1) -> GrayImage:
    return np.full((1, width), number, np.uint8)


class Model:
    """Reads the number in an image; a gate can hold it."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.gate, self.entered = threading.Event(), threading.Event()
        self.gate.set()

    def __call__(self, images: Sequence[GrayImage]) -> list[Prediction]:
        self.entered.set()
        assert self.gate.wait(30)
        self.sizes.append(len(images))
        numbers = [int(i[0, 0]) for i in images]
        if POISON in numbers:
            raise BundleError("the model outputs NaN")
        if CRASH in numbers:
            raise RuntimeError("secret")
        return [Prediction(str(number), 1.0, ()) for number in numbers]


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def start(model: Model) -> Iterator[Callable[..., Batcher]]:
    started: list[Batcher] = []

    def start(max_batch: int = 4, max_waiting: int = 10) -> Batcher:
        started.append(Batcher(model, max_batch, max_waiting))
        return started[-1]

    yield start
    model.gate.set()
    for batcher in started:
        batcher.close()


def hold(model: Model, batcher: Batcher) -> Future[list[Outcome]]:
    """Occupy the model with one image."""
    model.gate.clear()
    first = batcher.submit([image(0)])
    assert model.entered.wait(30)
    return first


def texts(future: Future[list[Outcome]]) -> list[str]:
    return [o.text if isinstance(o, Prediction) else str(o) for o in future.result(30)]


def test_images_that_wait_are_read_together(model: Model, start: Callable[..., Batcher]) -> None:
    batcher = start()
    first = hold(model, batcher)
    futures = [batcher.submit([image(i), image(10 + i)]) for i in range(3)]
    assert batcher.n_waiting == 6
    model.gate.set()
    assert texts(first) == ["0"]
    assert [texts(future) for future in futures] == [["0", "10"], ["1", "11"], ["2", "12"]]
    assert model.sizes == [1, 4, 2]
    assert batcher.n_waiting == 0


def test_a_request_may_need_several_batches(model: Model, start: Callable[..., Batcher]) -> None:
    future = start(max_batch=3).submit([image(i) for i in range(8)])
    assert texts(future) == [str(i) for i in range(8)]
    assert model.sizes == [3, 3, 2]


def test_more_images_than_may_wait_are_refused(model: Model, start: Callable[..., Batcher]) -> None:
    batcher = start(max_waiting=3)
    hold(model, batcher)
    kept = batcher.submit([image(1), image(2)])
    with pytest.raises(BusyError, match="2 images are waiting"):
        batcher.submit([image(3), image(4)])
    last = batcher.submit([image(5)])
    model.gate.set()
    assert texts(kept) + texts(last) == ["1", "2", "5"]


def test_pixels_that_wait_are_bounded(
    model: Model, start: Callable[..., Batcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "MAX_WAITING_PIXELS", 100)
    batcher = start()
    hold(model, batcher)
    alone = batcher.submit([image(1, width=500)])  # of any size, if none waits
    with pytest.raises(BusyError):
        batcher.submit([image(2)])
    model.gate.set()
    assert texts(alone) == ["1"]
    assert texts(batcher.submit([image(3)])) == ["3"]


def test_cancelled_images_are_dropped(model: Model, start: Callable[..., Batcher]) -> None:
    batcher = start()
    hold(model, batcher)
    cancelled = batcher.submit([image(1), image(2)])
    kept = batcher.submit([image(3)])
    assert cancelled.cancel()
    model.gate.set()
    assert texts(kept) == ["3"]
    assert model.sizes == [1, 1]


def test_one_bad_image_does_not_spoil_the_others(
    start: Callable[..., Batcher], caplog: pytest.LogCaptureFixture
) -> None:
    batcher = start(max_batch=8)
    future = batcher.submit([image(1), image(POISON), image(2), image(CRASH)])
    outcomes = future.result(30)
    assert [isinstance(outcome, ReadingError) for outcome in outcomes] == [False, True] * 2
    assert texts(future) == [
        *("1", "the model outputs NaN", "2", "internal error; see the log of the service"),
    ]
    assert "secret" in caplog.text
    assert texts(batcher.submit([image(3)])) == ["3"]


def test_what_waits_at_the_end_is_read(model: Model, start: Callable[..., Batcher]) -> None:
    batcher = start(max_batch=2)
    hold(model, batcher)
    futures = [batcher.submit([image(i)]) for i in range(1, 6)]
    closing = threading.Thread(target=batcher.close)
    closing.start()
    model.gate.set()
    closing.join(30)
    assert [texts(future) for future in futures] == [[str(i)] for i in range(1, 6)]
    with pytest.raises(BusyError, match="shutting down"):
        batcher.submit([image(1)])


def test_each_of_many_threads_gets_its_own_texts(start: Callable[..., Batcher]) -> None:
    batcher = start(max_batch=7, max_waiting=10_000)

    def send(seed: int) -> bool:
        rng = random.Random(seed)
        numbers = [rng.randrange(POISON) for _ in range(rng.randint(1, 12))]
        return texts(batcher.submit([image(n) for n in numbers])) == [str(n) for n in numbers]

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(send, range(400)))
