"""The coordinator: hands out work, listens to the workers, says when the search ends.

Workers train and tell it events, and never write the database; what it has told the study is
never lost, and what is unfinished when it ends is continued by the next one. What is trained next
is found in ``chooser``, what is known of the trials is in ``ledger``. There may be others on the
same study; what it has to agree on with them is in ``sharing``.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from statistics import mean
from typing import Any, Protocol

import optuna
from optuna.artifacts import FileSystemArtifactStore

from ocrsearch.core import StudyError, remove_leftovers
from ocrsearch.data import LabelledImages
from ocrsearch.spaces import Finding, Space, network_figures
from ocrsearch.studies import ORIGIN, Sharing, backend_of, make_durable, study_facts, text_by_text
from ocrsearch.training import START, best_epoch, n_finished_folds, training_result, trial_folder
from ocrsearch.tuning.chooser import Chooser
from ocrsearch.tuning.constraints import Constraints
from ocrsearch.tuning.engines import (
    Answer,
    EpochDone,
    Event,
    Job,
    Machine,
    TrialDone,
    TrialFailed,
    WorkerRefused,
)
from ocrsearch.tuning.status import (
    Ending,
    Limits,
    Observer,
    Running,
    describe,
)
from ocrsearch.tuning.store import (
    HALVED,
    MAX_ATTEMPTS,
    Ledger,
    with_half_batch,
)

MAX_FAILURES_IN_A_ROW = 10
MAX_INFEASIBLE_IN_A_ROW = 50
"""So many configurations may be infeasible before one is trained; then no other is tried."""

MAX_FLAWLESS = 5
"""Finished trials without a validation error, after which the search ends.

