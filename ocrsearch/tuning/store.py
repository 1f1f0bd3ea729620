"""Ledger: the state of all trials of a study, and of those whose training failed.

What becomes of a configuration whose training broke off.

What is known of the trials of a study: the counts, the best, who waits, whose files are kept.

It is filled with what a coordinator does itself, and with what others did, earlier or now.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.artifacts import FileSystemArtifactStore
from optuna.trial import FrozenTrial, TrialState

from ocrsearch.core import Config
from ocrsearch.spaces import Finding, Space
from ocrsearch.studies import (
    EXCESS,
    FAILURE,
    INFEASIBLE,
    ORIGIN,
    PAUSED,
    KeptWeights,
    Rank,
    Sharing,
    finished_trials,
    rank,
    rank_of,
    store_artifacts,
    study_facts,
)
from ocrsearch.training import (
    BEST,
    Epochs,
    best_epoch,
    remove_checkpoints,
    remove_folder,
    trial_folder,
)
from ocrsearch.tuning.engines import TrialFailed
from ocrsearch.tuning.scheduler import build_promotion
from ocrsearch.tuning.status import Limits, Running, Status

MAX_ATTEMPTS = {"crash": 2, "died": 5, "killed": 5}
"""A configuration whose training broke off is tried so many times in all, unless it gets on; a
worker that dies may have been killed for what is not the configuration's fault."""

NOT_ITS_FAULT = ("crash", "died")
"""Failures that say nothing about a configuration. A worker that is killed again and again without
finishing an epoch says that it needs too much memory."""

HALVED = "halved_batch"
"""User attribute of a trial that is trained at half its batch size: the whole took too much."""


