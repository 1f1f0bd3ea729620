"""Export of a study's model: the parts of ``ocrsearch best`` that write a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ocrsearch.cli.best_request import Wanted, is_onnx
from ocrsearch.cli.export import print_comparison
from ocrsearch.cli.output import echo, our_command, reading_bar
from ocrsearch.core import StudyError

if TYPE_CHECKING:
    from ocrsearch.data import Dataset
    from ocrsearch.studies import BestTrial, StudyFacts
    from ocrsearch.training import Bundle
    from ocrsearch.workflows import Confirmation, Ensemble, TrustReport


class Written(NamedTuple):
    """A model that was written, and its trust; None if the data was not at hand."""

    bundle: Bundle
    trust: TrustReport | None


def write_model(
    wanted: Wanted, path: Path, found: BestTrial, joined: Ensemble | None, facts: StudyFacts
) -> Written:
    """Write the model file of a trial or an ensemble.

    Raises:
        StudyError: the weights of the trial are missing.
    """
    from ocrsearch.studies import next_with_weights
    from ocrsearch.workflows import bundle_trial

    if joined is not None:
        return _write(wanted, path, joined.bundle, joined.bundle, found.study)
    if not found.weights.exists():
        lost = f"the weights of trial {found.trial} are missing ({found.weights})"
        other = next_with_weights(wanted.storage, found, wanted.limits)
        if other is None:
            advice = "like those of all other trials; search again under a new name"
            raise StudyError(f"study {found.study!r}: {lost}, {advice}")
        words = ("best", "--study", other.study, "--trial", other.trial, "--export", path)
        raise StudyError(
            f"study {found.study!r}: {lost}; the next best trial with weights is {other.trial} "
            f"(CER {other.value:.4f}): {our_command(*words, storage=wanted.storage)}"
        )
    measured = bundle_trial(found, facts, wanted.limits)
    bundle = _refit(wanted, found) if wanted.refit else measured
    return _write(wanted, path, bundle, measured, found.study)


def write_confirmed(wanted: Wanted, path: Path, done: Confirmation) -> Written:
    """Write the model file of a confirmed configuration."""
    return _write(wanted, path, done.bundle, done.bundle, done.study)


def _write(wanted: Wanted, path: Path, bundle: Bundle, measured: Bundle, study: str) -> Written:
    """Calibrate a model and write it.

    Args:
        wanted: options of the command.
        path: file to write.
        bundle: model to write.
        measured: model that reads the validation images; another one if the model to write was
            trained on them.
        study: name of the study.
    """
    from ocrsearch.studies import load_study, study_facts
    from ocrsearch.workflows import DataPlace, find_study_data, measure_trust, read_validation

    facts = study_facts(load_study(wanted.storage, study))
    place = DataPlace(*wanted.moved.values())
    dataset = find_study_data(study, facts, place, needed=wanted.max_error is not None)
    report = None
    if dataset is not None:
        with reading_bar("recognising") as progress:
            readings = read_validation(measured, dataset, facts.folds, progress)
        report = measure_trust(readings, dataset.splits["train"], wanted.max_error)
        bundle = replace(bundle, trust=report.trust)
    _save(wanted, path, bundle, study, dataset)
    return Written(bundle, report)


def _save(wanted: Wanted, path: Path, bundle: Bundle, study: str, dataset: Dataset | None) -> None:
    """Write a model for PyTorch or, by the name of the file, for ONNX Runtime.

    The export to ONNX is compared on the validation images, and its report is printed unless the
    output is JSON.
    """
    if not is_onnx(path):
        from ocrsearch.training import halve, save_bundle

        save_bundle(halve(bundle) if wanted.fp16_weights else bundle, path)
        return
    from ocrsearch.studies import load_study
    from ocrsearch.workflows import DataPlace, export_of_study

    searched = load_study(wanted.storage, study)
    place = DataPlace(*wanted.moved.values())
    with reading_bar("comparing") as progress:
        done = export_of_study(bundle, path, searched, place, progress, dataset, int8=wanted.int8)
    if not wanted.as_json:
        print_comparison(done)


def _refit(wanted: Wanted, found: BestTrial) -> Bundle:
    """Train the network of a trial again on all its images, and show the progress."""
    from ocrsearch.cli.train_display import resumable, train_display
    from ocrsearch.workflows import DataPlace, refit

    quiet = wanted.as_json
    with train_display(quiet=quiet) as display, resumable(display, as_json=quiet):
        display.validates = False
        return refit(wanted.storage, found, DataPlace(*wanted.moved.values()), display)


def threshold_content(wanted: Wanted, written: Written | None) -> dict[str, object]:
    """Return the threshold of a promised error for JSON; nothing without a promise."""
    if wanted.max_error is None or written is None or written.trust is None:
        return {}
    report = written.trust
    threshold = report.trust.threshold
    stored = threshold.model_dump() if threshold else None
    return {"threshold": stored, "n_needed": report.n_needed}


def print_trust(written: Written | None) -> None:
    """Print what is known about the confidence of a model, and the threshold of a promise."""
    if written is None or written.trust is None:
        return
    report = written.trust
    trust = report.trust
    echo(f"its confidence is calibrated on {trust.n} texts (temperature {trust.temperature:.2f})")
    if line := report.describe_promise():
        echo(line)
