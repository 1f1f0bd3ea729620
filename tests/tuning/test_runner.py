"""The coordinator's decisions, with an engine that answers at once and trains nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from ocrsearch.core.errors import StudyError
from ocrsearch.data.samples import LabelledImages, PackedImages
from ocrsearch.models.architecture import build_network
from ocrsearch.spaces.feasibility import network_figures
from ocrsearch.spaces.reading import parse_space
from ocrsearch.spaces.space import Space
from ocrsearch.studies.artifacts import N_KEPT, Rank, open_artifacts
from ocrsearch.studies.database import open_storage
from ocrsearch.studies.facts import StudyFacts
from ocrsearch.studies.records import (
    EARLIER,
    EPOCHS,
    EXCESS,
    FAILURE,
    HALVED,
    INFEASIBLE,
    ORIGIN,
    OWNER,
    PAUSED,
    REPEATED,
    TrialAttributes,
)
from ocrsearch.studies.results import trial_metrics, why_nothing_trained
from ocrsearch.studies.study import open_study
from ocrsearch.training.records import EpochRecord, Epochs, Pooled, trial_folder
from ocrsearch.tuning.engines.events import (
    Answer,
    EpochDone,
    Event,
    Job,
    Machine,
    TrialDone,
    TrialFailed,
    WorkerRefused,
)
from ocrsearch.tuning.estimate import limit_progress
from ocrsearch.tuning.runner import MAX_FAILURES_IN_A_ROW, Runner
from ocrsearch.tuning.scheduler import MAX_INFEASIBLE_IN_A_ROW, build_scheduler
from ocrsearch.tuning.status import (
    Ending,
    Limits,
    Observer,
    Status,
    describe,
)
from ocrsearch.tuning.store import OpenedStudy, TrialStore
from ocrsearch.tuning.workers import WorkerCount

SPACE = """
model: {architecture: crnn}
images: {height: {choice: [16, 32]}}
training:
  learning_rate: {float: [1.0e-3, 1.0e-2], log: true}
  epochs: 4
search:
  pruner: {name: median, n_startup_trials: 2, n_warmup_epochs: 1}
"""


def epoch(number: int, cer: float) -> EpochRecord:
    """Return the record of an epoch."""
    return EpochRecord(
        epoch=number,
        train_loss=cer,
        val_loss=cer,
        is_best=True,
        learning_rate=1e-3,
        seconds=1.0,
        cer=cer,
        wer=cer,
        exact=1.0 - cer,
    )


Script = Callable[[Job], list[float] | Event]
"""What happens to a job: the CER of each epoch, or one event."""


@dataclass
class ScriptedEngine:
    """Plays each job's script an epoch at a time, and remembers what was asked of it."""

    script: Script
    n_workers: int = 1
    machine: Machine | None = field(default_factory=lambda: Machine("cpu", "fp32", {"torch": "x"}))
    jobs: dict[int, Job] = field(default_factory=dict)
    submitted: list[int] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    _events: list[Event] = field(default_factory=list)

    @property
    def n_idle(self) -> int:
        return self.n_workers - len(self.jobs)

    def submit(self, job: Job) -> None:
        assert self.n_idle > 0
        self.jobs[job.number] = job
        self.submitted.append(job.number)
        job.folder.mkdir(parents=True, exist_ok=True)
        goes_on = (job.folder / "last.pt").exists()
        (job.folder / "best.pt").write_bytes(b"weights")
        (job.folder / "last.pt").write_bytes(b"state")
        self._play(job, self._n_played.get(job.number, 1) if goes_on else 1)

    def answer(self, number: int, answer: Answer) -> None:
        self.answers.append(answer)
        go_on, job = answer.go_on, self.jobs[number]
        outcome = self.script(job)
        assert isinstance(outcome, list)
        n_done = self._n_played[number]
        if go_on and n_done + 1 < len(outcome):
            self._play(job, n_done + 1)
        elif go_on:
            self._finish(number, outcome)
        else:
            self._finish(number, outcome[:n_done])

    def poll(self, timeout_s: float) -> list[Event]:
        events, self._events = self._events, []
        for event in events:
            if isinstance(event, TrialDone | TrialFailed):
                del self.jobs[event.number]
        return events

    def __post_init__(self) -> None:
        self._n_played: dict[int, int] = {}

    def _finish(self, number: int, cers: list[float]) -> None:
        epochs = self._records(number, cers)
        self._events.append(TrialDone(number, epochs, 1000))

    def _records(self, number: int, cers: list[float]) -> Epochs:
        """Return the records of epochs; with folds each has three of them."""
        epochs = [epoch(i + 1, cer) for i, cer in enumerate(cers)]
        n_folds = self.jobs[number].n_folds
        for i, record in enumerate(epochs if n_folds > 1 else []):
            fold = i // 3 + 1
            changes: dict[str, Any] = {"fold": fold, "n_folds": n_folds}
            if i % 3 == 2:
                cer = sum(cers[2 : i + 1 : 3]) / fold
                changes["pooled"] = Pooled(cer=cer, wer=cer, exact=1 - cer, val_loss=cer)
            epochs[i] = record.model_copy(update=changes)
        return epochs

    def _play(self, job: Job, n_epochs: int) -> None:
        outcome = self.script(job)
        if not isinstance(outcome, list):
            self._events.append(outcome)
            return
        if len(outcome) == 1:
            self._finish(job.number, outcome)
            return
        self._n_played[job.number] = n_epochs
        epochs = self._records(job.number, outcome[:n_epochs])
        self._events.append(EpochDone(job.number, epochs))


@dataclass
class Setting:
    """A study in a folder, and coordinators over it."""

    folder: Path
    space: Space = field(default_factory=lambda: parse_space(SPACE, "space"))
    texts: tuple[str, ...] = ("ab", "ba")
    lines: list[str] = field(default_factory=list)
    n_folds: int = 1

    def study(self) -> optuna.Study:
        storage = open_storage(f"sqlite:///{self.folder}/test.db", create=True)
        facts = StudyFacts(
            self.space.name,
            self.space.content,
            *("d", "f", {"train": 2}, {}, 7),
            objective=self.space.settings.objective,
            folds=self.n_folds,
        )
        return open_study(storage, "s", self.space, facts)

    def coordinator(self, engine: ScriptedEngine, limits: Limits) -> Runner:
        opened = OpenedStudy(self.study(), self.folder / "s", artifacts=open_artifacts(self.folder))
        store = TrialStore(opened, self.space, self.train(), limits)
        return Runner(store, build_scheduler(self.space, store.n_folds), engine, self._observe)

    def train(self) -> LabelledImages:
        images = PackedImages.pack([np.zeros((16, 32), np.uint8)] * len(self.texts))
        return LabelledImages([str(i) for i in range(len(self.texts))], list(self.texts), images)

    def run(self, script: Script, trials: int = 5, **limits: float) -> tuple[Ending, Status]:
        coordinator = self.coordinator(ScriptedEngine(script), Limits(trials, **limits))
        return coordinator.run(), coordinator.status

    def _observe(self, status: Status, line: str | None) -> None:
        if line:
            self.lines.append(line)

    def states(self) -> list[TrialState]:
        return [t.state for t in self.study().get_trials(deepcopy=False)]


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(tmp_path)


