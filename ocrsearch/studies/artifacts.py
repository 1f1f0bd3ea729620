"""Files of trials: artifacts for people, and checkpoints.

Artifacts are the configuration, learning curves, log and worst errors of a trial. They are stored
in Optuna's artifact store next to the study, and Optuna's dashboard shows them. Checkpoints are
kept for the best trials and for trials that may be resumed.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import optuna
import yaml
from optuna.artifacts import FileSystemArtifactStore, upload_artifact

from ocrsearch.core import Config, temporary_path
from ocrsearch.training import WORST, Epochs, remove_folder, trial_folder

ARTIFACTS = ".artifacts"
"""Folder next to the study folders; no study can have this name."""

CURVES = {"train_loss": "#4c72b0", "val_loss": "#dd8452", "cer": "#c44e52"}
WIDTH, HEIGHT, MARGIN = 640, 320, 40


DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""PyYAML's safe dumper in C, where it is installed: ten times as fast."""


def open_artifacts(studies_folder: Path) -> FileSystemArtifactStore:
    """Open the artifact store of a database, next to its study folders; create it if needed."""
    folder = studies_folder / ARTIFACTS
    folder.mkdir(parents=True, exist_ok=True)
    return FileSystemArtifactStore(folder)


def existing_artifacts(studies_folder: Path) -> FileSystemArtifactStore | None:
    """Return the artifact store of a database for reading; None if it does not exist."""
    folder = studies_folder / ARTIFACTS
    return FileSystemArtifactStore(folder) if folder.is_dir() else None


def store_artifacts(
    trial: optuna.Trial,
    store: FileSystemArtifactStore,
    folder: Path,
    config: Config,
    epochs: Epochs,
) -> None:
    """Store the artifacts of a trial at its end.

    Args:
        trial: trial that has ended or is about to end.
        store: artifact store to write to.
        folder: folder of the trial; it may contain an image of the worst errors.
        config: configuration of the trial.
        epochs: records of its epochs.
    """
    place = temporary_path(folder)
    place.mkdir(parents=True, exist_ok=True)
    try:
        texts = {
            "configuration.yaml": yaml.dump(
                config.model_dump(mode="json"), Dumper=DUMPER, sort_keys=False
            ),
            "curves.svg": draw_curves(epochs),
            "log.txt": log_text(epochs),
        }
        files = []
        for name, text in texts.items():
            file = place / name
            file.write_text(text, encoding="utf-8")
            files.append(file)
        if (folder / WORST).exists():
            files.append(folder / WORST)
        for file in files:
            upload_artifact(study_or_trial=trial, file_path=str(file), artifact_store=store)
    finally:
        remove_folder(place)


def log_text(epochs: Epochs) -> str:
    """Return the training log, with a line for each epoch."""
    lines = ["epoch  seconds  rate      train_loss  val_loss  cer     exact"]
    for e in epochs:
        best = "  best so far" if e.is_best else ""
        lines.append(
            f"{e.epoch:5d}  {e.seconds:7.1f}  {e.learning_rate:.2e}  {e.train_loss:10.4f}  "
            f"{e.val_loss:8.4f}  {e.cer:.4f}  {e.exact:.4f}{best}"
        )
    return "\n".join(lines) + "\n"


def draw_curves(epochs: Epochs) -> str:
    """Draw the losses and the CER by epoch as SVG; each curve is scaled to its maximum."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for i, (name, colour) in enumerate(CURVES.items()):
        values = [float(getattr(e, name)) for e in epochs]
        highest = max(values, default=0.0) or 1.0
        step = (WIDTH - 2 * MARGIN) / max(1, len(values) - 1)
        points = " ".join(
            f"{MARGIN + j * step:.1f},{HEIGHT - MARGIN - v / highest * (HEIGHT - 2 * MARGIN):.1f}"
            for j, v in enumerate(values)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}"/>')
        label = f"{name}: highest {highest:.3g}, lowest {min(values, default=0.0):.3g}"
        x = MARGIN + i * 195
        parts.append(f'<text x="{x}" y="20" fill="{colour}">{label}</text>')
    axis = f"epochs 1 to {len(epochs)}"
    parts.append(f'<text x="{WIDTH / 2 - 40}" y="{HEIGHT - 12}">{axis}</text></svg>')
    return "\n".join(parts) + "\n"


N_KEPT = 10
"""Number of trials, best first, whose checkpoints are kept."""


class Rank(NamedTuple):
    """Sort key for trained trials; lower is better.

    Attributes:
        lacks_folds: whether the trial has not finished all folds of its study.
        cer: lowest CER, pooled over the finished folds.
        val_loss: validation loss in the epoch with this CER.
        number: number of the trial.
    """

    lacks_folds: bool
    cer: float
    val_loss: float
    number: int


MayGoOn = Callable[[int], bool]
"""Predicate for the numbers of trials that may be resumed."""


class KeptWeights:
    """The trials of a study with checkpoints on disk, by rank."""

    def __init__(self, folder: Path) -> None:
        """Start without trials.

        Args:
            folder: folder of the study.
        """
        self.folder = folder
        self._ranks: list[Rank] = []

    def note(self, rank: Rank) -> None:
        """Record that the checkpoint of a trial is on disk."""
        self._ranks = [known for known in self._ranks if known.number != rank.number] + [rank]

    def keep(self, rank: Rank, may_go_on: MayGoOn) -> None:
        """Record the checkpoint of a trial, then delete all but the best."""
        self.note(rank)
        self.drop(may_go_on)

    def drop(self, may_go_on: MayGoOn) -> None:
        """Delete all checkpoints except for the best trials and trials that may be resumed."""
        self._ranks.sort()
        for rank in self._ranks[N_KEPT:]:
            if not may_go_on(rank.number):
                self._delete(rank)

    def spare_worst(self, may_go_on: MayGoOn) -> bool:
        """Delete the checkpoint of the worst dispensable trial; return whether there was any."""
        spare = [rank for rank in sorted(self._ranks)[1:] if not may_go_on(rank.number)]
        if spare:
            self._delete(spare[-1])
        return bool(spare)

    def worst_of(self, numbers: Container[int]) -> int | None:
        """Return the worst of some trials; None if none of them has a checkpoint."""
        ranks = [rank for rank in sorted(self._ranks) if rank.number in numbers]
        return ranks[-1].number if ranks else None

    def n_bytes(self) -> int:
        """Return the total size of the trial files of the study in bytes."""
        sizes = []
        for path in self.folder.glob("trial-*/**/*"):
            with suppress(FileNotFoundError):  # a worker has just renamed it
                sizes.append(path.stat().st_size)
        return sum(sizes)

    def _delete(self, rank: Rank) -> None:
        remove_folder(trial_folder(self.folder, rank.number))
        self._ranks.remove(rank)
