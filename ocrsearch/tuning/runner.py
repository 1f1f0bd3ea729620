"""Runner: the loop of a search over the events of its workers.

Workers train and report; they never write to the study. The runner asks the ``Scheduler`` for each
decision, applies it to the ``TrialStore`` and answers the workers. If a run is interrupted, the
next one resumes its trials. On PostgreSQL several runs can search one study; ``Sharing`` keeps
their decisions apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from ocrsearch.core import StudyError
from ocrsearch.spaces import Finding
from ocrsearch.studies import HALVED
from ocrsearch.training import best_epoch, n_finished_folds
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
from ocrsearch.tuning.scheduler import MAX_REPEATS, Scheduler
from ocrsearch.tuning.status import GIVES_UP, Ending, Observer, Refusal, Running
from ocrsearch.tuning.store import TrialStore
from ocrsearch.tuning.workers import WorkerCount

MAX_FAILURES_IN_A_ROW = 10
POLL_SECONDS = 0.25


class Engine(Protocol):
    """Interface of the engines, which start the workers."""

    machine: Machine | None

    @property
    def n_idle(self) -> int: ...
    def submit(self, job: Job) -> None: ...
    def answer(self, number: int, answer: Answer) -> None: ...
    def poll(self, timeout_s: float) -> list[Event]: ...


class Runner:
    """Runs one search over the workers of an engine.

    Attributes:
        status: state of the search.
        workers: number of workers on a GPU, which rises with its throughput; None if it is fixed.
        stop_requested: set it to end the search after the current events.
    """

    def __init__(
        self, store: TrialStore, scheduler: Scheduler, engine: Engine, observer: Observer
    ) -> None:
        """Take up the trials that an earlier run left; with several coordinators, ``run`` does.

        Args:
            store: trials of the study.
            scheduler: scheduler without any trials yet.
            engine: engine whose workers train.
            observer: called with the status after every change.
        """
        self.store, self.scheduler = store, scheduler
        self.engine, self.observer = engine, observer
        self.status = store.status
        self.workers: WorkerCount | None = None
        self.stop_requested = False
        self._sharing = store.sharing
        self._failures_in_a_row = 0
        self._n_infeasible_for: Counter[str] = Counter()
        self.status.least_epochs = scheduler.least_epochs
        self._queue = self.status.waiting
        if not self._sharing.several:
            taken = [self._accepted(found) for found in store.unfinished()]
            self._queue += [running for running in taken if running is not None]
        self._look()

    def run(self) -> Ending:
        """Search until a limit is reached or ``stop_requested`` is set.

        Trials that are in training at the end stay unfinished, with their checkpoints.

        Raises:
            StudyError: no worker can work, or too many trials failed in a row.
        """
        self.observer(self.status, None)
        while (ending := self._ending()) is None:
            self.fill_workers()
            for event in self.engine.poll(POLL_SECONDS):
                self.handle(event)
            self._sharing.look_at_files()
            if self._sharing.is_time_to_look():
                self._look()
            self.observer(self.status, None)
        self._sharing.look_at_files(now=True)
        for reasons, n in self._n_infeasible_for.items():
            if n > 1:
                trials = "1 more trial" if n == 2 else f"{n - 1} more trials"
                self._report(f"{trials} infeasible: {reasons}")
        self.store.note_unfinished()
        if GIVES_UP[ending]:
            with self._turn():
                if self._sharing.leave():
                    self.store.give_up(list(self.status.paused))
        return ending

    def _ending(self) -> Ending | None:
        return "interrupted" if self.stop_requested else self.scheduler.ending(self.status)

    def _look(self) -> None:
        """Read the changes of other coordinators."""
        for progress in self.store.look():
            self.scheduler.record(*progress)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Decide while no other coordinator does, with knowledge of all their changes."""
        with self._sharing.turn():
            if self._sharing.several:
                self._look()
            yield

    def fill_workers(self) -> None:
        """Give every idle worker a trial that meets the constraints."""
        while self.engine.n_idle and self._ending() is None:
            running = self.next_trial()
            if running is None:
                return
            if not running.n_reported:  # it was not checked before
                broken = self.store.constraints.broken(running.trial, running.config)
                if broken:
                    self._note_infeasible(running, broken)
                    continue
            machine = self.engine.machine
            assert machine is not None, "a worker is idle, so it has reported its machine"
            self.status.begin(running)
            self.engine.submit(self.store.job(running, machine))

    def next_trial(self) -> Running | None:
        """Return the next trial to train, None if there is none for now.

        Interrupted trials come first, then paused ones that may be resumed, then new ones.
        """
        if self._queue:
            return self._queue.pop(0)
        scheduler, status = self.scheduler, self.status
        if not (
            scheduler.candidates(status)
            or scheduler.room(status)
            or self._sharing.is_time_to_take_over()
        ):
            return None
        with self._turn():
            for trial, n_reported in self.store.left_behind():
                if running := self._accepted(self.store.take_over(trial, n_reported)):
                    return self._resumed(
                        running,
                        f"trial {trial.number} is resumed from epoch {n_reported}: its coordinator "
                        "is gone",
                    )
            for number in scheduler.candidates(status):
                assert scheduler.promotion is not None, "without it there are no candidates"
                scheduler.promotion.promote(number)
                if running := self._accepted(self.store.resume(number)):
                    line = f"trial {number} is resumed from epoch {len(running.epochs)}"
                    return self._resumed(running, line)
            return self._suggest()

    def _resumed(self, running: Running, line: str) -> Running:
        """Report a trial that is resumed, and return it; it counts as waiting meanwhile."""
        self._queue.append(running)
        self._report(line)
        return self._queue.pop()

    def _suggest(self) -> Running | None:
        """Return a configuration that was not tried, None if the sampler suggests no other."""
        n_repeated = 0
        while self.scheduler.room(self.status) and n_repeated < MAX_REPEATS:
            taken = self.store.suggest()
            if taken is None:
                n_repeated += 1
            elif running := self._accepted(taken):
                return running
        self.scheduler.is_exhausted = n_repeated >= MAX_REPEATS
        return None

    def _accepted(self, taken: Running | Refusal) -> Running | None:
        """Return a trial that was taken up; report it if its values are not of the space."""
        if isinstance(taken, Running):
            return taken
        self._report(f"trial {taken.number} infeasible: {taken.reasons}")
        return None

    def _note_infeasible(self, running: Running, broken: list[Finding]) -> None:
        """Write that a trial is infeasible, and report it unless the same reasons were reported."""
        reasons = self.store.note_infeasible(running, broken)
        self._n_infeasible_for[reasons] += 1
        is_new = self._n_infeasible_for[reasons] == 1
        line = f"trial {running.trial.number} infeasible: {reasons}"
        self.observer(self.status, line if is_new else None)

    def _report(self, line: str) -> None:
        self.observer(self.status, line)

    def handle(self, event: Event) -> None:
        """Write an event of a worker to the study, decide by it and answer the worker.

        Raises:
            StudyError: the worker cannot train anything, or too many trials failed in a row.
        """
        if isinstance(event, WorkerRefused):
            raise StudyError(event.reason)
        if isinstance(event, TrialFailed):
            self._on_failed(event)
        elif isinstance(event, EpochDone | TrialDone):
            running = self.status.running[event.number]
            if self.workers and len(event.epochs) > running.n_reported:
                self._count_workers(self.workers, running, event.epochs[-1].seconds)
            self.store.note_epochs(running, event.epochs)
            architecture = running.config.model.architecture
            self.scheduler.record(event.number, architecture, event.epochs)
            if isinstance(event, EpochDone):
                self._on_epoch(running, event)
            else:
                self._on_done(running, event)

    def _count_workers(self, workers: WorkerCount, running: Running, seconds: float) -> None:
        """Measure the throughput after an epoch, and start more workers if it still rises."""
        work = self.store.multiply_adds(running.config)
        if workers.record(work, seconds):
            self._report(f"{workers.n} workers from now on: the throughput of the GPU still rises")

    def _on_epoch(self, running: Running, event: EpochDone) -> None:
        n_left = self.scheduler.epochs_left(self.status, event.epochs, running.config.training)
        if n_left is not None:
            end = len(running.epochs) + n_left
            if running.shortened_to is None:
                self._report(f"trial {event.number} will end at epoch {end}: the time runs out")
            running.shortened_to = min(end, running.n_planned)
        if promotion := self.scheduler.promotion:
            last = running.shortened_to is not None
            running.pruned = not promotion.goes_on(event.number, event.epochs, last=last)
        else:
            running.pruned = self.store.should_prune(running)
        self.engine.answer(event.number, Answer(not running.pruned, n_left))

    def _on_done(self, running: Running, event: TrialDone) -> None:
        del self.status.running[event.number]
        result = self.store.note_result(running, event, self.engine.machine)
        if not running.pruned:
            self.store.note_complete(running, result)
        elif self.scheduler.promotion:
            self.store.note_paused(running)
        else:
            self.store.note_pruned(running)
        with self._turn():
            if self.scheduler.promotion:
                self.store.give_up(self.scheduler.hopeless(self.status))
            self.store.free_disk()
        self._failures_in_a_row = 0

        best, epochs = best_epoch(running.epochs), running.epochs
        word = "finished"
        if running.pruned:
            word = "paused" if running.trial.number in self.status.paused else "pruned"
        n_folds = n_finished_folds(epochs)
        folds = f" over {n_folds} folds" if n_folds > 1 else ""
        unit = "epoch" if len(epochs) == 1 else "epochs"
        seconds = sum(record.seconds for record in epochs)
        values = self.status.describe(running.values)
        self.observer(
            self.status,
            f"trial {running.trial.number} {word} after {len(epochs)} {unit}, {seconds:.0f} s: "
            f"CER {best.cer:.4f}, exact {best.exact:.3f}{folds} ({values})",
        )

    def _on_failed(self, event: TrialFailed) -> None:
        if self.stop_requested:  # the same signal may have ended the worker as well
            return
        running = self.status.running.pop(event.number)
        if event.kind == "memory" and HALVED not in running.trial.user_attrs:
            self.store.note_half_batch(running)
            self._queue.insert(0, running)
            batch_size = running.config.training.batch_size
            self._report(
                f"trial {event.number} is tried again at batch size {batch_size}: {event.reason}"
            )
        elif event.kind == "latency":
            assert event.latency_ms is not None, "the worker measured it"
            constraints = self.store.constraints
            found = constraints.note_latency(running.trial, running.config, event.latency_ms)
            assert found is not None, "it is over the limit"
            self._note_infeasible(running, [found])
        elif self.scheduler.may_retry(event.kind, running.attempts):
            running.attempts += 1
            self._queue.insert(0, running)
            self._report(f"trial {event.number} failed and is tried again: {event.reason}")
        else:
            if event.kind == "memory":
                self.store.constraints.learn_memory(running.trial, running.config)
            self.store.note_failed(running, event)
            self._report(f"trial {event.number} failed: {event.reason}")
            self._failures_in_a_row += 1
            if self._failures_in_a_row >= MAX_FAILURES_IN_A_ROW:
                n, last = self._failures_in_a_row, event.reason
                raise StudyError(f"{n} trials in a row failed, the last with: {last}")