def falling(job: Job) -> list[float]:
    """All trials alike: CER falls to 0.1."""
    return [0.9, 0.5, 0.2, 0.1]


def test_counts_the_total_and_does_nothing_more_when_repeated(setting: Setting) -> None:
    ending, status = setting.run(falling, trials=3)
    assert (ending, status.n_complete, status.best_value) == ("trials", 3, 0.1)
    engine = ScriptedEngine(falling)
    again = setting.coordinator(engine, Limits(3))
    assert again.run() == "trials"
    assert engine.submitted == []
    assert (again.status.n_complete, again.status.best_value) == (3, 0.1)


def test_stores_what_people_ask_for_with_each_trial(setting: Setting) -> None:
    setting.run(falling, trials=1)
    (trial,) = setting.study().get_trials()
    assert trial.value == 0.1
    assert trial.intermediate_values == {1: 0.9, 2: 0.5, 3: 0.2, 4: 0.1}
    attrs = trial.user_attrs
    assert attrs["exact"] == pytest.approx(0.9)
    assert attrs["origin"]["seed"] == 7
    metrics = trial_metrics(trial)
    assert (metrics["n_epochs"], metrics["seconds"], metrics["best_epoch"]) == (4, 4.0, 4)
    assert metrics["seed"] == 7
    assert (attrs["n_parameters"], attrs["size_mb"]) == (1000, 0.004)
    assert attrs["origin"]["data_fingerprint"] == "f"
    assert attrs["origin"]["versions"] == {"torch": "x"}
    assert len(attrs["epochs"]) == 4


def test_value_is_the_lowest_cer_of_its_epochs(setting: Setting) -> None:
    setting.run(lambda job: [0.3, 0.1, 0.2], trials=1)
    (trial,) = setting.study().get_trials()
    assert (trial.value, trial_metrics(trial)["best_epoch"]) == (0.1, 2)


def test_stops_trials_that_fall_behind_and_frees_their_disk(setting: Setting) -> None:
    def worse_and_worse(job: Job) -> list[float]:
        return [0.9, 0.1 + 0.1 * job.number, 0.05 + 0.1 * job.number]

    _, status = setting.run(worse_and_worse, trials=6)
    assert status.n_pruned == 4
    pruned = [t for t in setting.study().get_trials() if t.state == TrialState.PRUNED]
    assert all(len(t.intermediate_values) < 3 for t in pruned)
    assert not any(trial_folder(setting.folder / "s", t.number).exists() for t in pruned)


PROMOTION = SPACE.replace("epochs: 4", "epochs: 9").replace(
    "{name: median, n_startup_trials: 2, n_warmup_epochs: 1}",
    "{name: asha, rungs: [1, 3], tested: false}",
)


def by_number(cers: Sequence[float]) -> Script:
    """Nine epochs; from the first on each trial has the CER that is given for its number."""

    def script(job: Job) -> list[float]:
        return [cers[job.number] - 0.001 * i for i in range(9)]

    return script


@pytest.fixture
def promoting(tmp_path: Path) -> Setting:
    return Setting(tmp_path, space=parse_space(PROMOTION, "space"))


CERS = (0.5, 0.1, 0.6, 0.7, 0.2, 0.8, 0.3, 0.65, 0.9)


def n_epochs_of(setting: Setting) -> list[int]:
    trials = setting.study().get_trials(deepcopy=False)
    return [len(t.user_attrs["epochs"]) for t in trials]


def test_workers_are_added_while_their_throughput_rises(setting: Setting) -> None:
    engine = ScriptedEngine(falling)
    runner = setting.coordinator(engine, Limits(30))
    sizes: list[int] = []

    def resize(n_workers: int) -> None:
        sizes.append(n_workers)
        engine.n_workers = n_workers

    runner.workers = WorkerCount(8, resize)
    runner.run()
    assert sizes == [2, 4, 8]  # every epoch takes a second, however many workers there are
    assert [line for line in setting.lines if "workers from now on" in line] == [
        "4 workers from now on: the throughput of the GPU still rises",
        "8 workers from now on: the throughput of the GPU still rises",
    ]


def test_promotion_continues_the_best_third_under_their_numbers(promoting: Setting) -> None:
    ending, status = promoting.run(by_number(CERS), trials=9)
    assert ending == "trials"
    assert n_epochs_of(promoting) == [1, 9, 1, 1, 3, 1, 3, 1, 1]
    assert (status.n_complete, status.n_pruned, status.best_number) == (1, 8, 1)
    states = promoting.states()
    assert states.count(TrialState.PRUNED) == 8
    raw = promoting.study()._storage.get_all_trials(promoting.study()._study_id)
    assert TrialState.RUNNING not in [t.state for t in raw]


def test_an_epoch_is_never_told_twice(promoting: Setting) -> None:
    _, status = promoting.run(by_number(CERS), trials=9)
    trials = promoting.study().get_trials(deepcopy=False)
    assert all(list(t.intermediate_values) == list(range(1, len(t.user_attrs["epochs"]) + 1))
               for t in trials)  # fmt: skip
    assert status.n_epochs == sum(n_epochs_of(promoting)) == 6 + 2 * 3 + 9


def test_promotion_of_a_finished_search_leaves_no_checkpoint(promoting: Setting) -> None:
    promoting.run(by_number(CERS), trials=9)
    assert not list((promoting.folder / "s").rglob("last.pt"))
    assert (trial_folder(promoting.folder / "s", 1) / "best.pt").exists()


def test_a_checkpoint_that_nobody_tidied_up_goes_with_the_next_run(setting: Setting) -> None:
    setting.run(falling, trials=1)
    stale = trial_folder(setting.folder / "s", 0) / "last.pt"
    stale.write_bytes(b"state")
    setting.coordinator(ScriptedEngine(falling), Limits(1))
    assert not stale.exists()
    assert stale.with_name("best.pt").exists()


def test_what_a_killed_worker_left_goes_when_its_trial_is_tried_again(setting: Setting) -> None:
    left = trial_folder(setting.folder / "s", 0) / f".last.pt.{10**30}.tmp"
    seen: list[bool] = []

    def killed_once(job: Job) -> list[float] | Event:
        seen.append(left.exists())
        if len(seen) > 1:
            return falling(job)
        left.write_bytes(b"half")
        return TrialFailed(job.number, "killed", "its worker process died", "")

    setting.run(killed_once, trials=1)
    assert set(seen) == {False}
    assert not left.exists()


