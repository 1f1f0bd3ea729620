"""A training in a folder: every epoch is saved before it is told of, and it goes on from there.

At most the epoch in progress is lost, whatever happens. The search's workers and ``train`` both
train through this.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ocrsearch.training.checkpoint import load_tensors, save_tensors
from ocrsearch.training.epochs import Epochs
from ocrsearch.training.trainer import EpochReport, Trainer
from ocrsearch.training.trial_files import BEST, LAST


def train_epochs(trainer: Trainer, folder: Path) -> Iterator[Epochs]:
    """Train to the end of the schedule, from the folder's checkpoint if it has a whole one.

    Args:
        trainer: new; who stops iterating ends the training.
        folder: where the last and the best epoch are saved; made if it is missing.

    Yields:
        The records of all epochs so far, after each and, if there is a checkpoint, before
        the first.

    Raises:
        DivergedError: the loss became NaN or infinite.
        OSError: a checkpoint cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    epochs: Epochs = []
    if saved := _last_epoch(folder / LAST):
        trainer.restore(saved["trainer"])
        epochs = saved["epochs"]
        yield list(epochs)
    while not trainer.finished:
        report = trainer.run_epoch()
        epochs.append(epoch_record(report))
        if report.is_best:
            save_tensors(_recogniser(trainer, report.epoch), folder / BEST)
        save_tensors({"trainer": trainer.state(), "epochs": epochs}, folder / LAST)
        yield list(epochs)


def _last_epoch(path: Path) -> dict[str, Any] | None:
    """Return what was saved after it; nothing if no epoch was, or the file is damaged."""
    try:
        return load_tensors(path)
    except (FileNotFoundError, zipfile.BadZipFile):
        return None


def epoch_record(report: EpochReport) -> dict[str, Any]:
    """Return an epoch as plain values, for studies, models and figures."""
    record = asdict(report)
    metrics = record.pop("metrics")
    return {**record, **{key: metrics[key] for key in ("cer", "wer", "exact")}}


def _recogniser(trainer: Trainer, epoch: int) -> dict[str, Any]:
    return {
        "weights": trainer.network.state_dict(),
        "config": trainer.config.model_dump(mode="json"),
        **trainer.charset.content(),
        "epoch": epoch,
    }
