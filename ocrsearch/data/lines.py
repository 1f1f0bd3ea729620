"""Lines: what a network trains on and reads, made of the pictures of a data set."""

from __future__ import annotations

from dataclasses import dataclass

from ocrsearch.config import ImageConfig
from ocrsearch.data.charset import Charset
from ocrsearch.data.dataset import LabelledImages
from ocrsearch.data.images import scale_image
from ocrsearch.data.samples import GrayImage


@dataclass(frozen=True)
class Line:
    """A scaled picture with the ids of its label, which are empty where none is known."""

    image: GrayImage
    target: tuple[int, ...] = ()


def scaled_lines(data: LabelledImages, charset: Charset, config: ImageConfig) -> list[Line]:
    """Scale the pictures of a split and encode its labels."""
    return [
        Line(scale_image(image, config), tuple(charset.encode(text)))
        for image, text in zip(data.images, data.texts, strict=True)
    ]