def test_paused_trials_are_promoted_by_the_next_coordinator(promoting: Setting) -> None:
    engine = ScriptedEngine(by_number(CERS))
    first = promoting.coordinator(engine, Limits(9))
    while first.status.n_finished < 3:  # as it is killed: nothing is tidied up
        first.fill_workers()
        for event in engine.poll(0):
            first.handle(event)
    assert promoting.states() == [TrialState.PRUNED] * 3
    raw = promoting.study()._storage.get_all_trials(promoting.study()._study_id)
    assert [t.state for t in raw] == [TrialState.RUNNING] * 3

    second = ScriptedEngine(by_number(CERS))
    second._n_played = engine._n_played
    coordinator = promoting.coordinator(second, Limits(9))
    assert (coordinator.status.n_finished, coordinator.status.running) == (3, {})
    assert coordinator.run() == "trials"
    assert second.submitted[0] == 1  # the best of the three goes on before anything new begins
    assert n_epochs_of(promoting) == [1, 9, 1, 1, 3, 1, 3, 1, 1]


def test_time_that_is_up_leaves_paused_trials_for_later(promoting: Setting) -> None:
    coordinator = promoting.coordinator(ScriptedEngine(by_number(CERS)), Limits(9, timeout_s=0.0))
    assert coordinator.run() == "timeout"
    again = promoting.coordinator(ScriptedEngine(by_number(CERS)), Limits(9))
    assert again.run() == "trials"


@pytest.mark.parametrize("ending", get_args(Ending))
def test_paused_trials_can_be_resumed_only_after_some_endings(
    promoting: Setting, ending: Ending, monkeypatch: pytest.MonkeyPatch
) -> None:
    coordinator = promoting.coordinator(ScriptedEngine(by_number(CERS)), Limits(9))
    monkeypatch.setattr(
        coordinator.scheduler, "ending", lambda status: ending if status.paused else None
    )
    assert coordinator.run() == ending
    again = promoting.coordinator(ScriptedEngine(by_number(CERS)), Limits(9))
    resumable = ending in ("timeout", "epochs", "interrupted")
    assert list(again.status.paused) == ([0] if resumable else [])
    assert promoting.states() == [TrialState.PRUNED]


def test_a_stopped_one_counts_as_best_until_a_finished_one_is_better(promoting: Setting) -> None:
    _, status = promoting.run(by_number(CERS), trials=3, epoch_budget=3)
    assert (status.n_complete, status.best_number, status.best_value) == (0, 1, 0.1)


def test_what_is_in_training_at_the_end_may_be_the_best(setting: Setting) -> None:
    ending, status = setting.run(falling, trials=2, epoch_budget=6)
    assert ending == "epochs"
    assert (list(status.running), status.best_number, status.best_value) == ([1], 0, 0.1)
    ending, status = setting.run(lambda _: [0.9, 0.5, 0.05, 0.01], trials=2, epoch_budget=7)
    assert ending == "epochs"
    assert (list(status.running), status.best_number, status.best_value) == ([1], 1, 0.05)


@pytest.mark.parametrize(("trials", "expected"), [(1, [9]), (2, [1, 9]), (5, [1, 9, 1, 1, 1])])
def test_of_few_the_best_is_trained_in_full(
    promoting: Setting, trials: int, expected: list[int]
) -> None:
    ending, status = promoting.run(by_number(CERS), trials=trials)
    assert ending == "trials"
    assert n_epochs_of(promoting) == expected
    assert (status.n_complete, status.n_pruned) == (1, trials - 1)
    assert not list((promoting.folder / "s").rglob("last.pt"))


