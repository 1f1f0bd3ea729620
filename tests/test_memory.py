"""Errors of many libraries that mean too little memory."""

from __future__ import annotations

import errno

import cv2
import numpy as np
import pytest
import torch

from ocrsearch.core.machine import count_memory_kills, is_out_of_memory


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("of 2 GiB"),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("MPS backend out of memory (MPS allocated: 18.00 GB)"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("bad allocation"),
        cv2.error("OpenCV(5.0.0) (-4:Insufficient memory) Failed to allocate 9 bytes"),
        OSError(errno.ENOMEM, "Cannot allocate memory", "a.npy"),
    ],
    ids=repr,
)
def test_too_little_memory(error: Exception) -> None:
    assert is_out_of_memory(error)
    outer = ValueError("no training")
    outer.__cause__ = error
    assert is_out_of_memory(outer)


def test_numpy_has_an_error_of_its_own() -> None:
    with pytest.raises(MemoryError) as caught:
        np.zeros(2**60, np.uint8)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    "error",
    [ValueError("memory of the network"), OSError(errno.ENOSPC, "No space left on device"),
     RuntimeError("shape '[2]' is invalid for input of size 3")],
)  # fmt: skip
def test_other_errors(error: Exception) -> None:
    assert not is_out_of_memory(error)


def test_kills_are_counted() -> None:
    assert count_memory_kills() >= 0
