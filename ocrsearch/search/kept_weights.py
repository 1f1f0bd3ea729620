"""Whose weights are kept on disk: the best trials', and those that may still go on."""

from __future__ import annotations

from collections.abc import Callable, Container
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ocrsearch.training.trial_files import remove_folder, trial_folder

N_KEPT = 10
"""Weights of so many of the best trials are kept."""


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
"""Whether a trial may still be trained, by its number."""


class KeptWeights:
    """The trials of a study whose weights are on disk, by rank."""

    def __init__(self, folder: Path) -> None:
        """Begin without any; the folder is the study's."""
        self.folder = folder
        self._ranks: list[Rank] = []

    def note(self, rank: Rank) -> None:
        """Take up that a trial's weights are there."""
        self._ranks = [known for known in self._ranks if known.number != rank.number] + [rank]

    def keep(self, rank: Rank, may_go_on: MayGoOn) -> None:
        """Keep a trial's weights if it is among the best, and drop what it displaces."""
        self.note(rank)
        self.drop(may_go_on)

    def drop(self, may_go_on: MayGoOn) -> None:
        """Delete all but the best, and those that may still go on."""
        self._ranks.sort()
        for rank in self._ranks[N_KEPT:]:
            if not may_go_on(rank.number):
                self._delete(rank)

    def spare_worst(self, may_go_on: MayGoOn) -> bool:
        """Delete the worst, but never the best or who may go on; return whether there was one."""
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
