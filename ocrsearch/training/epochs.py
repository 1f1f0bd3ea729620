"""Records of epochs as plain values, for studies, models and figures; no tensors."""

from __future__ import annotations

from typing import Any

Epochs = list[dict[str, Any]]
"""A record of each epoch so far, as ``session.epoch_record`` makes it."""


def best_epoch(epochs: Epochs) -> dict[str, Any]:
    """Return the record of the epoch whose weights are kept: by CER, then by loss."""
    return min(epochs, key=lambda record: (record["cer"], record["val_loss"]))


def epochs_result(epochs: Epochs) -> dict[str, Any]:
    """Return what a training has come to so far: rates of its best epoch, and what it took."""
    best = best_epoch(epochs)
    return {
        "cer": best["cer"],
        "exact": best["exact"],
        "wer": best["wer"],
        "val_loss": best["val_loss"],
        "best_epoch": best["epoch"],
        "n_epochs": len(epochs),
        "seconds": sum(record["seconds"] for record in epochs),
    }


def training_result(epochs: Epochs, n_parameters: int) -> dict[str, Any]:
    """Return what a training came to, with the size of its network."""
    size = {"n_parameters": n_parameters, "size_mb": n_parameters * 4 / 1e6}
    return epochs_result(epochs) | size
