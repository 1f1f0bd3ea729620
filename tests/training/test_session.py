"""Training in a folder: saved after each epoch, stopped and continued."""

from __future__ import annotations

from pathlib import Path

import torch

from ocrsearch.config import Config, CrnnConfig, EncoderConfig, ImageConfig, TrainingConfig
from ocrsearch.data.dataset import Dataset
from ocrsearch.training.checkpoint import load_tensors
from ocrsearch.training.epochs import Epochs, best_epoch, training_result
from ocrsearch.training.session import train_epochs
from ocrsearch.training.trainer import Trainer
from ocrsearch.training.trial_files import BEST, LAST

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
    return [record["epoch"] for record in epochs]


def test_each_epoch_is_saved_before_it_is_told(sixteen_lines: Dataset, tmp_path: Path) -> None:
    told = []
    for epochs in train_epochs(trainer(sixteen_lines), tmp_path / "new" / "folder"):
        assert load_tensors(tmp_path / "new" / "folder" / LAST)["epochs"] == epochs
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


def test_what_is_told_is_not_changed_later(sixteen_lines: Dataset, tmp_path: Path) -> None:
    first, *_, last = train_epochs(trainer(sixteen_lines), tmp_path)
    assert (len(first), len(last)) == (1, N_EPOCHS)


def test_the_result_is_that_of_the_best_epoch(sixteen_lines: Dataset, tmp_path: Path) -> None:
    *_, epochs = train_epochs(trainer(sixteen_lines), tmp_path)
    best = best_epoch(epochs)
    assert load_tensors(tmp_path / BEST)["epoch"] == best["epoch"]
    result = training_result(epochs, 1000)
    assert (result["best_epoch"], result["n_epochs"]) == (best["epoch"], N_EPOCHS)
    assert (result["cer"], result["val_loss"]) == (best["cer"], best["val_loss"])
    assert result["size_mb"] == 0.004


def test_of_epochs_with_one_error_the_lower_loss_is_best() -> None:
    epochs = [
        {"epoch": 1, "cer": 0.5, "val_loss": 1.0},
        {"epoch": 2, "cer": 0.1, "val_loss": 3.0},
        {"epoch": 3, "cer": 0.1, "val_loss": 2.0},
    ]
    assert best_epoch(epochs)["epoch"] == 3
