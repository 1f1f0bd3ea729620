"""One configuration to a model file: interrupted, continued, refused, finished."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from ocrsearch.core.config import Config
from ocrsearch.core.errors import (
    BundleError,
    InfeasibleError,
    OcrSearchError,
    OptionError,
    SpaceError,
    TrainingError,
)
from ocrsearch.data.data_options import DataOptions
from ocrsearch.inference.predictor import load
from ocrsearch.training.model_file import load_bundle
from ocrsearch.training.records import (
    BEST,
    LAST,
    LEFT_OUT,
    Epochs,
)
from ocrsearch.training.trainer import EpochReport, Trainer
from ocrsearch.workflows.training import (
    RECORD,
    Observer,
    TrainOptions,
    TrainResult,
    load_config,
    train,
    training_folder,
)

N_EPOCHS = 3
CONTENT: dict[str, Any] = {
    "images": {"height": 16},
    "model": {
        "architecture": "crnn",
        "encoder": {"conv_depth": 2, "conv_base": 8, "linear_width": 16, "hidden_size": 16},
    },
    "training": {"batch_size": 8, "epochs": N_EPOCHS, "warmup_steps": 2},
}
CONFIG = Config.model_validate(CONTENT)


class Listener(Observer):
    """Keeps all it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.epochs: list[int] = []

    def note(self, line: str) -> None:
        self.notes.append(line)

    def epochs_done(self, epochs: Epochs, n_epochs: int) -> None:
        assert n_epochs == N_EPOCHS
        self.epochs.append(len(epochs))


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return tmp_path / "models" / "model.pt"


def trained(
    folder: Path, export: Path, config: Config = CONFIG, **options: Any
) -> tuple[TrainResult, Listener]:
    listener = Listener()
    options = {"device": "cpu", **options}
    result = train(config, f"captcha:{folder}", export, TrainOptions(**options), listener)
    return result, listener


