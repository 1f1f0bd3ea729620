"""Training in a folder: saved after each epoch, stopped and continued."""

from __future__ import annotations

import shutil
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch

from ocrsearch.core.config import (
    Config,
    CrnnConfig,
    EncoderConfig,
    ImageConfig,
    TrainingConfig,
)
from ocrsearch.core.errors import CheckpointError
from ocrsearch.data.dataset import Dataset
from ocrsearch.data.prepared import fold_dataset
from ocrsearch.evaluation.metrics import (
    EditCounts,
    rates,
    read_counts,
)
from ocrsearch.training.checkpoint import load_tensors
from ocrsearch.training.records import (
    BEST,
    LAST,
    VALIDATED,
    EpochRecord,
    Epochs,
    best_epoch,
    describe_progress,
    fold_folder,
    lacks_folds,
    plain_epochs,
    training_result,
)
from ocrsearch.training.session import train_epochs, train_folds
from ocrsearch.training.trainer import Trainer

N_EPOCHS = 3
CONFIG = Config(
    images=ImageConfig(height=16),
    model=CrnnConfig(
        encoder=EncoderConfig(conv_depth=2, conv_base=8, linear_width=8, hidden_size=8)
    ),
    training=TrainingConfig(batch_size=8, epochs=N_EPOCHS, warmup_steps=2),
)


def trainer(dataset: Dataset) -> Trainer:
    return Trainer(CONFIG, dataset, 3, torch.device("cpu"))


def numbers(epochs: Epochs) -> list[int]:
    return [record.epoch for record in epochs]


def test_each_epoch_is_saved_before_it_is_told(sixteen_lines: Dataset, tmp_path: Path) -> None:
    told = []
    for epochs in train_epochs(trainer(sixteen_lines), tmp_path / "new" / "folder"):
        assert load_tensors(tmp_path / "new" / "folder" / LAST)["epochs"] == plain_epochs(epochs)
        told.append(numbers(epochs))
    assert told == [[1], [1, 2], [1, 2, 3]]


def test_who_stops_listening_ends_it_and_the_next_goes_on(
    sixteen_lines: Dataset, tmp_path: Path
) -> None:
    next(train_epochs(trainer(sixteen_lines), tmp_path))
    told = [numbers(epochs) for epochs in train_epochs(trainer(sixteen_lines), tmp_path)]
    assert told == [[1], [1, 2], [1, 2, 3]]  # what was there is told first
    told = [numbers(epochs) for epochs in train_epochs(trainer(sixteen_lines), tmp_path)]
    assert told == [[1, 2, 3]]


def test_a_training_that_is_to_end_sooner_keeps_to_it_when_it_goes_on(
    sixteen_lines: Dataset, tmp_path: Path
) -> None:
    before = trainer(sixteen_lines)
    training = train_epochs(before, tmp_path)
    rate = next(training)[0].learning_rate
    before.end_within(2)
    before.end_within(1)
    assert next(training)[1].learning_rate < rate
    assert before.finished
    after = trainer(sixteen_lines)
    told = [numbers(epochs) for epochs in train_epochs(after, tmp_path)]
    assert told == [[1, 2]]
    assert after.finished


def test_what_is_told_is_not_changed_later(sixteen_lines: Dataset, tmp_path: Path) -> None:
    first, *_, last = train_epochs(trainer(sixteen_lines), tmp_path)
    assert (len(first), len(last)) == (1, N_EPOCHS)


def test_the_result_is_that_of_the_best_epoch(sixteen_lines: Dataset, tmp_path: Path) -> None:
    *_, epochs = train_epochs(trainer(sixteen_lines), tmp_path)
    best = best_epoch(epochs)
    assert load_tensors(tmp_path / BEST)["epoch"] == best.epoch
    result = training_result(epochs, 1000)
    assert (result.best_epoch, result.n_epochs) == (best.epoch, N_EPOCHS)
    assert (result.cer, result.val_loss) == (best.cer, best.val_loss)
    assert result.size_mb == 0.004


def test_of_epochs_with_one_error_the_lower_loss_is_best() -> None:
    epochs = [
        EpochRecord(epoch=1, cer=0.5, val_loss=1.0),
        EpochRecord(epoch=2, cer=0.1, val_loss=3.0),
        EpochRecord(epoch=3, cer=0.1, val_loss=2.0),
    ]
    assert best_epoch(epochs).epoch == 3


N_FOLDS = 3


