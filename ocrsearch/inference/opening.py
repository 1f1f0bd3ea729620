"""Model files of either format, and their networks. PyTorch is imported for ``.pt`` files only."""

from __future__ import annotations

from pathlib import Path

from ocrsearch.core import BundleError, is_light
from ocrsearch.inference.networks import Network
from ocrsearch.training import Model


def load_model(path: Path) -> Model:
    """Read and check a model file: ``.onnx``, or ``.pt`` of PyTorch.

    Raises:
        BundleError: the file is missing or not a model, or it needs PyTorch, which is missing.
    """
    if path.suffix.lower() == ".onnx":
        from ocrsearch.inference.onnx_file import load_onnx

        return load_onnx(path)
    try:
        from ocrsearch.training import load_bundle
    except ModuleNotFoundError as error:
        if error.name != "torch" and not is_light():
            raise
        raise BundleError(
            f"{path}: needs PyTorch, which is not installed here; where it is, 'ocrsearch export' "
            "converts the model to .onnx"
        ) from None
    return load_bundle(path)


def open_networks(model: Model, device: str) -> list[Network]:
    """Return the networks of a recogniser, one for each member.

    Args:
        model: recogniser from a model file.
        device: "auto", "cpu" or "cuda".

    Raises:
        OptionError: the device does not exist, or cannot compute the model.
        BundleError: the model is damaged.
    """
    from ocrsearch.inference.onnx_file import OnnxModel

    if isinstance(model, OnnxModel):
        from ocrsearch.inference.onnx_network import open_onnx

        return open_onnx(model, device)
    from ocrsearch.inference.torch_network import open_torch

    return open_torch(model, device)
