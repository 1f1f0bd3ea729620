"""How results depend on the processor, and how tests do not.

Libraries choose their kernels by the processor and by the shapes they are given, and each kernel
adds in an order of its own. In single precision that makes 1e-6 of a product and, in networks
with large weights, 1e-4 of a result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

RELATIVE_ERROR = 5e-6
"""Of each number: some 40 units in the last place, more than kernels differ by."""

NAMES = frozenset(
    {"conv1d", "conv2d", "linear", "matmul", "mm", "bmm", "addmm", "baddbmm", "einsum"}
    | {"lstm", "gru", "lstm_cell", "gru_cell", "batch_norm", "__matmul__", "__rmatmul__"}
)
"""Functions whose rounding depends on the processor."""


@contextmanager
def double_precision() -> Iterator[None]:
    """Let networks that are double compute in double precision throughout.

    There another order of sums makes 1e-12 of a result: two ways to the same result can be
    compared closely, on any processor.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tensor, "float", Tensor.double)
        yield


class OtherRounding(TorchFunctionMode):
    """Arithmetic that rounds as another processor might, to find tests that need this one.

    While it is entered, each product of matrices, convolution and recurrent layer in single
    precision gets a small relative error that depends on its shape alone. The same call twice
    gives the same result, as on a real machine, and an image alone rounds differently from an
    image in a batch. ``OCRSEARCH_TEST_ROUNDING=1`` enters it for all tests.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        return _disturbed(result) if getattr(func, "__name__", "") in NAMES else result


def _disturbed(result: Any) -> Any:
    if isinstance(result, tuple):
        return tuple(_disturbed(part) for part in result)
    if not isinstance(result, Tensor) or result.dtype != torch.float32 or result.is_meta:
        return result
    return _Disturb.apply(result)


class _Disturb(torch.autograd.Function):
    """Multiplies by the errors; its gradient is that of the undisturbed result."""

    @staticmethod
    def forward(context: Any, result: Tensor) -> Tensor:  # noqa: ARG004
        return result * _errors(tuple(result.shape))

    @staticmethod
    def backward(context: Any, slope: Tensor) -> Tensor:  # noqa: ARG004
        return slope


@lru_cache(maxsize=4096)
def _errors(shape: tuple[int, ...]) -> Tensor:
    generator = torch.Generator().manual_seed(hash(shape) % 2**31)
    with torch.inference_mode(mode=False):
        return 1 + RELATIVE_ERROR * (2 * torch.rand(shape, generator=generator) - 1)
