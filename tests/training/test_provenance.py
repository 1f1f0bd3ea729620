"""A model trained further: its training images stay out of the new validation and test splits."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import ocrsearch
from ocrsearch.core.errors import BundleError, OptionError
from ocrsearch.data.data_options import DataOptions
from ocrsearch.data.dataset import load_dataset, split_samples
from ocrsearch.training.inherited import evaluation_options, inherited_options
from ocrsearch.training.model_file import save_bundle
from ocrsearch.training.provenance import Provenance
from ocrsearch.tuning.options import SearchOptions
from ocrsearch.workflows.training import TrainOptions, train

if TYPE_CHECKING:
    from tests.conftest import CommandResult

OWN = {"split_seed": 5, "train_fraction": 0.9}
"""Data options of the model, others than by default."""


@pytest.fixture(scope="module")
def model(
    make_bundle: Callable[..., Any], number_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A model trained on the folder of numbers, in a file without the usual ending."""
    bundle = make_bundle()
    provenance = bundle.provenance.model_copy(
        update={
            "data": f"captcha:{number_folder}",
            "data_options": DataOptions(**OWN).to_dict(),
        }
    )
    path = tmp_path_factory.mktemp("trained") / "start.model"
    save_bundle(replace(bundle, provenance=provenance), path)
    return path


Loads = Callable[..., tuple[str, DataOptions]]


class LoadedError(Exception):
    """Raised with the data and the options with which it would be read."""


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Loads:
    """Return the data and the options with which a function reads its data."""

    def load_dataset(data: str, options: DataOptions, progress: object = None) -> None:
        raise LoadedError(data, options)

    for module in ("ocrsearch.tuning.api", "ocrsearch.workflows.training"):
        monkeypatch.setattr(f"{module}.load_dataset", load_dataset)
    monkeypatch.setattr("ocrsearch.tuning.api.LocalEngine.close", lambda engine: None)
    monkeypatch.setattr("ocrsearch.tuning.api.LocalEngine.__init__", lambda *args: None)
    monkeypatch.chdir(tmp_path)

    def call(function: Callable[..., object], *args: Any, **kwargs: Any) -> tuple[str, DataOptions]:
        with pytest.raises(LoadedError) as caught:
            function(*args, **kwargs)
        data, options = caught.value.args
        return data, options

    return call


def names(data: str, options: DataOptions, split: str) -> set[str]:
    return {sample.name for sample in split_samples(data, options) if sample.split == split}


@pytest.mark.parametrize("form", ["as written", "bare", "Path", "other way", "linked"])
@pytest.mark.parametrize("way", ["argument", "options", "data options", "space"])
def test_training_images_never_land_in_validation(
    model: Path, number_folder: Path, tmp_path: Path, loads: Loads, form: str, way: str
) -> None:
    (tmp_path / "link").symlink_to(number_folder)
    data: str | Path = {
        "as written": f"captcha:{number_folder}",
        "bare": f"{number_folder}/",
        "Path": number_folder,
        "other way": f"captcha:{number_folder}/../{number_folder.name}",
        "linked": "link",
    }[form]
    space: dict[str, Any] = {"training": {"epochs": 1}}
    arguments: dict[str, Any] = {"init": model}
    if way == "options":
        arguments = {"options": SearchOptions(init=model)}
    elif way == "data options":  # a field with its default counts as not given
        arguments = {"options": SearchOptions(init=model, data=DataOptions(max_invalid=0.5))}
    elif way == "space":
        space, arguments = {**space, "init": str(model)}, {}
    found, options = loads(ocrsearch.search, space, data, **arguments)
    assert options.split_seed == 5
    learned = names(found, DataOptions(**OWN), "train")
    assert learned & names(found, DataOptions(), "val"), "other splits would leak"
    assert not learned & (names(found, options, "val") | names(found, options, "test"))


def test_the_command_line_and_train_split_alike(
    model: Path, number_folder: Path, loads: Loads, command: Callable[..., CommandResult]
) -> None:
    data = f"captcha:{number_folder}"
    seen: list[DataOptions] = []
    from_python = loads(ocrsearch.search, "quick", data, init=model, train_fraction=0.5)
    config: Any = None
    options = TrainOptions(init=model, data={"train_fraction": 0.5})
    seen.append(loads(train, config, data, Path("model.pt"), options)[1])
    assert seen == [from_python[1]] == [DataOptions(split_seed=5, train_fraction=0.5)]
    arguments = ("--init", model, "--train-fraction", 0.5, "--data", data)
    result = command("run", "--space", "quick", *arguments)
    assert "split_seed=5" in result.err
    assert "train_fraction=0.5" in result.err


def test_other_data_has_options_of_its_own(
    model: Path, number_folder: Path, tmp_path: Path, loads: Loads
) -> None:
    copy = shutil.copytree(number_folder, tmp_path / "copy")
    assert loads(ocrsearch.search, "quick", copy, init=model)[1] == DataOptions()
    assert loads(ocrsearch.search, "quick", "digits", init=model)[1] == DataOptions()


def test_splits_that_are_asked_for_are_warned_of(
    model: Path, number_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = f"captcha:{number_folder}"
    assert inherited_options(data, {"max_invalid": 0.5}, model).split_seed == 5
    assert caplog.text == ""
    assert inherited_options(data, {"split_seed": 0}, model).split_seed == 0
    assert "images that the model was trained on can be in the validation" in caplog.text


def test_the_first_model_of_this_data_counts(
    model: Path, model_file: Path, number_folder: Path
) -> None:
    data = f"captcha:{number_folder}"
    assert inherited_options(data, None, None, model_file, model) == DataOptions(**OWN)
    assert inherited_options(data, None) == DataOptions()


def test_what_cannot_be_a_model_or_an_option(tmp_path: Path, model: Path) -> None:
    no_model = tmp_path / "no.pt"
    no_model.write_text("no model")
    with pytest.raises(BundleError, match=r"no\.pt: "):
        inherited_options("digits", None, no_model)
    with pytest.raises(OptionError, match=r"^data: split_sed: no such option; did you mean"):
        inherited_options("digits", {"split_sed": 3}, model)


@pytest.mark.parametrize("other_content", [False, True])
def test_data_that_was_moved_is_split_as_it_was(
    make_bundle: Callable[..., Any], number_folder: Path, tmp_path: Path, other_content: bool
) -> None:
    own = DataOptions(split_seed=5)
    spec = f"captcha:{number_folder}"
    provenance = Provenance(
        data=spec,
        data_options=own.to_dict(),
        data_fingerprint=load_dataset(spec, own).fingerprint,
    )
    save_bundle(replace(make_bundle(), provenance=provenance), tmp_path / "m.pt")
    moved = shutil.copytree(number_folder, tmp_path / "moved")
    if other_content:
        (moved / "10.png").write_bytes((moved / "11.png").read_bytes())
    options = inherited_options(f"captcha:{moved}", None, tmp_path / "m.pt")
    assert options == (DataOptions() if other_content else own)
    assert inherited_options("captcha:missing", None, tmp_path / "m.pt") == DataOptions()


@pytest.mark.parametrize("given", [{}, {"group": "^b"}, {"splits": "s.csv"}, {"columns": ""}])
def test_options_given_hold_for_other_data(given: dict[str, str]) -> None:
    own = {"group": "^a", "splits": "own.csv", "columns": "image=FILE,text=LABEL"}
    options = evaluation_options(
        "model.pt", Provenance.from_plain({"data": "x", "data_options": own}), "y", given
    )
    expected = {"group": "", "splits": "", "extra_train_data": "", "columns": "", **given}
    assert {key: getattr(options, key) for key in expected} == expected
