"""Where to compute."""

from __future__ import annotations

import torch

from ocrsearch.errors import OptionError


def select_device(name: str) -> torch.device:
    """Return the device that a name means.

    Args:
        name: "cpu", "cuda", or "auto" for CUDA where there is a GPU.

    Raises:
        OptionError: CUDA is asked for and not there.
    """
    has_cuda = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if has_cuda else "cpu")
    if name == "cuda" and not has_cuda:
        raise OptionError("--device cuda: PyTorch finds no GPU here; use --device cpu or auto")
    return torch.device(name)
