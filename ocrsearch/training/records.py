"""Records of epochs, and the files of a trial; no tensors.

Records of epochs as plain values, for studies, models and figures; no tensors.

The files of a trial: a checkpoint to go on from, and the weights of its best epoch.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

Epochs = list[dict[str, Any]]
"""A record of each epoch so far, as ``session.epoch_record`` makes it."""


def best_epoch(epochs: Epochs) -> dict[str, Any]:
    """Return the record of the epoch whose weights are kept: by CER, then by loss.

    With folds it is the epoch of the first fold, with the figures over all finished folds.
    """
    first = epochs[: n_of_first_fold(epochs)]
    best = min(first, key=lambda record: (record["cer"], record["val_loss"]))
    pooled = [record["pooled"] for record in epochs if "pooled" in record]
    return {**best, **pooled[-1]} if pooled else best


def n_of_first_fold(epochs: Epochs) -> int:
    """Return the number of epochs in the first fold; without folds there is no other."""
    return sum(record.get("fold", 1) == 1 for record in epochs)


def n_finished_folds(epochs: Epochs) -> int:
    """Return the number of folds that are trained to their end, 0 without folds."""
    return sum("pooled" in record for record in epochs)


def lacks_folds(epochs: Epochs) -> bool:
    """Whether a configuration has not seen all of its folds."""
    return bool(epochs) and n_finished_folds(epochs) < epochs[-1].get("n_folds", 0)


def describe_progress(epochs: Epochs, n_epochs: int) -> str:
    """Return the epoch that a training is at, and the fold if there are several.

    Args:
        epochs: records so far.
        n_epochs: number of epochs of the schedule, in each fold.
    """
    if not epochs or "fold" not in epochs[-1]:
        return f"{len(epochs)} of {n_epochs}"
    fold, n_folds = epochs[-1]["fold"], epochs[-1]["n_folds"]
    n = sum(record["fold"] == fold for record in epochs)
    return f"{n} of {n_epochs} in fold {fold} of {n_folds}"


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


LAST = "last.pt"
"""All that training needs to go on; removed when the trial is finished."""

BEST = "best.pt"
"""Weights, configuration and charset of the best epoch; what a model is exported from."""

VALIDATED = "validated.json"
"""Edits that the weights of the best epoch make in each validation text."""

WORST = "worst.png"
"""What the finished trial reads worst in the validation split, as one picture."""

START = "start.pt"
"""Copy of the model whose weights the trials of a study start from."""

LEFT_OUT = "left_out.txt"
"""The samples that could not be used, in the folder of a study or of a single training."""


def trial_folder(folder: Path, number: int) -> Path:
    """Return where a trial of the study in a folder saves its files."""
    return folder / f"trial-{number:05d}"


def fold_folder(folder: Path, fold: int) -> Path:
    """Return where a trial saves the files of a fold, from 1; those of the first are its own."""
    return folder if fold == 1 else folder / f"fold-{fold}"


def remove_checkpoints(folder: Path) -> None:
    """Delete the checkpoints of a trial that is at its end, of all its folds."""
    for path in (folder / LAST, *folder.glob(f"fold-*/{LAST}")):
        path.unlink(missing_ok=True)


def remove_folder(folder: Path) -> None:
    """Delete a folder and all in it, if it is there."""
    shutil.rmtree(folder, ignore_errors=True)
