"""Trial store: reads and writes the trials of a running search.

It is the only writer of a search: it takes trials from the sampler, claims them, records their
epochs and their final states, counts them and decides whose files stay on disk. Every change is
written before it is counted, so that a later run resumes from the study alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.artifacts import FileSystemArtifactStore
from optuna.trial import FrozenTrial, TrialState

from ocrsearch.core import Config, remove_leftovers
from ocrsearch.data import LabelledImages
from ocrsearch.spaces import Finding, Space, network_figures
from ocrsearch.studies import (
    FAILURE,
    HALVED,
    INFEASIBLE,
    METRIC_OF,
    PAUSED,
    GuidedSampler,
    KeptWeights,
    Sharing,
    TrainingOrigin,
    TrialAttributes,
    attributes_of,
    backend_of,
    batched_writes,
    finished_trials,
    id_of_trial,
    make_durable,
    rank,
    rank_of,
    shown,
    store_artifacts,
    stored_trial,
    study_facts,
    text_by_text,
    trial_epochs,
    unfinished_trials,
    write_attributes,
    write_epochs,
)
from ocrsearch.training import (
    BEST,
    START,
    Epochs,
    best_epoch,
    remove_checkpoints,
    remove_folder,
    training_result,
    trial_folder,
)
from ocrsearch.tuning.constraints import Constraints
from ocrsearch.tuning.engines import Job, Machine, TrialDone, TrialFailed
from ocrsearch.tuning.status import Limits, Progress, Refusal, Running, Status, standing_of

NOT_ITS_FAULT = ("crash", "died")
"""Failures that say nothing about the configuration.

