"""Records of a training's epochs, and the files that a trial has in its folder.

An epoch is an ``EpochRecord`` everywhere in the program. Databases, checkpoints and model files
hold it as plain values: ``read_epochs`` and ``plain_epochs`` convert. This module needs no torch.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Pooled(BaseModel):
    """Figures over all folds that are finished, each at its best epoch.

    Attributes:
        cer: all edits by all reference characters, as a fraction.
        wer: the same for words.
        exact: fraction of texts that are wholly right.
        val_loss: mean validation loss of the folds.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="allow")

    cer: Finite
    wer: Finite
    exact: Finite
    val_loss: Finite


class EpochRecord(BaseModel):
    """One epoch of a training.

    Fields that a file lacks have their defaults and are not written again; unknown fields are
    kept.

    Attributes:
        epoch: number of the epoch, from 1; counted through over all folds.
        train_loss: mean loss over the training batches.
        val_loss: mean loss over the validation split.
        is_best: whether the epoch is the best so far, by CER and then by loss.
        learning_rate: learning rate at the end of the epoch.
        seconds: duration of training and validation in seconds.
        cer: character error rate on the validation split, as a fraction.
        wer: word error rate there, as a fraction.
        exact: fraction of validation texts that are wholly right.
        fold: number of the fold, from 1.
        n_folds: number of folds, 0 without folds.
        pooled: figures over the finished folds; only in the last record of a fold.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="allow")

    epoch: int
    train_loss: Finite = 0.0
    val_loss: Finite
    is_best: bool = False
    learning_rate: float = 0.0
    seconds: float = 0.0
    cer: Finite
    wer: float = 0.0
    exact: float = 0.0
    fold: int = 1
    n_folds: int = 0
    pooled: Pooled | None = None


Epochs = list[EpochRecord]
"""The records of all epochs of a training so far."""

_EPOCHS = TypeAdapter(Epochs)


def read_epochs(values: object) -> Epochs:
    """Return the records that plain values describe.

    Args:
        values: list of dictionaries, from a database or a file.

    Raises:
        ValueError: the values are no such list.
    """
    return _EPOCHS.validate_python(values)


def require_fields(epochs: Epochs, names: Collection[str]) -> None:
    """Check that all records were given some optional fields.

    Raises:
        ValueError: a record lacks a field.
    """
    for i, record in enumerate(epochs):
        if missing := set(names) - record.model_fields_set:
            raise ValueError(f"epochs.{i}: lacks {', '.join(sorted(missing))}")


def plain_epochs(epochs: Sequence[EpochRecord]) -> list[dict[str, object]]:
    """Return records as plain values, for a database or a file."""
    return [record.model_dump(exclude_unset=True) for record in epochs]


@dataclass(frozen=True)
class EpochsResult:
    """Summary of a training so far: the figures of its best epoch, and its length.

    Attributes:
        cer: character error rate of the best epoch on the validation split, as a fraction.
        exact: fraction of validation texts that are wholly right.
        wer: word error rate, as a fraction.
        val_loss: mean validation loss.
        best_epoch: number of the best epoch.
        n_epochs: number of epochs, over all folds.
        seconds: duration of all epochs in seconds.
    """

    cer: float
    exact: float
    wer: float
    val_loss: float
    best_epoch: int
    n_epochs: int
    seconds: float


@dataclass(frozen=True)
class TrainingResult(EpochsResult):
    """Summary of a training, with the size of its network.

    Attributes:
        n_parameters: number of weights.
        size_mb: size of the weights in megabytes, at 32 bits each.
    """

    n_parameters: int
    size_mb: float


def best_epoch(epochs: Epochs) -> EpochRecord:
    """Return the record of the epoch whose weights are kept: lowest CER, then lowest loss.

    With folds it is an epoch of the first fold, with the figures over all finished folds.
    """
    first = epochs[: n_of_first_fold(epochs)]
    best = min(first, key=lambda record: (record.cer, record.val_loss))
    pooled = [record.pooled for record in epochs if record.pooled is not None]
    return best.model_copy(update=pooled[-1].model_dump()) if pooled else best


def n_of_first_fold(epochs: Epochs) -> int:
    """Return the number of epochs in the first fold, or of all epochs without folds."""
    return sum(record.fold == 1 for record in epochs)


def n_finished_folds(epochs: Epochs) -> int:
    """Return the number of folds that are trained to their end, 0 without folds."""
    return sum(record.pooled is not None for record in epochs)


def lacks_folds(epochs: Epochs) -> bool:
    """Return whether a configuration has folds that are not trained to their end."""
    return bool(epochs) and n_finished_folds(epochs) < epochs[-1].n_folds


def describe_progress(epochs: Epochs, n_epochs: int) -> str:
    """Return the epoch that a training is at, and the fold if there are several.

    Args:
        epochs: records so far.
        n_epochs: number of epochs of the schedule, in each fold.
    """
    if not epochs or not epochs[-1].n_folds:
        return f"{len(epochs)} of {n_epochs}"
    fold, n_folds = epochs[-1].fold, epochs[-1].n_folds
    n = sum(record.fold == fold for record in epochs)
    return f"{n} of {n_epochs} in fold {fold} of {n_folds}"


def epochs_result(epochs: Epochs) -> EpochsResult:
    """Summarise a training so far."""
    best = best_epoch(epochs)
    return EpochsResult(
        cer=best.cer,
        exact=best.exact,
        wer=best.wer,
        val_loss=best.val_loss,
        best_epoch=best.epoch,
        n_epochs=len(epochs),
        seconds=sum(record.seconds for record in epochs),
    )


def training_result(epochs: Epochs, n_parameters: int) -> TrainingResult:
    """Summarise a training, with the size of its network."""
    size_mb = n_parameters * 4 / 1e6
    return TrainingResult(
        **asdict(epochs_result(epochs)), n_parameters=n_parameters, size_mb=size_mb
    )


LAST = "last.pt"
"""Checkpoint with all that is needed to resume; removed when the trial is finished."""

BEST = "best.pt"
"""Weights, configuration and charset of the best epoch, from which a model is exported."""

VALIDATED = "validated.json"
"""Number of edits in each validation text with the weights of the best epoch."""

WORST = "worst.png"
"""Contact sheet of the worst errors of a finished trial in the validation split."""

START = "start.pt"
"""Copy of the model that initialises the trials of a study."""

LEFT_OUT = "left_out.txt"
"""List of the samples that were skipped, in the folder of a study or of a single training."""


def trial_folder(folder: Path, number: int) -> Path:
    """Return the folder of a trial, within the folder of its study."""
    return folder / f"trial-{number:05d}"


def fold_folder(folder: Path, fold: int) -> Path:
    """Return the folder of a fold, from 1; the first fold uses the folder of the trial itself."""
    return folder if fold == 1 else folder / f"fold-{fold}"


def remove_checkpoints(folder: Path) -> None:
    """Delete the checkpoints of a finished trial, in all its folds."""
    for path in (folder / LAST, *folder.glob(f"fold-*/{LAST}")):
        path.unlink(missing_ok=True)


def remove_folder(folder: Path) -> None:
    """Delete a folder with its contents, if it exists."""
    shutil.rmtree(folder, ignore_errors=True)
