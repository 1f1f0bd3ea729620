"""Asynchronous promotion: at rungs of epochs the best share of configurations goes on.

After ASHA (Li et al., 2020, "A System for Massively Parallel Hyperparameter Tuning"), with one
difference: a configuration that is not among the best when it arrives is paused with its
checkpoint, and goes on from there when others that come later make it one of the best.

With folds the end of the first fold is one more rung, at which all are paused: who is not among
the best there never sees the others, and neither does anybody when there is no time for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ocrsearch.spaces import PromotionSettings, Space
from ocrsearch.training import Epochs, n_finished_folds, n_of_first_fold

REDUCTION = 3
"""One in so many goes on from a rung."""

MIN_RUNG = 3
"""Epochs before which nothing is compared."""

PLATEAU_CER = 0.9
"""From here a CER says nothing: a network that still reads nothing may write a symbol or two."""

Key = tuple[float, float]
"""What is compared at a rung: CER, and the loss where that is equal or still says nothing."""


def default_rungs(max_epochs: int) -> tuple[int, ...]:
    """Return a third of the epochs, a third of that, and so on, rounded up, in rising order."""
    rungs: list[int] = []
    epochs = max_epochs / REDUCTION
    while epochs >= MIN_RUNG:
        rungs.insert(0, math.ceil(epochs))
        epochs /= REDUCTION
    return tuple(rungs)


def promotion_key(epochs: Epochs, rung: int) -> Key:
    """Return the best that a configuration reached within a rung's epochs; lower is better."""
    return min(
        (1.0 if record["cer"] >= PLATEAU_CER else record["cer"], record["val_loss"])
        for record in epochs[:rung]
    )


@dataclass(frozen=True)
class _Place:
    """A configuration at a rung."""

    number: int
    group: str
    key: Key

    @property
    def order(self) -> tuple[Key, int]:
        return self.key, self.number


