"""Calibration of the confidence, familiarity of images, and what a model file holds of both."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ocrsearch.data import GrayImage
from ocrsearch.data.images import N_VALUES, image_profile
from ocrsearch.evaluation import (
    UNCALIBRATED,
    Threshold,
    Trust,
    accept,
    calibration_error,
    confidence_bins,
    fit_trust,
    image_profiles,
    images_needed,
    n_needed,
    upper_error_bound,
)
from ocrsearch.evaluation.familiarity import MIN_IMAGES, fit_familiarity
from ocrsearch.evaluation.trust import MAX_PROBABILITY, fit_temperature
from tests.conftest import draw_text

NUMBERS = [draw_text(str(number)) for number in range(10, 100)]


def noisy(seed: int) -> list[GrayImage]:
    rng = np.random.default_rng(seed)
    return [np.clip(i + rng.normal(0, 8, i.shape), 0, 255).astype(np.uint8) for i in NUMBERS]


@pytest.fixture(scope="module")
def trust() -> Trust:
    images = noisy(0)
    profiles = image_profiles(images)
    return fit_trust([0.9] * 20, [True] * 18 + [False] * 2, profiles[::2], profiles[1::2])


@pytest.mark.parametrize("temperature", [0.7, 1.0, 2.5])
def test_the_temperature_is_found(temperature: float) -> None:
    rng = np.random.default_rng(0)
    odds = rng.normal(2, 2, 5000)
    right = rng.random(5000) < 1 / (1 + np.exp(-odds / temperature))
    probabilities = 1 / (1 + np.exp(-odds))
    assert fit_temperature(probabilities.tolist(), right.tolist()) == pytest.approx(
        temperature, rel=0.1
    )
    fitted = Trust(temperature=temperature, n=1)
    calibrated = [fitted.calibrated(p) for p in probabilities]
    assert calibration_error(confidence_bins(calibrated, right.tolist())) < 0.02


def test_few_texts_without_an_error_are_not_certain() -> None:
    fitted = Trust(temperature=fit_temperature([0.99999] * 50, [True] * 50), n=50)
    assert fitted.calibrated(0.99999) == pytest.approx(51 / 52, abs=1e-4)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=9), st.floats(0.5, 10))
def test_calibration_keeps_the_order(probabilities: list[float], temperature: float) -> None:
    trust = Trust(temperature=temperature, n=1)
    found = [trust.calibrated(p) for p in sorted(probabilities)]
    assert found == sorted(found)
    assert found[0] >= 0
    assert found[-1] <= MAX_PROBABILITY


def test_without_calibration_nothing_changes() -> None:
    assert UNCALIBRATED.calibrated(1.0) == 1.0
    assert UNCALIBRATED.familiarity_of(NUMBERS[0]) == 1.0
    assert UNCALIBRATED.min_confidence is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (20, 60), (400, 33)])
def test_profiles_of_any_shape_are_finite(shape: tuple[int, int]) -> None:
    for image in (np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)):
        profile = image_profile(image)
        assert profile.shape == (N_VALUES,)
        assert np.isfinite(profile).all()


def test_a_profile_does_not_depend_on_the_resolution() -> None:
    image = np.kron(NUMBERS[0], np.ones((4, 4), np.uint8))
    assert image_profile(image) == pytest.approx(image_profile(NUMBERS[0]), abs=0.15)


def test_only_such_images_are_familiar(trust: Trust) -> None:
    others = [trust.familiarity_of(image) for image in noisy(1)]
    assert np.mean(np.array(others) == 1.0) > 0.9
    rng = np.random.default_rng(0)
    shape = NUMBERS[0].shape
    foreign = {
        "blank": np.clip(250 + rng.normal(0, 4, shape), 0, 255),
        "noise": rng.integers(0, 256, shape),
        "inverted": 255 - noisy(1)[0],
        "stripes": np.tile([0, 0, 255, 255], (shape[0], shape[1] // 4 + 1))[:, : shape[1]],
        "long": np.hstack(noisy(1)[:8]),
    }
    for name, image in foreign.items():
        assert trust.familiarity_of(image.astype(np.uint8)) < 1e-3, name


def test_too_few_images_have_no_gaussian() -> None:
    profiles = image_profiles(NUMBERS)
    assert fit_familiarity(profiles[: MIN_IMAGES - 1], profiles[:0]) is None
    few = fit_familiarity(profiles[:MIN_IMAGES], profiles[:0])
    assert few is not None
    assert few.of(NUMBERS[0]) == 1.0


def test_a_model_file_holds_it_as_plain_values(trust: Trust) -> None:
    found = accept([0.9] * 60, [True] * 60, 0.05)
    assert found is not None
    full = trust.model_copy(update={"threshold": Threshold.of(found, 0.05)})
    assert Trust.model_validate(json.loads(json.dumps(full.model_dump()))) == full
    assert full.min_confidence == 0.9
    assert full.without_threshold() == trust


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": float("nan")},
        {"temperature": 0.0},
        {"n": -1},
        {"unknown": 1},
        {"threshold": {"confidence": 2.0}},
        {"familiarity": {"mean": [0.0], "whitening": [[0.0]], "limit": 1.0}},
        {"familiarity": {"mean": [0.0] * 15, "whitening": [[0.0]] * 15, "limit": 1.0}},
    ],
)
def test_damaged_values_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Trust.model_validate(change)


@pytest.mark.parametrize(
    ("n", "n_wrong", "max_error", "expected"),
    [
        (0, 0, 0.005, None),
        (100, 0, 0.005, n_needed(0.005)),
        (10, 10, 0.02, None),
        (10, 9, 0.02, 10 * n_needed(0.02)),
    ],
)
def test_number_of_images_that_a_promise_needs(
    n: int, n_wrong: int, max_error: float, expected: int | None
) -> None:
    confidences = np.linspace(1, 0.5, n).tolist()
    assert images_needed(confidences, [i < n - n_wrong for i in range(n)], max_error) == expected


def test_a_promise_needs_more_images_with_an_error() -> None:
    right = [i != 50 for i in range(400)]
    needed = images_needed(np.linspace(1, 0.5, 400).tolist(), right, 0.005)
    assert needed is not None
    assert needed < n_needed(0.005) * 400 / 50  # more than the texts before the error help
    assert upper_error_bound(round(needed / 400), needed) <= 0.005