def with_half_batch(config: Config) -> Config:
    """Return a configuration with half the batch size, at least 1."""
    batch_size = max(1, config.training.batch_size // 2)
    training = config.training.model_copy(update={"batch_size": batch_size})
    return config.model_copy(update={"training": training})


def failure_state(kind: str) -> TrialState:
    """Return the state of a trial whose training broke off.

    A loss that diverged or too little memory say something about the configuration, and TPE
    learns nothing from trials that FAILED; only what is not the configuration's fault fails.
    """
    return TrialState.FAIL if kind in NOT_ITS_FAULT else TrialState.PRUNED


Reached = tuple[bool, float]
"""Whether a trial has yet to see some folds, and its lowest CER: the lower the better."""


class Ledger:
    """The trials of a study, as one of its coordinators knows them.

    Attributes:
        status: counts, the best, and what is in training here.
        n_folds: number of folds on which a trial is trained in full.
        promotion: who goes on from which rung; None where Optuna's pruner decides.
        paused: of each trial that waits, by number, the id in the storage.
        elsewhere: numbers of trials that other coordinators train.
        tried: keys of the configurations that were suggested; see ``tried_key``.
    """

    def __init__(
        self,
        study: optuna.Study,
        space: Space,
        limits: Limits,
        folder: Path,
        sharing: Sharing,
        artifacts: FileSystemArtifactStore | None,
    ) -> None:
        """Begin with nothing known; ``look`` reads what there is.

        Args:
            study: whose trials they are.
            space: it says how values become configurations, and who is promoted.
            limits: of the search.
            folder: of the study.
            sharing: with other coordinators.
            artifacts: where what is to be looked at of a trial is stored; None: nowhere.
        """
        self._study, self._space, self._folder = study, space, folder
        self._sharing, self._artifacts = sharing, artifacts
        self.status = Status(limits)
        self.n_folds: int = study_facts(study).get("folds", 1)
        self.promotion = build_promotion(space, self.n_folds)
        self.paused: dict[int, int] = {}
        self.elsewhere: set[int] = set()
        self.tried: set[tuple[tuple[str, Any], ...]] = set()
        self._weights = KeptWeights(folder)
        self._best_key: Rank | None = None
        self._ends: dict[int, tuple[float, Reached]] = {}

    @property
    def nobody_trains(self) -> bool:
        """Whether no trial is in training, here or elsewhere."""
        return not self.status.running and not self.elsewhere

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Decide what no other coordinator may decide now, knowing what they all did."""
        with self._sharing.turn():
            if self._sharing.several:
                self.look()
            yield

    def look(self) -> None:
        """Read what earlier coordinators did, and what others do."""
        trials = self._study.get_trials(deepcopy=False)
        n_epochs = sum(len(t.user_attrs.get("epochs", ())) for t in trials)
        self.status.n_epochs_before = n_epochs - self.status.n_epochs
        self.tried |= {tried_key(trial.params) for trial in trials}
        self._count_finished(finished_trials(trials))
        training = [t for t in trials if t.state == TrialState.RUNNING]
        others = [t for t in training if not self._sharing.is_mine(t)]
        self.elsewhere = {trial.number for trial in others}
        for trial in others:
            if self.promotion and (epochs := trial.user_attrs.get("epochs")):
                config = self._config(trial.params)
                architecture = config.model.architecture if config else ""
                self.promotion.record(trial.number, architecture, epochs)

    def _count_finished(self, ended: Sequence[FrozenTrial]) -> None:
        status = self.status
        status.n_complete = status.n_pruned = status.n_infeasible = status.n_failed = 0
        status.n_flawless = 0
        waiting = [t for t in ended if t.user_attrs.get(PAUSED) is not None]
        self.paused = {trial.number: trial._trial_id for trial in waiting}
        for trial in sorted(ended, key=lambda t: t.datetime_complete or datetime.max):
            if trial.state == TrialState.COMPLETE:
                status.n_complete += 1
                status.n_flawless += trial.values == [0.0]
            elif INFEASIBLE in trial.user_attrs:
                status.n_infeasible += 1
            elif FAILURE in trial.user_attrs:
                status.n_failed += 1
            else:
                status.n_pruned += 1
            if self._sharing.is_news(trial):
                self._remember(trial)

    def _remember(self, trial: FrozenTrial) -> None:
        """Take up what an earlier coordinator knew of a finished or a paused trial."""
        attrs, folder = trial.user_attrs, trial_folder(self._folder, trial.number)
        if self.promotion and "epochs" in attrs and "architecture" in attrs:
            self.promotion.record(trial.number, attrs["architecture"], attrs["epochs"])
        if trial.number not in self.paused:
            # the study was told, but the one who told it died before it had tidied up
            remove_checkpoints(folder)
        if attrs.get("epochs") and trial.state != TrialState.FAIL and FAILURE not in attrs:
            self._note_end(trial.number, _ended(trial), rank(trial))
        kept = "cer" in attrs and (folder / BEST).exists()
        if kept:
            self._weights.note(rank(trial))
        if kept or trial.state == TrialState.COMPLETE:
            self._note_best(rank(trial), attrs.get("exact", 0.0), trial.params)

    def note_epochs(self, running: Running, epochs: Epochs) -> None:
        """Tell the study the epochs of a trial that it does not know yet."""
        for record in epochs[running.n_reported :]:
            if len(self._space.settings.objective) == 1:  # Optuna takes no more in between
                running.trial.report(record["cer"], record["epoch"])
            self.status.n_epochs += 1
            running.attempts = 1  # it got on: what broke it off before was not its fault
        if len(epochs) != len(running.trial.user_attrs.get("epochs", ())):
            running.trial.set_user_attr("epochs", epochs)
        running.epochs = epochs
        running.n_reported = max(running.n_reported, len(epochs))
        if self.promotion:
            architecture = running.config.model.architecture
            self.promotion.record(running.trial.number, architecture, epochs)

    def note_paused(self, running: Running) -> None:
        """Let a trial wait with its checkpoint and its best weights."""
        running.trial.set_user_attr(PAUSED, len(running.epochs))
        self.paused[running.trial.number] = running.trial._trial_id
        self.status.n_pruned += 1
        self._note_running_end(running)
        self._keep_weights(running)

    def note_pruned(self, running: Running) -> None:
        """Tell the study that a trial is at its end before its last epoch."""
        self._store(running.trial, running.config, running.epochs)
        self._study.tell(running.trial, state=TrialState.PRUNED)
        self.status.n_pruned += 1
        self._note_running_end(running)
        remove_folder(trial_folder(self._folder, running.trial.number))

    def note_complete(self, running: Running, values: Sequence[float]) -> None:
        """Tell the study the values of a trial that was trained in full."""
        self._store(running.trial, running.config, running.epochs)
        self._study.tell(running.trial, values)
        self.status.n_complete += 1
        self.status.n_flawless += list(values) == [0.0]
        self._note_running_end(running)
        remove_checkpoints(trial_folder(self._folder, running.trial.number))
        self._keep_weights(running)

    def note_promoted(self, running: Running) -> None:
        """Let a trial that is somebody's again wait no longer."""
        running.trial.set_user_attr(PAUSED, None)
        self.status.n_pruned -= 1

    def note_infeasible(self, running: Running, broken: Sequence[Finding]) -> str:
        """Tell the study of a trial that cannot work; return the reasons in one line."""
        reasons = "; ".join(finding.reason for finding in broken)
        running.trial.set_user_attr(EXCESS, {finding.name: finding.excess for finding in broken})
        self.note_refused(running.trial, reasons)
        return reasons

    def note_refused(self, trial: optuna.Trial, reasons: str) -> None:
        """Tell the study of a trial whose values are not of the space."""
        trial.set_user_attr(INFEASIBLE, reasons)
        self._study.tell(trial, state=TrialState.PRUNED)
        self.status.n_infeasible += 1

    def note_failed(self, running: Running, event: TrialFailed) -> None:
        """Tell the study of a trial that broke off and is not tried again."""
        self._ends.pop(running.trial.number, None)
        running.trial.set_user_attr(FAILURE, event.reason)
        running.trial.set_user_attr("traceback", event.traceback)
        self._study.tell(running.trial, state=failure_state(event.kind))
        remove_folder(trial_folder(self._folder, running.trial.number))
        self.status.n_failed += 1

    def note_unfinished(self, running: Running) -> None:
        """Note what is in training when the search ends: its best weights can be exported."""
        if running.epochs:
            self._note_best(*_standing(running))

    def note_waiting(self) -> None:
        """Note trials that an earlier search left unfinished and this one did not come to."""
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            epochs = trial.user_attrs.get("epochs")
            if epochs and (trial_folder(self._folder, trial.number) / BEST).exists():
                self._note_best(rank(trial), best_epoch(epochs)["exact"], trial.params)

    def _keep_weights(self, running: Running) -> None:
        key, exact, values = _standing(running)
        self._weights.keep(key, self._may_go_on)
        self._note_best(key, exact, values)

    def _note_best(self, key: Rank, exact: float, values: dict[str, Any]) -> None:
        if self._best_key is None or key < self._best_key:
            self._best_key = key
            self.status.best_value, self.status.best_number = key.cer, key.number
            self.status.best_lacks_folds = key.lacks_folds
            self.status.best_exact, self.status.best_values = exact, values

    def _note_running_end(self, running: Running) -> None:
        self._note_end(running.trial.number, running.ended, _standing(running)[0])

    def _note_end(self, number: int, ended: float, rank: Rank) -> None:
        """Note when a trial came to its end or to a rung; a trial counts once, by its last end."""
        self._ends[number] = (ended, (rank.lacks_folds, rank.cer))
        self.status.n_without_gain = n_without_gain(self._ends)

    def free_disk(self) -> None:
        """Give up who will not go on; then keep to the limit of the disk.

        Weights are deleted from the worst on, then goes who waits longest.
        """
        if self.promotion:
            self.give_up(self.promotion.hopeless(self.paused, self.status.limits.trials))
        limit = self.status.limits.disk_bytes
        while limit is not None and self._weights.n_bytes() > limit:
            if not self._weights.spare_worst(self._may_go_on):
                waiting = self._weights.worst_of(self.paused)
                if waiting is None:
                    return
                self.give_up([waiting])

    def give_up(self, numbers: Sequence[int]) -> None:
        """Tell the study of paused trials that they will not go on, and free their disk."""
        for number in numbers:
            trial = optuna.Trial(self._study, self.paused.pop(number))
            config = self._config(trial.params)
            if config is not None:
                self._store(trial, config, trial.user_attrs["epochs"])
            trial.set_user_attr(PAUSED, None)
            self._study.tell(trial, state=TrialState.PRUNED)
            remove_checkpoints(trial_folder(self._folder, number))
        self._weights.drop(self._may_go_on)

    def _store(self, trial: optuna.Trial, config: Config, epochs: Epochs) -> None:
        if self._artifacts is not None:
            folder = trial_folder(self._folder, trial.number)
            store_artifacts(trial, self._artifacts, folder, config, epochs)

    def _config(self, values: Mapping[str, Any]) -> Config | None:
        """Return the configuration of a stored trial, None if another program changed it."""
        try:
            return self._space.resolve(values)
        except ValueError:  # pydantic's is one
            return None

    def _may_go_on(self, number: int) -> bool:
        return any(number in s for s in (self.paused, self.status.running, self.elsewhere))


def _standing(running: Running) -> tuple[Rank, float, dict[str, Any]]:
    """Return rank and exact match of a trial's best epoch, and its values."""
    rank = rank_of(running.epochs, running.trial.number)
    return rank, best_epoch(running.epochs)["exact"], running.values


def n_without_gain(ends: Mapping[int, tuple[float, Reached]]) -> int:
    """Return the number of trials in a row, the last ones, that brought no lower CER.

    The CER of some folds says little beside that of all: the first trial that has seen all of them
    is a gain, and behind it only others that have.

    Args:
        ends: time of the end of each trained trial, and what it reached, by number.
    """
    best, n = (True, math.inf), 0
    for _, (_, reached) in sorted(ends.items(), key=lambda end: (end[1][0], end[0])):
        best, n = (reached, 0) if reached < best else (best, n + 1)
    return n


def _ended(trial: FrozenTrial) -> float:
    """Return when a trial ended, in seconds; older trials store it but when they are finished."""
    ended = trial.user_attrs.get(ORIGIN, {}).get("ended")
    if ended is not None:
        return float(ended)
    return trial.datetime_complete.timestamp() if trial.datetime_complete else math.inf


def tried_key(values: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Return what tells configurations of one space apart."""
    return tuple(sorted(values.items()))