@pytest.fixture
def _frozen_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no time pass in a search, so that its decisions do not depend on the machine."""
    monkeypatch.setattr(Status, "elapsed_s", 0.0)


@pytest.mark.usefixtures("_frozen_clock")
@pytest.mark.parametrize(
    ("timeout_s", "expected"), [(1.5, [9, 1]), (5.0, [1, 9]), (1000.0, [1, 9])]
)
def test_short_of_time_what_waits_at_the_highest_rung_goes_on_at_once(
    promoting: Setting, timeout_s: float, expected: list[int]
) -> None:
    """An epoch says that it took a second. To train to the end, in nine of them or in as many as
    there are, nearly half of the time is kept: then 1.5 s are too short to wait for a better one.
    """
    ending, _ = promoting.run(by_number(CERS), trials=2, timeout_s=timeout_s)
    assert ending == "trials"
    assert n_epochs_of(promoting) == expected


def told_to_end(
    setting: Setting, timeout_s: float, n_epochs: int, observer: Observer = lambda *_: None
) -> list[tuple[int, int]]:
    """Train one configuration; return when it was told to end, and in how many epochs."""
    engine = ScriptedEngine(lambda _: [0.9 - 0.01 * i for i in range(n_epochs)])
    coordinator = setting.coordinator(engine, Limits(1, timeout_s=timeout_s))
    coordinator.observer = observer
    coordinator.run()
    answers = enumerate(engine.answers, 1)
    return [(epoch, answer.n_left) for epoch, answer in answers if answer.n_left is not None]


@pytest.mark.usefixtures("_frozen_clock")
@pytest.mark.parametrize(("timeout_s", "expected"), [(1000.0, None), (40.5, None), (10.5, (6, 9))])
def test_a_training_that_would_not_end_in_time_is_told_to(
    tmp_path: Path, timeout_s: float, expected: tuple[int, int] | None
) -> None:
    """Its last 60 percent are the decay: of 15 epochs that the time has room for, the last nine."""
    training = "training: {epochs: 20, decay_fraction: 0.6, learning_rate: {float: [0.001, 0.01]}}"
    setting = Setting(tmp_path, parse_space(training, "space"))
    lengths: list[int] = []

    def watch(status: Status, _: str | None) -> None:
        lengths.extend(running.n_planned for running in status.running.values())

    told = told_to_end(setting, timeout_s, n_epochs=12, observer=watch)
    assert told[:1] == ([expected] if expected else [])
    assert (lengths[0], lengths[-1]) == (20, sum(expected) if expected else 20)


@pytest.mark.usefixtures("_frozen_clock")
def test_folds_are_not_told_to_end(folding: Setting) -> None:
    assert told_to_end(folding, timeout_s=5.0, n_epochs=9) == []


def test_with_the_plateau_everywhere_the_loss_decides(promoting: Setting) -> None:
    def plateau(job: Job) -> list[float]:
        return [1.0 - 0.001 * job.number] * 9  # the loss is the same number

    promoting.run(plateau, trials=3)
    assert n_epochs_of(promoting) == [1, 1, 9]


@pytest.mark.parametrize(
    "pruner",
    [
        "{name: percentile, n_startup_trials: 1, n_warmup_epochs: 0}",
        "{name: successive_halving, min_epochs: 1}",
        "{name: hyperband, min_epochs: 1}",
        "{name: none}",
        "{name: median, n_startup_trials: 1, n_warmup_epochs: 0}",
    ],
)
def test_every_pruner_of_optuna_can_be_named(tmp_path: Path, pruner: str) -> None:
    text = SPACE.replace("{name: median, n_startup_trials: 2, n_warmup_epochs: 1}", pruner)
    setting = Setting(tmp_path, space=parse_space(text, "space"))
    _, status = setting.run(lambda job: [0.5 + 0.02 * job.number] * 4, trials=12)
    stops = "none" not in pruner and "hyperband" not in pruner  # its brackets are drawn
    assert status.n_finished == 12
    assert (status.n_pruned > 0) or not stops


@pytest.mark.parametrize("name", ["tpe", "gp", "cmaes", "random", "qmc", "nsgaii"])
def test_every_sampler_suggests_points_of_the_space(tmp_path: Path, name: str) -> None:
    text = PROMOTION + f"  sampler: {{name: {name}, n_startup_trials: 3}}\n"
    setting = Setting(tmp_path, space=parse_space(text, "space"))
    _, status = setting.run(lambda job: [0.5 / (job.number + 1)] * 9, trials=8)
    assert status.n_finished == 8
    rates = [t.params["training.learning_rate"] for t in setting.study().get_trials()]
    assert all(1e-3 <= rate <= 1e-2 for rate in rates)
    assert len(set(rates)) > 4


def test_keeps_the_weights_of_the_best_and_no_checkpoint_of_any(setting: Setting) -> None:
    n = N_KEPT + 3
    setting.run(lambda job: [0.5 - 0.01 * job.number], trials=n)
    kept = [i for i in range(n) if (trial_folder(setting.folder / "s", i) / "best.pt").exists()]
    assert kept == list(range(3, n))
    assert not list((setting.folder / "s").rglob("last.pt"))


def test_ends_at_the_target(setting: Setting) -> None:
    ending, status = setting.run(falling, trials=50, target_cer=0.1)
    assert (ending, status.n_complete) == ("target", 1)


def test_ends_when_the_time_is_up_and_leaves_the_rest_to_be_continued(setting: Setting) -> None:
    ending, _ = setting.run(falling, trials=50, timeout_s=0.0)
    assert ending == "timeout"


def test_continues_what_was_running_under_the_same_number(setting: Setting) -> None:
    engine = ScriptedEngine(falling, n_workers=2)
    first = setting.coordinator(engine, Limits(4))
    first.fill_workers()
    first.handle(engine.poll(0)[0])  # one epoch of trial 0 reported, then it dies
    before = [t.params for t in setting.study().get_trials()]
    assert setting.states() == [TrialState.RUNNING] * 2

    second = ScriptedEngine(falling)
    coordinator = setting.coordinator(second, Limits(4))
    assert coordinator.run() == "trials"
    assert second.submitted[:2] == [0, 1]
    assert setting.states() == [TrialState.COMPLETE] * 4
    trials = setting.study().get_trials()
    assert [t.params for t in trials[:2]] == before
    assert all(len(t.intermediate_values) == 4 for t in trials)


def test_a_continued_study_does_not_suggest_the_same_again(setting: Setting) -> None:
    setting.run(falling, trials=2)
    setting.run(falling, trials=4)
    rates = [t.params["training.learning_rate"] for t in setting.study().get_trials()]
    assert len(set(rates)) == 4


@pytest.mark.parametrize(("kind", "n_attempts"), [("crash", 2), ("died", 5)])
def test_a_broken_trial_is_tried_again_and_then_told_as_failed(
    setting: Setting, kind: str, n_attempts: int
) -> None:
    def breaks(job: Job) -> list[float] | Event:
        if job.number == 0:
            return TrialFailed(0, kind, "ValueError: no", "Traceback ...")
        return [0.1]

    engine = ScriptedEngine(breaks)
    coordinator = setting.coordinator(engine, Limits(2))
    coordinator.run()
    assert engine.submitted == [0] * n_attempts + [1]
    failed, complete = setting.study().get_trials()
    assert (failed.state, complete.state) == (TrialState.FAIL, TrialState.COMPLETE)
    assert failed.user_attrs["traceback"] == "Traceback ..."
    assert coordinator.status.n_failed == 1


@pytest.mark.parametrize("kind", ["diverged", "memory", "killed"])
def test_what_the_configuration_is_to_blame_for_teaches_the_sampler(
    setting: Setting, kind: str
) -> None:
    def fails(job: Job) -> Event:
        return TrialFailed(job.number, kind, "no good", "")

    engine = ScriptedEngine(fails)
    coordinator = setting.coordinator(engine, Limits(1))
    coordinator.run()
    assert set(engine.submitted) == {0}
    assert setting.states() == [TrialState.PRUNED]
    again = setting.coordinator(engine, Limits(1))
    assert (again.status.n_failed, again.status.n_pruned) == (1, 0)


def test_too_many_failures_in_a_row_end_the_search_with_the_reason(setting: Setting) -> None:
    def diverges(job: Job) -> Event:
        return TrialFailed(job.number, "diverged", "the loss became nan", "")

    with pytest.raises(StudyError, match="the loss became nan"):
        setting.run(diverges, trials=50)
    assert len(setting.states()) == MAX_FAILURES_IN_A_ROW


def test_a_worker_that_cannot_work_ends_the_search(setting: Setting) -> None:
    with pytest.raises(StudyError, match="disk full"):
        setting.run(lambda job: WorkerRefused("disk full"), trials=2)
    assert setting.states() == [TrialState.RUNNING]


def test_infeasible_configurations_are_stopped_before_training(tmp_path: Path) -> None:
    setting = Setting(tmp_path, texts=("abcdefghij",))  # 8 frames at height 16, 16 at 32
    engine = ScriptedEngine(falling)
    coordinator = setting.coordinator(engine, Limits(8))
    coordinator.run()
    trials = setting.study().get_trials()
    infeasible = [t for t in trials if "infeasible" in t.user_attrs]
    assert [t.params["images.height"] for t in infeasible] == [16] * len(infeasible)
    assert all(trials[number].params["images.height"] == 32 for number in engine.submitted)
    assert coordinator.status.n_infeasible == len(infeasible) > 0
    assert all(t.state == TrialState.PRUNED for t in infeasible)


FEW = """
model: {architecture: crnn}
images: {height: {choice: [16, 32, 48]}}
training: {batch_size: {choice: [8, 16]}, epochs: 4}
search: {pruner: {name: none}, sampler: {n_startup_trials: 2}}
"""


@pytest.mark.parametrize("n_workers", [1, 2])
def test_nothing_is_trained_twice_and_a_small_space_ends_by_itself(
    tmp_path: Path, n_workers: int
) -> None:
    setting = Setting(tmp_path, space=parse_space(FEW, "space"))
    engine = ScriptedEngine(falling, n_workers)
    coordinator = setting.coordinator(engine, Limits(50))
    assert coordinator.run() == "exhausted"
    trials = setting.study().get_trials(deepcopy=False)
    trained = [tuple(sorted(trials[number].params.items())) for number in engine.submitted]
    assert len(trained) == len(set(trained)) == coordinator.status.n_finished == 6
    again = ScriptedEngine(falling)
    repeated = setting.coordinator(again, Limits(50))
    assert (repeated.run(), again.submitted) == ("exhausted", [])
    assert repeated.status.n_finished == 6


SIZES = """
model:
  architecture: crnn
  encoder:
    conv_base: {choice: [8, 16, 24, 32, 48, 64]}
    hidden_size: {int: [32, 256]}
