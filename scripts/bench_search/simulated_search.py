"""Complete searches on simulated curves: the real coordinator and samplers, simulated workers.

Time is counted, not spent: the next event is always the earliest event.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import optuna
from curve_model import CurveModel
from recordings import Curve

from ocrsearch.core import Config, flatten
from ocrsearch.data import LabelledImages, PackedImages
from ocrsearch.spaces import (
    AshaSettings,
    HalvingSettings,
    MedianSettings,
    NoPruner,
    PrunerSettings,
    SamplerName,
    Space,
)
from ocrsearch.studies import (
    ConfigurationStudy,
    GuidedSampler,
    Prior,
    StudyFacts,
    open_study,
    rank,
)
from ocrsearch.training import EpochRecord, Epochs
from ocrsearch.tuning import Limits, OpenedStudy, Runner, TrialStore, build_scheduler
from ocrsearch.tuning.engines import Answer, EpochDone, Event, Job, Machine, TrialDone


@dataclass(frozen=True)
class Method:
    """A search method.

    Attributes:
        sampler: name of the sampler.
        pruner: pruner, in place of the pruner of the space.
        guided: whether a prior of the other datasets chooses among proposals.
        stop_epoch: epoch at which all trials are pruned; the best one is then trained in full.
    """

    sampler: SamplerName = "tpe"
    pruner: PrunerSettings = field(default_factory=NoPruner)
    guided: bool = False
    stop_epoch: int | None = None

    def space(self, space: Space) -> Space:
        """Return a space with this method and without configurations to try first."""
        update = {"name": self.sampler, "prior": False}  # the usual prior knows the table
        sampler = space.settings.sampler.model_copy(update=update)
        changed = {"try_first": (), "sampler": sampler, "pruner": self.pruner}
        return replace(space, settings=space.settings.model_copy(update=changed))


METHODS = {
    "random": Method("random"),
    "median": Method(pruner=MedianSettings()),
    "halving": Method(pruner=HalvingSettings()),
    "constant": Method(stop_epoch=15),
    "promotion": Method(pruner=AshaSettings(tested=False)),
    "tested promotion": Method(pruner=AshaSettings()),
    "guided promotion": Method(pruner=AshaSettings(tested=False), guided=True),
    "guided": Method(pruner=AshaSettings(), guided=True),
    "guided gp": Method("gp", pruner=AshaSettings(), guided=True),
    "guided random": Method("random", pruner=AshaSettings(), guided=True),
    "guided in full": Method(guided=True),
}
"""Methods by name. ``promotion`` is the former default, ``guided`` is the default now."""


@dataclass(frozen=True)
class Moment:
    """Best result of a search after an epoch.

    Attributes:
        epochs: number of epochs of all trials together.
        seconds: simulated time in seconds.
        cer: CER of the best configuration so far, by CER and then by loss.
        val_loss: validation loss of that configuration.
    """

    epochs: int
    seconds: float
    cer: float
    val_loss: float


class SimulatedEngine:
    """Workers that need a curve's seconds for each of its epochs."""

    machine = Machine("cpu", "fp32", {})

    def __init__(self, curve_of: Callable[[Config], Curve], n_workers: int) -> None:
        self._curve_of, self._n_workers = curve_of, n_workers
        self._curves: dict[int, Curve] = {}
        self._records: dict[int, Epochs] = {}
        self._training: set[int] = set()
        self._due: list[tuple[float, int, Event]] = []
        self._order = itertools.count()
        self._best = (np.inf, np.inf)
        self.seconds = 0.0
        self.moments: list[Moment] = []

    @property
    def n_idle(self) -> int:
        """Number of workers without a configuration."""
        return self._n_workers - len(self._training)

    def n_trained(self, number: int) -> int:
        """Return the number of epochs of a configuration so far."""
        return len(self._records[number])

    def submit(self, job: Job) -> None:
        """Begin a configuration, or resume it where it was paused."""
        assert self.n_idle > 0, "no worker is idle"
        self._training.add(job.number)
        if job.number in self._curves:  # as a worker does that finds a checkpoint
            self._push(0.0, EpochDone(job.number, self._records[job.number]))
            return
        self._curves[job.number] = self._curve_of(job.config)
        self._records[job.number] = []
        self._train(job.number)

    def answer(self, number: int, answer: Answer) -> None:
        """Train another epoch or stop."""
        if answer.go_on:
            self._train(number)
        else:
            self._push(0.0, TrialDone(number, self._records[number], 1))

    def poll(self, timeout_s: float) -> list[Event]:  # noqa: ARG002
        """Return the earliest event and set the time to it."""
        assert self._due, "the coordinator waits for workers that do nothing"
        self.seconds, _, event = heapq.heappop(self._due)
        assert isinstance(event, EpochDone | TrialDone)
        self._note(event)
        if isinstance(event, TrialDone):
            self._training.discard(event.number)
        return [event]

    def finish(self, number: int) -> None:
        """Train a pruned configuration to its end."""
        while self.n_trained(number) < len(self._curves[number]):
            self._train(number)
            self.poll(0.0)

    def _train(self, number: int) -> None:
        curve, done = self._curves[number], self._records[number]
        i = len(done)
        epochs = [*done, _record(curve, i)]
        ended = i + 1 == len(curve)
        event = TrialDone(number, epochs, 1) if ended else EpochDone(number, epochs)
        self._push(float(curve.seconds[i]), event)

    def _push(self, seconds: float, event: Event) -> None:
        heapq.heappush(self._due, (self.seconds + seconds, next(self._order), event))

    def _note(self, event: EpochDone | TrialDone) -> None:
        if len(event.epochs) == self.n_trained(event.number):
            return  # the coordinator knows it already
        self._records[event.number] = event.epochs
        last = event.epochs[-1]
        self._best = min(self._best, (last.cer, last.val_loss))
        self.moments.append(Moment(len(self.moments) + 1, self.seconds, *self._best))


