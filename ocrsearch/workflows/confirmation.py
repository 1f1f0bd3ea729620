"""Confirmation: train the best configurations of a study again on fresh seeds.

The value of the best trial is biased: among many trials, the best was also lucky. So the mean over
fresh seeds decides here. The test split is evaluated once, with the chosen model.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, cast

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from ocrsearch.core import (
    Config,
    StudyError,
    n_cores,
    read_text_file,
    remove_leftovers,
    write_text_file,
)
from ocrsearch.data import LabelledImages, save_dataset
from ocrsearch.inference import Predictor
from ocrsearch.studies import (
    BestTrial,
    StudyFacts,
    TrialMetrics,
    best_trials,
    load_study,
    study_facts,
    study_folder,
    study_lock,
)
from ocrsearch.training import (
    BEST,
    START,
    Bundle,
    Epochs,
    plain_epochs,
    remove_checkpoints,
    remove_folder,
    training_result,
)
from ocrsearch.tuning.engines import (
    Answer,
    EpochDone,
    Job,
    LocalEngine,
    TrialDone,
    TrialFailed,
    WorkerRefused,
    WorkerSetup,
)
from ocrsearch.workflows.study_data import UNMOVED, DataPlace, load_study_data
from ocrsearch.workflows.trial_models import (
    bundle_trial,
    read_trial_weights,
)

N_CONFIRMED = 3
"""Number of configurations to train again."""

SEEDS_APART = 1_000_003
"""Distance between fresh seeds. Trials use the seed of the study plus their number."""

POLL_SECONDS = 1.0
CONFIRMED = "confirm"
"""Folder of the fresh trainings in the folder of a study."""

RESULT = "result.json"
TEST = "test.json"

_RATES = TypeAdapter(dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]])

Observer = Callable[[str], None]
"""Callback for each finished training; it receives a line for the user."""


@dataclass(frozen=True)
class Confirmed:
    """A configuration, trained again.

    Attributes:
        trial: number of the trial.
        value: its validation CER in the study.
        cers: validation CER of each fresh seed.
    """

    trial: int
    value: float
    cers: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean validation CER over the seeds."""
        return statistics.fmean(self.cers)


@dataclass(frozen=True)
class Confirmation:
    """Result of a confirmation.

    Attributes:
        study: name of the study.
        configurations: all configurations, the chosen configuration first.
        bundle: model of the chosen configuration, with the best seed on the validation split.
        test: ``n`` and the error rates of the bundle on the test split, with ``_low`` and
            ``_high`` for the 95 % intervals; None if there is no test split.
    """

    study: str
    configurations: list[Confirmed]
    bundle: Bundle
    test: dict[str, float] | None


@dataclass(frozen=True)
class _Run:
    """A training on one seed."""

    best: BestTrial
    config: Config
    job: Job


class _Result(BaseModel):
    """File with the result of a finished training; see ``TrainingResult``.

    Attributes:
        epochs: records of all epochs.
        latency_ms: inference time for an image of median width in milliseconds, None if unknown.
    """

    cer: float
    exact: float
    wer: float
    val_loss: float
    best_epoch: int
    n_epochs: int
    seconds: float
    n_parameters: int
    size_mb: float
    epochs: Epochs
    latency_ms: float | None = None


def confirm(
    storage_url: str,
    name: str | None,
    n_seeds: int,
    limits: Mapping[str, float] | None = None,
    observer: Observer | None = None,
    place: DataPlace = UNMOVED,
) -> Confirmation:
    """Train the best configurations again on fresh seeds and choose by the mean CER.

    The checkpoints are kept in the folder of the study. Call again to resume.

    Args:
        storage_url: URL of the study database.
        name: name of the study; None for the latest study.
        n_seeds: number of trainings per configuration.
        limits: upper limits for metrics; see ``best_trial``.
        observer: callback for each finished training.
        place: location of the data, if it was moved.

    Raises:
        OcrSearchError: the study does not exist, the data has changed, or a training failed.
    """
    study = load_study(storage_url, name)
    name, facts = study.study_name, study_facts(study)
    folder = study_folder(storage_url, name)
    found = best_trials(study, folder, limits or {}, N_CONFIRMED)
    with study_lock(folder, name):
        remove_leftovers(folder)
        dataset = load_study_data(name, facts, place)
        own = (folder / CONFIRMED).resolve()
        runs = [run for best in found for run in _runs(best, n_seeds, facts, own)]
        if not all(map(_result, runs)):
            save_dataset(dataset, own / "data")
            _train(runs, WorkerSetup(own / "data", "auto"), observer)
            remove_folder(own / "data")
        finished = [(run, result) for run in runs if (result := _result(run))]
        assert len(finished) == len(runs), "all runs are trained"
        confirmed = []
        for best in found:
            cers = tuple(result.cer for run, result in finished if run.best.trial == best.trial)
            confirmed.append(Confirmed(best.trial, best.value, cers))
        confirmed.sort(key=lambda configuration: configuration.mean)
        chosen, result = min(
            (pair for pair in finished if pair[0].best.trial == confirmed[0].trial),
            key=lambda pair: (pair[1].cer, pair[1].val_loss),
        )
        bundle = _bundle(chosen, result, facts)
        test = _test_once(bundle, dataset.splits["test"], chosen.job.folder / TEST)
    return Confirmation(name, confirmed, bundle, test)


