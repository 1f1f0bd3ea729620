"""What validation and test samples have in common with training samples."""

from __future__ import annotations

import numpy as np
import pytest

from ocrsearch.data.checks import describe_leaks
from ocrsearch.data.samples import (
    GrayImage,
    Sample,
    Split,
)


def pair(
    split: Split, text: str, value: int, group: str | None = None, shape: tuple[int, int] = (2, 3)
) -> tuple[Sample, GrayImage]:
    image = np.full(shape, value, np.uint8)
    return Sample(f"{split}{text}{value}", image, text, split, group), image


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([], ""),
        ([pair("val", "cd", 9)], ""),
        ([pair("val", "a", 9)], ""),
        ([pair("val", "cd", 2, shape=(3, 2))], ""),
        ([pair("val", "cd", 9, "w2")], ""),
        (
            [pair("val", "cd", 2), pair("test", "ef", 2), pair("test", "ef", 9)],
            "of 3 validation and test samples, 2 with the image of a training sample",
        ),
        (
            [pair("val", "ab", 9), pair("val", "cd", 8)],
            "of 2 validation and test samples, 1 with the text of a training sample",
        ),
        (
            [pair("val", "ab", 2, "w1"), pair("test", "ab", 8, "w1")],
            "of 2 validation and test samples, 1 with the image of a training sample, "
            "2 with the text of a training sample, 1 groups also in the training split",
        ),
    ],
)
def test_leaks_are_counted(others: list[tuple[Sample, GrayImage]], expected: str) -> None:
    train = [pair("train", "ab", 1, "w1"), pair("train", "a", 2), pair("train", "x", 3, "w3")]

    assert describe_leaks([*train, *others]) == expected
