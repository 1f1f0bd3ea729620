"""Promotion: which trials train beyond a rung.

It is asynchronous successive halving (ASHA; Li et al., 2020, "A System for Massively Parallel
Hyperparameter Tuning"): only the best third of the trials trains beyond a rung. Two things differ
from the paper. The others are paused with their checkpoints and may be resumed later. And a lower
rung decides only if its order predicts the order at the next rung; until this is known, and where
it is not so, every trial passes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ocrsearch.training import Epochs, n_finished_folds, n_of_first_fold

REDUCTION = 3
"""Reciprocal of the fraction of trials that is promoted at a rung."""

MIN_RUNG = 3
"""Smallest default rung, in epochs."""

MIN_SEEN = 8
"""Number of trials at a rung and the next one before the lower rung can decide."""

SURE_Z = 1.645
"""Standard normal quantile of the test of a rung, one-sided at a level of 0.05."""

PLATEAU_CER = 0.9
"""CER from which trials are compared by loss: such networks output at most a few characters."""

Key = tuple[float, float]
"""Sort key at a rung, lower is better: CER, then loss."""


def default_rungs(max_epochs: int) -> tuple[int, ...]:
    """Return a third of the epochs, a ninth and so on, rounded up, in rising order."""
    rungs: list[int] = []
    epochs = max_epochs / REDUCTION
    while epochs >= MIN_RUNG:
        rungs.insert(0, math.ceil(epochs))
        epochs /= REDUCTION
    return tuple(rungs)


def promotion_key(epochs: Epochs, rung: int) -> Key:
    """Return the best key of a trial within the epochs of a rung."""
    return min(
        (1.0 if record.cer >= PLATEAU_CER else record.cer, record.val_loss)
        for record in epochs[:rung]
    )


@dataclass(frozen=True)
class _Place:
    """A trial at a rung."""

    number: int
    group: str
    key: Key

    @property
    def order(self) -> tuple[Key, int]:
        return self.key, self.number


class Promotion:
    """Promotion of trials at rungs of epochs.

    With folds, the end of the first fold is one more rung, at which every trial is paused. Only the
    best of them are trained on the other folds, if there is time.
    """

    def __init__(
        self,
        rungs: Sequence[int],
        n_folds: int = 1,
        fold_epochs: int = 0,
        *,
        tested: bool = True,
    ) -> None:
        """Begin without any trials.

        Args:
            rungs: epochs at which trials are compared, in rising order; with folds, of the first.
            n_folds: number of folds.
            fold_epochs: largest number of epochs in a fold, used with folds only.
            tested: whether rungs below the last are tested before they decide.
        """
        self._n_folds, self._has_folds, self._tested = n_folds, n_folds > 1, tested
        self.rungs = (*rungs, fold_epochs) if self._has_folds else tuple(rungs)
        self._places: list[dict[int, _Place]] = [{} for _ in self.rungs]
        self._promoted: list[set[int]] = [set() for _ in self.rungs]  # trained beyond each rung
        self._decisions: dict[tuple[int, int], bool] = {}  # by rung and trials at the next one

    def record(self, number: int, group: str, epochs: Epochs) -> None:
        """Record a trial at every rung that it has reached, once at each.

        Args:
            number: number of the trial.
            group: architecture. The first rung compares only trials of the same group, since
                architectures learn at different speeds.
            epochs: records of all epochs so far.
        """
        for i, rung in self._reached(epochs):
            if number not in self._places[i]:
                self._places[i][number] = _Place(number, group, promotion_key(epochs, rung))
            if len(epochs) > rung:
                self._promoted[i].add(number)

    def goes_on(self, number: int, epochs: Epochs, *, last: bool = False) -> bool:
        """Return whether a recorded trial trains on after its latest epoch; if not, it is paused.

        Args:
            number: number of the trial.
            epochs: records of all epochs so far.
            last: whether the time runs out. The best trial of a rung then need not wait for others.
        """
        here = [i for i, rung in self._reached(epochs) if rung == len(epochs)]
        if not here:
            return True
        i = here[-1]
        best = self._best(i)
        if last and not best:
            best = {min(self._places[i].values(), key=lambda place: place.order).number}
        is_fold_end = self._has_folds and i == len(self.rungs) - 1
        if number in self._promoted[i] or (number in best and not is_fold_end):
            self._promoted[i].add(number)
            return True
        return False

    def waits_for_folds(self, number: int) -> bool:
        """Return whether a paused trial has finished the first fold."""
        return self._has_folds and number in self._places[-1]

    def _reached(self, epochs: Epochs) -> list[tuple[int, int]]:
        """Return index and epochs of each rung that a trial has reached.

        The epochs of the last rung may be fewer than planned, since a fold can end early.
        """
        n_first = n_of_first_fold(epochs)
        rungs = self.rungs[:-1] if self._has_folds else self.rungs
        reached = [(i, rung) for i, rung in enumerate(rungs) if n_first >= rung]
        if self._has_folds and n_finished_folds(epochs):
            reached.append((len(rungs), n_first))
        return reached

    def promotable(self, paused: Iterable[int]) -> list[int]:
        """Return the paused trials that may be promoted now, from the highest rung down.

        Args:
            paused: numbers of all paused trials.
        """
        waiting = set(paused)
        found: list[int] = []
        for i in reversed(range(len(self.rungs))):
            best = (self._places[i][n] for n in self._best(i) & waiting - self._promoted[i])
            found += [place.number for place in sorted(best, key=lambda place: place.order)]
            waiting -= self._places[i].keys()  # lower rungs do not count for these
        return found

    def promote(self, number: int) -> None:
        """Promote a paused trial from the highest rung that it has reached."""
        i = max(i for i, places in enumerate(self._places) if number in places)
        self._promoted[i].add(number)

    def finalist(self, paused: Iterable[int]) -> list[int]:
        """Return the best trial of the highest rung, if no trial was promoted from the last rung.

        With too few trials for promotion at every rung, one trial is still trained in full.
        """
        best = self._of_highest_rung()[:1]
        return [n for n in best if n in set(paused) and not self._promoted[-1]]

    def last_chances(
        self, paused: Iterable[int], has_time: Callable[[int, int], bool]
    ) -> list[int]:
        """Return the paused trials to resume because time runs short, the best first.

        A new trial can no longer be trained in full, but a trial of the highest rung can. If the
        time is too short for all folds, the first fold counts.

        Args:
            paused: numbers of all paused trials.
            has_time: function of the number of a trial and a number of epochs. It returns whether
                the trial can still be trained in full after a delay of that many of its epochs.
        """
        waiting = set(paused)
        found = [n for n in self._of_highest_rung() if n in waiting]
        if not self._has_folds:
            return [n for n in found if not has_time(n, self.rungs[0])]
        fold_epochs = self.rungs[-1]
        if any(has_time(n, 0) for n in found):
            return [n for n in found if has_time(n, 0) and not has_time(n, fold_epochs)]
        if self._places[-1]:
            return []
        n_others = (self._n_folds - 1) * fold_epochs
        return [n for n in found if not has_time(n, self.rungs[0] - n_others)]

    def _of_highest_rung(self) -> list[int]:
        reached = [places for places in self._places if places]
        ranked = sorted(reached[-1].values(), key=lambda p: p.order) if reached else []
        return [place.number for place in ranked]

    def hopeless(self, paused: Iterable[int], n_total: int) -> list[int]:
        """Return the paused trials that cannot be promoted, whatever the others reach.

        Args:
            paused: numbers of all paused trials.
            n_total: number of trials at the first rung at the end of the search.
        """
        found, waiting = [], set(paused) - set(self.finalist(paused))
        for i in reversed(range(len(self.rungs))):
            n_deciding = sum(self.decides(below) for below in range(i))
            n_to_come = max(0, n_total // REDUCTION**n_deciding - len(self._places[i]))
            may_go_on = self._best(i, n_to_come) | self._promoted[i]
            found += sorted((waiting & self._places[i].keys()) - may_go_on)
            waiting -= self._places[i].keys()
        return found

    def decides(self, rung: int) -> bool:
        """Return whether only the best third trains beyond a rung, not every trial.

        The last rung always decides, and so does the end of the first fold. A lower one does if
        its order and the order at the next rung agree more than by chance (Kendall's test, within
        each architecture).

        Args:
            rung: index of the rung.
        """
        if not self._tested or rung >= len(self.rungs) - (2 if self._has_folds else 1):
            return True
        here, above = self._places[rung], self._places[rung + 1]
        known = (rung, len(above))
        if known not in self._decisions:
            self._decisions[known] = agree_surely(
                [(here[n].group, here[n].key, place.key) for n, place in above.items() if n in here]
            )
        return self._decisions[known]

    def _best(self, rung: int, n_to_come: int = 0) -> set[int]:
        """Return the trials that may train beyond a rung.

        They are the best fraction, rounded down, so that the first trial has to wait.
        """
        if not self.decides(rung):
            return set(self._places[rung])
        groups: dict[str, list[_Place]] = {}
        for place in self._places[rung].values():
            # architectures learn at different speeds, which matters at the first rung only
            groups.setdefault(place.group if rung == 0 else "", []).append(place)
        best: set[int] = set()
        for places in groups.values():
            n_best = (len(places) + n_to_come) // REDUCTION
            ranked = sorted(places, key=lambda place: place.order)
            best.update(place.number for place in ranked[:n_best])
        return best


def agree_surely(pairs: Sequence[tuple[str, Key, Key]]) -> bool:
    """Return whether two orders agree more than by chance (Kendall, 1938).

    Args:
        pairs: group, key in the first order and key in the second order of each trial. Only trials
            of the same group are compared.
    """
    if len(pairs) < MIN_SEEN:
        return False
    agreed, variance = 0.0, 0.0
    for group in {group for group, _, _ in pairs}:
        first = _signs([a for g, a, _ in pairs if g == group])
        second = _signs([b for g, _, b in pairs if g == group])
        n = len(first)
        agreed += float((first * second).sum()) / 2
        variance += n * (n - 1) * (2 * n + 5) / 18
    return variance > 0 and agreed > SURE_Z * math.sqrt(variance)


def _signs(keys: Sequence[Key]) -> np.ndarray:
    """Return the sign of the difference of each pair of keys, (n, n)."""
    places = {key: i for i, key in enumerate(sorted(set(keys)))}
    ranks = np.array([places[key] for key in keys])
    signs: np.ndarray = np.sign(ranks[:, None] - ranks[None, :])
    return signs
