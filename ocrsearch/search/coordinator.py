"""The coordinator: asks the sampler, writes the study, decides who goes on.

Workers train and tell it events, and never write the database; what it has told the study is
never lost, and what is unfinished when it ends is continued by the next one. There may be others
on the same study; what it has to agree on with them is in ``sharing``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import optuna
from optuna.artifacts import FileSystemArtifactStore
from optuna.trial import FrozenTrial, TrialState

from ocrsearch.config import Config
from ocrsearch.data.dataset import LabelledImages
from ocrsearch.errors import StudyError
from ocrsearch.search.artifacts import store_artifacts
from ocrsearch.search.constraints import Constraints
from ocrsearch.search.engines.events import (
    EpochDone,
    Event,
    Job,
    Machine,
    TrialDone,
    TrialFailed,
    WorkerRefused,
)
from ocrsearch.search.failures import (
    HALVED,
    MAX_ATTEMPTS,
    failure_state,
    with_half_batch,
)
from ocrsearch.search.feasibility import network_figures
from ocrsearch.search.kept_weights import KeptWeights, Rank
from ocrsearch.search.promotion import build_promotion
from ocrsearch.search.sharing import Sharing
from ocrsearch.search.space import Space
from ocrsearch.search.status import Ending, Limits, Observer, Running, Status, describe
from ocrsearch.search.study import (
    ORIGIN,
    PAUSED,
    REPEATED,
    finished_trials,
    rank,
    unfinished_trials,
)
from ocrsearch.training.epochs import Epochs, best_epoch, training_result
from ocrsearch.training.trial_files import BEST, LAST, remove_folder, trial_folder

MAX_FAILURES_IN_A_ROW = 10
POLL_SECONDS = 0.25

MAX_REPEATS = 50
"""So often in a row the sampler may suggest what was tried; then the space is taken as used up."""


class Engine(Protocol):
    """What the coordinator needs of whatever runs the workers."""

    machine: Machine | None

    @property
    def n_idle(self) -> int: ...
    def submit(self, job: Job) -> None: ...
    def answer(self, number: int, *, go_on: bool) -> None: ...
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
        self.sharing = sharing or Sharing()
        self.artifacts = artifacts  # None: nothing to look at is kept of a trial
        self.study, self.space, self.train = study, space, train
        self.engine, self.limits, self.folder = engine, limits, folder
        self.observer = observer
        facts = study.user_attrs["facts"]
        self.seed: int = facts["seed"]
        self.init: str | None = facts.get("init")
        self.stop_requested = False
        self.status = Status(limits)
        self._elsewhere: set[int] = set()  # numbers of trials that others train
        self._failures_in_a_row = 0
        self._tried: set[tuple[tuple[str, Any], ...]] = set()
        self._queue = [] if self.sharing.several else self._left()
        self._exhausted = False
        self._promotion = build_promotion(space)
        self._paused: dict[int, int] = {}  # number of the trial: its id in the storage
        self._weights = KeptWeights(folder)
        self._best_key: Rank | None = None
        self._constraints = Constraints(study, space, train)
        self._look()

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
            if self.sharing.is_time_to_look():
                self._look()
            self.observer(self.status, None)
        for running in self.status.running.values():
            self._note_unfinished(running)
        if ending in ("trials", "target", "exhausted", "patience"):
            with self._turn():
                if self.sharing.leave():
                    self._give_up(list(self._paused))
        return ending

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Decide what no other coordinator may decide now, knowing what they all did."""
        with self.sharing.turn():
            if self.sharing.several:
                self._look()
            yield

    def _ending(self) -> Ending | None:
        if self.stop_requested:
            return "interrupted"
        status, limits = self.status, self.limits
        best = status.best_value
        if limits.target is not None and best is not None and best <= limits.target:
            return "target"
        if limits.epochs is not None and status.n_epochs_before + status.n_epochs >= limits.epochs:
            return "epochs"
        if limits.patience is not None and status.n_without_gain >= limits.patience:
            return "patience"
        if status.n_finished >= limits.trials and not status.running and not self._candidates():
            return "trials"
        if self._exhausted and self._nobody_trains and not self._candidates():
            return "exhausted"
        if limits.timeout_s is not None and status.elapsed_s >= limits.timeout_s:
            return "timeout"
        return None

    def _fill(self) -> None:
        """Give every idle worker a configuration."""
        while self.engine.n_idle and self._ending() is None:
            running = self._next()
            if running is None:
                return
            if self._is_feasible(running):
                self._submit(running)

    def _next(self) -> Running | None:
        """Return one that was left, else one that is promoted, else a new one if there is room."""
        if self._queue:
            return self._queue.pop(0)
        if not (self._candidates() or self._room or self.sharing.is_time_to_take_over()):
            return None
        with self._turn():
            if left := self.sharing.left_behind(self.study):
                return self._take_over(*left[0])
            if candidates := self._candidates():
                return self._promote(candidates[0])
            return self._ask() if self._room else None

    @property
    def _room(self) -> int:
        """How many new configurations may be begun."""
        begun = self.status.n_finished + len(self.status.running) + len(self._elsewhere)
        return 0 if self._exhausted else max(0, self.limits.trials - begun)

    @property
    def _nobody_trains(self) -> bool:
        return not self.status.running and not self._elsewhere

    def _candidates(self) -> list[int]:
        if self._promotion is None:
            return []
        found = self._promotion.candidates(self._paused)
        if not found and not self._room and self._nobody_trains:
            return self._promotion.finalist(self._paused)
        if self._room and self.limits.timeout_s is not None:
            return self._promotion.last_chances(self._paused, self._has_time) or found
        return found

    def _has_time(self, number: int, n_more: int) -> bool:
        """Whether the time lasts for what is left of a paused trial and some epochs before it."""
        assert self.limits.timeout_s is not None
        epochs = optuna.Trial(self.study, self._paused[number]).user_attrs["epochs"]
        n_left = self.space.max_epochs - len(epochs) + n_more
        seconds: float = sum(record["seconds"] for record in epochs) / len(epochs) * n_left
        return self.status.elapsed_s + seconds < self.limits.timeout_s

    def _promote(self, number: int) -> Running:
        assert self._promotion is not None
        self._promotion.promote(number)
        trial = optuna.Trial(self.study, self._paused.pop(number))
        running = self._take_up(trial, len(trial.user_attrs["epochs"]))
        trial.set_user_attr(PAUSED, None)
        self.status.n_pruned -= 1
        n_epochs = len(running.epochs)
        self.observer(self.status, f"trial {number} goes on from epoch {n_epochs}")
        return running

    def _take_over(self, trial: optuna.Trial, n_reported: int) -> Running:
        running = self._take_up(trial, n_reported)
        self._elsewhere.discard(trial.number)
        line = f"trial {trial.number} goes on from epoch {n_reported}: its coordinator is gone"
        self.observer(self.status, line)
        return running

    def _ask(self) -> Running | None:
        """Return a configuration that was not tried, None if the sampler knows no other."""
        for _ in range(MAX_REPEATS):
            trial = self.study.ask()
            running = self._take_up(trial, 0)
            key = tried_key(running.values)
            if key not in self._tried:
                self._tried.add(key)
                # what lies there is of an older study of that name, whose database is gone
                remove_folder(trial_folder(self.folder, trial.number))
                return running
            self._tell_repeated(trial)
        self._exhausted = True
        return None

    def _take_up(self, trial: optuna.Trial, n_reported: int) -> Running:
        """Return a trial with its values; those that were not yet suggested are, now."""
        self.sharing.claim(trial)
        values = self.space.suggest(trial)
        known = trial.user_attrs.get("epochs", [])
        config = self.space.resolve(values)
        if HALVED in trial.user_attrs:
            config = with_half_batch(config)
        return Running(trial, values, config, known, n_reported)

    def _left(self) -> list[Running]:
        """Return what an earlier coordinator left in training, without what it had only asked.

        It may have been killed between asking and noting that the configuration was tried.
        """
        left = unfinished_trials(self.study)
        numbers = {trial.number for trial, _ in left}
        others = [t for t in self.study.get_trials(deepcopy=False) if t.number not in numbers]
        self._tried = {tried_key(t.params) for t in others}
        queue = []
        for trial, n_reported in left:
            running = self._take_up(trial, n_reported)
            key = tried_key(running.values)
            if key in self._tried and not running.epochs:
                self._tell_repeated(trial)
            else:
                self._tried.add(key)
                queue.append(running)
        return queue

    def _tell_repeated(self, trial: optuna.Trial) -> None:
        trial.set_user_attr(REPEATED, value=True)
        self.study.tell(trial, state=TrialState.PRUNED)

    def _is_feasible(self, running: Running) -> bool:
        """Check a configuration before it is trained, and tell the study if it cannot work."""
        trial = running.trial
        if running.n_reported:
            return True
        reasons = self._constraints.broken(trial, running.config)
        if reasons:
            self._tell_infeasible(running, reasons)
        return not reasons

    def _tell_infeasible(self, running: Running, reasons: str) -> None:
        running.trial.set_user_attr("infeasible", reasons)
        self.study.tell(running.trial, state=TrialState.PRUNED)
        self.status.n_infeasible += 1
        self.observer(self.status, f"trial {running.trial.number} infeasible: {reasons}")

    def _submit(self, running: Running) -> None:
        number = running.trial.number
        machine = self.engine.machine
        assert machine is not None, "a worker is idle, so one has said what it runs on"
        self.status.running[number] = running
        folder = trial_folder(self.folder, number)
        seed, precision = self.seed + number, self._precision(machine)
        latency = self._constraints.latency_ms(running.config)
        limit = self.space.settings.constraints.latency_ms
        job = Job(number, running.config, seed, folder, precision, latency, limit)
        self.engine.submit(job)

    def _precision(self, machine: Machine) -> str:
        """Return what this kind of device computes in: measured once, the same for all trials."""
        known: dict[str, str] = self.study.user_attrs.get("precision", {})
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
        self._report(running, event.epochs)
        if self._promotion:
            running.pruned = not self._promotion.goes_on(event.number, len(event.epochs))
        elif len(self.space.settings.objective) == 1:
            running.pruned = running.trial.should_prune()
        self.engine.answer(event.number, go_on=not running.pruned)

    def _report(self, running: Running, epochs: Epochs) -> None:
        """Tell the study the epochs that it does not know yet."""
        for record in epochs[running.n_reported :]:
            if len(self.space.settings.objective) == 1:  # Optuna takes no more in between
                running.trial.report(record["cer"], record["epoch"])
            self.status.n_epochs += 1
            running.attempts = 1  # it got on: what broke it off before was not its fault
        if len(epochs) != len(running.trial.user_attrs.get("epochs", ())):
            running.trial.set_user_attr("epochs", epochs)
        running.epochs = epochs
        running.n_reported = max(running.n_reported, len(epochs))
        if self._promotion:
            architecture = running.config.model.architecture
            self._promotion.record(running.trial.number, architecture, epochs)

    def _on_done(self, event: TrialDone) -> None:
        running = self.status.running[event.number]
        self._report(running, event.epochs)
        del self.status.running[event.number]
        best = best_epoch(event.epochs)
        result = self._result(running, event)
        for name, value in result.items():
            running.trial.set_user_attr(name, value)
        running.trial.set_user_attr(ORIGIN, self._origin(running, event))
        if event.latency_ms is not None:
            self._constraints.note_latency(running.trial, running.config, event.latency_ms)
        key = (best["cer"], best["val_loss"], event.number)
        if not (running.pruned and self._promotion):
            self._store(running.trial, running.config, event.epochs)
        if running.pruned and self._promotion:
            running.trial.set_user_attr(PAUSED, len(event.epochs))
            self._paused[event.number] = running.trial._trial_id
            self.status.n_pruned += 1
            self._weights.keep(key, self._may_go_on)
            self._note_best(key, best["exact"], running.values)
        elif running.pruned:
            self.study.tell(running.trial, state=TrialState.PRUNED)
            self.status.n_pruned += 1
            self.status.n_without_gain += 1
            remove_folder(trial_folder(self.folder, event.number))
        else:
            objective = self.space.settings.objective
            self.study.tell(running.trial, [result[METRIC_OF[name]] for name in objective])
            self.status.n_complete += 1
            (trial_folder(self.folder, event.number) / LAST).unlink(missing_ok=True)
            self._weights.keep(key, self._may_go_on)
            self._note_best(key, best["exact"], running.values)
        with self._turn():
            if self._promotion:
                self._give_up(self._promotion.hopeless(self._paused, self.limits.trials))
            self._save_disk()
        self._finish(event.number, running, "stopped" if running.pruned else "finished", best)

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
            "config": running.config.identity(self.init),
            "device": machine.device if machine else "",
            "precision": self._precision(machine) if machine else "",
            "data_fingerprint": self.study.user_attrs["facts"]["data_fingerprint"],
            "versions": machine.versions if machine else {},
            **({"transfer": event.transfer} if event.transfer else {}),
        }

    def _finish(self, number: int, running: Running, word: str, best: dict[str, Any]) -> None:
        self._failures_in_a_row = 0
        self.status.n_finished_now += 1
        seconds = sum(record["seconds"] for record in running.epochs)
        self.observer(
            self.status,
            f"trial {number} {word} after {len(running.epochs)} epochs, {seconds:.0f} s: "
            f"CER {best['cer']:.4f}, exact {best['exact']:.3f} ({describe(running.values)})",
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
            self._constraints.note_latency(running.trial, running.config, event.latency_ms)
            self._tell_infeasible(running, event.reason)
            return
        retry = running.attempts < MAX_ATTEMPTS.get(event.kind, 1)
        del self.status.running[event.number]
        if retry:
            running.attempts += 1
            self._queue.insert(0, running)
            line = f"trial {event.number} broke off and is tried again: {event.reason}"
            self.observer(self.status, line)
            return
        if event.kind == "memory":
            self._constraints.learn_memory(running.trial, running.config)
        running.trial.set_user_attr("failure", event.reason)
        running.trial.set_user_attr("traceback", event.traceback)
        self.study.tell(running.trial, state=failure_state(event.kind))
        remove_folder(trial_folder(self.folder, event.number))
        self.status.n_failed += 1
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
        self._queue.insert(0, running)
        batch_size = running.config.training.batch_size
        line = f"trial {event.number} is tried again at batch size {batch_size}: {event.reason}"
        self.observer(self.status, line)

    def _note_best(self, key: Rank, exact: float, values: dict[str, Any]) -> None:
        gains = self._best_key is None or key[0] < self._best_key[0]
        self.status.n_without_gain = 0 if gains else self.status.n_without_gain + 1
        if self._best_key is None or key < self._best_key:
            self._best_key = key
            self.status.best_value, _, self.status.best_number = key
            self.status.best_exact, self.status.best_values = exact, values

    def _note_unfinished(self, running: Running) -> None:
        """Note what is in training when the search ends: its best weights can be exported."""
        if running.epochs:
            best = best_epoch(running.epochs)
            key = (best["cer"], best["val_loss"], running.trial.number)
            self._note_best(key, best["exact"], running.values)

    def _look(self) -> None:
        """Read what earlier coordinators did, and what others do."""
        trials = self.study.get_trials(deepcopy=False)
        n_epochs = sum(len(t.user_attrs.get("epochs", ())) for t in trials)
        self.status.n_epochs_before = n_epochs - self.status.n_epochs
        self._tried |= {tried_key(trial.params) for trial in trials}
        self._count_finished(finished_trials(trials))
        training = [t for t in trials if t.state == TrialState.RUNNING]
        others = [t for t in training if not self.sharing.is_mine(t)]
        self._elsewhere = {trial.number for trial in others}
        for trial in others:
            if self._promotion and (epochs := trial.user_attrs.get("epochs")):
                architecture = self.space.resolve(trial.params).model.architecture
                self._promotion.record(trial.number, architecture, epochs)

    def _count_finished(self, ended: Sequence[FrozenTrial]) -> None:
        status = self.status
        status.n_complete = status.n_pruned = status.n_infeasible = status.n_failed = 0
        waiting = [t for t in ended if t.user_attrs.get(PAUSED) is not None]
        self._paused = {trial.number: trial._trial_id for trial in waiting}
        for trial in sorted(ended, key=lambda t: t.datetime_complete or datetime.max):
            if trial.state == TrialState.COMPLETE:
                self.status.n_complete += 1
            elif "infeasible" in trial.user_attrs:
                self.status.n_infeasible += 1
            elif "failure" in trial.user_attrs:
                self.status.n_failed += 1
            else:
                self.status.n_pruned += 1
            if self.sharing.is_news(trial):
                self._remember(trial)

    def _remember(self, trial: FrozenTrial) -> None:
        """Take up what an earlier coordinator knew of a finished or a paused trial."""
        attrs, folder = trial.user_attrs, trial_folder(self.folder, trial.number)
        if self._promotion and "epochs" in attrs and "architecture" in attrs:
            self._promotion.record(trial.number, attrs["architecture"], attrs["epochs"])
        if trial.number not in self._paused:
            # the study was told, but the one who told it died before it had tidied up
            (folder / LAST).unlink(missing_ok=True)
        if trial.state != TrialState.COMPLETE and attrs.get("epochs"):
            self.status.n_without_gain += 1
        kept = "cer" in attrs and (folder / BEST).exists()
        if kept:
            self._weights.note(rank(trial))
        if kept or trial.state == TrialState.COMPLETE:
            self._note_best(rank(trial), attrs.get("exact", 0.0), trial.params)

    def _give_up(self, numbers: Sequence[int]) -> None:
        """Tell the study of paused trials that they will not go on, and free their disk."""
        for number in numbers:
            trial = optuna.Trial(self.study, self._paused.pop(number))
            config = self.space.resolve(trial.params)
            self._store(trial, config, trial.user_attrs["epochs"])
            trial.set_user_attr(PAUSED, None)
            self.study.tell(trial, state=TrialState.PRUNED)
            (trial_folder(self.folder, number) / LAST).unlink(missing_ok=True)
        self._weights.drop(self._may_go_on)

    def _store(self, trial: optuna.Trial, config: Config, epochs: Epochs) -> None:
        if self.artifacts is not None:
            folder = trial_folder(self.folder, trial.number)
            store_artifacts(trial, self.artifacts, folder, config, epochs)

    def _may_go_on(self, number: int) -> bool:
        return any(number in s for s in (self._paused, self.status.running, self._elsewhere))

    def _save_disk(self) -> None:
        """Keep to the limit: delete weights from the worst on, then who waits longest."""
        limit = self.limits.disk_bytes
        while limit is not None and self._weights.n_bytes() > limit:
            if not self._weights.spare_worst(self._may_go_on):
                waiting = self._weights.worst_of(self._paused)
                if waiting is None:
                    return
                self._give_up([waiting])


METRIC_OF = {
    "cer": "cer",
    "latency_ms": "latency_ms",
    "size_mb": "size_mb",
    "parameters": "n_parameters",
    "multiply_adds": "multiply_adds",
}
"""What a trial stores for each objective."""


def tried_key(values: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Return what tells configurations of one space apart."""
    return tuple(sorted(values.items()))
