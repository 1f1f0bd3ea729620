"""Report of one or more studies: collect the content from database, weights and images.

The test split is read only on request. Nothing is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import optuna

from ocrsearch.core import DEFAULT_STORAGE, OcrSearchError, OptionError, StudyError
from ocrsearch.data import Dataset, Progress, given_options
from ocrsearch.evaluation import count_intervals
from ocrsearch.reports import (
    MAX_STUDIES,
    Context,
    DataContent,
    Rate,
    SampleImage,
    StudyContent,
    TrialContent,
    TrialPoint,
    curve_of,
    next_steps,
    save_page,
    study_page,
    thumbnail_url,
)
from ocrsearch.studies import (
    ENDED,
    BestTrial,
    Separation,
    StudyFacts,
    best_trials,
    compare_best,
    expected_saving,
    load_study,
    n_ended,
    parameter_importances,
    pareto_set,
    rank,
    readable_space,
    study_facts,
    study_folder,
    summarize_search,
    trial_epochs,
    trial_metrics,
    trial_state,
    validated_counts,
)
from ocrsearch.training import BEST, trial_folder
from ocrsearch.workflows.report_readings import evaluate_test, known_test, with_errors
from ocrsearch.workflows.study_data import UNMOVED, DataPlace, load_study_data

N_TRIALS = 11
"""Number of trials in the table: the best and the next ten."""

N_SAMPLES = 12
"""Number of sample images."""


def write_report(studies: Sequence[StudyContent], path: Path) -> None:
    """Write the page of one or more studies; it works offline.

    Raises:
        OptionError: there are too many studies for a page.
        StudyError: the file cannot be written.
    """
    if not 0 < len(studies) <= MAX_STUDIES:
        raise OptionError(f"found {len(studies)} studies, a page has 1 to {MAX_STUDIES}")
    try:
        save_page(study_page(studies), path)
    except OSError as error:
        raise StudyError(f"{path}: cannot be written ({error.strerror or error})") from None


def collect_report(
    storage_url: str,
    name: str | None,
    place: DataPlace = UNMOVED,
    progress: Progress | None = None,
    *,
    test: bool = False,
) -> StudyContent:
    """Collect the content of the report of a study.

    What cannot be read, such as deleted images or weights, is left out with the reason.

    Args:
        storage_url: URL of the study database.
        name: name of the study; None for the latest study.
        place: location of the data, if it was moved.
        progress: called with the number of recognised images of each network.
        test: whether to evaluate the best network on the test split.

    Raises:
        StudyError: the study does not exist, or ``test`` is requested and impossible.
        OcrSearchError: the moved data cannot be read.
    """
    study = load_study(storage_url, name)
    facts, folder = study_facts(study), study_folder(storage_url, study.study_name)
    dataset, data = _read_data(study.study_name, facts, place)
    search = summarize_search(study, facts)
    content = StudyContent(
        name=study.study_name,
        search=search,
        data=data,
        storage=_storage_option(storage_url),
        pareto=pareto_set(study),
        importances=parameter_importances(study),
        points=_points(study),
    )
    try:
        trained = best_trials(study, folder, {}, None)
    except StudyError as error:
        reason = str(error).removeprefix(f"study {study.study_name!r}: ")
        content, trained = replace(content, no_trials=reason, no_errors_reason=reason), []
    else:
        ranked = [trained[0], *_others(study, folder, trained[0])]
        content = _with_trials(content, ranked, compare_best(study, folder))
        content = replace(content, expected_saving=_expected_saving(study, content, trained[0]))
        content = with_errors(content, trained, facts, dataset, progress)
        content = replace(content, test=known_test(folder))
    if test:
        best = trained[0] if trained else None
        content = replace(content, test=evaluate_test(content, best, facts, dataset, progress))
    seconds = trained[0].metrics.get("seconds", 0.0) if trained else 0.0
    context = Context(
        space=readable_space(facts),
        data={"data": place.spec or facts.data_spec, **given_options(place.options(facts))},
        best_seconds=seconds,
    )
    return replace(content, steps=next_steps(content, context))


def _storage_option(url: str) -> dict[str, object]:
    """Return the option that names the database; none for a server, whose URL has a password."""
    return {"storage": url} if url.startswith("sqlite:") and url != DEFAULT_STORAGE else {}


def _read_data(
    name: str, facts: StudyFacts, place: DataPlace
) -> tuple[Dataset | None, DataContent]:
    """Load the dataset of a study and describe it; without the images, the facts alone."""
    known = DataContent(facts.data_spec, facts.data_fingerprint, facts.n_samples)
    try:
        dataset = load_study_data(name, facts, place)
    except OcrSearchError as error:
        if place != UNMOVED:
            raise
        return None, replace(known, problem=str(error))
    lengths = [len(text) for part in dataset.splits.values() for text in part.texts]
    return dataset, replace(
        known,
        characters=tuple(dataset.charset.symbols),
        lengths=(min(lengths), median(lengths), max(lengths)) if lengths else None,
        n_skipped=len(dataset.bad),
        samples=_samples(dataset),
    )


def _samples(dataset: Dataset) -> list[SampleImage]:
    """Return images spread evenly over the training and the validation split."""
    found = []
    for split, n in (("train", N_SAMPLES * 2 // 3), ("val", N_SAMPLES // 3)):
        part = dataset.splits["train" if split == "train" else "val"]
        for i in sorted({len(part) * k // n for k in range(n)} if len(part) else ()):
            url = thumbnail_url(part.images[i])
            found.append(SampleImage(part.names[i], part.texts[i], split, url))
    return found


def _points(study: optuna.Study) -> list[TrialPoint]:
    """Return all trials with a CER, the best first; failed trials are left out."""
    points = []
    for trial in sorted(study.get_trials(deepcopy=False), key=rank):
        epochs, state = trial_epochs(trial), trial_state(trial)
        if epochs and state != "failed":
            metrics = trial_metrics(trial)
            size, latency = metrics.get("size_mb"), metrics.get("latency_ms")
            cer, curve = rank(trial).cer, curve_of(epochs)
            points.append(TrialPoint(trial.number, state, cer, size, latency, curve))
    return points


def _others(study: optuna.Study, folder: Path, best: BestTrial) -> list[BestTrial]:
    """Return the next best trials, also those without weights."""
    trials = [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial_epochs(trial) and trial_state(trial) != "failed" and trial.number != best.trial
    ]
    return [
        BestTrial(
            study.study_name,
            trial.number,
            trial_state(trial),
            rank(trial).cer,
            trial.params,
            trial_metrics(trial),
            trial_epochs(trial),
            trial_folder(folder, trial.number) / BEST,
        )
        for trial in sorted(trials, key=rank)[: N_TRIALS - 1]
    ]


def _with_trials(
    content: StudyContent, ranked: Sequence[BestTrial], separation: Separation | None
) -> StudyContent:
    """Add the table of the best trials and the separation."""
    rows = [_trial(best, separation) for best in ranked]
    counts = validated_counts(ranked[0])
    n_symbols = None if counts is None else int(counts.symbols.sum())
    return replace(
        content,
        trials=rows,
        n_validated=None if counts is None else len(counts.edits),
        n_symbols=n_symbols,
        separation=separation,
    )


def _expected_saving(study: optuna.Study, content: StudyContent, best: BestTrial) -> float | None:
    """Return the character errors that as many trials again are expected to save.

    As in a search, all trials that have ended or are paused count.
    """
    states = content.search.states
    if content.n_symbols is None or content.search.objective != ("cer",):
        return None
    trials = study.get_trials(deepcopy=False)
    ranks = [rank(t) for t in trials if trial_epochs(t) and trial_state(t) in ENDED]
    values = [found.cer for found in ranks if found.lacks_folds == best.lacks_folds]
    return expected_saving(values, n_ended(states), states["finished"], content.n_symbols)


def _trial(best: BestTrial, separation: Separation | None) -> TrialContent:
    """Return a row of the table, with intervals if the edits of the images are known."""
    counts = validated_counts(best)
    intervals = {} if counts is None else count_intervals(counts)
    values = {"cer": best.value, "wer": best.metrics.get("wer"), "exact": best.metrics.get("exact")}
    row = TrialContent(
        number=best.trial,
        state=best.state,
        n_epochs=len(best.epochs),
        best_epoch=best.metrics.get("best_epoch", len(best.epochs)),
        rates={
            name: Rate(value, *intervals.get(name, (None, None)))
            for name, value in values.items()
            if value is not None
        },
        n_parameters=best.metrics.get("n_parameters"),
        size_mb=best.metrics.get("size_mb"),
        latency_ms=best.metrics.get("latency_ms"),
        params=best.params,
        has_weights=best.weights.exists(),
        architecture=best.metrics.get("architecture"),
    )
    if separation is None:
        return row
    if best.trial == separation.best:
        return replace(row, verdict="best")
    if best.trial not in separation.compared:
        return row
    p_value = separation.p_values[separation.compared.index(best.trial)]
    is_alike = best.trial in separation.alike
    return replace(row, verdict="alike" if is_alike else "worse", p_value=p_value)
