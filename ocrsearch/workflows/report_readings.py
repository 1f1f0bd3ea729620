"""Readings for a report: the errors of the best network, labels to check, and the test split.

The best networks read the validation split again, because a study keeps the number of edits in each
image but not the texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ocrsearch.core import OcrSearchError, StudyError
from ocrsearch.data import Dataset, Progress
from ocrsearch.evaluation import count_confusions, count_edits, rates
from ocrsearch.inference import Predictor
from ocrsearch.reports import (
    DoubtfulLabel,
    ErrorsContent,
    Rate,
    SplitFigures,
    StudyContent,
    WrongImage,
    coverage_content,
    pair_name,
    thumbnail_url,
)
from ocrsearch.studies import BestTrial, StudyFacts
from ocrsearch.training import Bundle
from ocrsearch.workflows.confirmation import stored_test
from ocrsearch.workflows.trial_models import bundle_trial, provenance_of, read_trial_weights
from ocrsearch.workflows.trust import Readings, measure_trust, read_validation

N_AGREEING = 3
"""Number of networks that must contradict a label."""

MAX_WRONG = 400
"""Maximum number of images with errors in the content; the page may show fewer."""

RATES = ("cer", "wer", "exact")


def with_errors(
    content: StudyContent,
    trained: Sequence[BestTrial],
    facts: StudyFacts,
    dataset: Dataset | None,
    progress: Progress | None,
) -> StudyContent:
    """Add the errors of the best network, its coverage, and the labels to check."""
    if dataset is None:
        return replace(content, no_errors_reason=content.data.problem)
    try:
        readings = _read(trained[0], facts, dataset, progress)
    except OcrSearchError as error:
        return replace(content, no_errors_reason=str(error))
    others: list[Readings] = []
    for best in trained[1:]:
        if len(others) + 1 < N_AGREEING and best.n_folds == trained[0].n_folds:
            try:
                others.append(_read(best, facts, dataset, progress))
            except OcrSearchError:  # its weights are lost: the next best takes its place
                continue
    report = measure_trust(readings, dataset.splits["train"])
    doubtful = _doubtful([readings, *others]) if len(others) + 1 == N_AGREEING else []
    return replace(
        content,
        n_validated=len(readings.predictions),
        errors=_errors(report.readings),
        coverage=coverage_content(report.confidences, readings.is_right),
        doubtful=doubtful,
        n_agreeing=len(others) + 1,
    )


def _read(
    best: BestTrial, facts: StudyFacts, dataset: Dataset, progress: Progress | None
) -> Readings:
    """Read the validation images, each with the network that was not trained on it."""
    networks = []
    for file in best.all_weights:
        trained = read_trial_weights(replace(best, weights=file), facts)
        about = provenance_of(best, facts)
        weights = (trained.config, trained.charset, trained.weights)
        networks.append(Bundle(*weights, best.numbers, about))
    bundle = replace(networks[0], others=tuple(networks[1:]))
    return read_validation(bundle, dataset, facts.folds, progress)


def _errors(readings: Readings) -> ErrorsContent:
    """Return the errors of a network, the images with most edits per character first."""
    texts, reads = readings.data.texts, [p.text for p in readings.predictions]
    counts = count_edits(texts, reads)

    def badness(i: int) -> tuple[float, float]:
        return counts.edits[i] / max(1, counts.symbols[i]), readings.predictions[i].confidence

    wrong = sorted((i for i in range(len(texts)) if counts.wrong[i]), key=badness, reverse=True)
    groups = readings.data.groups or [None] * len(texts)
    images = [
        WrongImage(
            name=readings.data.names[i],
            label=texts[i],
            reading=reads[i],
            confidence=readings.predictions[i].confidence,
            edits=int(counts.edits[i]),
            group=groups[i] or "",
            pairs=tuple(dict.fromkeys(map(pair_name, count_confusions([texts[i]], [reads[i]])))),
            url=thumbnail_url(readings.data.images[i]),
        )
        for i in wrong[:MAX_WRONG]
    ]
    confusions = count_confusions(texts, reads)
    return ErrorsContent(len(texts), len(wrong), rates(counts).cer, confusions, images)


def _doubtful(readings: Sequence[Readings]) -> list[DoubtfulLabel]:
    """Return the labels that all networks contradict with the same text, the surest first."""
    data = readings[0].data
    found = []
    for i, label in enumerate(data.texts):
        predictions = [network.predictions[i] for network in readings]
        texts = {prediction.text for prediction in predictions}
        if len(texts) == 1 and label not in texts and "" not in texts:
            confidence = min(prediction.confidence for prediction in predictions)
            found.append(DoubtfulLabel(data.names[i], label, texts.pop(), confidence))
    return sorted(found, key=lambda doubtful: -doubtful.confidence)


def known_test(folder: Path) -> SplitFigures | None:
    """Return the evaluation of the test split by a confirmation, if there was one."""
    stored = stored_test(folder)
    if stored is None:
        return None
    trial, known = stored
    found = {
        name: Rate(known[name], known.get(f"{name}_low"), known.get(f"{name}_high"))
        for name in RATES
        if name in known
    }
    network = f"trial {trial}, trained again with fresh seeds to confirm the choice"
    return SplitFigures(int(known.get("n", 0)), found, network)


def evaluate_test(
    content: StudyContent,
    best: BestTrial | None,
    facts: StudyFacts,
    dataset: Dataset | None,
    progress: Progress | None,
) -> SplitFigures:
    """Read the test split with the model that would be exported, and return its error rates.

    Raises:
        OcrSearchError: there is no network, no image, or no test split.
    """
    problem = content.no_trials or content.data.problem
    if best is None or dataset is None:
        raise StudyError(f"study {content.name!r}: the test split cannot be evaluated: {problem}")
    part = dataset.splits["test"]
    if not len(part):
        raise StudyError(f"study {content.name!r}: its dataset has no test split")
    evaluation = Predictor(bundle_trial(best, facts)).evaluate(part, progress)
    metrics, intervals = evaluation.metrics, evaluation.intervals
    found = {name: Rate(getattr(metrics, name), *intervals[name]) for name in RATES}
    return SplitFigures(metrics.n, found, f"trial {best.trial}")
