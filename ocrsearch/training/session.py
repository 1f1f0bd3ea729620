"""A training in a folder: every epoch is saved before it is told of, and it goes on from there.

At most the epoch in progress is lost, whatever happens. The search's workers and ``train`` both
train through this.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ocrsearch.config import Config
from ocrsearch.errors import BundleError, CheckpointError, TrainingError
from ocrsearch.memory import is_out_of_memory
from ocrsearch.training.checkpoint import load_tensors, save_tensors
from ocrsearch.training.epochs import Epochs, epochs_result
from ocrsearch.training.trainer import EpochReport, Trainer
from ocrsearch.training.trial_files import BEST, LAST


def train_epochs(trainer: Trainer, folder: Path, study_id: str = "") -> Iterator[Epochs]:
    """Train to the end of the schedule, from the folder's checkpoint if it has a whole one.

    Args:
        trainer: new; who stops iterating ends the training.
        folder: where the last and the best epoch are saved; made if it is missing.
        study_id: id of the study, which the files carry; empty for a training of its own.

    Yields:
        The records of all epochs so far, after each and, if there is a checkpoint, before
        the first.

    Raises:
        DivergedError: the loss became NaN or infinite.
        TrainingError: the folder has files of another study or configuration.
        CheckpointError: its checkpoint has contents that cannot be used.
        OSError: a checkpoint cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    epochs: Epochs = []
    saved = _saved(folder / LAST)
    for name, content in ((LAST, saved), (BEST, saved or _saved(folder / BEST))):
        _check_owner(folder / name, content or {}, trainer, study_id)
    about = {"study": study_id, "config": trainer.config.model_dump(mode="json")}
    if saved:
        epochs = _restore(trainer, saved, folder / LAST)
        yield list(epochs)
    while not trainer.finished:
        report = trainer.run_epoch()
        epochs.append(epoch_record(report))
        if report.is_best:
            save_tensors({**about, **_recogniser(trainer, report.epoch)}, folder / BEST)
        save_tensors({**about, "trainer": trainer.state(), "epochs": epochs}, folder / LAST)
        yield list(epochs)


def _saved(path: Path) -> dict[str, Any] | None:
    """Return what was saved after an epoch; nothing if there is none, or the file is damaged."""
    if not path.is_file():
        return None
    try:
        return load_tensors(path)
    except BundleError:
        return None


def _check_owner(path: Path, saved: dict[str, Any], trainer: Trainer, study_id: str) -> None:
    """Refuse a file of another study or configuration; files of older versions name neither."""
    other = saved.get("study", "") not in ("", study_id)
    if other or not _same_config(saved.get("config"), trainer.config):
        whose = "study" if other else "configuration"
        raise TrainingError(
            f"{path}: belongs to another {whose}; move {path.parent} away to train anew"
        )


def _same_config(saved: Any, config: Config) -> bool:
    """Whether a stored configuration is the same, but for the batch size: it may be halved."""
    if saved is None:
        return True
    try:
        stored = Config.model_validate(saved)
    except ValueError:  # of an older version
        return True
    batch_size = {"batch_size": stored.training.batch_size}
    training = config.training.model_copy(update=batch_size)
    return stored == config.model_copy(update={"training": training})


def _restore(trainer: Trainer, saved: dict[str, Any], path: Path) -> Epochs:
    """Let a trainer go on from a checkpoint, which may hold anything; return its epochs."""
    try:
        epochs: Epochs = saved["epochs"]
        epochs_result(epochs)
        trainer.restore(saved["trainer"])
    except Exception as error:  # any part may be of any kind
        if is_out_of_memory(error):
            raise
        raise CheckpointError(
            f"{path}: damaged checkpoint ({type(error).__name__}); remove it to train anew"
        ) from None
    return epochs


def epoch_record(report: EpochReport) -> dict[str, Any]:
    """Return an epoch as plain values, for studies, models and figures."""
    record = asdict(report)
    metrics = record.pop("metrics")
    return {**record, **{key: metrics[key] for key in ("cer", "wer", "exact")}}


def _recogniser(trainer: Trainer, epoch: int) -> dict[str, Any]:
    return {
        "weights": trainer.network.state_dict(),
        **trainer.charset.content(),
        "epoch": epoch,
    }