class Promotion:
    """Who goes on from which rung; knows numbers and curves, no study."""

    def __init__(self, rungs: Sequence[int], n_folds: int = 1, fold_epochs: int = 0) -> None:
        """Begin with nobody at any of the rungs.

        Args:
            rungs: epochs of the first fold, or of all where there are none; in rising order.
            n_folds: number of folds.
            fold_epochs: most epochs of a fold, whose end is the last rung if there are folds.
        """
        self._n_folds, self._has_folds = n_folds, n_folds > 1
        self.rungs = (*rungs, fold_epochs) if self._has_folds else tuple(rungs)
        self._places: list[dict[int, _Place]] = [{} for _ in self.rungs]
        self._left: list[set[int]] = [set() for _ in self.rungs]

    def record(self, number: int, group: str, epochs: Epochs) -> None:
        """Note a configuration at every rung whose epochs it has; at most once at each.

        Args:
            number: of its trial.
            group: at the first rung only those of one group are compared: architectures learn
                at different speeds.
            epochs: its curve so far.
        """
        for i, rung in self._reached(epochs):
            if number not in self._places[i]:
                self._places[i][number] = _Place(number, group, promotion_key(epochs, rung))
            if len(epochs) > rung:
                self._left[i].add(number)

    def goes_on(self, number: int, epochs: Epochs, *, last: bool = False) -> bool:
        """Whether a configuration that has just finished an epoch and is noted goes on.

        Args:
            number: of its trial.
            epochs: its curve so far.
            last: whether the time of the search runs out: the best of a rung need not wait for
                others then.
        """
        here = [i for i, rung in self._reached(epochs) if rung == len(epochs)]
        if not here:
            return True
        i = here[-1]
        best = self._best(i)
        if last and not best:
            best = {min(self._places[i].values(), key=lambda place: place.order).number}
        if number in self._left[i] or (number in best and not self._is_fold_end(i)):
            self._left[i].add(number)
            return True
        return False

    def waits_for_folds(self, number: int) -> bool:
        """Whether a paused configuration has seen the first fold, and goes on with the others."""
        return self._has_folds and number in self._places[-1]

    def _is_fold_end(self, i: int) -> bool:
        return self._has_folds and i == len(self.rungs) - 1

    def _reached(self, epochs: Epochs) -> list[tuple[int, int]]:
        """Return the places of the rungs that a curve has reached, each with its epochs.

        The schedule of a fold may end early.
        """
        n_first = n_of_first_fold(epochs)
        rungs = self.rungs[:-1] if self._has_folds else self.rungs
        reached = [(i, rung) for i, rung in enumerate(rungs) if n_first >= rung]
        if self._has_folds and n_finished_folds(epochs):
            reached.append((len(rungs), n_first))
        return reached

    def candidates(self, paused: Iterable[int]) -> list[int]:
        """Return the paused configurations that may go on now, the highest rung first.

        Args:
            paused: numbers of those that wait with a checkpoint.
        """
        waiting = set(paused)
        found: list[int] = []
        for i in reversed(range(len(self.rungs))):
            best = (self._places[i][n] for n in self._best(i) & waiting - self._left[i])
            found += [place.number for place in sorted(best, key=lambda place: place.order)]
            waiting -= self._places[i].keys()  # a lower rung has nothing more to say of them
        return found

    def promote(self, number: int) -> None:
        """Let a paused configuration go on from the highest rung that it has reached."""
        i = max(i for i, places in enumerate(self._places) if number in places)
        self._left[i].add(number)

    def finalist(self, paused: Iterable[int]) -> list[int]:
        """Return the one that goes on at the end of a search in which none has gone all the way.

        It is the best of the highest rung that was reached. So few configurations that no third
        of a third is left still end in a network that is trained in full.
        """
        best = self._of_highest_rung()[:1]
        return [n for n in best if n in set(paused) and not self._left[-1]]

    def last_chances(
        self, paused: Iterable[int], has_time: Callable[[int, int], bool]
    ) -> list[int]:
        """Return those that go on when the time of a search runs out, the best first.

        What begins now is not trained in full any more, but what waits at the highest rung
        that was reached may be. If the time lasts for the first fold alone, it is that.

        Args:
            paused: numbers of those that wait with a checkpoint.
            has_time: whether a configuration, by its number, would still be trained in full, on
                all folds, if it went on only after so many more of its epochs.
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
        """Return the paused ones that will not go on, whatever else comes.

        Args:
            paused: numbers of those that wait.
            n_total: configurations that the first rung will have seen at the end; a later one
                sees its share of them.
        """
        found, waiting = [], set(paused) - set(self.finalist(paused))
        for i in reversed(range(len(self.rungs))):
            n_to_come = max(0, n_total // REDUCTION**i - len(self._places[i]))
            may_go_on = self._best(i, n_to_come) | self._left[i]
            found += sorted((waiting & self._places[i].keys()) - may_go_on)
            waiting -= self._places[i].keys()
        return found

    def _best(self, rung: int, n_to_come: int = 0) -> set[int]:
        """Return the best share of a rung: rounded down, so that a first comer waits."""
        best: set[int] = set()
        for places in self._groups(rung):
            n_best = (len(places) + n_to_come) // REDUCTION
            ranked = sorted(places, key=lambda place: place.order)
            best.update(place.number for place in ranked[:n_best])
        return best

    def _groups(self, rung: int) -> list[list[_Place]]:
        groups: dict[str, list[_Place]] = {}
        for place in self._places[rung].values():
            groups.setdefault(place.group if rung == 0 else "", []).append(place)
        return list(groups.values())


def build_promotion(space: Space, n_folds: int = 1) -> Promotion | None:
    """Return the promotion that a space asks for, or None if Optuna's pruner decides."""
    settings = space.settings.pruner
    if not isinstance(settings, PromotionSettings):
        return None
    rungs = settings.rungs or default_rungs(space.max_epochs)
    return Promotion(rungs, n_folds, space.max_epochs)
