"""Files of trials: artifacts for people, and the checkpoints that are kept on disk.

Artifacts are the configuration, learning curves, log and worst errors of a trial. They are stored
through Optuna's artifact store beside the study, and its dashboard shows them. Weights are kept
for the best trials and for those that may be resumed.
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
"""Folder beside those of the studies; no study has such a name."""

CURVES = {"train_loss": "#4c72b0", "val_loss": "#dd8452", "cer": "#c44e52"}
WIDTH, HEIGHT, MARGIN = 640, 320, 40


def open_artifacts(studies_folder: Path) -> FileSystemArtifactStore:
    """Open the store of all studies of a database, in the folder that theirs are in."""
    folder = studies_folder / ARTIFACTS
    folder.mkdir(parents=True, exist_ok=True)
    return FileSystemArtifactStore(folder)


def existing_artifacts(studies_folder: Path) -> FileSystemArtifactStore | None:
    """Return the store of the studies of a database to read it, None if there is none."""
    folder = studies_folder / ARTIFACTS
    return FileSystemArtifactStore(folder) if folder.is_dir() else None


def store_artifacts(
    trial: optuna.Trial,
    store: FileSystemArtifactStore,
    folder: Path,
    config: Config,
    epochs: Epochs,
) -> None:
    """Store the artifacts of a trial that has ended.

    Args:
        trial: trial that has ended or is about to end.
        store: artifact store to write to.
        folder: folder of the trial, which may hold an image of its worst errors.
        config: configuration of the trial.
        epochs: records of its epochs.
    """
    place = temporary_path(folder)
    place.mkdir(parents=True, exist_ok=True)
    try:
        texts = {
            "configuration.yaml": yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False),
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
    """Return a line for each epoch."""
    lines = ["epoch  seconds  rate      train_loss  val_loss  cer     exact"]
    for e in epochs:
        best = "  best so far" if e.is_best else ""
        lines.append(
            f"{e.epoch:5d}  {e.seconds:7.1f}  {e.learning_rate:.2e}  {e.train_loss:10.4f}  "
            f"{e.val_loss:8.4f}  {e.cer:.4f}  {e.exact:.4f}{best}"
        )
    return "\n".join(lines) + "\n"


def draw_curves(epochs: Epochs) -> str:
    """Draw losses and CER by epoch, each from 0 to its own highest value, as an SVG."""
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
"""Number of the best trials whose weights are kept."""


class Rank(NamedTuple):
    """Order of trained trials, the lower the better.

    Attributes:
        lacks_folds: whether the trial has not seen all folds of its study.
        cer: lowest CER; that over all folds that it has seen to their end.
        val_loss: loss there.
        number: number of the trial.
    """

    lacks_folds: bool
    cer: float
    val_loss: float
    number: int


MayGoOn = Callable[[int], bool]
"""Function that returns whether a trial may be resumed, by its number."""


class KeptWeights:
    """The trials of a study whose weights are on disk, by rank."""

    def __init__(self, folder: Path) -> None:
        """Begin without any; the folder is the study's."""
        self.folder = folder
        self._ranks: list[Rank] = []

    def note(self, rank: Rank) -> None:
        """Note that the weights of a trial are on disk."""
        self._ranks = [known for known in self._ranks if known.number != rank.number] + [rank]

    def keep(self, rank: Rank, may_go_on: MayGoOn) -> None:
        """Keep the weights of a trial if it is among the best; the worst are deleted for it."""
        self.note(rank)
        self.drop(may_go_on)

    def drop(self, may_go_on: MayGoOn) -> None:
        """Delete all weights but those of the best trials and of trials that may be resumed."""
        self._ranks.sort()
        for rank in self._ranks[N_KEPT:]:
            if not may_go_on(rank.number):
                self._delete(rank)

    def spare_worst(self, may_go_on: MayGoOn) -> bool:
        """Delete the worst weights that can be spared; return whether there were any."""
        spare = [rank for rank in sorted(self._ranks)[1:] if not may_go_on(rank.number)]
        if spare:
            self._delete(spare[-1])
        return bool(spare)

    def worst_of(self, numbers: Container[int]) -> int | None:
        """Return the number of the worst of some trials, None if none has weights."""
        ranks = [rank for rank in sorted(self._ranks) if rank.number in numbers]
        return ranks[-1].number if ranks else None

    def n_bytes(self) -> int:
        """Return the size of the trials' files of the study."""
        sizes = []
        for path in self.folder.glob("trial-*/**/*"):
            with suppress(FileNotFoundError):  # a worker has just renamed it
                sizes.append(path.stat().st_size)
        return sum(sizes)

    def _delete(self, rank: Rank) -> None:
        remove_folder(trial_folder(self.folder, rank.number))
        self._ranks.remove(rank)