def _record(curve: Curve, i: int) -> EpochRecord:
    return EpochRecord(
        epoch=i + 1,
        cer=float(curve.cer[i]),
        wer=1.0 - float(curve.exact[i]),
        exact=float(curve.exact[i]),
        val_loss=float(curve.val_loss[i]),
        seconds=float(curve.seconds[i]),
    )


class StopAt(optuna.pruners.BasePruner):
    """Prunes every configuration at the same epoch."""

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:  # noqa: ARG002
        """Return whether a configuration has reached that epoch."""
        return trial.last_step is not None and trial.last_step >= self._epoch


@dataclass(frozen=True)
class Search:
    """A search to simulate.

    Attributes:
        method: name in ``METHODS``.
        n_workers: number of trials that train at the same time.
        seed: random seed of the sampler and of the simulated curves.
        configurations: largest number of trials.
        max_epochs: largest number of epochs of all trials together; None for no limit.
    """

    method: str
    n_workers: int
    seed: int
    configurations: int
    max_epochs: int | None = None


def run_search(search: Search, space: Space, model: CurveModel, prior: Prior) -> SimulatedEngine:
    """Run a search to its end and return its engine, which recorded the moments.

    Args:
        search: search to run.
        space: space of the configurations.
        model: landscape of the table.
        prior: prior of the tables of other datasets.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    method = METHODS[search.method]
    searched = method.space(space)
    study = _study(searched, search.seed)
    if method.guided:
        study.sampler = GuidedSampler(study.sampler, searched, prior, search.seed)
    max_epochs = search.max_epochs
    if method.stop_epoch is not None:
        study.pruner = StopAt(method.stop_epoch)
        if max_epochs is not None:
            max_epochs -= space.max_epochs - method.stop_epoch  # reserved for the best trial
    paths = {p.path for p in space.parameters}

    def curve_of(config: Config) -> Curve:
        flat = flatten(config.model_dump())
        return model.curve({path: flat[path] for path in paths if path in flat}, search.seed)

    engine = SimulatedEngine(curve_of, search.n_workers)

    def watch(*_: object) -> None:
        if max_epochs is not None and len(engine.moments) >= max_epochs:
            runner.stop_requested = True

    opened = OpenedStudy(study, Path("a-simulation-writes-no-files"))
    store = TrialStore(opened, searched, _no_data(), Limits(search.configurations))
    runner = Runner(store, build_scheduler(searched), engine, watch)
    runner.run()
    if method.stop_epoch is not None:
        engine.finish(_best_number(study))
    return engine


def _study(space: Space, seed: int) -> ConfigurationStudy:
    facts = StudyFacts(space.name, space.content, "simulated", "simulated", {}, {}, seed)
    return open_study(optuna.storages.InMemoryStorage(), "simulated", space, facts)


def _no_data() -> LabelledImages:
    image = np.zeros((32, 96), np.uint8)
    return LabelledImages(["0"], ["ab"], PackedImages.pack([image]))


def _best_number(study: optuna.Study) -> int:
    return min(map(rank, study.get_trials(deepcopy=False))).number
