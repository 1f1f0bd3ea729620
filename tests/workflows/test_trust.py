"""Trust of models that are written: measured on validation images, stored, and used by readers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ocrsearch.core import OptionError
from ocrsearch.data import LabelledImages, load_split
from ocrsearch.deployment import ComparisonImages, export_onnx
from ocrsearch.evaluation import Threshold, Trust, fit_trust, image_profiles
from ocrsearch.inference import Prediction, Predictor, load
from ocrsearch.training import Bundle, load_bundle, save_bundle
from ocrsearch.workflows import measure_trust
from ocrsearch.workflows.trust import Readings, check_max_error

if TYPE_CHECKING:
    from tests.conftest import CommandResult, StudyDb

Command = Callable[..., "CommandResult"]


@pytest.fixture(scope="module")
def numbers(number_folder: Path) -> LabelledImages:
    return load_split(f"captcha:{number_folder}", None)[0]


@pytest.fixture(scope="module")
def trust(numbers: LabelledImages) -> Trust:
    """Trust with a temperature of about 2 and a threshold that about half of the texts reach."""
    profiles = image_profiles(numbers.images)
    fitted = fit_trust([0.9] * 4, [True] * 3 + [False], profiles, profiles)
    threshold = Threshold(confidence=0.01, max_error=0.1, n=40, n_accepted=40, n_wrong=0)
    return fitted.model_copy(update={"threshold": threshold})


@pytest.fixture(scope="module")
def trusted(make_bundle: Callable[..., Bundle], trust: Trust) -> Bundle:
    return replace(make_bundle(), trust=trust)


def test_the_confidence_is_calibrated(
    trusted: Bundle, numbers: LabelledImages, trust: Trust
) -> None:
    plain = Predictor(replace(trusted, trust=Trust()), "cpu").predict_many(list(numbers.images))
    found = Predictor(trusted, "cpu").predict_many(list(numbers.images))
    for before, after, image in zip(plain, found, numbers.images, strict=True):
        assert after.text == before.text
        assert after.network_confidence == before.confidence
        assert after.familiarity == trust.familiarity_of(image)
        calibrated = trust.calibrated(before.confidence)
        assert after.confidence == pytest.approx(calibrated * after.familiarity)
        assert after.check == (after.confidence < 0.01)
        assert before.check is None


def test_a_sheet_without_text_is_not_believed(trusted: Bundle) -> None:
    sheet = np.clip(240 + np.random.default_rng(0).normal(0, 5, (20, 60)), 0, 255).astype(np.uint8)
    found = Predictor(trusted, "cpu").predict(sheet)
    assert not found.blank
    assert found.confidence < 1e-6
    assert found.check


def test_an_empty_text_has_no_confidence(make_bundle: Callable[..., Bundle]) -> None:
    bundle = make_bundle()
    weights = dict(bundle.weights)
    weights["head.bias"] = weights["head.bias"].clone()
    weights["head.bias"][10] = 1000.0  # nothing but blanks
    sheet = np.random.default_rng(0).integers(0, 256, (20, 60), np.uint8)
    found = Predictor(replace(bundle, weights=weights), "cpu").predict(sheet)
    assert (found.text, found.confidence, found.network_confidence) == ("", 0.0, 1.0)


def test_files_keep_it(
    trusted: Bundle, numbers: LabelledImages, tmp_path: Path, trust: Trust
) -> None:
    save_bundle(trusted, tmp_path / "model.pt")
    export_onnx(trusted, tmp_path / "model.onnx", ComparisonImages(numbers.first(8), "numbers"))
    image = numbers.images[0]
    first, second = (load(tmp_path / f"model.{kind}", "cpu") for kind in ("pt", "onnx"))
    assert first.bundle.trust == second.bundle.trust == trust
    confidences = [predictor.predict(image).confidence for predictor in (first, second)]
    assert confidences[0] == pytest.approx(confidences[1], rel=1e-4)
    done = export_onnx(
        trusted,
        tmp_path / "int8.onnx",
        ComparisonImages(numbers.first(8), "numbers"),
        int8=True,
        max_cer_increase=1.0,
    )
    assert "no confidence is promised" in " ".join(done.notes)
    assert load(tmp_path / "int8.onnx", "cpu").bundle.trust == trust.without_threshold()


def test_a_promise_is_measured(numbers: LabelledImages) -> None:
    predictions = [
        Prediction(text, p, (p,) * len(text), network_confidence=p)
        for text, p in zip(numbers.texts, np.linspace(0.9, 0.99, len(numbers)), strict=True)
    ]
    report = measure_trust(Readings(numbers, predictions), numbers, 0.1)
    assert report.trust.n == len(numbers) == 40
    assert report.trust.threshold is not None
    assert report.trust.threshold.n_wrong == 0
    assert "With 95 % certainty at most 0.1" in report.describe_promise()
    report = measure_trust(Readings(numbers, predictions), numbers, 0.01)
    assert report.trust.threshold is None
    assert report.describe_promise().endswith("that needs about 299 images, there are 40")
    assert measure_trust(Readings(numbers, predictions), numbers).describe_promise() == ""


@pytest.mark.parametrize("max_error", [0, 1, -0.1, "a", True, float("nan")])
def test_promises_that_make_no_sense(max_error: Any) -> None:
    with pytest.raises(OptionError, match=r"must be a number from 0\.0001 to 0\.5"):
        check_max_error(max_error)


def test_predict_marks_texts_below_the_stored_threshold(
    command: Command, trusted: Bundle, number_folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "model.pt"
    save_bundle(trusted, path)
    content = command("predict", path, number_folder, "--json").json()
    assert content["min_confidence"] == 0.01
    lines = [line for file in content["files"] for line in file["lines"]]
    assert [line["check"] for line in lines] == [line["confidence"] < 0.01 for line in lines]
    overridden = command("predict", path, number_folder, "--min-confidence", 0.0, "--json").json()
    assert not any(line["check"] for file in overridden["files"] for line in file["lines"])
    evaluated = command("evaluate", path, "--data", number_folder, "--split", "all", "--json")
    stored = evaluated.json()["stored_threshold"]
    assert stored["n_accepted"] == sum(not line["check"] for line in lines)


def test_a_study_without_its_data_promises_nothing(
    command: Command, study_db: StudyDb, tmp_path: Path
) -> None:
    path = tmp_path / "model.pt"
    export = ("best", "--storage", study_db.url, "--export", path)
    assert command(*export, "--max-error", 0.01).code == 1
    assert not path.exists()
    result = command(*export, "--max-error", 0.01, "--refit")
    assert "cannot be combined with --refit" in result.err
    assert command(*export).code == 0
    assert load_bundle(path).trust == Trust()
