"""Whether validation images tell configurations apart."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ocrsearch.evaluation.metrics import EditCounts, save_counts
from ocrsearch.studies import separation as separation_module
from ocrsearch.studies.results import load_study
from ocrsearch.studies.separation import (
    compare_best,
    n_more_images,
    separation,
    sign_flip_p,
)
from ocrsearch.training.records import BEST, VALIDATED
from tests.conftest import StudyDb


def counts(edits: list[int], length: int = 5) -> EditCounts:
    table = [[e, length, int(e > 0), 1, int(e > 0)] for e in edits]
    return EditCounts.from_table(np.array(table))


def brute_force(differences: list[int]) -> float:
    observed = abs(sum(differences))
    signs = itertools.product((-1, 1), repeat=len(differences))
    sums = [abs(sum(s * d for s, d in zip(sign, differences, strict=True))) for sign in signs]
    return sum(s >= observed for s in sums) / len(sums)


@pytest.mark.parametrize(
    "differences",
    [[], [0, 0], [1], [1, -1], [1, 1, 1, 1, 1, 1], [2, 0, -1, 3, 1], [1, 2, 3, -1, 1, 1, 2, 0, 4]],
)
def test_the_test_is_that_over_all_signs(differences: list[int]) -> None:
    expected = brute_force(differences) if differences else 1.0
    assert sign_flip_p(np.array(differences, dtype=np.int64)) == pytest.approx(expected)


def test_very_many_differences_are_approximated(monkeypatch: pytest.MonkeyPatch) -> None:
    differences = np.random.default_rng(0).integers(-3, 4, 1000)
    exact = sign_flip_p(differences)
    monkeypatch.setattr(separation_module, "MAX_STEPS", 1)
    assert sign_flip_p(differences) == pytest.approx(exact, abs=0.02)


def test_more_images_by_the_power_formula() -> None:
    differences = np.array([1, 0, 0, 0, 0, 0, 0, 0, 0, 0])  # mean 0.1, variance 0.09
    assert n_more_images(differences) == 71 - 10  # 7.85 * 0.09 / 0.01


def test_equal_counts_cannot_be_told_apart() -> None:
    found = separation({3: counts([0, 1, 0]), 5: counts([1, 0, 0]), 8: counts([0, 1, 1])})
    assert found is not None
    assert (found.best, found.alike, found.other) == (3, [5, 8], 8)
    first, second = found.describe()
    assert first == (
        "trial 3 is not significantly better than trials 5, 8 on 3 images; "
        f"about {found.n_more} more would separate it from trial 8"
    )
    assert "`ensemble=3`" in second


def test_a_clear_difference_is_seen_and_needs_no_words() -> None:
    found = separation({1: counts([0] * 10), 2: counts([1] * 10)})
    assert found is not None
    assert (found.alike, found.n_more, found.describe()) == ([], None, [])


def test_no_errors_at_all_are_said() -> None:
    found = separation({1: counts([0] * 10), 2: counts([0] * 10)})
    assert found is not None
    assert "none of them makes an error" in found.describe()[0]


@pytest.mark.parametrize(
    ("has_folds", "lacks_folds", "helps"),
    [
        (False, False, "`ensemble=3`"),
        (True, False, "already an ensemble of all folds"),
        (True, True, "search longer"),
    ],
)
def test_what_helps_depends_on_the_folds(has_folds: bool, lacks_folds: bool, helps: str) -> None:
    found = separation({0: counts([0, 1]), 1: counts([1, 0])})
    assert found is not None
    *_, line = replace(found, has_folds=has_folds, lacks_folds=lacks_folds).describe()
    assert helps in line


def test_other_images_are_not_compared() -> None:
    assert separation({1: counts([0, 1]), 2: counts([0, 1], length=6)}) is None
    assert separation({1: counts([0, 1]), 2: counts([0, 1, 0])}) is None
    assert separation({1: counts([0, 1])}) is None


def test_a_study_of_an_older_version_is_not_compared(study_db: StudyDb) -> None:
    study = load_study(study_db.url, study_db.name)
    assert compare_best(study, study_db.folder) is None


def test_the_trials_of_a_study_are_compared_in_the_order_of_their_rank(
    study_db: StudyDb, tmp_path: Path
) -> None:
    study = load_study(study_db.url, study_db.name)
    folder = tmp_path / "s"
    for number, edits in ((2, [0, 0, 1]), (1, [1, 0, 1]), (0, [2, 3, 4])):
        place = folder / f"trial-{number:05d}"
        place.mkdir(parents=True)
        (place / BEST).touch()
        save_counts(counts(edits), place / VALIDATED)
    found = compare_best(study, folder)
    assert found is not None
    assert (found.best, found.compared, found.n) == (2, [1, 0], 3)


def test_each_comparison_has_its_p_value() -> None:
    first = [0, 1, 0, 0, 0, 0, 0, 0]
    found = separation({3: counts(first), 5: counts(first), 8: counts([1] * 8)})
    assert found is not None
    assert found.compared == [5, 8]
    assert found.p_values == (1.0, pytest.approx(2 / 2**7))  # seven differences of one sign
