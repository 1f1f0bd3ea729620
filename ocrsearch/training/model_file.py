"""Model files as they lie on disk: read whole and checked, running no code from them."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from ocrsearch.errors import BundleError
from ocrsearch.training.checkpoint import load_tensors

FORMAT = "ocrsearch model"
VERSION = 7
"""1: both directions of a recurrent layer in one, augmentation as a number. 2: norms before the
pooling. 3: one network. 4: weights of 32 bits. 5: nothing added to the training split. 6: no
right-to-left labels in visual order."""

READABLE = (3, 4, 5, 6, VERSION)
"""What is missing in these is as by default."""


def read_model_file(path: Path) -> dict[str, Any]:
    """Return the content of a model file.

    Raises:
        BundleError: no such file, not a model, damaged, or of another version.
    """
    if not path.is_file():
        raise BundleError(
            f"{path}: no such model file; 'ocrsearch best --export' or 'ocrsearch train' makes one"
        )
    if not zipfile.is_zipfile(path):
        raise BundleError(f"{path}: not an ocrsearch model file, or cut off")
    try:
        content = load_tensors(path)
    except zipfile.BadZipFile as error:
        raise BundleError(f"{path}: damaged model file ({error})") from None
    except pickle.UnpicklingError:
        raise BundleError(
            f"{path}: not an ocrsearch model: it holds more than tensors and plain values, "
            "and reading it could run code; refused"
        ) from None
    except Exception as error:  # a damaged archive fails in many ways
        raise BundleError(f"{path}: damaged model file ({type(error).__name__})") from None
    if content.get("format") != FORMAT:
        raise BundleError(f"{path}: a PyTorch file, but not an ocrsearch model")
    if content.get("version") not in READABLE:
        raise BundleError(
            f"{path}: model of version {content.get('version')}, this program reads "
            f"{', '.join(map(str, READABLE))}; use the ocrsearch that made it, or make it again"
        )
    return content


def widen(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return weights in 32 bits, in which networks are built, of which some were stored in 16."""
    return {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in weights.items()
    }
