"""What is trained next: what was left, what is promoted, or what the sampler suggests."""

from __future__ import annotations

import optuna
from optuna.trial import TrialState

from ocrsearch.spaces import Space
from ocrsearch.studies import REPEATED, Sharing, shown, unfinished_trials
from ocrsearch.tuning.status import Observer, Running
from ocrsearch.tuning.store import HALVED, Ledger, tried_key, with_half_batch

MAX_REPEATS = 50
"""So often in a row the sampler may suggest what was tried; then the space is taken as used up."""


LAST_SHARE = 0.45
"""Most of the time of a search that is kept for the best configurations to be trained in full."""


class Chooser:
    """Finds work for idle workers.

    Attributes:
        exhausted: the sampler knows no configuration that was not tried.
    """

    def __init__(
        self,
        study: optuna.Study,
        space: Space,
        ledger: Ledger,
        observer: Observer,
        sharing: Sharing,
    ) -> None:
        """Begin with what an earlier coordinator left, where no other may take it up."""
        self._study, self._space = study, space
        self._ledger, self._observer, self._sharing = ledger, observer, sharing
        self.exhausted = False
        self._queue = [] if sharing.several else self._left()

    def next(self) -> Running | None:
        """Return what can be trained, None if there is nothing for now.

        What was left comes first, then what is promoted, then something new if there is room.
        """
        if self._queue:
            return self._queue.pop(0)
        if not (self._candidates() or self._room or self._sharing.is_time_to_take_over()):
            return None
        with self._ledger.turn():
            for trial, n_reported in self._sharing.left_behind(self._study):
                if running := self._take_over(trial, n_reported):
                    return running
            for number in self._candidates():
                if running := self._promote(number):
                    return running
            return self._ask()

    def try_again(self, running: Running) -> None:
        """Let a trial that broke off be the next."""
        self._queue.insert(0, running)

    def has_candidates(self) -> bool:
        """Whether a paused trial may go on now."""
        return bool(self._candidates())

    @property
    def _room(self) -> int:
        """How many new configurations may be begun."""
        status = self._ledger.status
        begun = status.n_finished + len(status.running) + len(self._ledger.elsewhere)
        return 0 if self.exhausted else max(0, status.limits.trials - begun)

    def _candidates(self) -> list[int]:
        promotion, paused = self._ledger.promotion, self._ledger.paused
        if promotion is None:
            return []
        found = promotion.candidates(paused)
        if not found and not self._room and self._ledger.nobody_trains:
            return promotion.finalist(paused)
        if self._ledger.status.limits.timeout_s is None:
            return found
        found = [n for n in found if not promotion.waits_for_folds(n) or self._has_time(n, 0)]
        if self._room:
            return promotion.last_chances(paused, self._has_time) or found
        return found

    def _has_time(self, number: int, n_more: int) -> bool:
        """Whether the time lasts for what is left of a paused trial and some epochs before it.

        What is left takes at most a share of the time: its schedule is cut short, if need be.
        """
        status = self._ledger.status
        assert status.limits.timeout_s is not None
        epochs = optuna.Trial(self._study, self._ledger.paused[number]).user_attrs["epochs"]
        a_epoch: float = sum(record["seconds"] for record in epochs) / len(epochs)
        seconds = a_epoch * (self._space.max_epochs * self._ledger.n_folds - len(epochs))
        if self._ledger.n_folds == 1:  # schedules of folds are never cut short
            seconds = min(seconds, LAST_SHARE * status.limits.timeout_s)
        return status.elapsed_s + seconds + a_epoch * n_more < status.limits.timeout_s

    def _promote(self, number: int) -> Running | None:
        assert self._ledger.promotion is not None
        self._ledger.promotion.promote(number)
        trial = optuna.Trial(self._study, self._ledger.paused.pop(number))
        running = self._take_up(trial, len(trial.user_attrs["epochs"]))
        if running is None:
            return None
        self._ledger.note_promoted(running)
        line = f"trial {number} goes on from epoch {len(running.epochs)}"
        self._observer(self._ledger.status, line)
        return running

    def _take_over(self, trial: optuna.Trial, n_reported: int) -> Running | None:
        running = self._take_up(trial, n_reported)
        self._ledger.elsewhere.discard(trial.number)
        if running is not None:
            line = f"trial {trial.number} goes on from epoch {n_reported}: its coordinator is gone"
            self._observer(self._ledger.status, line)
        return running

    def _ask(self) -> Running | None:
        """Return a configuration that was not tried, None if the sampler knows no other."""
        n_repeated = 0
        while self._room and n_repeated < MAX_REPEATS:
            trial = self._study.ask()
            running = self._take_up(trial, 0)
            if running is None:  # it was queued, and there may be others
                continue
            key = tried_key(running.values)
            if key not in self._ledger.tried:
                self._ledger.tried.add(key)
                return running
            self._tell_repeated(trial)
            n_repeated += 1
        self.exhausted = n_repeated >= MAX_REPEATS
        return None

    def _take_up(self, trial: optuna.Trial, n_reported: int) -> Running | None:
        """Return a trial with its values; the sampler suggests those that are missing.

        Returns:
            None for a trial whose values are not of the space: another program queued it, or
            changed it. The study is told that it is infeasible.
        """
        self._sharing.claim(trial)
        stored = self._study._storage.get_trial(trial._trial_id)
        given = {**stored.system_attrs.get("fixed_params", {}), **stored.params}
        if reasons := self._space.refusal(given):
            self._refuse(trial, reasons)
            return None
        try:
            values = self._space.suggest(trial)
            config = self._space.resolve(values)
        except (ValueError, TypeError, KeyError) as error:  # pydantic's are ValueErrors
            self._refuse(trial, f"its values make no configuration ({shown(error)})")
            return None
        known = trial.user_attrs.get("epochs", [])
        if HALVED in trial.user_attrs:
            config = with_half_batch(config)
        return Running(trial, values, config, known, n_reported)

    def _refuse(self, trial: optuna.Trial, reasons: str) -> None:
        self._ledger.note_refused(trial, reasons)
        line = f"trial {trial.number} infeasible: {reasons}"
        self._observer(self._ledger.status, line)

    def _left(self) -> list[Running]:
        """Return what an earlier coordinator left in training, without what it had only asked.

        It may have been killed between asking and noting that the configuration was tried.
        """
        left = unfinished_trials(self._study)
        numbers = {trial.number for trial, _ in left}
        others = [t for t in self._study.get_trials(deepcopy=False) if t.number not in numbers]
        tried = {tried_key(t.params) for t in others}
        queue = []
        for trial, n_reported in left:
            running = self._take_up(trial, n_reported)
            if running is None:
                continue
            key = tried_key(running.values)
            if key in tried and not running.epochs:
                self._tell_repeated(trial)
            else:
                tried.add(key)
                queue.append(running)
        return queue

    def _tell_repeated(self, trial: optuna.Trial) -> None:
        trial.set_user_attr(REPEATED, value=True)
        self._study.tell(trial, state=TrialState.PRUNED)