def _runs(best: BestTrial, n_seeds: int, facts: StudyFacts, place: Path) -> list[_Run]:
    """Return the trainings of a configuration, with seeds that no trial of the study has."""
    config = read_trial_weights(best, facts).config
    start = place.parent / START if facts.init else None
    runs = []
    for i in range(n_seeds):
        seed = (facts.seed + SEEDS_APART * (i + 1) + best.trial) % 2**31
        folder = place / f"trial-{best.trial:05d}-seed-{i}"
        precision = best.metrics.get("precision", "fp32")
        number = 1000 * best.trial + i
        job = Job(
            *(number, config, seed, folder, precision),
            study_id=facts.id,
            n_folds=facts.folds,
            start=start,
        )
        runs.append(_Run(best, config, job))
    return runs


def _train(runs: list[_Run], setup: WorkerSetup, observer: Observer | None) -> None:
    """Train the unfinished runs in worker processes, as many at a time as there are cores."""
    waiting = [run for run in runs if not _result(run)]
    running: dict[int, _Run] = {}
    engine = LocalEngine(min(n_cores(), len(waiting)), setup)
    try:
        while waiting or running:
            while engine.n_idle and waiting:
                run = waiting.pop(0)
                running[run.job.number] = run
                engine.submit(run.job)
            for event in engine.poll(POLL_SECONDS):
                if isinstance(event, EpochDone):
                    engine.answer(event.number, Answer(go_on=True))
                elif isinstance(event, TrialDone):
                    _save(running.pop(event.number), event, observer)
                elif isinstance(event, TrialFailed | WorkerRefused):
                    raise StudyError(f"training failed: {event.reason}; rerun to resume")
    finally:
        engine.close()


def _save(run: _Run, event: TrialDone, observer: Observer | None) -> None:
    """Write the result of a finished training and report it."""
    result = training_result(event.epochs, event.n_parameters)
    content = {**asdict(result), "epochs": plain_epochs(event.epochs)}
    file = run.job.folder / RESULT
    write_text_file(file, json.dumps({**content, "latency_ms": event.latency_ms}))
    remove_checkpoints(run.job.folder)
    if observer:
        observer(
            f"trial {run.best.trial}, seed {run.job.seed}: CER {result.cer:.4f} "
            f"({run.best.value:.4f} in the study), exact match {result.exact:.3f}, "
            f"{result.seconds:.0f} s"
        )


def _result(run: _Run) -> _Result | None:
    """Return the result of a training; None if it is unfinished or its file is damaged."""
    try:
        return _Result.model_validate(_read_json(run.job.folder / RESULT))
    except ValueError:
        return None


def _read_json(file: Path) -> object:
    """Return the value in a file; None if the file is missing or damaged."""
    try:
        return json.loads(read_text_file(file, str(file), StudyError))
    except (StudyError, ValueError, RecursionError):
        return None


def _bundle(run: _Run, result: _Result, facts: StudyFacts) -> Bundle:
    """Return the model of a finished training, with its own metrics and epochs."""
    own = result.model_dump(exclude={"epochs"}, exclude_none=True)
    metrics = run.best.metrics | cast("TrialMetrics", {**own, "seed": run.job.seed})
    trained = BestTrial(
        run.best.study,
        run.best.trial,
        "finished",
        result.cer,
        run.best.params,
        metrics,
        result.epochs,
        run.job.folder / BEST,
    )
    return bundle_trial(trained, facts)


def _test_once(bundle: Bundle, test: LabelledImages, file: Path) -> dict[str, float] | None:
    """Evaluate a model on the test split, or return the result of an earlier evaluation."""
    if not len(test):
        return None
    known = _read_json(file)
    if isinstance(known, dict) and "n" in known:
        return known
    evaluation = Predictor(bundle).evaluate(test)
    rates: dict[str, float] = {"n": evaluation.metrics.n}
    for name, (low, high) in evaluation.intervals.items():
        rates[name] = asdict(evaluation.metrics)[name]
        rates[f"{name}_low"], rates[f"{name}_high"] = low, high
    write_text_file(file, json.dumps(rates))
    return rates


def stored_test(folder: Path) -> tuple[int, dict[str, float]] | None:
    """Return the latest evaluation of the test split by a confirmation; None without one.

    Args:
        folder: folder of a study.

    Returns:
        The number of the trial, and the rates as in ``Confirmation.test``.
    """
    files = sorted((folder / CONFIRMED).glob(f"trial-*/{TEST}"), key=lambda f: f.stat().st_mtime)
    for file in reversed(files):
        number, known = file.parent.name.split("-")[1], _read_json(file)
        with suppress(ValidationError):
            if number.isdigit():
                return int(number), _RATES.validate_python(known)
    return None