training:
  learning_rate: {float: [1.0e-3, 1.0e-2], log: true}
  epochs: 4
search:
  pruner: {name: none}
  constraints: {size_mb: 3.0}
"""


def test_the_sampler_learns_to_keep_to_a_limit_that_half_of_the_space_is_over(
    tmp_path: Path,
) -> None:
    setting = Setting(tmp_path, space=parse_space(SIZES, "space"))
    _, status = setting.run(falling, trials=80)
    trials = setting.study().get_trials(deepcopy=False)
    over = ["infeasible" in t.user_attrs for t in trials]
    assert 0.3 < np.mean(over[:10]) < 0.8
    assert np.mean(over[20:]) < 0.25
    assert status.n_infeasible == sum(over)
    message = next(t.user_attrs["infeasible"] for t in trials if "infeasible" in t.user_attrs)
    assert message.startswith("needs ")
    assert message.endswith(" MB of weights, limit 3")


def test_the_same_of_a_limit_that_only_workers_can_measure(tmp_path: Path) -> None:
    text = SIZES.replace("size_mb: 3.0", "latency_ms: 5.0")
    setting = Setting(tmp_path, space=parse_space(text, "space"))
    rng = np.random.default_rng(0)

    def measured(job: Job) -> Event:
        size_mb = network_figures(job.config, setting.train())["size_mb"]
        latency = 5.0 * size_mb / 3.0 * float(rng.normal(1.0, 0.05))
        if latency > 5.0:
            return TrialFailed(job.number, "latency", "too slow", "", latency)
        return TrialDone(job.number, [epoch(1, 0.1)], 1000, None, latency)

    coordinator = setting.coordinator(ScriptedEngine(measured, n_workers=2), Limits(80))
    coordinator.run()
    over = ["infeasible" in t.user_attrs for t in setting.study().get_trials(deepcopy=False)]
    assert 0.3 < np.mean(over[:10]) < 0.8
    assert np.mean(over[20:]) < 0.25


def test_a_search_in_which_nothing_is_feasible_ends_early_and_says_it_once(tmp_path: Path) -> None:
    text = SIZES.replace("size_mb: 3.0", "parameters: 10").replace(
        "{choice: [8, 16, 24, 32, 48, 64]}", "8"
    ).replace("{int: [32, 256]}", "{choice: [32, 64]}")  # fmt: skip
    setting = Setting(tmp_path, space=parse_space(text, "space"))
    ending, status = setting.run(falling, trials=100)
    assert ending == "infeasible"
    assert status.n_infeasible == status.n_finished == MAX_INFEASIBLE_IN_A_ROW
    said = [line for line in setting.lines if "infeasible" in line]
    assert len(said) == 4  # of each network once, and how often
    assert {line.partition(" parameters, limit 10")[2] for line in said} == {""}
    counts = [int(line.split()[0]) for line in said if " more trials infeasible: " in line]
    assert sum(counts) == MAX_INFEASIBLE_IN_A_ROW - 2
    why = why_nothing_trained(setting.study().get_trials())
    assert why.startswith("all 50 configurations exceed a limit of the space (nearest: needs ")


def test_a_search_in_which_something_was_trained_goes_on(tmp_path: Path) -> None:
    setting = Setting(tmp_path, texts=("abcdefghij",))
    setting.run(falling, trials=1)
    setting.coordinator(ScriptedEngine(falling), Limits(1))._n_infeasible_for["x"] = 1000
    assert setting.run(falling, trials=3)[0] == "trials"


def test_a_limit_is_kept_to_the_last_weight(tmp_path: Path) -> None:
    config = Setting(tmp_path).space.resolve({"images.height": 32})
    network = build_network(config, n_symbols=2, seed=0)
    n = sum(p.numel() for p in network.parameters())
    for limit, n_infeasible in ((n, 0), (n - 1, 3)):
        text = SPACE.replace("[16, 32]", "[32]") + f"  constraints: {{parameters: {limit}}}\n"
        folder = tmp_path / str(limit)
        folder.mkdir()
        _, status = Setting(folder, space=parse_space(text, "space")).run(falling, trials=3)
        assert status.n_infeasible == n_infeasible


def test_every_attribute_of_a_trial_is_declared(setting: Setting) -> None:
    def mixed(job: Job) -> list[float] | Event:
        failed = TrialFailed(job.number, "diverged", "the loss became nan", "")
        return failed if job.number == 1 else falling(job)

    setting.run(mixed, trials=6)
    named = {EARLIER, EPOCHS, EXCESS, FAILURE, HALVED, INFEASIBLE, ORIGIN, PAUSED, REPEATED, OWNER}
    written = {name for trial in setting.study().get_trials() for name in trial.user_attrs}
    assert {EPOCHS, FAILURE, ORIGIN, "cer", "traceback"} <= written
    assert named | written <= TrialAttributes.__annotations__.keys()


def test_precision_is_measured_once_for_all_trials(setting: Setting) -> None:
    setting.run(falling, trials=1)
    engine = ScriptedEngine(falling, machine=Machine("cpu", "bf16", {}))
    setting.coordinator(engine, Limits(2)).run()
    trials = setting.study().get_trials()
    assert [t.user_attrs["origin"]["precision"] for t in trials] == ["fp32", "fp32"]


def test_progress_renews_the_attempts(setting: Setting) -> None:
    coordinator = setting.coordinator(ScriptedEngine(falling), Limits(1))
    trial = coordinator.next_trial()
    assert trial is not None
    trial.attempts = 2
    coordinator.store.note_epochs(trial, [epoch(1, 0.5)])
    assert trial.attempts == 1


def test_ties_go_to_the_lower_loss(setting: Setting) -> None:
    coordinator = setting.coordinator(ScriptedEngine(falling), Limits(1))
    coordinator.status.note_best(Rank(False, 0.0, 0.3, 5), 1.0, {})
    coordinator.status.note_best(Rank(False, 0.0, 0.2, 6), 1.0, {})
    coordinator.status.note_best(Rank(False, 0.0, 0.4, 7), 1.0, {})
    assert coordinator.status.best_number == 6


def test_first_configurations_come_first(tmp_path: Path) -> None:
    text = SPACE + "  try_first:\n    - training: {learning_rate: 5.0e-3}\n"
    setting = Setting(tmp_path, space=parse_space(text, "space"))
    setting.run(falling, trials=2)
    first, second = setting.study().get_trials()
    assert first.params["training.learning_rate"] == 5e-3
    assert second.params["training.learning_rate"] != 5e-3


def test_other_data_or_another_space_is_refused(setting: Setting) -> None:
    setting.run(falling, trials=1)
    storage = open_storage(f"sqlite:///{setting.folder}/test.db")
    facts = StudyFacts("space", setting.space.content, "d", "OTHER", {}, {}, 7)
    with pytest.raises(StudyError, match="other data"):
        open_study(storage, "s", setting.space, facts)
    changed = parse_space(SPACE.replace("[16, 32]", "[16, 48]"), "space")
    facts = StudyFacts("space", changed.content, "d", "f", {}, {}, 7)
    with pytest.raises(StudyError, match=r"images\.height\.choice"):
        open_study(storage, "s", changed, facts)


def test_refusal_of_other_data_names_the_options_it_began_with(setting: Setting) -> None:
    storage = open_storage(f"sqlite:///{setting.folder}/test.db", create=True)
    began = {"group": "^a", "train_fraction": 0.5, "split_seed": 0}
    now = {"group": "", "train_fraction": 1.0, "split_seed": 0}
    space = setting.space
    open_study(storage, "g", space, StudyFacts("space", space.content, "d", "f", {}, began, 7))
    with pytest.raises(
        StudyError, match=r"\(d and group '\^a', train_fraction 0\.5, fingerprint f;"
    ):
        open_study(storage, "g", space, StudyFacts("space", space.content, "d", "o", {}, now, 7))


def test_describe_uses_short_names() -> None:
    assert describe({"training.learning_rate": 0.00123456, "a.b": "x"}) == (
        "learning_rate 0.00123, b x"
    )


def test_too_little_memory_is_tried_once_more_at_half_the_batch(setting: Setting) -> None:
    sizes: list[int] = []

    def fits_in_half(job: Job) -> list[float] | Event:
        sizes.append(job.config.training.batch_size)
        if job.config.training.batch_size == 16:
            return TrialFailed(job.number, "memory", "of 2 GiB", "")
        return falling(job)

    _, status = setting.run(fits_in_half, trials=1)
    assert (status.n_complete, status.n_failed) == (1, 0)
    assert sizes[0] == 16
    assert set(sizes[1:]) == {8}
    assert setting.lines[0] == "trial 0 is tried again at batch size 8: of 2 GiB"


def test_an_interrupted_trial_keeps_its_half_batch(setting: Setting) -> None:
    def never_fits(job: Job) -> Event:
        return TrialFailed(job.number, "memory", "of 2 GiB", "")

    engine = ScriptedEngine(never_fits)
    first = setting.coordinator(engine, Limits(1))
    first.fill_workers()
    for event in engine.poll(0):
        first.handle(event)
    again = setting.coordinator(ScriptedEngine(falling), Limits(1))
    assert again._queue[0].config.training.batch_size == 8


def test_what_took_too_much_memory_is_the_limit_from_then_on(tmp_path: Path) -> None:
    setting = Setting(tmp_path, space=parse_space(SIZES, "space"))
    tried: list[int] = []

    def large_fail(job: Job) -> list[float] | Event:
        tried.append(job.config.model.encoder.conv_base)
        if job.config.model.encoder.conv_base >= 24:
            return TrialFailed(job.number, "memory", "of 2 GiB", "")
        return falling(job)

    _, status = setting.run(large_fail, trials=30)
    assert status.n_failed < 6  # not each large one has to fail for itself
    messages = [t.user_attrs.get("infeasible", "") for t in setting.study().get_trials()]
    assert any("MB of memory, limit" in message for message in messages)


def slow(job: Job) -> Event:
    """A network at height 32 takes 8 ms, and is refused if the limit is lower."""
    latency = 8.0 if job.config.images.height == 32 else 3.0
    if job.max_latency_ms is not None and latency > job.max_latency_ms:
        return TrialFailed(job.number, "latency", f"latency_ms is {latency}", "", latency)
    return TrialDone(job.number, [epoch(1, 0.1)], 1000, None, latency)


def test_a_network_that_is_too_slow_is_infeasible_and_the_sampler_is_told(tmp_path: Path) -> None:
    text = SPACE + "  constraints: {latency_ms: 5}\n"
    setting = Setting(tmp_path, space=parse_space(text, "space"))
    engine = ScriptedEngine(slow)
    coordinator = setting.coordinator(engine, Limits(40))
    coordinator.run()
    status = coordinator.status
    assert 0 < status.n_infeasible < 15
    assert status.n_failed == 0
    trials = setting.study().get_trials()
    heights = {t.params["images.height"] for t in trials if "infeasible" in t.user_attrs}
    assert heights == {32}
    limits = [(t.params["images.height"], t.constraints["latency_ms"]) for t in trials]
    assert {(height, round(limit, 3)) for height, limit in limits} == {(16, -0.4), (32, 0.6)}
    assert sum(trials[number].params["images.height"] == 32 for number in engine.submitted) == 1


def test_ends_when_the_epochs_are_used_up(setting: Setting) -> None:
    ending, status = setting.run(falling, trials=100, epoch_budget=10)
    assert (ending, status.n_epochs) == ("epochs", 10)
    ending, status = setting.run(falling, trials=100, epoch_budget=10)
    assert (ending, status.n_epochs) == ("epochs", 0)


@pytest.mark.parametrize("patience", [1, 3])
def test_ends_when_so_many_in_a_row_bring_no_gain(setting: Setting, patience: int) -> None:
    def better_until_the_fourth(job: Job) -> list[float]:
        return [0.9, 0.5 - 0.1 * min(job.number, 3)]

    ending, status = setting.run(better_until_the_fourth, trials=50, stall_trials=patience)
    assert (ending, status.n_finished) == ("patience", 4 + patience)
    ending, status = setting.run(better_until_the_fourth, trials=50, stall_trials=patience)
    assert (ending, status.n_finished) == ("patience", 4 + patience)
    ending, status = setting.run(better_until_the_fourth, trials=50, stall_trials=patience + 1)
    assert status.n_finished == 4 + patience + 1


def test_a_limit_on_disk_deletes_the_worst_weights_and_keeps_the_best(setting: Setting) -> None:
    def better_and_better(job: Job) -> list[float]:
        return [0.9, 1.0 / (2 + job.number)]

    n = len(b"weights")
    _, status = setting.run(better_and_better, trials=6, disk_bytes=2 * n)
    kept = sorted(path.parent.name for path in (setting.folder / "s").glob("trial-*/best.pt"))
    assert kept == ["trial-00004", "trial-00005"]
    assert status.best_number == 5


OBJECTIVES = SPACE.replace("  pruner: {name: median, n_startup_trials: 2, n_warmup_epochs: 1}", "")


def test_several_objectives_give_a_set_that_nothing_beats(tmp_path: Path) -> None:
    text = OBJECTIVES + "  objective: [cer, parameters]\n"
    setting = Setting(tmp_path, space=parse_space(text, "space"))

    def larger_is_better(job: Job) -> list[float]:
        return [0.9, 0.1 if job.config.images.height == 32 else 0.2]

    _, status = setting.run(larger_is_better, trials=6)
    assert status.n_complete == 6
    trials = setting.study().get_trials()
    assert all(t.values == [t.user_attrs["cer"], t.user_attrs["n_parameters"]] for t in trials)
    again, status = setting.run(larger_is_better, trials=8)
    assert (again, status.n_complete) == ("trials", 8)


def test_several_objectives_with_promotion_train_no_epoch_twice(tmp_path: Path) -> None:
    text = OBJECTIVES + "  objective: [cer, size_mb]\n  pruner: {name: asha, rungs: [1]}\n"
    setting = Setting(tmp_path, space=parse_space(text, "space"))
    _, status = setting.run(falling, trials=6)
    assert status.n_finished == 6
    assert status.n_complete >= 1
    lengths = [len(t.user_attrs["epochs"]) for t in setting.study().get_trials()]
    assert status.n_epochs == sum(lengths)


def test_a_study_keeps_its_number_of_objectives(tmp_path: Path) -> None:
    Setting(tmp_path).run(falling, trials=1)
    several = parse_space(OBJECTIVES + "  objective: [cer, size_mb]\n", "space")
    with pytest.raises(StudyError, match="began with 1 objectives, the space has 2 now"):
        Setting(tmp_path, space=several).run(falling, trials=1)


def test_a_coordinator_killed_after_asking_for_what_was_tried_leaves_no_second_training(
    tmp_path: Path,
) -> None:
    text = SPACE.replace("learning_rate: {float: [1.0e-3, 1.0e-2], log: true}", "")
    setting = Setting(tmp_path, space=parse_space(text, "space"))
    setting.run(falling, trials=1)
    study = setting.study()
    first = study.get_trials()[0]
    study.enqueue_trial(first.params)
    setting.space.suggest(study.ask())  # and there it was killed
    engine = ScriptedEngine(falling)
    coordinator = setting.coordinator(engine, Limits(2))
    assert coordinator.run() == "trials"
    trained = [t for t in setting.study().get_trials() if "repeated" not in t.user_attrs]
    assert len(trained) == 2
    assert len({t.params["images.height"] for t in trained}) == 2
    assert 1 not in engine.submitted


FOLDED = PROMOTION.replace("epochs: 9", "epochs: 3").replace("rungs: [1, 3]", "rungs: [1]")


@pytest.fixture
def folding(tmp_path: Path) -> Setting:
    return Setting(tmp_path, space=parse_space(FOLDED, "space"), n_folds=3)


def on_folds(first: Sequence[float], others: Sequence[float]) -> Script:
    """Three folds of three epochs; the CERs of each trial on the first fold and on the others."""

    def script(job: Job) -> list[float]:
        a, b = first[job.number], others[job.number]
        return [a, a, a, b, b, b, b, b, b]

    return script


def test_only_the_best_of_the_first_fold_see_the_others(folding: Setting) -> None:
    ending, status = folding.run(on_folds(CERS, [0.4] * 9), trials=9)
    assert ending == "trials"
    assert n_epochs_of(folding) == [1, 9, 1, 1, 3, 1, 3, 1, 1]
    best = 1
    assert folding.study().best_trial.number == best
    assert folding.study().best_trial.value == pytest.approx((0.1 + 0.4 + 0.4) / 3)
    assert (status.best_number, status.best_lacks_folds) == (best, False)
    assert status.best_value == pytest.approx(0.3)  # trials 4 and 6 had less on one fold alone
    assert any("over 3 folds" in line for line in folding.lines)


def test_the_first_fold_does_not_reach_a_target(folding: Setting) -> None:
    ending, status = folding.run(on_folds([0.0] * 9, [0.3] * 9), trials=9, target_cer=0.1)
    assert ending == "trials"
    assert status.best_value == pytest.approx(0.2)
    folding.n_folds = 3
    again = folding.coordinator(ScriptedEngine(falling), Limits(9, target_cer=0.25))
    assert again.run() == "target"


def test_without_any_that_saw_all_folds_the_first_one_counts(folding: Setting) -> None:
    _, status = folding.run(on_folds(CERS, [0.4] * 9), trials=9, epoch_budget=5)
    assert status.best_lacks_folds
    assert status.best_value == 0.1


def test_folds_are_resumed_where_they_were(folding: Setting) -> None:
    before = ScriptedEngine(on_folds(CERS, [0.4] * 9))
    assert folding.coordinator(before, Limits(9, epoch_budget=18)).run() == "epochs"
    assert max(n_epochs_of(folding)) in range(4, 9)  # in the midst of the other folds
    after = ScriptedEngine(on_folds(CERS, [0.4] * 9))
    after._n_played |= before._n_played
    coordinator = folding.coordinator(after, Limits(9))
    assert coordinator.run() == "trials"
    assert n_epochs_of(folding) == [1, 9, 1, 1, 3, 1, 3, 1, 1]
    assert coordinator.status.best_value == pytest.approx(0.3)


@pytest.mark.usefixtures("_frozen_clock")
def test_without_time_for_the_other_folds_nobody_begins_with_them(folding: Setting) -> None:
    coordinator = folding.coordinator(
        ScriptedEngine(on_folds(CERS, [0.4] * 9)), Limits(9, timeout_s=5.0)
    )
    coordinator.run()
    assert max(n_epochs_of(folding)) == 3  # 6 epochs of a second each are too many


@pytest.mark.parametrize(("min_gain", "expected"), [(1.0, 10), (0.0, 12)])
def test_a_search_without_expected_gain_ends(
    min_gain: float, expected: int, setting: Setting
) -> None:
    limits = Limits(12, min_gain=min_gain)
    for n_submitted in (expected, 0):
        engine = ScriptedEngine(lambda job: [0.5, 0.4, 0.3, 0.01])
        coordinator = setting.coordinator(engine, limits)
        coordinator.status.n_symbols = 1000
        assert coordinator.run() == ("gain" if min_gain else "trials")
        assert coordinator.status.n_complete == expected
        assert coordinator.status.expected_gain == pytest.approx(0.0)
        assert len(engine.submitted) == n_submitted


# --- what is shown while it runs ----------------------------------------------------------------


@dataclass
class Shown:
    """What an observer of a search sees at one time."""

    n_begun: int
    n_epochs: int
    leader: int | None
    cer: float
    state: str
    left_s: float | None
    line: str | None


@dataclass
class Watched:
    """A search with a clock that advances by a second for each epoch of all workers."""

    setting: Setting
    now: float = 0.0
    shown: list[Shown] = field(default_factory=list)
    _n_trained: dict[int, int] = field(default_factory=dict)

    def run(self, engine: ScriptedEngine, limits: Limits) -> Runner:
        self.now, self.shown = 0.0, []
        runner = self.setting.coordinator(engine, limits)
        poll, runner.observer = engine.poll, self._observe

        def timed(timeout_s: float) -> list[Event]:
            events = poll(timeout_s)
            for event in events:
                if isinstance(event, EpochDone | TrialDone):
                    before = self._n_trained.get(event.number, 0)
                    self.now += len(event.epochs) - before
                    self._n_trained[event.number] = len(event.epochs)
            return events

        engine.poll = timed  # type: ignore[method-assign]
        runner.run()
        return runner

    def _observe(self, status: Status, line: str | None) -> None:
        leader = status.leader
        self.shown.append(
            Shown(
                status.n_begun,
                status.n_epochs_in_all,
                leader.rank.number if leader else None,
                leader.rank.cer if leader else 1.0,
                status.state_of(leader.rank.number) if leader else "",
                limit_progress(status).left_s,
                line,
            )
        )


@pytest.fixture
def watched(promoting: Setting, monkeypatch: pytest.MonkeyPatch) -> Watched:
    found = Watched(promoting)
    monkeypatch.setattr(Status, "elapsed_s", property(lambda _: found.now))
    return found


@pytest.mark.parametrize("n_workers", [1, 3])
def test_the_number_of_trials_begun_never_falls(watched: Watched, n_workers: int) -> None:
    engine = ScriptedEngine(by_number(CERS), n_workers)
    watched.run(engine, Limits(9, epoch_budget=12))
    first = watched.shown
    after = ScriptedEngine(by_number(CERS), n_workers)
    after._n_played = engine._n_played
    watched.run(after, Limits(9))
    lines = [shown.line for shown in first + watched.shown if shown.line]
    assert sum("is resumed from epoch" in line for line in lines) >= 3
    assert sum("paused after" in line for line in lines) >= 5
    counts = [shown.n_begun for shown in first + watched.shown]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, 9)


def test_a_failed_trial_that_is_tried_again_counts_once(watched: Watched) -> None:
    failed: list[int] = []

    def fails_once(job: Job) -> list[float] | Event:
        if job.number in failed:
            return by_number(CERS)(job)
        failed.append(job.number)
        return TrialFailed(job.number, "crash", "error", "")

    watched.run(ScriptedEngine(fails_once), Limits(4))
    counts = [shown.n_begun for shown in watched.shown]
    assert counts == sorted(counts)
    assert counts[-1] == 4


def test_the_best_trial_is_shown_before_it_is_finished(watched: Watched) -> None:
    engine = ScriptedEngine(by_number(CERS))
    watched.run(engine, Limits(9, epoch_budget=12))
    first = watched.shown[-1]
    assert any(shown.state == "in training" for shown in watched.shown)
    assert any(shown.state == "paused" for shown in watched.shown)
    cers = [shown.cer for shown in watched.shown]
    assert cers == sorted(cers, reverse=True)
    after = ScriptedEngine(by_number(CERS))
    after._n_played = engine._n_played
    watched.run(after, Limits(9))
    again = watched.shown[0]
    assert (again.leader, again.cer) == (first.leader, first.cer)  # from the earlier run
    assert (watched.shown[-1].leader, watched.shown[-1].state) == (1, "finished")


def test_the_remaining_time_of_a_budget_follows_from_the_pace_of_this_run(
    watched: Watched,
) -> None:
    engine = ScriptedEngine(by_number(CERS))
    watched.run(engine, Limits(900, epoch_budget=12))
    for shown in watched.shown:
        assert shown.left_s == (12 - shown.n_epochs if shown.n_epochs >= 2 else None)
    after = ScriptedEngine(by_number(list(CERS) * 100))
    after._n_played = engine._n_played
    watched.run(after, Limits(900, epoch_budget=30))
    for shown in watched.shown:
        assert shown.left_s == (30 - shown.n_epochs if shown.n_epochs >= 12 + 2 else None)


def test_a_trial_that_will_not_be_resumed_is_pruned_and_not_paused(promoting: Setting) -> None:
    promoting.run(by_number(CERS), trials=9)
    endings = [line.split(":")[0] for line in promoting.lines if " after " in line]
    assert "trial 0 paused after 1 epoch, 1 s" in endings
    assert "trial 4 paused after 1 epoch, 1 s" in endings
    assert "trial 4 pruned after 3 epochs, 3 s" in endings  # only trial 1 trains beyond 3 epochs
    assert "trial 8 pruned after 1 epoch, 1 s" in endings  # the other trials are better
    assert "trial 1 finished after 9 epochs, 9 s" in endings
    assert not any("stopped" in line for line in promoting.lines)


def test_lines_show_only_the_parameters_that_differ(tmp_path: Path) -> None:
    text = SPACE.replace("height: {choice: [16, 32]}", "height: {choice: [16]}")
    setting = Setting(tmp_path, space=parse_space(text, "space"))
    setting.run(falling, trials=3)
    first, *others = [line for line in setting.lines if "finished" in line]
    assert "height 16, learning_rate" in first
    assert len(others) == 2
    for line in others:
        assert "learning_rate" in line
        assert "height" not in line


def test_a_paused_trial_whose_values_were_changed_counts_once(promoting: Setting) -> None:
    engine = ScriptedEngine(by_number(CERS))
    promoting.coordinator(engine, Limits(3, epoch_budget=3)).run()
    runner = promoting.coordinator(ScriptedEngine(by_number(CERS)), Limits(3))
    runner.store.space = parse_space(PROMOTION.replace("1.0e-3, 1.0e-2", "0.5, 0.6"), "space")
    number = next(iter(runner.status.paused))
    runner.store.resume(number)
    assert (runner.status.n_begun, runner.status.n_infeasible) == (3, 1)
    runner.store.look()
    assert (runner.status.n_begun, runner.status.n_infeasible) == (3, 1)
    assert number not in runner.status.paused