class Builder:
    """Builds the trainers of the folds, and knows of which it did."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.built: list[int] = []

    def __call__(self, fold: int) -> Trainer:
        self.built.append(fold)
        return trainer(fold_dataset(self.dataset, N_FOLDS, fold))


def all_told(dataset: Dataset, folder: Path) -> list[Epochs]:
    return [epochs for _, epochs in train_folds(Builder(dataset), N_FOLDS, folder)]


def without_seconds(epochs: Epochs) -> Epochs:
    return [record.model_copy(update={"seconds": 0.0}) for record in epochs]


def test_folds_are_trained_one_after_the_other(sixteen_lines: Dataset, tmp_path: Path) -> None:
    *_, epochs = all_told(sixteen_lines, tmp_path)
    assert numbers(epochs) == list(range(1, 10))
    assert [record.fold for record in epochs] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert [record.epoch for record in epochs if record.pooled] == [3, 6, 9]
    assert not lacks_folds(epochs)
    assert lacks_folds(epochs[:-1])


def test_the_result_is_that_of_all_edits_of_all_folds(
    sixteen_lines: Dataset, tmp_path: Path
) -> None:
    *_, epochs = all_told(sixteen_lines, tmp_path)
    found = [read_counts(fold_folder(tmp_path, fold) / VALIDATED) for fold in (1, 2, 3)]
    tables = [counts.table() for counts in found if counts]
    assert sum(map(len, tables)) == 30  # but for the samples with the only 4s
    metrics = rates(EditCounts.from_table(np.concatenate(tables)))
    result = training_result(epochs, 1000)
    assert (result.cer, result.exact) == (metrics.cer, metrics.exact)
    bests = [best_epoch(without_folds(epochs, fold)) for fold in (1, 2, 3)]
    assert result.val_loss == pytest.approx(fmean(best.val_loss for best in bests))
    assert result.best_epoch == bests[0].epoch
    assert result.n_epochs == 9


def without_folds(epochs: Epochs, fold: int) -> Epochs:
    """Return the records of a fold as if there were no others."""
    return [
        EpochRecord(epoch=e.epoch, cer=e.cer, val_loss=e.val_loss) for e in epochs if e.fold == fold
    ]


def test_the_fold_in_progress_does_not_count(sixteen_lines: Dataset, tmp_path: Path) -> None:
    *_, epochs = all_told(sixteen_lines, tmp_path)
    assert epochs[2].pooled is not None
    assert best_epoch(epochs[:5]).cer == epochs[2].pooled.cer
    assert best_epoch(epochs[:2]).cer == min(record.cer for record in epochs[:2])
    assert describe_progress(epochs[:5], N_EPOCHS) == "2 of 3 in fold 2 of 3"
    assert describe_progress([], N_EPOCHS) == "0 of 3"


@pytest.mark.parametrize("n_before", [1, 3, 4, 6, 8])
def test_stopped_folds_are_resumed_as_if_uninterrupted(
    n_before: int, sixteen_lines: Dataset, tmp_path: Path
) -> None:
    *_, whole = all_told(sixteen_lines, tmp_path / "whole")
    for _, epochs in train_folds(Builder(sixteen_lines), N_FOLDS, tmp_path / "stopped"):
        if len(epochs) == n_before:
            break
    told = all_told(sixteen_lines, tmp_path / "stopped")
    assert [len(epochs) for epochs in told] == list(range(n_before, 10))
    assert without_seconds(told[-1]) == without_seconds(whole)
    for fold in (1, 2, 3):
        files = [fold_folder(tmp_path / name, fold) / BEST for name in ("whole", "stopped")]
        first, second = (load_tensors(file)["weights"] for file in files)
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_damaged_checkpoint_costs_its_fold_alone(sixteen_lines: Dataset, tmp_path: Path) -> None:
    *_, whole = all_told(sixteen_lines, tmp_path)
    (fold_folder(tmp_path, 2) / LAST).write_bytes(b"half")
    told = all_told(sixteen_lines, tmp_path)
    assert without_seconds(told[-1]) == without_seconds(whole)


def test_lost_counts_are_named(sixteen_lines: Dataset, tmp_path: Path) -> None:
    all_told(sixteen_lines, tmp_path)
    (fold_folder(tmp_path, 2) / VALIDATED).unlink()
    with pytest.raises(CheckpointError, match=r"fold-2/validated.json: missing or damaged"):
        all_told(sixteen_lines, tmp_path)


def test_a_folder_that_is_gone_is_not_made_again(sixteen_lines: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "trial"
    training = train_folds(Builder(sixteen_lines), N_FOLDS, folder)
    for _ in range(N_EPOCHS):
        next(training)
    shutil.rmtree(folder)
    with pytest.raises(FileNotFoundError):
        next(training)
    assert not folder.exists()