A worker that is killed repeatedly before it finishes an epoch needs too much memory.
"""


def with_half_batch(config: Config) -> Config:
    """Return a configuration with half the batch size, at least 1."""
    batch_size = max(1, config.training.batch_size // 2)
    training = config.training.model_copy(update={"batch_size": batch_size})
    return config.model_copy(update={"training": training})


def failure_state(kind: str) -> TrialState:
    """Return the state of a trial whose training failed.

    TPE learns nothing from trials that FAILED. A diverged loss or too little memory is due to the
    configuration, so such a trial is PRUNED.
    """
    return TrialState.FAIL if kind in NOT_ITS_FAULT else TrialState.PRUNED


@dataclass(frozen=True)
class OpenedStudy:
    """A study that is opened for a search.

    Attributes:
        study: Optuna study.
        folder: folder of the study; each trial has a folder in it.
        sharing: claims and turns among the coordinators of the study.
        artifacts: store of the files that Optuna's dashboard shows; None to store none.
    """

    study: optuna.Study
    folder: Path
    sharing: Sharing = field(default_factory=Sharing)
    artifacts: FileSystemArtifactStore | None = None


class TrialStore:
    """The trials of a study, as one of its coordinators knows and writes them.

    Attributes:
        status: counts, the best trial, and the trials in training.
        space: search space.
        sharing: claims and turns among the coordinators of the study.
        constraints: limits of the space and of the machine.
        n_folds: number of folds on which a trial is trained in full.
    """

    def __init__(
        self, opened: OpenedStudy, space: Space, train: LabelledImages, limits: Limits
    ) -> None:
        """Begin with an empty status; ``look`` fills it.

        Args:
            opened: study, with its folder.
            space: search space.
            train: training split.
            limits: limits of the search.
        """
        self._study, self._folder, self._artifacts = opened.study, opened.folder, opened.artifacts
        self.space, self.sharing, self._train = space, opened.sharing, train
        self.status = Status(limits)
        self.constraints = Constraints(self._study, space, train)
        if isinstance(self._study.sampler, GuidedSampler):
            self._study.sampler.accepts = self.constraints.allow
        facts = study_facts(self._study)
        self.n_folds = facts.folds
        self._seed = facts.seed
        self._study_id = facts.id
        self._data_fingerprint = facts.data_fingerprint
        self._init = facts.init
        self._start = self.sharing.folder(self._folder).resolve() / START
        self._tried: set[tuple[tuple[str, Any], ...]] = set()
        self._weights = KeptWeights(self._folder)
        self._n_epochs_at_start: int | None = None

    def look(self) -> list[Progress]:
        """Read the trials of earlier runs and of other coordinators.

        Returns:
            Epochs that are new since the last call, of trials that may be compared.
        """
        trials = self._study.get_trials(deepcopy=False)
        status = self.status
        n_epochs = sum(len(trial_epochs(t)) for t in trials)
        status.n_epochs_before = n_epochs - status.n_epochs
        if self._n_epochs_at_start is None:
            self._n_epochs_at_start = n_epochs
        status.n_epochs_elsewhere = max(0, status.n_epochs_before - self._n_epochs_at_start)
        self._tried |= {tried_key(trial.params) for trial in trials}

        ended = finished_trials(trials)
        waiting = [t for t in ended if t.user_attrs.get(PAUSED) is not None]
        status.paused = {trial.number: id_of_trial(trial) for trial in waiting}
        status.n_complete = status.n_pruned = status.n_infeasible = status.n_failed = 0
        status.pruned = set()
        news: list[Progress] = []
        for trial in sorted(ended, key=lambda t: t.datetime_complete or datetime.max):
            if trial.state == TrialState.COMPLETE:
                status.n_complete += 1
            elif INFEASIBLE in trial.user_attrs:
                status.n_infeasible += 1
            elif FAILURE in trial.user_attrs:
                status.n_failed += 1
            else:
                status.n_pruned += 1
                if trial.number not in status.paused:
                    status.pruned.add(trial.number)
            if trial.params and INFEASIBLE not in trial.user_attrs:
                status.note_configuration(trial.params)
            if self.sharing.is_news(trial):
                self._remember(trial)
                attributes = attributes_of(trial)
                if "epochs" in attributes and "architecture" in attributes:
                    architecture = attributes["architecture"]
                    news.append(Progress(trial.number, architecture, trial_epochs(trial)))

        training = [t for t in trials if t.state == TrialState.RUNNING]
        others = [t for t in training if not self.sharing.is_mine(t)]
        status.elsewhere = {trial.number for trial in others}
        status.standings_elsewhere = {}
        for trial in others:
            if epochs := trial_epochs(trial):
                if (trial_folder(self._folder, trial.number) / BEST).exists():
                    standing = standing_of(epochs, trial.number, trial.params)
                    status.standings_elsewhere[trial.number] = standing
                config = self._config(trial.params)
                architecture = config.model.architecture if config else ""
                news.append(Progress(trial.number, architecture, epochs))
        return news

    def _remember(self, trial: FrozenTrial) -> None:
        """Note the end and the weights of a trial that this coordinator did not train."""
        attributes, folder = attributes_of(trial), trial_folder(self._folder, trial.number)
        if trial.number not in self.status.paused:
            # its coordinator may have died after it wrote the state and before it tidied up
            remove_checkpoints(folder)
        failed = trial.state == TrialState.FAIL or FAILURE in attributes
        if attributes.get("epochs") and not failed:
            # older versions wrote no time, but Optuna has one for finished trials
            end = trial.datetime_complete
            unknown = end.timestamp() if end else math.inf
            ended = attributes.get("origin", {}).get("ended", unknown)
            self.status.note_end(rank(trial), ended)
        kept = "cer" in attributes and (folder / BEST).exists()
        if kept:
            self._weights.note(rank(trial))
        if kept or trial.state == TrialState.COMPLETE:
            self.status.note_best(rank(trial), attributes.get("exact", 0.0), trial.params)

    def unfinished(self) -> list[Running | Refusal]:
        """Take up the trials that an earlier coordinator left in training.

        A configuration that was suggested before and has no epochs yet is skipped: the coordinator
        was killed before it could note the repetition.
        """
        left = unfinished_trials(self._study)
        numbers = {trial.number for trial, _ in left}
        others = [t for t in self._study.get_trials(deepcopy=False) if t.number not in numbers]
        tried = {tried_key(t.params) for t in others}
        found: list[Running | Refusal] = []
        for trial, n_reported in left:
            taken = self._take_up(trial, n_reported)
            if isinstance(taken, Running):
                key = tried_key(taken.values)
                if key in tried and not taken.epochs:
                    write_attributes(trial, repeated=True)
                    self._study.tell(trial, state=TrialState.PRUNED)
                    continue
                tried.add(key)
            found.append(taken)
        return found

    def left_behind(self) -> list[tuple[optuna.Trial, int]]:
        """Return trials whose coordinator is gone, each with its number of epochs reported."""
        return self.sharing.left_behind(self._study)

    def take_over(self, trial: optuna.Trial, n_reported: int) -> Running | Refusal:
        """Take up a trial whose coordinator is gone; within a turn."""
        taken = self._take_up(trial, n_reported)
        self.status.elsewhere.discard(trial.number)
        self.status.standings_elsewhere.pop(trial.number, None)
        return taken

    def resume(self, number: int) -> Running | Refusal:
        """Take up a paused trial; within a turn."""
        trial = optuna.Trial(self._study, self.status.paused.pop(number))
        write_attributes(trial, paused=None)
        self.status.n_pruned -= 1
        return self._take_up(trial, len(trial_epochs(trial)))

    def suggest(self) -> Running | Refusal | None:
        """Take up a new trial; within a turn.

        Returns:
            None if the sampler suggested a configuration that was tried before.
        """
        trial = self._study.ask()
        taken = self._take_up(trial, 0)
        if isinstance(taken, Running):
            key = tried_key(taken.values)
            if key in self._tried:
                write_attributes(trial, repeated=True)
                self._study.tell(trial, state=TrialState.PRUNED)
                return None
            self._tried.add(key)
        return taken

    def _take_up(self, trial: optuna.Trial, n_reported: int) -> Running | Refusal:
        """Claim a trial and complete its values; the sampler suggests those that are missing.

        Returns:
            A refusal if the stored values are not of the space, since another program queued or
            changed the trial. The trial is then infeasible.
        """
        self.sharing.claim(trial)
        stored = stored_trial(self._study, trial)
        given = {**stored.system_attrs.get("fixed_params", {}), **stored.params}
        if reasons := self.space.refusal(given):
            self._note_refused(trial, reasons)
            return Refusal(trial.number, reasons)
        try:
            with batched_writes(self._study):
                values = self.space.suggest(trial)
            config = self.space.resolve(values)
        except (ValueError, TypeError, KeyError) as error:  # pydantic's are ValueErrors
            reasons = f"its values make no configuration ({shown(error)})"
            self._note_refused(trial, reasons)
            return Refusal(trial.number, reasons)
        self.status.note_configuration(values)
        known = trial_epochs(trial)
        if HALVED in trial.user_attrs:
            config = with_half_batch(config)
        return Running(trial, values, config, known, n_reported)

    def job(self, running: Running, machine: Machine) -> Job:
        """Return the job of a trial that is about to be trained, and prepare its folder.

        Args:
            running: trial to train.
            machine: hardware of the workers.
        """
        number, config = running.trial.number, running.config
        folder = trial_folder(self._folder, number)
        remove_leftovers(folder)  # of a worker that was killed
        seed, precision = self._seed + number, self._precision(machine)
        latency, limit = self.constraints.latency_ms(config), self.space.settings.constraints
        if not running.n_reported:
            make_durable(backend_of(self._study))
        return Job(
            *(number, config, seed, folder, precision, latency, limit.latency_ms),
            study_id=self._study_id,
            n_folds=self.n_folds,
            start=self._start if self._init else None,
        )

    def _precision(self, machine: Machine) -> str:
        """Return the precision for a kind of device: measured once, the same for all trials."""
        known = text_by_text(self._study.user_attrs.get("precision"))
        if machine.device not in known:
            known = {**known, machine.device: machine.precision}
            self._study.set_user_attr("precision", known)
        return known[machine.device]

    def should_prune(self, running: Running) -> bool:
        """Return whether Optuna's pruner stops a trial; never with several objectives."""
        return len(self.space.settings.objective) == 1 and running.trial.should_prune()

    def note_epochs(self, running: Running, epochs: Epochs) -> None:
        """Write the epochs of a trial that the study does not have yet."""
        for record in epochs[running.n_reported :]:
            if len(self.space.settings.objective) == 1:  # with several Optuna refuses reports
                running.trial.report(record.cer, record.epoch)
            self.status.note_epoch()
            running.attempts = 1  # it made progress: the last failure was not its fault
        if len(epochs) != len(trial_epochs(running.trial)):
            write_epochs(running.trial, epochs)
        running.epochs = epochs
        running.n_reported = max(running.n_reported, len(epochs))

    def note_result(
        self, running: Running, event: TrialDone, machine: Machine | None
    ) -> TrialAttributes:
        """Write the figures of a training that ended or is paused, and their origin.

        Args:
            running: trial that was trained.
            event: report of its worker.
            machine: hardware of the workers, None if unknown.

        Returns:
            Figures that are shown of a trial; the others follow from its epochs.
        """
        config, result = running.config, training_result(event.epochs, event.n_parameters)
        figures: TrialAttributes = {
            "cer": result.cer,
            "exact": result.exact,
            "n_parameters": result.n_parameters,
            "size_mb": result.size_mb,
            "architecture": config.model.architecture,
            "multiply_adds": self.multiply_adds(config),
        }
        if event.latency_ms is not None:
            figures["latency_ms"] = event.latency_ms
            self.constraints.note_latency(running.trial, config, event.latency_ms)
        running.ended = time.time()
        origin: TrainingOrigin = {
            "seed": self._seed + event.number,
            "ended": running.ended,
            "config": config.identity(self._init),
            "device": machine.device if machine else "",
            "precision": self._precision(machine) if machine else "",
            "data_fingerprint": self._data_fingerprint,
            "versions": machine.versions if machine else {},
        }
        if event.transfer:
            origin["transfer"] = event.transfer
        written: TrialAttributes = {**figures, "origin": origin}
        write_attributes(running.trial, **written)
        return figures

    def multiply_adds(self, config: Config) -> float:
        """Return the multiply-adds of a network for an image and a label of typical length."""
        return network_figures(config, self._train)["multiply_adds"]

    def note_paused(self, running: Running) -> None:
        """Pause a trial, with its checkpoint and its best weights."""
        write_attributes(running.trial, paused=len(running.epochs))
        self.status.paused[running.trial.number] = id_of_trial(running.trial)
        self.status.n_pruned += 1
        self._note_end(running, keeps_weights=True)

    def note_pruned(self, running: Running) -> None:
        """Write that Optuna's pruner stopped a trial."""
        self._store(running.trial, running.config, running.epochs)
        self._study.tell(running.trial, state=TrialState.PRUNED)
        self.status.n_pruned += 1
        self._note_end(running, keeps_weights=False)
        remove_folder(trial_folder(self._folder, running.trial.number))

    def note_complete(self, running: Running, figures: TrialAttributes) -> None:
        """Write the objective values of a trial that was trained in full.

        Args:
            running: trial that was trained.
            figures: figures that ``note_result`` returned.
        """
        values = [figures[METRIC_OF[name]] for name in self.space.settings.objective]
        self._store(running.trial, running.config, running.epochs)
        self._study.tell(running.trial, values)
        self.status.n_complete += 1
        remove_checkpoints(trial_folder(self._folder, running.trial.number))
        self._note_end(running, keeps_weights=True)

    def _note_end(self, running: Running, *, keeps_weights: bool) -> None:
        """Note the end or the pause of a trial, and delete the weights of the worst trials."""
        standing = rank_of(running.epochs, running.trial.number)
        self.status.note_end(standing, running.ended)
        if keeps_weights:
            self._weights.keep(standing, self.status.may_go_on)
            self.status.note_best(standing, best_epoch(running.epochs).exact, running.values)

    def note_infeasible(self, running: Running, broken: Sequence[Finding]) -> str:
        """Write that a trial breaks constraints, and return the reasons in one line."""
        reasons = "; ".join(finding.reason for finding in broken)
        write_attributes(running.trial, excess={f.name: f.excess for f in broken})
        self.status.n_infeasible_now += 1
        self._note_refused(running.trial, reasons)
        return reasons

    def _note_refused(self, trial: optuna.Trial, reasons: str) -> None:
        write_attributes(trial, infeasible=reasons)
        self._study.tell(trial, state=TrialState.PRUNED)
        self.status.n_infeasible += 1

    def note_failed(self, running: Running, event: TrialFailed) -> None:
        """Write that a trial failed and is not trained again."""
        self.status.note_lost(running.trial.number)
        write_attributes(running.trial, failure=event.reason, traceback=event.traceback)
        self._study.tell(running.trial, state=failure_state(event.kind))
        remove_folder(trial_folder(self._folder, running.trial.number))
        self.status.n_failed += 1

    def note_half_batch(self, running: Running) -> None:
        """Halve the batch size of a trial for which there was too little memory."""
        write_attributes(running.trial, halved_batch=True)
        running.config = with_half_batch(running.config)

    def note_unfinished(self) -> None:
        """Count unfinished trials as candidates for the best: their weights can be exported.

        These are the trials in training when the search ends, and those that an earlier search
        left and this one did not resume.
        """
        for running in self.status.running.values():
            if running.epochs:
                exact = best_epoch(running.epochs).exact
                standing = rank_of(running.epochs, running.trial.number)
                self.status.note_best(standing, exact, running.values)
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            epochs = trial_epochs(trial)
            if epochs and (trial_folder(self._folder, trial.number) / BEST).exists():
                self.status.note_best(rank(trial), best_epoch(epochs).exact, trial.params)

    def free_disk(self) -> None:
        """Delete files until the limit of the disk is met; within a turn.

        First go the worst weights, then the paused trials from the worst.
        """
        limit = self.status.limits.disk_bytes
        while limit is not None and self._weights.n_bytes() > limit:
            if not self._weights.spare_worst(self.status.may_go_on):
                worst = self._weights.worst_of(self.status.paused)
                if worst is None:
                    return
                self.give_up([worst])

    def give_up(self, numbers: Sequence[int]) -> None:
        """Prune paused trials and delete their checkpoints; within a turn."""
        for number in numbers:
            trial = optuna.Trial(self._study, self.status.paused.pop(number))
            config = self._config(trial.params)
            if config is not None:
                self._store(trial, config, trial_epochs(trial))
            write_attributes(trial, paused=None)
            self._study.tell(trial, state=TrialState.PRUNED)
            self.status.pruned.add(number)
            remove_checkpoints(trial_folder(self._folder, number))
        self._weights.drop(self.status.may_go_on)

    def _store(self, trial: optuna.Trial, config: Config, epochs: Epochs) -> None:
        if self._artifacts is not None:
            folder = trial_folder(self._folder, trial.number)
            with batched_writes(self._study):
                store_artifacts(trial, self._artifacts, folder, config, epochs)

    def _config(self, values: Mapping[str, Any]) -> Config | None:
        """Return the configuration of a stored trial, None if another program changed it."""
        try:
            return self.space.resolve(values)
        except ValueError:  # includes validation errors of pydantic
            return None


def tried_key(values: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Return values as a key that identifies a configuration within a space."""
    return tuple(sorted(values.items()))
