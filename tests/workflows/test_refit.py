"""Models of a study with folds, and refits, from a search with real training to a model file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ocrsearch.core.errors import StudyError
from ocrsearch.spaces.reading import parse_space
from ocrsearch.studies.facts import study_facts
from ocrsearch.studies.results import best_trial, load_study
from ocrsearch.training.model_file import load_bundle
from ocrsearch.training.provenance import Refit
from ocrsearch.training.records import Epochs
from ocrsearch.tuning.api import search
from ocrsearch.tuning.options import SearchOptions
from ocrsearch.workflows.training import Observer
from ocrsearch.workflows.trial_models import bundle_trial, refit
from tests.conftest import SEARCHED_SPACE

if TYPE_CHECKING:
    from tests.conftest import CommandResult

Command = Callable[..., "CommandResult"]

FOLDED_SPACE = SEARCHED_SPACE.replace("name: none", "name: asha")


@pytest.fixture(scope="session")
def folded_url(tmp_path_factory: pytest.TempPathFactory, number_folder: Path) -> str:
    """A database of a study, "s": three configurations, one of which has seen all four folds."""
    url = f"sqlite:///{tmp_path_factory.mktemp('folded')}/test.db"
    options = SearchOptions(trials=3, storage=url, study="s", workers=1)
    result = search(parse_space(FOLDED_SPACE, "space"), number_folder, options)
    assert result.n_folds == 4
    assert result.status.n_complete == 1
    return url


class Watcher(Observer):
    """Notes the epochs of a refit, and perhaps interrupts it."""

    def __init__(self, interrupt_at: int | None = None) -> None:
        self.n_told: list[int] = []
        self.interrupt_at = interrupt_at

    def epochs_done(self, epochs: Epochs, n_epochs: int) -> None:
        self.n_told.append(len(epochs))
        if len(epochs) == self.interrupt_at:
            raise KeyboardInterrupt


def test_the_networks_of_all_folds_are_the_model(folded_url: str) -> None:
    best = best_trial(folded_url, "s")
    assert (best.n_folds, best.lacks_folds, len(best.epochs)) == (4, False, 4)
    bundle = bundle_trial(best, study_facts(load_study(folded_url, "s")))
    assert len(bundle.members) == 4
    assert bundle.metrics["cer"] == best.value
    assert bundle.metrics["n_parameters"] == 4 * best.metrics["n_parameters"]
    assert bundle.provenance.metrics_of == "cross-validation on 4 of 4 folds"
    assert [m.provenance.epochs[0].fold for m in bundle.members] == [1, 2, 3, 4]


@pytest.mark.parametrize(("share", "expected"), [(0.5, 1), (1.5, 1), (2.5, 2), (4.0, 4), (9, 4)])
def test_limits_hold_for_all_folds_together(folded_url: str, share: float, expected: int) -> None:
    best = best_trial(folded_url, "s")
    facts = study_facts(load_study(folded_url, "s"))
    limit = share * best.metrics["size_mb"]
    assert len(bundle_trial(best, facts, {"size_mb": limit}).members) == expected
    constrained = replace(facts, constraints={"size_mb": limit, "memory_mb": 1.0})
    assert len(bundle_trial(best, constrained).members) == expected
    parameters = {"parameters": share * best.metrics["n_parameters"]}
    assert len(bundle_trial(best, replace(facts, constraints=parameters)).members) == expected


def test_a_refit_trains_on_validation_images_too_and_keeps_the_rates(folded_url: str) -> None:
    best = best_trial(folded_url, "s")
    bundle = refit(folded_url, best)
    assert bundle.members == (bundle,)
    assert bundle.metrics["cer"] == best.value
    provenance = bundle.provenance
    assert provenance.refit == Refit(n=36, epochs=1)
    assert provenance.splits_seen == ["train", "val"]
    assert provenance.metrics_of == "cross-validation on 4 of 4 folds, before the refit"
    assert provenance.epochs == best.epochs


def test_a_finished_refit_is_not_trained_again(searched_url: str) -> None:
    best = best_trial(searched_url, "s")
    first, second = Watcher(), Watcher()
    before = refit(searched_url, best, observer=first)
    after = refit(searched_url, best, observer=second)
    assert (first.n_told, second.n_told) == ([1], [1])
    assert all((before.weights[name] == after.weights[name]).all() for name in before.weights)
    assert before.provenance.metrics_of == "the validation split, before the refit"


def test_an_interrupted_refit_is_resumed(number_folder: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/test.db"
    space = parse_space(FOLDED_SPACE.replace("epochs: 1", "epochs: 3"), "space")
    search(space, number_folder, SearchOptions(trials=1, storage=url, study="s", workers=1))
    best = best_trial(url, "s")
    with pytest.raises(KeyboardInterrupt):
        refit(url, best, observer=Watcher(interrupt_at=2))
    resumed = Watcher()
    bundle = refit(url, best, observer=resumed)
    assert resumed.n_told == [2, 3]
    shutil.rmtree(next(tmp_path.rglob("refit")))
    anew = refit(url, best)
    assert all((bundle.weights[name] == anew.weights[name]).all() for name in anew.weights)


def test_commands_say_what_the_model_is(
    folded_url: str, number_folder: Path, tmp_path: Path, command: Command
) -> None:
    model, storage = tmp_path / "model.pt", ("--study", "s", "--storage", folded_url)
    result = command("best", *storage, "--export", model, "--force")
    assert result.code == 0, result.err
    assert "cer, wer and exact are measured on 4 of 4 folds" in result.out
    assert "the model is an ensemble of the networks of 4 folds" in result.out
    assert len(load_bundle(model).members) == 4
    assert load_bundle(model).trust.n == 36  # each image, read by the network that has not seen it
    result = command("best", *storage, "--export", model, "--force", "--refit")
    assert result.code == 0, result.err
    assert "epoch 1/1: loss" in result.err
    assert "CER on training images" in result.err
    assert "trained again on all 36 training and validation images" in result.out
    assert load_bundle(model).trust.n == 36  # as measured before the refit
    for split, warned in (("val", True), ("test", False)):
        result = command("evaluate", model, "--data", number_folder, "--split", split)
        assert result.code == 0, result.err
        assert ("was trained on the validation images" in result.err) == warned
    content = command("best", *storage, "--export", model, "--force", "--refit", "--json").json()
    assert content["refit"] is True
    assert content["separation"] is None  # no other trial has seen all folds


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--refit",), "--refit: needs --export FILE"),
        (
            ("--refit", "--confirm", "2"),
            "--confirm and --refit: cannot be combined; remove all but one option",
        ),
        (
            ("--refit", "--ensemble", "2"),
            "--ensemble and --refit: cannot be combined; remove all but one option",
        ),
        (("--ensemble", "2"), "cross-validated on 4 folds"),
    ],
)
def test_what_does_not_go_together_is_refused(
    options: tuple[str, ...], message: str, folded_url: str, command: Command
) -> None:
    result = command("best", "--study", "s", "--storage", folded_url, *options)
    assert result.code != 0
    assert message in result.err


def test_synthetic_data_has_nothing_to_refit_on(
    searched_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from ocrsearch.workflows import trial_models as module

    load = module.load_study_data
    monkeypatch.setattr(
        module, "load_study_data", lambda *args: replace(load(*args), fresh={"kind": "digits"})
    )
    with pytest.raises(StudyError, match="new images in each epoch"):
        refit(searched_url, best_trial(searched_url, "s"))
