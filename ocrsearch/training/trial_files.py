"""The files of a trial: a checkpoint to go on from, and the weights of its best epoch."""

from __future__ import annotations

import shutil
from pathlib import Path

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
