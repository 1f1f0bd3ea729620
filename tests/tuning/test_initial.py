"""A search that starts from weights: what is said before it, and what is kept of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ocrsearch.core.config import Config
from ocrsearch.core.errors import (
    BundleError,
    SpaceError,
    StudyError,
)
from ocrsearch.data.charset import Charset
from ocrsearch.data.dataset import Dataset
from ocrsearch.spaces.distributions import space_schema
from ocrsearch.spaces.reading import load_space, parse_space
from ocrsearch.studies.database import open_storage
from ocrsearch.studies.facts import StudyFacts
from ocrsearch.studies.study import open_study
from ocrsearch.training.pretrained import read_start_weights
from ocrsearch.tuning.engines.events import (
    Answer,
    Job,
    TrialDone,
)
from ocrsearch.tuning.engines.worker import train_job
from ocrsearch.tuning.preparation import prepare_start

SPACE = """
images: {height: 16}
model:
  architecture: crnn
  encoder: {conv_depth: 2, conv_base: 8, linear_width: WIDTH, hidden_size: 16}
training: {learning_rate: {float: [0.001, 0.01]}, epochs: 1}
"""


def test_the_path_counts_from_the_folder_of_the_space(tmp_path: Path, model_file: Path) -> None:
    (tmp_path / "spaces").mkdir()
    (tmp_path / "spaces" / "m.pt").write_bytes(model_file.read_bytes())
    path = tmp_path / "spaces" / "space.yaml"
    path.write_text(SPACE.replace("WIDTH", "16") + "init: m.pt\n")
    space = load_space(path)
    assert space.init == tmp_path / "spaces" / "m.pt"
    assert "init" not in space.content  # its hash is compared, not where it lies
    assert parse_space(SPACE.replace("WIDTH", "16"), "s").init is None


@pytest.mark.parametrize("value", ["none.pt", "3", "[a]", "{choice: [a.pt, b.pt]}"])
def test_a_wrong_init_is_found_before_anything_starts(tmp_path: Path, value: str) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(f"{SPACE.replace('WIDTH', '16')}init: {value}\n")
    with pytest.raises(SpaceError, match=r"space\.yaml: init: "):
        load_space(path)


def test_the_schema_knows_it() -> None:
    assert space_schema()["properties"]["init"]["type"] == "string"


@pytest.mark.parametrize(
    ("width", "said"),
    [
        ("16", "100% of the weights kept, characters: 10 kept, 0 new, 0 dropped"),
        ("{choice: [16, 64]}", "% to 100% of the weights kept"),
    ],
)
def test_what_will_be_kept_is_said(model_file: Path, width: str, said: str) -> None:
    space = parse_space(SPACE.replace("WIDTH", width), "s")
    _, line = prepare_start(space, read_start_weights(model_file), Charset("0123456789"))
    assert line.startswith(f"starts from {model_file}: ")
    assert said in line


def test_a_space_of_which_no_network_fits_is_refused(model_file: Path) -> None:
    text = SPACE.replace("WIDTH", "{choice: [24, 40]}").replace("conv_base: 8", "conv_base: 32")
    space = parse_space(text.replace("hidden_size: 16", "hidden_size: 24"), "s")
    with pytest.raises(BundleError, match=r"none of its weights fit this network; .*conv_base"):
        prepare_start(space, read_start_weights(model_file), Charset("0123456789"))


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ({}, {"model.encoder.linear_width": 16, "training.learning_rate": 0.002}),
        ({"0.001": "0.005"}, {"model.encoder.linear_width": 16}),  # its learning rate is too low
        ({"[16, 64]": "[24, 64]"}, None),
        ({"conv_base: 8": "conv_base: 32"}, None),
    ],
)
def test_the_network_of_the_model_is_tried_first(
    model_file: Path, changes: dict[str, str], first: dict[str, float] | None
) -> None:
    text = SPACE.replace("WIDTH", "{choice: [16, 64]}")
    for old, new in changes.items():
        text = text.replace(old, new)
    first_of_space = "[{training: {learning_rate: 0.01}}]"
    space = parse_space(f"{text}search: {{try_first: {first_of_space}}}", "s")
    start = read_start_weights(model_file)
    assert start.config.training.learning_rate == 0.002
    found, line = prepare_start(space, start, Charset("0123456789"))
    before = space.settings.try_first
    second = {"model.encoder.linear_width": 16, "training.learning_rate": 0.01}
    assert found.settings.try_first == ((first, second) if first else before)
    assert line.endswith("; the first have its network") == (first is not None)


def test_a_worker_starts_from_the_weights(
    model_file: Path, sixteen_lines: Dataset, tmp_path: Path
) -> None:
    start = read_start_weights(model_file)
    training = {"learning_rate": 1e-9, "batch_size": 16, "epochs": 1}
    config = Config.model_validate({**start.config.model_dump(), "training": training})
    results = []
    for i, weights in enumerate((None, start)):
        job = Job(i, config, 0, tmp_path / str(i), "fp32")
        result = train_job(
            job, sixteen_lines, torch.device("cpu"), lambda _: Answer(go_on=True), weights
        )
        assert isinstance(result, TrialDone)
        results.append(result)
    assert results[0].transfer is None
    assert results[1].transfer is not None
    assert results[1].transfer["n_fresh"] == 0
    assert results[0].epochs[0].val_loss != results[1].epochs[0].val_loss


def test_a_study_goes_on_with_the_same_weights_only(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path / 's.db'}", create=True)
    space = parse_space(SPACE.replace("WIDTH", "16"), "s")
    facts = StudyFacts("s", space.content, "d", "f", {}, {}, 0, init="0123")
    for first, second in ((facts, replace(facts, init="4567")), (replace(facts, init=None), facts)):
        name = f"study-{first.init}"
        open_study(storage, name, space, first)
        open_study(storage, name, space, first)
        with pytest.raises(StudyError, match=f"hash {first.init}; now {second.init}"):
            open_study(storage, name, space, second)
    storage.engine.dispose()


def test_a_study_of_before_there_was_init_goes_on(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path / 's.db'}", create=True)
    space = parse_space(SPACE.replace("WIDTH", "16"), "s")
    facts = StudyFacts("s", space.content, "d", "f", {}, {}, 0)
    study = open_study(storage, "old", space, facts)
    study.set_user_attr("facts", {k: v for k, v in vars(facts).items() if k != "init"})
    again = open_study(storage, "old", space, facts)
    assert (again.study_name, "init" in again.user_attrs["facts"]) == ("old", False)
    storage.engine.dispose()


def test_the_identity_of_a_configuration_includes_the_weights() -> None:
    config = Config()
    assert len({config.identity(), config.identity("a"), config.identity("b")}) == 3
    assert config.identity(None) == config.identity()
