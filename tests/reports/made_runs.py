"""Runs of made-up trials."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ocrsearch.reports.runs import ENDED, Run, _points
from ocrsearch.training.records import EpochRecord

BEGAN = 1_700_000_000.0


def record(epoch: int, cer: float, *, val_loss: float = 1.0, **more: Any) -> EpochRecord:
    """Return the record of an epoch of half a second."""
    rates = {"cer": cer, "wer": cer, "exact": 1 - cer}
    return EpochRecord(epoch=epoch, val_loss=val_loss, train_loss=cer, seconds=0.5, **rates, **more)


def make_run(n_epochs: int, state: str = "unfinished", number: int = 0, **changes: Any) -> Run:
    """Return a run whose CER falls from 1: 1, 1/2, 1/3, ..."""
    epochs = [record(epoch, 1 / epoch) for epoch in range(1, n_epochs + 1)]
    run = Run(
        number=number,
        state=state,
        params={"training.learning_rate": 0.01, "model.architecture": "crnn", "x": None},
        points=tuple(_points(epochs, BEGAN)),
        figures={},
        tags={"study": "numbers", "trial": str(number), "state": state},
        began=BEGAN,
        ended=BEGAN + 9 if state in ENDED else None,
    )
    return replace(run, **changes)


def trained_again(run: Run, from_epoch: int) -> Run:
    """Return a run whose epochs after the first ones were trained again, and differ."""
    epochs = [
        record(point.epoch, point.values["val/cer"])
        if point.epoch < from_epoch
        else record(point.epoch, 0.9 / point.epoch).model_copy(update={"seconds": 0.25})
        for point in run.points
    ]
    return replace(run, points=tuple(_points(epochs, BEGAN)))
