"""Fixtures that several folders of tests share: data made by the machine, in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import cv2
import numpy as np
import pytest

from ocrsearch.data.charset import Charset
from ocrsearch.data.dataset import Dataset, LabelledImages, PackedImages
from ocrsearch.data.samples import GrayImage

SIXTEEN_TEXTS = (
    *("86", "523", "00", "018", "69", "569", "76", "559"),
    *("28", "603", "85", "077", "81", "080", "50", "244"),
)
"""Two or three symbols each, some doubled."""


def pytest_configure() -> None:
    """Let PyTorch use one thread: it reads this when it is first imported."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def draw_text(text: str) -> GrayImage:
    """Return a picture of digits, 20 px high, as wide as the text is long."""
    image = np.full((20, 4 + 11 * len(text)), 255, np.uint8)
    cv2.putText(image, text, (2, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.55, 0, 1, cv2.LINE_AA)
    return image


@pytest.fixture(scope="session")
def sixteen_lines() -> Dataset:
    """Sixteen pictures of numbers; training and validation split are the same."""
    texts = list(SIXTEEN_TEXTS)
    images = PackedImages.pack([draw_text(text) for text in texts])
    lines = LabelledImages([f"{text}.png" for text in texts], texts, images)
    nothing = LabelledImages([], [], PackedImages.pack([]))
    splits = {"train": lines, "val": lines, "test": nothing}
    return Dataset("memory", splits, Charset.from_texts(texts), "sixteen", [])


@pytest.fixture
def full_disk() -> Callable[[], AbstractContextManager[None]]:
    """A context in which no file can grow beyond some kilobytes, as on a full disk."""
    resource = pytest.importorskip("resource")

    @contextmanager
    def limited() -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited
