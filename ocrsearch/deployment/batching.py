"""Batching: images that wait at the same time are recognised together, in one thread.

The thread takes all images that wait, up to the batch size, and never waits for more. Under load,
further images arrive while a batch is recognised, so batches grow by themselves. The queue is
bounded: ``Batcher.submit`` refuses images instead of letting them wait without end.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from ocrsearch.core import OcrSearchError
from ocrsearch.data import GrayImage
from ocrsearch.inference import Prediction

logger = logging.getLogger(__name__)

MAX_WAITING_PIXELS = 128_000_000
"""Maximum number of pixels of the images that wait. Images of any size are taken if none wait."""


class BusyError(Exception):
    """The queue is full, or the batcher is closed."""


class ReadingError(Exception):
    """An image could not be recognised, although it was decoded. The message is the reason."""


Outcome = Prediction | ReadingError


@dataclass
class _Request:
    """Images that were submitted together, and their outcomes so far, in the same order."""

    images: Sequence[GrayImage]
    future: Future[list[Outcome]] = field(default_factory=Future)
    outcomes: list[Outcome] = field(default_factory=list)
    n_taken: int = 0


class Batcher:
    """A bounded queue of images, and the thread that recognises them in batches."""

    def __init__(
        self,
        read: Callable[[Sequence[GrayImage]], list[Prediction]],
        max_batch: int,
        max_waiting: int,
    ) -> None:
        """Start the thread.

        Args:
            read: recognises images, (H, W) uint8 each, and returns predictions in the same order.
            max_batch: maximum number of images in a call of ``read``.
            max_waiting: maximum number of images that wait.
        """
        self._read, self._max_batch, self._max_waiting = read, max_batch, max_waiting
        self._changed = threading.Condition()
        self._waiting: deque[_Request] = deque()
        self._n_images = self._n_pixels = 0
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    @property
    def n_waiting(self) -> int:
        """Number of images that wait."""
        return self._n_images

    def submit(self, images: Sequence[GrayImage]) -> Future[list[Outcome]]:
        """Add images to the queue; if the future is cancelled, those that still wait are dropped.

        Args:
            images: one or more images, (H, W) uint8 each.

        Raises:
            BusyError: the queue is full, or closed.
        """
        request = _Request(images)
        n_pixels = sum(image.size for image in images)
        with self._changed:
            if self._closed:
                raise BusyError("the service is shutting down")
            too_many = self._n_images + len(images) > self._max_waiting
            too_large = self._n_images and self._n_pixels + n_pixels > MAX_WAITING_PIXELS
            if too_many or too_large:
                raise BusyError(f"{self._n_images} images are waiting")
            self._waiting.append(request)
            self._n_images += len(images)
            self._n_pixels += n_pixels
            self._changed.notify()
        return request.future

    def close(self) -> None:
        """Refuse further images, recognise those that wait, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while batch := self._take():
            outcomes = iter(self._outcomes([image for _, images in batch for image in images]))
            for request, images in batch:
                request.outcomes += [next(outcomes) for _ in images]
                is_finished = len(request.outcomes) == len(request.images)
                if is_finished and request.future.set_running_or_notify_cancel():
                    request.future.set_result(request.outcomes)

    def _take(self) -> list[tuple[_Request, Sequence[GrayImage]]]:
        """Wait for images and return the next batch; an empty one if closed and all are done."""
        batch: list[tuple[_Request, Sequence[GrayImage]]] = []
        with self._changed:
            n_free = self._max_batch
            while n_free and (self._waiting or not (batch or self._closed)):
                if not self._waiting:
                    self._changed.wait()
                    continue
                request = self._waiting[0]
                start = request.n_taken
                dropped = request.future.cancelled()
                images = request.images[start:] if dropped else request.images[start:][:n_free]
                request.n_taken += len(images)
                self._n_images -= len(images)
                self._n_pixels -= sum(image.size for image in images)
                if request.n_taken == len(request.images):
                    self._waiting.popleft()
                if not dropped:
                    n_free -= len(images)
                    batch.append((request, images))
        return batch

    def _outcomes(self, images: list[GrayImage]) -> list[Outcome]:
        """Recognise a batch; if that fails, image by image, so that one does not spoil others."""
        try:
            return [*self._read(images)]
        except Exception as error:
            if len(images) == 1 and isinstance(error, OcrSearchError):
                return [ReadingError(str(error))]
            if len(images) == 1:
                logger.warning("an image cannot be recognised: %r", error)
                return [ReadingError("internal error; see the log of the service")]
            return [outcome for image in images for outcome in self._outcomes([image])]