def test_training_uses_as_many_threads_as_a_worker(
    number_folder: Path, export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    n_threads = []
    run_epoch = Trainer.run_epoch

    def counted(trainer: Trainer) -> EpochReport:
        n_threads.append(torch.get_num_threads())
        return run_epoch(trainer)

    monkeypatch.setattr(Trainer, "run_epoch", counted)
    try:
        trained(number_folder, export)
        assert n_threads == [1] * N_EPOCHS
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def interrupt_in_epoch(monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
    run_epoch = Trainer.run_epoch

    def interrupted(trainer: Trainer) -> EpochReport:
        if trainer.progress.epoch + 1 == epoch:
            raise KeyboardInterrupt
        return run_epoch(trainer)

    monkeypatch.setattr(Trainer, "run_epoch", interrupted)


@pytest.fixture
def interrupted(number_folder: Path, export: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a training that was interrupted in its third epoch."""
    with monkeypatch.context() as context:
        interrupt_in_epoch(context, 3)
        with pytest.raises(KeyboardInterrupt):
            trained(number_folder, export)
    assert not export.exists()
    return training_folder(export)


def test_from_pictures_to_a_model(number_folder: Path, export: Path) -> None:
    result, listener = trained(number_folder, export, seed=5)
    assert listener.epochs == [1, 2, 3]
    bundle = load_bundle(export)
    assert bundle.config == CONFIG
    assert "".join(bundle.charset.symbols) == "0123456789"
    assert bundle.metrics == result.bundle.metrics
    assert set(bundle.metrics) == {
        *("cer", "exact", "wer", "val_loss", "n_parameters", "size_mb", "seconds"),
        *("n_epochs", "best_epoch", "seed"),
    }
    assert bundle.trust.n == 4  # the validation split
    assert bundle.trust.familiarity is not None
    provenance = bundle.provenance
    assert [record.epoch for record in provenance.epochs] == [1, 2, 3]
    assert min(r.cer for r in provenance.epochs) == bundle.metrics["cer"]
    assert (provenance.seed, bundle.data_options()) == (5, DataOptions())
    assert provenance.data == f"captcha:{number_folder}"
    assert {"ocrsearch", "torch", "python"} <= provenance.versions.keys()
    assert provenance.init is None
    assert load(export, "cpu").predict(number_folder / "42.png").confidence > 0


def test_what_is_left_of_a_finished_training(number_folder: Path, export: Path) -> None:
    trained(number_folder, export)
    names = {path.name for path in training_folder(export).iterdir()}
    assert {BEST, RECORD} <= names
    assert not names & {LAST, LEFT_OUT}
    beside = sorted(path.name for path in export.parent.iterdir())
    assert beside == ["model.pt", "model.pt.training"]


def without_seconds(epochs: Epochs) -> Epochs:
    return [record.model_copy(update={"seconds": 0.0}) for record in epochs]


def test_an_interrupted_training_goes_on_as_if_never_stopped(
    number_folder: Path, export: Path, interrupted: Path, tmp_path: Path
) -> None:
    assert {LAST, BEST, RECORD} <= {path.name for path in interrupted.iterdir()}
    result, listener = trained(number_folder, export)
    assert listener.epochs == [2, 3]  # what was there is told first
    whole, _ = trained(number_folder, tmp_path / "whole.pt")
    torch.testing.assert_close(result.bundle.weights, whole.bundle.weights, rtol=0, atol=0)
    epochs, expected = (r.bundle.provenance.epochs for r in (result, whole))
    assert without_seconds(epochs) == without_seconds(expected)
    assert not (interrupted / LAST).exists()


def test_what_it_computes_in_is_measured_once(
    number_folder: Path, export: Path, interrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ocrsearch.workflows.training.faster_precision", None)  # not called
    before = json.loads((interrupted / RECORD).read_text())["precision"]
    trained(number_folder, export)
    assert json.loads((interrupted / RECORD).read_text())["precision"] == before


OTHER = CONFIG.model_copy(
    update={"training": CONFIG.training.model_copy(update={"learning_rate": 0.01})}
)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": 1}, "seed was 0, is 1"),
        ({"config": OTHER}, "config.training.learning_rate was 0.002, is 0.01"),
    ],
)
def test_something_else_does_not_go_on(
    number_folder: Path, export: Path, interrupted: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(TrainingError) as caught:
        trained(number_folder, export, **changes)
    assert said in str(caught.value)
    assert "`output` another name" in str(caught.value)
    assert (interrupted / LAST).exists()
    _, listener = trained(number_folder, export)  # and the first one still does
    assert listener.epochs == [2, 3]


def test_other_data_do_not_go_on(
    number_folder: Path, export: Path, interrupted: Path, tmp_path: Path
) -> None:
    fewer = tmp_path / "fewer"
    fewer.mkdir()
    for path in sorted(number_folder.iterdir())[:30]:
        (fewer / path.name).write_bytes(path.read_bytes())
    with pytest.raises(TrainingError, match="data was"):
        trained(fewer, export)


def test_other_weights_do_not_go_on(
    number_folder: Path, export: Path, interrupted: Path, model_file: Path
) -> None:
    with pytest.raises(TrainingError, match="init was None, is"):
        trained(number_folder, export, init=model_file)


def test_a_finished_training_is_not_done_again(number_folder: Path, export: Path) -> None:
    first, _ = trained(number_folder, export)
    export.unlink()
    again, listener = trained(number_folder, export)
    assert listener.epochs == []
    assert "training already finished" in listener.notes[0]
    torch.testing.assert_close(again.bundle.weights, first.bundle.weights, rtol=0, atol=0)
    assert load_bundle(export).provenance == first.bundle.provenance


def test_a_finished_training_may_be_followed_by_another(number_folder: Path, export: Path) -> None:
    trained(number_folder, export)
    result, listener = trained(number_folder, export, seed=1)
    assert listener.epochs == [1, 2, 3]
    assert load_bundle(export).provenance.seed == result.bundle.provenance.seed == 1


def test_killed_while_the_model_is_written(
    number_folder: Path, export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as context:
        context.setattr(
            "ocrsearch.workflows.training.save_bundle",
            lambda *_: (_ for _ in ()).throw(KeyboardInterrupt),
        )
        with pytest.raises(KeyboardInterrupt):
            trained(number_folder, export)
    _, listener = trained(number_folder, export)
    assert listener.epochs == []
    assert load_bundle(export).metrics["n_epochs"] == N_EPOCHS
    assert not (training_folder(export) / LAST).exists()


def test_two_at_a_time_are_refused(number_folder: Path, export: Path) -> None:
    folder = training_folder(export)
    folder.mkdir(parents=True)
    with FileLock(folder / "lock"), pytest.raises(TrainingError, match="another ocrsearch process"):
        trained(number_folder, export)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"facts": 3}', "{}"])
def test_a_damaged_record_is_said(number_folder: Path, export: Path, text: str) -> None:
    folder = training_folder(export)
    folder.mkdir(parents=True)
    (folder / RECORD).write_text(text)
    with pytest.raises(TrainingError, match=r"training\.json: damaged .* remove"):
        trained(number_folder, export)


def test_a_file_in_place_of_the_folder(number_folder: Path, export: Path) -> None:
    export.parent.mkdir()
    training_folder(export).write_text("in the way")
    with pytest.raises(TrainingError, match="cannot be created"):
        trained(number_folder, export)


def test_a_folder_in_place_of_the_model(
    number_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path, Path()):
        with pytest.raises(TrainingError, match=r"is a folder; give the name of a file"):
            trained(number_folder, folder)
    assert not training_folder(tmp_path).exists()


def test_starting_from_a_model(number_folder: Path, export: Path, model_file: Path) -> None:
    config = load_bundle(model_file).config
    training = config.training.model_copy(update={"epochs": N_EPOCHS})
    config = config.model_copy(update={"training": training})
    result, listener = trained(number_folder, export, config, init=model_file)
    assert f"starts from {model_file}: " in listener.notes[0]
    assert "characters: 10 kept, 0 new, 0 dropped" in listener.notes[0]
    provenance = result.bundle.provenance
    assert provenance.transfer is not None
    assert provenance.transfer["n_fresh"] == 0
    assert len(provenance.init or "") == 16
    assert load_bundle(export).provenance == provenance


def test_a_model_of_which_nothing_fits(number_folder: Path, export: Path, model_file: Path) -> None:
    encoder = {"conv_base": 24, "linear_width": 24, "hidden_size": 24}
    model = {"architecture": "crnn", "encoder": encoder}
    config = Config.model_validate({**CONTENT, "model": model})
    with pytest.raises(BundleError, match="none of its weights fit"):
        trained(number_folder, export, config, init=model_file)


def test_what_cannot_be_used_is_listed(number_folder: Path, export: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for path in number_folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "99.png").write_text("no picture")
    with pytest.raises(OcrSearchError, match="`max_invalid`"):
        trained(folder, export)
    result, _ = trained(folder, export, data=DataOptions(max_invalid=0.1))
    assert result.n_bad == 1
    assert "99.png" in (training_folder(export) / LEFT_OUT).read_text()


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_a_seed_that_cannot_be(number_folder: Path, export: Path, seed: int) -> None:
    with pytest.raises(OptionError, match=r"^seed: must be "):
        trained(number_folder, export, seed=seed)


def test_a_configuration_that_cannot_learn_the_data(number_folder: Path, export: Path) -> None:
    config = Config.model_validate({**CONTENT, "images": {"height": 16, "width_scale": 0.25}})
    with pytest.raises(InfeasibleError, match="need more frames"):
        trained(number_folder, export, config)


def test_too_little_memory_is_said(
    number_folder: Path, export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(trainer: Trainer) -> EpochReport:
        raise torch.OutOfMemoryError("of 2 GiB")

    monkeypatch.setattr(Trainer, "run_epoch", failing)
    with pytest.raises(TrainingError, match=r"training\.batch_size"):
        trained(number_folder, export)


def test_without_an_observer(number_folder: Path, export: Path) -> None:
    result = train(CONFIG, f"captcha:{number_folder}", export)
    assert result.bundle.metrics["n_epochs"] == N_EPOCHS


# --- the configuration's file -----------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".yaml", ".json"])
def test_a_configuration_from_a_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"config{suffix}"
    path.write_text(json.dumps(CONTENT))
    assert load_config(path) == (CONFIG, None)


def test_a_configuration_from_a_model(model_file: Path) -> None:
    assert load_config(model_file) == (load_bundle(model_file).config, None)


def test_a_configuration_that_names_a_model(
    tmp_path: Path, model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "configs").mkdir()
    path = tmp_path / "configs" / "config.yaml"
    (tmp_path / "configs" / "model.pt").write_bytes(model_file.read_bytes())
    path.write_text("init: model.pt\nimages: {height: 32}\n")
    monkeypatch.chdir(tmp_path)
    config, init = load_config(Path("configs") / "config.yaml")
    assert config.images.height == 32
    assert init == Path("configs") / "model.pt"


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        (
            "images: {height: {choice: [16, 32]}}",
            TrainingError,
            "found 16, 32, must be a single value; use 'ocrsearch run'",
        ),
        ("images: {hight: 16}", SpaceError, "did you mean 'images.height'"),
        ("images: {height: 4}", SpaceError, "at least 16"),
        ("init: nowhere.pt", SpaceError, "init: .*nowhere.pt: no such model file"),
        ("init: 3", SpaceError, "must be the path of a model file"),
        ("- 1", SpaceError, "must be a mapping"),
    ],
)
def test_a_wrong_configuration(
    tmp_path: Path, text: str, error: type[OcrSearchError], said: str
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(error, match=said) as caught:
        load_config(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
