"""Resumable training: a checkpoint is saved before each epoch is reported.

A crash costs at most the epoch in progress. The workers of a search and ``ocrsearch train`` both
train through this module. With folds a trial is several trainings, one after the other, whose
epochs are numbered through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from rapidfuzz.distance import Levenshtein

from ocrsearch.core import BundleError, CheckpointError, Config, TrainingError, is_out_of_memory
from ocrsearch.data import LabelledImages, contact_sheet, write_sheet
from ocrsearch.evaluation import EditCounts, count_edits, rates, read_counts, save_counts
from ocrsearch.models import read_lines
from ocrsearch.training.checkpoint import load_tensors, save_tensors
from ocrsearch.training.model_file import read_weights
from ocrsearch.training.records import (
    BEST,
    LAST,
    VALIDATED,
    EpochRecord,
    Epochs,
    Pooled,
    best_epoch,
    fold_folder,
    plain_epochs,
    read_epochs,
    require_fields,
)
from ocrsearch.training.trainer import EpochReport, Trainer

N_WORST = 10
"""Number of errors on the contact sheet of a trial."""

NEEDED = ("seconds", "wer", "exact")
"""Optional fields of a record that each record of a checkpoint must have."""


def draw_worst(trainer: Trainer, val: LabelledImages, weights: Path, output: Path) -> None:
    """Draw the worst errors of the best epoch of a training; write no file if there are none.

    The trainer's network has the weights of that epoch afterwards.

    Args:
        trainer: trainer at its end.
        val: validation samples of the training.
        weights: file of the best weights.
        output: image to write.
    """
    trainer.network.load_state_dict(read_weights(weights).weights)
    lines = trainer.val_lines
    reading = read_lines(trainer.network, lines, trainer.device)
    errors = []
    for i, (text, hypothesis) in enumerate(zip(val.texts, reading.hypotheses, strict=True)):
        read = trainer.charset.decode(hypothesis.ids)
        if read != text:
            share = Levenshtein.distance(text, read) / max(1, len(text))
            errors.append(
                (-share, -hypothesis.confidence, i, f"{text} read as {read or 'nothing'}")
            )
    if errors:
        worst = sorted(errors)[:N_WORST]
        write_sheet(contact_sheet([(val.images[i], label) for _, _, i, label in worst]), output)


def train_epochs(trainer: Trainer, folder: Path, study_id: str = "") -> Iterator[Epochs]:
    """Train to the end of the schedule, from the checkpoint in the folder if it is complete.

    Args:
        trainer: new trainer; the training ends when the caller stops iterating.
        folder: folder for the checkpoints of the last and the best epoch; made if it is missing.
        study_id: id of the study, written into the files; empty for a training without a study.

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
            counts = count_edits(trainer.val_texts, trainer.read_texts)
            save_counts(counts, folder / VALIDATED)
            best = {
                "weights": trainer.weights(),
                **trainer.charset.content(),
                "epoch": report.epoch,
            }
            save_tensors({**about, **best}, folder / BEST)
        checkpoint = {"trainer": trainer.state(), "epochs": plain_epochs(epochs)}
        save_tensors({**about, **checkpoint}, folder / LAST)
        yield list(epochs)


def train_folds(
    build: Callable[[int], Trainer], n_folds: int, folder: Path, study_id: str = ""
) -> Iterator[tuple[Trainer, Epochs]]:
    """Train on one fold after the other, each from its checkpoint if there is one.

    Args:
        build: returns a new trainer for a fold, from 1.
        n_folds: number of folds; with 1 this is ``train_epochs``.
        folder: folder of the trial; see ``fold_folder``.
        study_id: see ``train_epochs``.

    Yields:
        The current trainer, and the records of all epochs so far. The last record of a fold has
        the figures over all folds up to it.
    """
    before: Epochs = []
    for fold in range(1, n_folds + 1):
        place = fold_folder(folder, fold)
        if fold > 1:
            place.mkdir(exist_ok=True)  # not its parents: a removed study is not created again
        trainer = build(fold)
        passed = (fold_folder(folder, fold + 1) / LAST).exists()
        for own in train_epochs(trainer, place, study_id):
            epochs = [*before, *own]
            if n_folds > 1:
                numbers = {"fold": fold, "n_folds": n_folds}
                epochs[len(before) :] = [
                    record.model_copy(update={"epoch": len(before) + record.epoch, **numbers})
                    for record in own
                ]
                if trainer.finished:
                    pooled = _pooled(epochs, folder)
                    epochs[-1] = epochs[-1].model_copy(update={"pooled": pooled})
            if not (passed and trainer.finished):
                yield trainer, epochs
        before = epochs


def _pooled(epochs: Epochs, folder: Path) -> Pooled:
    """Return the figures of the best epochs of all folds together: all edits by all characters."""
    tables, losses = [], []
    for fold in range(1, epochs[-1].fold + 1):
        file = fold_folder(folder, fold) / VALIDATED
        counts = read_counts(file)
        if counts is None:
            raise CheckpointError(f"{file}: missing or damaged; remove {folder} to train anew")
        tables.append(counts.table())
        of_fold = [record for record in epochs if record.fold == fold]
        losses.append(min((record.cer, record.val_loss) for record in of_fold)[1])
    metrics = rates(EditCounts.from_table(np.concatenate(tables)))
    loss = fmean(losses)
    return Pooled(cer=metrics.cer, wer=metrics.wer, exact=metrics.exact, val_loss=loss)


def _saved(path: Path) -> dict[str, object] | None:
    """Return the content of a checkpoint; None if the file is missing or damaged."""
    if not path.is_file():
        return None
    try:
        return load_tensors(path)
    except BundleError:
        return None


def _check_owner(path: Path, saved: dict[str, object], trainer: Trainer, study_id: str) -> None:
    """Refuse a file of another study or configuration; files of older versions name neither.

    The batch size may differ: it is halved if a trial runs out of memory.
    """
    whose = "study" if saved.get("study", "") not in ("", study_id) else ""
    if not whose and saved.get("config") is not None:
        try:
            stored = Config.model_validate(saved["config"])
        except ValueError:  # of an older version
            return
        batch_size = {"batch_size": stored.training.batch_size}
        training = trainer.config.training.model_copy(update=batch_size)
        if stored != trainer.config.model_copy(update={"training": training}):
            whose = "configuration"
    if whose:
        raise TrainingError(
            f"{path}: belongs to another {whose}; move {path.parent} away to train anew"
        )


def _restore(trainer: Trainer, saved: Mapping[str, Any], path: Path) -> Epochs:
    """Restore a trainer from a checkpoint, which may hold anything; return its epochs."""
    try:
        epochs = read_epochs(saved["epochs"])
        require_fields(epochs, NEEDED)
        best_epoch(epochs)  # fails if there is none
        trainer.restore(saved["trainer"])
    except Exception as error:  # any part may be of any kind
        if is_out_of_memory(error):
            raise
        raise CheckpointError(
            f"{path}: damaged checkpoint ({type(error).__name__}); remove it to train anew"
        ) from None
    return epochs


def epoch_record(report: EpochReport) -> EpochRecord:
    """Return the record of an epoch that the trainer reports."""
    metrics = report.metrics
    return EpochRecord(
        epoch=report.epoch,
        train_loss=report.train_loss,
        val_loss=report.val_loss,
        is_best=report.is_best,
        learning_rate=report.learning_rate,
        seconds=report.seconds,
        cer=metrics.cer,
        wer=metrics.wer,
        exact=metrics.exact,
    )
