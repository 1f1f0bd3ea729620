"""Ensembles of a study's networks, from a search with real training to a model file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ocrsearch.core.errors import StudyError
from ocrsearch.data.data_options import DataOptions
from ocrsearch.data.dataset import load_dataset
from ocrsearch.inference.predictor import Predictor
from ocrsearch.studies.database import study_folder
from ocrsearch.studies.results import (
    BestTrial,
    best_trials,
    load_study,
)
from ocrsearch.training.model_file import load_bundle
from ocrsearch.training.provenance import Member
from ocrsearch.training.records import BEST, trial_folder
from ocrsearch.workflows.trial_models import choose_members, make_ensemble

if TYPE_CHECKING:
    from tests.conftest import CommandResult

pytestmark = pytest.mark.slow

Command = Callable[..., "CommandResult"]


def test_the_best_read_together(searched_url: str) -> None:
    done = make_ensemble(searched_url, "s", 3)
    study = load_study(searched_url, "s")
    best = best_trials(study, study_folder(searched_url, "s"), {}, 3)
    assert [m.trial for m in done.members] == [t.trial for t in best]
    validation = load_dataset("digits", DataOptions(train_fraction=0.02)).splits["val"]
    first = Predictor(done.bundle.members[0]).bundle
    alone = Predictor(replace(first, others=())).evaluate(validation)
    assert alone.metrics == done.alone
    metrics = done.bundle.metrics
    assert metrics["n_parameters"] == sum(t.metrics["n_parameters"] for t in best)
    assert metrics["size_mb"] == pytest.approx(sum(t.metrics["size_mb"] for t in best))
    assert metrics["latency_ms"] == pytest.approx(sum(t.metrics["latency_ms"] for t in best))
    again = Predictor(done.bundle).evaluate(validation)
    assert again.metrics == done.together
    assert (metrics["cer"], metrics["exact"]) == (done.together.cer, done.together.exact)
    members = done.bundle.provenance.members
    assert members == [Member(trial=t.trial, cer=t.value) for t in best]
    assert len({len(m.weights) for m in done.bundle.members}) > 1  # of different depths


def test_limits_hold_for_all_together(searched_url: str) -> None:
    sizes = [t.metrics["size_mb"] for t in make_ensemble(searched_url, "s", 4).members]
    done = make_ensemble(searched_url, "s", 4, {"size_mb": sizes[0] + sizes[1]})
    assert len(done.members) == 2
    assert done.bundle.metrics["size_mb"] <= sizes[0] + sizes[1]
    with pytest.raises(StudyError, match="found only trial"):
        make_ensemble(searched_url, "s", 2, {"size_mb": 1.01 * sizes[0]})


@pytest.mark.parametrize(
    ("cers", "sizes", "n", "limits", "expected"),
    [
        ([], [], 3, {}, []),
        ([0.1], [1.0], 3, {}, [0]),
        ([0.1, 0.2, 0.21, 0.22], [1.0] * 4, 4, {}, [0, 1, 2]),  # too far behind: over 0.21
        ([0.1, 0.2, 0.21, 0.22], [1.0] * 4, 2, {}, [0, 1]),
        ([0.0, 0.01, 0.02], [1.0] * 3, 3, {}, [0, 1]),
        ([0.1] * 4, [2.0, 3.0, 1.0, 1.0], 3, {"size_mb": 3.5}, [0, 2]),
        ([0.1] * 3, [2.0, 3.0, 1.0], 3, {"size_mb": 2.0}, [0]),
    ],
)
def test_members_are_good_and_small_enough(
    cers: list[float], sizes: list[float], n: int, limits: dict[str, float], expected: list[int]
) -> None:
    found = [
        BestTrial("s", i, "finished", cer, {}, {"size_mb": size}, [], Path("best.pt"))
        for i, (cer, size) in enumerate(zip(cers, sizes, strict=True))
    ]
    assert [trial.trial for trial in choose_members(found, limits, n)] == expected


def test_trials_without_weights_are_passed_over(searched_url: str, tmp_path: Path) -> None:
    source = Path(searched_url.removeprefix("sqlite:///"))
    shutil.copytree(source.parent, tmp_path / "copy")
    url = f"sqlite:///{tmp_path / 'copy' / source.name}"
    trials = [member.trial for member in make_ensemble(url, "s", 4).members]
    for trial in trials[1:3]:
        (trial_folder(study_folder(url, "s"), trial) / BEST).unlink()
    done = make_ensemble(url, "s", 3)
    assert [member.trial for member in done.members] == [trials[0], trials[3]]
    assert done.n_asked == 3
    (trial_folder(study_folder(url, "s"), trials[3]) / BEST).unlink()
    with pytest.raises(StudyError, match=f"found only trial {trials[0]}: no other"):
        make_ensemble(url, "s", 2)


def test_best_exports_an_ensemble(command: Command, searched_url: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    arguments = ["best", "--storage", searched_url, "--ensemble", 2, "--export", path]
    shown = command(*arguments)
    assert shown.code == 0
    assert shown.err.startswith("note: no --study given: using s, the study that changed last\n")
    assert "ensemble of trials " in shown.out
    assert ": validation CER " in shown.out
    result = command(*arguments, "--json").json()
    ensemble = result["ensemble"]
    assert ensemble["trials"][0] == result["trial"]
    assert len(ensemble["trials"]) == len(load_bundle(path).members) == 2
    assert load_bundle(path).trust.n > 0
    evaluated = command("evaluate", path, "--data", "digits", "--split", "val", "--json").json()
    assert evaluated["cer"] == pytest.approx(ensemble["metrics"]["cer"])
    half = tmp_path / "half.pt"
    assert command(*arguments[:-1], half, "--fp16-weights").code == 0
    assert half.stat().st_size < 0.8 * path.stat().st_size
    halved = command("evaluate", half, "--data", "digits", "--split", "val", "--json").json()
    assert halved["cer"] == pytest.approx(evaluated["cer"], abs=0.01)
    inspected = command("inspect", path, "--json").json()
    assert inspected["n_networks"] == 2
    assert inspected["n_parameters_in_all"] > inspected["n_parameters"]
    assert "the first of 2 networks in an ensemble" in command("inspect", path).out
    shown = command("best", "--storage", searched_url, "--ensemble", 9).out
    assert "4 of 9 requested networks" in shown
    page = tmp_path / "page.html"
    assert command("evaluate", path, "--data", "digits", "--html", page).code == 0
    content = page.read_text(encoding="utf-8")
    assert f"trial {ensemble['trials'][1]}" in content
    assert "the first of 2 networks in an ensemble" in content


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--ensemble", 2, "--confirm", 1], 2, "--confirm and --ensemble: cannot be combined"),
        (["--fp16-weights"], 2, "--fp16-weights: needs --export FILE"),
        (["--ensemble", 2, "--max-size-mb", 0.0001], 1, "has size_mb of at most 0.0001"),
    ],
)
def test_what_cannot_be_joined(
    command: Command, searched_url: str, arguments: list[object], code: int, said: str
) -> None:
    result = command("best", "--storage", searched_url, *arguments)
    assert result.code == code
    assert said in result.err
    assert len(result.err.splitlines()) == 1


def test_one_network_is_no_ensemble(command: Command, searched_url: str) -> None:
    assert command("best", "--storage", searched_url, "--ensemble", 1).code == 2
