"""Files written by version 0.1.0 keep working: a space, a study, a checkpoint and a model.

They were made with ``run --data digits --train-share 0.05 --space space.yaml --study old``, stopped
by its limit of epochs in the middle of trial 6, and with ``best --export model.pt``.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial

from ocrsearch.core.renamed import KEYS
from ocrsearch.inference import load_bundle
from ocrsearch.spaces import load_space
from ocrsearch.studies import open_storage
from tests.conftest import CommandResult

FILES = Path(__file__).with_name("old_version")

Command = Callable[..., CommandResult]


@pytest.fixture
def old_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the commands, with the old study in it."""
    with zipfile.ZipFile(FILES / "study.zip") as archive:
        archive.extractall(tmp_path)
    shutil.copy(FILES / "space.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_old_space_is_read_as_before() -> None:
    space = load_space(FILES / "space.yaml")
    fixed = {leaf.path: leaf.value for leaf in space.fixed}
    assert len(space.parameters) == 10
    assert (fixed["training.decay_fraction"], fixed["training.clip_grad_norm"]) == (0.3, 2.0)
    assert (fixed["training.augment.translate"], fixed["training.augment.blobs"]) == (0.2, 0.1)


def test_an_old_study_is_listed_and_its_best_trial_exported(
    old_study: Path, command: Command
) -> None:
    (study,) = json.loads(command("studies", "list", "--json").out)["studies"]
    counts = (study[f"n_{state}"] for state in ("complete", "paused", "pruned", "failed"))
    assert (*counts, study["n_unfinished"]) == (2, 1, 3, 0, 1)
    best = json.loads(command("best", "--study", "old", "--json", "--export", "new.pt").out)
    assert (best["trial"], best["state"], best["value"]) == (6, "unfinished", 0.7916063675832128)
    assert best["params"]["training.augment.stroke_width"] == 0.0
    assert best["metrics"]["n_epochs"] == 7
    assert load_bundle(old_study / "new.pt").config == load_bundle(FILES / "model.pt").config


@pytest.mark.parametrize("names", ["former", "current", "stored"])
def test_an_unfinished_old_trial_is_resumed_from_its_checkpoint(
    old_study: Path, command: Command, names: str
) -> None:
    before = {trial.number: trial.params for trial in trials_of(old_study)}
    assert sum("training.augment.stroke_width" in params for params in before.values()) == 7
    data = ["--data", "digits", "--study", "old", "--workers", "1", "--device", "cpu"]
    if names == "current":
        write_with_current_names(Path("space.yaml"))
    if names != "stored":
        data += ["--space", "space.yaml"]
    if names == "former":
        data += ["--train-share", "0.05", "--max-epochs", "35"]
    else:
        data += ["--train-fraction", "0.05", "--epoch-budget", "35"]
    result = command("run", *data)
    assert result.code == 0, result.err
    assert "trial 6 finished after 9 epochs" in result.err  # two more than before
    best = json.loads(command("best", "--study", "old", "--json").out)
    assert best["trial"] == 6
    assert best["value"] < 0.7916  # the epochs before are part of it
    after = trials_of(old_study)
    assert {trial.number: trial.params for trial in after if trial.number in before} == before
    assert not any(path in KEYS for trial in after for path in trial.params)


def test_an_old_study_goes_on_with_new_trials(old_study: Path, command: Command) -> None:
    data = ("--data", "digits", "--train-fraction", "0.05", "--space", "space.yaml")
    result = command("run", *data, "--study", "old", "--trials", "9", "--workers", "2")
    assert result.code == 0, result.err
    assert "9 of 9 trials" in result.out
    for trial in trials_of(old_study):
        assert not any(path in KEYS for path in trial.params)
        assert trial.params.get("model.decoder.attention") != "location"


def trials_of(folder: Path) -> list[FrozenTrial]:
    """Return the trials of the old study, as this version reads them."""
    storage = open_storage(f"sqlite:///{folder / 'studies' / 'ocrsearch.db'}")
    return optuna.load_study(storage=storage, study_name="old").trials


def write_with_current_names(space: Path) -> None:
    """Replace the former names in the old space."""
    text = space.read_text()
    for path, current in KEYS.items():
        text = text.replace(f" {path.rpartition('.')[2]}:", f" {current.rpartition('.')[2]}:")
    text = text.replace("promotion", "asha")
    space.write_text(text.replace("additive, location", "additive, location_aware"))


def test_an_old_model_reads_as_before(command: Command) -> None:
    model = str(FILES / "model.pt")
    result = command("evaluate", model, "--data", "digits", "--split", "val", "--json")
    found = json.loads(result.out)
    assert found["n"] == 300
    assert found["cer"] == pytest.approx(0.7923299565846599, abs=0.003)  # of another processor


def test_an_old_model_starts_a_training(tmp_path: Path, command: Command) -> None:
    result = command(
        *("train", "--config", str(FILES / "model.pt"), "--init", str(FILES / "model.pt")),
        *("--data", "digits", "--train-share", "0.02", "--epochs", "1"),
        *("--export", str(tmp_path / "new.pt")),
    )
    assert result.code == 0, result.err
    assert load_bundle(tmp_path / "new.pt").provenance.init