No other can be told to be better than they are, however long the search goes on.
"""

TIME_SHARE = 0.95
"""Share of the time left that the last epochs of a training are to take."""

N_TIMED = 3
"""So many epochs tell how long the next take."""

POLL_SECONDS = 0.25


class Engine(Protocol):
    """What the coordinator needs of whatever runs the workers."""

    machine: Machine | None

    @property
    def n_idle(self) -> int: ...
    def submit(self, job: Job) -> None: ...
    def answer(self, number: int, answer: Answer) -> None: ...
    def poll(self, timeout_s: float) -> list[Event]: ...


class Coordinator:
    """Runs one search over an engine's workers."""

    def __init__(
        self,
        study: optuna.Study,
        space: Space,
        train: LabelledImages,
        engine: Engine,
        limits: Limits,
        folder: Path,
        observer: Observer,
        sharing: Sharing | None = None,
        artifacts: FileSystemArtifactStore | None = None,
    ) -> None:
        self.study, self.space, self.train = study, space, train
        self.engine, self.limits, self.folder = engine, limits, folder
        self.observer, self.sharing = observer, sharing or Sharing()
        facts = study_facts(study)
        self.seed: int = facts["seed"]
        self.study_id: str = facts.get("id") or ""
        self.data_fingerprint: str = facts["data_fingerprint"]
        self.init: str | None = facts.get("init")
        self._start = self.sharing.folder(folder).resolve() / START
        self.stop_requested = False
        self.ledger = Ledger(study, space, limits, folder, self.sharing, artifacts)
        self.status = self.ledger.status
        self._chooser = Chooser(study, space, self.ledger, observer, self.sharing)
        self._constraints = Constraints(study, space, train)
        self._failures_in_a_row = 0
        self._n_infeasible_for: Counter[str] = Counter()
        self.ledger.look()

    def run(self) -> Ending:
        """Search until a limit is reached or ``stop_requested`` is set.

        Trials in training when it ends stay unfinished, with their checkpoints.

        Raises:
            StudyError: workers cannot work at all, or too many trials failed in a row.
        """
        self.observer(self.status, None)
        while (ending := self._ending()) is None:
            self._fill()
            for event in self.engine.poll(POLL_SECONDS):
                self._handle(event)
            self.sharing.look_at_files()
            if self.sharing.is_time_to_look():
                self.ledger.look()
            self.observer(self.status, None)
        self.sharing.look_at_files(now=True)
        self._sum_up_infeasible()
        for running in self.status.running.values():
            self.ledger.note_unfinished(running)
        self.ledger.note_waiting()
        if ending in ("trials", "target", "exhausted", "patience", "flawless", "infeasible"):
            with self.ledger.turn():
                if self.sharing.leave():
                    self.ledger.give_up(list(self.ledger.paused))
        return ending

    def _ending(self) -> Ending | None:
        if self.stop_requested:
            return "interrupted"
        status, limits = self.status, self.limits
        best = None if status.best_lacks_folds else status.best_value
        if limits.target is not None and best is not None and best <= limits.target:
            return "target"
        if limits.epochs is not None and status.n_epochs_before + status.n_epochs >= limits.epochs:
            return "epochs"
        if limits.patience is not None and status.n_without_gain >= limits.patience:
            return "patience"
        if status.n_flawless >= MAX_FLAWLESS:
            return "flawless"
        if (
            status.n_finished >= limits.trials
            and not status.running
            and not self._chooser.has_candidates()
        ):
            return "trials"
        if self._is_used_up():
            return "exhausted"
        if self._nothing_is_feasible():
            return "infeasible"
        if limits.timeout_s is not None and status.elapsed_s >= limits.timeout_s:
            return "timeout"
        return None

    def _is_used_up(self) -> bool:
        chooser = self._chooser
        return chooser.exhausted and self.ledger.nobody_trains and not chooser.has_candidates()

    def _nothing_is_feasible(self) -> bool:
        """Whether this search tried many configurations and none was ever trained."""
        status = self.status
        return (
            self._n_infeasible_for.total() >= MAX_INFEASIBLE_IN_A_ROW
            and status.n_infeasible == status.n_finished
            and self.ledger.nobody_trains
        )

    def _fill(self) -> None:
        """Give every idle worker a configuration."""
        while self.engine.n_idle and self._ending() is None:
            running = self._chooser.next()
            if running is None:
                return
            if self._is_feasible(running):
                self._submit(running)

    def _is_feasible(self, running: Running) -> bool:
        """Check a configuration before it is trained, and tell the study if it cannot work."""
        if running.n_reported:
            return True
        broken = self._constraints.broken(running.trial, running.config)
        if broken:
            self._tell_infeasible(running, broken)
        return not broken

    def _tell_infeasible(self, running: Running, broken: list[Finding]) -> None:
        """Tell the study, and the observer too unless the same was told of another trial."""
        reasons = self.ledger.note_infeasible(running, broken)
        self._n_infeasible_for[reasons] += 1
        is_new = self._n_infeasible_for[reasons] == 1
        line = f"trial {running.trial.number} infeasible: {reasons}"
        self.observer(self.status, line if is_new else None)

    def _sum_up_infeasible(self) -> None:
        for reasons, n in self._n_infeasible_for.items():
            if n > 1:
                trials = "1 more trial" if n == 2 else f"{n - 1} more trials"
                self.observer(self.status, f"{trials} infeasible: {reasons}")

    def _submit(self, running: Running) -> None:
        number = running.trial.number
        machine = self.engine.machine
        assert machine is not None, "a worker is idle, so one has said what it runs on"
        self.status.running[number] = running
        folder = trial_folder(self.folder, number)
        remove_leftovers(folder)  # of a worker that was killed
        seed, precision = self.seed + number, self._precision(machine)
        latency = self._constraints.latency_ms(running.config)
        limit = self.space.settings.constraints.latency_ms
        job = Job(
            *(number, running.config, seed, folder, precision, latency, limit),
            study_id=self.study_id,
            n_folds=self.ledger.n_folds,
            start=self._start if self.init else None,
        )
        if not running.n_reported:
            make_durable(backend_of(self.study))
        self.engine.submit(job)

    def _precision(self, machine: Machine) -> str:
        """Return what this kind of device computes in: measured once, the same for all trials."""
        known = text_by_text(self.study.user_attrs.get("precision"))
        if machine.device not in known:
            known = {**known, machine.device: machine.precision}
            self.study.set_user_attr("precision", known)
        return known[machine.device]

    def _handle(self, event: Event) -> None:
        if isinstance(event, EpochDone):
            self._on_epoch(event)
        elif isinstance(event, TrialDone):
            self._on_done(event)
        elif isinstance(event, TrialFailed):
            self._on_failed(event)
        elif isinstance(event, WorkerRefused):
            raise StudyError(event.reason)

    def _on_epoch(self, event: EpochDone) -> None:
        running = self.status.running[event.number]
        self.ledger.note_epochs(running, event.epochs)
        n_left = self._epochs_that_fit(running)
        if n_left is not None and not running.ends_early:
            running.ends_early = True
            end = len(running.epochs) + n_left
            line = f"trial {event.number} is to end at epoch {end}: the time runs out"
            self.observer(self.status, line)
        if promotion := self.ledger.promotion:
            last = running.ends_early
            running.pruned = not promotion.goes_on(event.number, event.epochs, last=last)
        elif len(self.space.settings.objective) == 1:
            running.pruned = running.trial.should_prune()
        self.engine.answer(event.number, Answer(not running.pruned, n_left))

    def _epochs_that_fit(self, running: Running) -> int | None:
        """Return in how many epochs a training is to end, so that it ends in the time there is.

        Returns:
            None as long as its own schedule ends in time, or its final decay, which then takes the
            same share of the epochs, need not begin yet. Folds keep their schedules.
        """
        limit, training = self.limits.timeout_s, running.config.training
        if limit is None or self.ledger.n_folds > 1:
            return None
        n_done = len(running.epochs)
        seconds = mean(record["seconds"] for record in running.epochs[-N_TIMED:])
        n_left = max(1, int(TIME_SHARE * (limit - self.status.elapsed_s) / max(seconds, 1e-3)))
        n_all = n_done + n_left
        if n_all >= training.epochs or n_done < round((1 - training.decay_share) * n_all):
            return None
        return n_left

    def _on_done(self, event: TrialDone) -> None:
        running = self.status.running[event.number]
        self.ledger.note_epochs(running, event.epochs)
        del self.status.running[event.number]
        result = self._result(running, event)
        for name, value in result.items():
            running.trial.set_user_attr(name, value)
        running.ended = time.time()
        running.trial.set_user_attr(ORIGIN, self._origin(running, event))
        if event.latency_ms is not None:
            self._constraints.note_latency(running.trial, running.config, event.latency_ms)
        if not running.pruned:
            objective = self.space.settings.objective
            self.ledger.note_complete(running, [result[METRIC_OF[name]] for name in objective])
        elif self.ledger.promotion:
            self.ledger.note_paused(running)
        else:
            self.ledger.note_pruned(running)
        with self.ledger.turn():
            self.ledger.free_disk()
        self._finish(running)

    def _result(self, running: Running, event: TrialDone) -> dict[str, Any]:
        """Return what is looked at of a trial; the rest follows from its epochs."""
        result = training_result(event.epochs, event.n_parameters)
        multiply_adds = network_figures(running.config, self.train)["multiply_adds"]
        return {
            **{name: result[name] for name in ("cer", "exact", "n_parameters", "size_mb")},
            "architecture": running.config.model.architecture,
            "multiply_adds": multiply_adds,
            **({"latency_ms": event.latency_ms} if event.latency_ms is not None else {}),
        }

    def _origin(self, running: Running, event: TrialDone) -> dict[str, Any]:
        """Return what a result came from; one attribute, since each costs a transaction."""
        machine = self.engine.machine
        return {
            "seed": self.seed + event.number,
            "ended": running.ended,
            "config": running.config.identity(self.init),
            "device": machine.device if machine else "",
            "precision": self._precision(machine) if machine else "",
            "data_fingerprint": self.data_fingerprint,
            "versions": machine.versions if machine else {},
            **({"transfer": event.transfer} if event.transfer else {}),
        }

    def _finish(self, running: Running) -> None:
        self._failures_in_a_row = 0
        self.status.n_finished_now += 1
        best, epochs = best_epoch(running.epochs), running.epochs
        word = "stopped" if running.pruned else "finished"
        n_folds = n_finished_folds(epochs)
        folds = f" over {n_folds} folds" if n_folds > 1 else ""
        seconds = sum(record["seconds"] for record in epochs)
        self.observer(
            self.status,
            f"trial {running.trial.number} {word} after {len(epochs)} epochs, {seconds:.0f} s: "
            f"CER {best['cer']:.4f}, exact {best['exact']:.3f}{folds} ({describe(running.values)})",
        )

    def _on_failed(self, event: TrialFailed) -> None:
        running = self.status.running[event.number]
        if self.stop_requested:  # whoever ends us may have ended the worker as well
            return
        if event.kind == "memory" and HALVED not in running.trial.user_attrs:
            self._halve_batch(running, event)
            return
        if event.kind == "latency":
            del self.status.running[event.number]
            assert event.latency_ms is not None, "it is what was too much"
            found = self._constraints.note_latency(running.trial, running.config, event.latency_ms)
            assert found is not None, "it is over the limit"
            self._tell_infeasible(running, [found])
            return
        retry = running.attempts < MAX_ATTEMPTS.get(event.kind, 1)
        del self.status.running[event.number]
        if retry:
            running.attempts += 1
            self._chooser.try_again(running)
            line = f"trial {event.number} broke off and is tried again: {event.reason}"
            self.observer(self.status, line)
            return
        if event.kind == "memory":
            self._constraints.learn_memory(running.trial, running.config)
        self.ledger.note_failed(running, event)
        self.status.n_finished_now += 1
        self.observer(self.status, f"trial {event.number} failed: {event.reason}")
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= MAX_FAILURES_IN_A_ROW:
            raise StudyError(
                f"{self._failures_in_a_row} trials in a row failed, the last with: {event.reason}"
            )

    def _halve_batch(self, running: Running, event: TrialFailed) -> None:
        """Try a configuration for which there was too little memory once more."""
        del self.status.running[event.number]
        running.trial.set_user_attr(HALVED, value=True)
        running.config = with_half_batch(running.config)
        self._chooser.try_again(running)
        batch_size = running.config.training.batch_size
        line = f"trial {event.number} is tried again at batch size {batch_size}: {event.reason}"
        self.observer(self.status, line)


METRIC_OF = {
    "cer": "cer",
    "latency_ms": "latency_ms",
    "size_mb": "size_mb",
    "parameters": "n_parameters",
    "multiply_adds": "multiply_adds",
}
"""What a trial stores for each objective."""
