"""The model that comes with the program fits the networks of derived spaces; its name is known."""

from __future__ import annotations

from pathlib import Path

import pytest

import ocrsearch
from ocrsearch.core.config import flatten
from ocrsearch.core.errors import OcrSearchError
from ocrsearch.data.charset import Charset
from ocrsearch.models.architecture import build_network
from ocrsearch.spaces.derived import START_HEIGHT, START_NETWORK
from ocrsearch.spaces.reading import space_from_dict
from ocrsearch.studies.facts import study_facts
from ocrsearch.training.pretrained import (
    StartWeights,
    read_start_weights,
    transfer_weights,
)
from ocrsearch.training.start_models import (
    LATIN,
    name_of_start,
    start_model,
    start_path,
)

MAX_BYTES = 6_000_000
"""The file is a part of the package."""


@pytest.fixture(scope="module")
def start() -> StartWeights:
    path = start_model(LATIN)
    assert path is not None
    return read_start_weights(path)


def test_it_is_a_small_file_that_goes_by_its_name(start: StartWeights) -> None:
    path = start_model("latin")
    assert path is not None
    assert path.stat().st_size < MAX_BYTES
    assert start.name == name_of_start(path) == "latin"
    assert start_path("latin") == start_path(Path("latin")) == path


@pytest.mark.parametrize("name", ["Latin", "latin.pt", "./latin/x", "", "../latin", "greek"])
def test_other_names_are_paths(name: str) -> None:
    assert start_model(name) is None
    assert start_path(name) == name


def test_it_knows_printable_ascii_and_letters_with_marks(start: StartWeights) -> None:
    assert {*map(chr, range(32, 127)), *"ÄÖÜäöüßéèàçñſ€£«»"} <= {*start.charset.symbols}


def test_its_weights_fit_the_networks_of_derived_spaces(start: StartWeights) -> None:
    config = start.config.model_copy(update={"images": start.config.images})
    assert config.images.height == START_HEIGHT
    theirs = flatten({"model": config.model.model_dump()})
    fixed = {path: value for path, value in START_NETWORK.items() if not isinstance(value, tuple)}
    assert {path: theirs[path] for path in fixed} == fixed
    charset = Charset("äbc→")
    network = build_network(config, len(charset), seed=0)
    transfer = transfer_weights(start, network, config, charset)
    assert transfer.fresh_layers == ()
    assert (transfer.symbols_kept, transfer.symbols_new) == ("äbc", "→")
    assert transfer.reads


def test_symbols_that_it_does_not_know_are_not_read_by_it(start: StartWeights) -> None:
    charset = Charset("абвг1")
    network = build_network(start.config, len(charset), seed=0)
    transfer = transfer_weights(start, network, start.config, charset)
    assert transfer.fresh_layers == ()
    assert not transfer.reads


def test_a_space_names_it() -> None:
    space = space_from_dict({"init": "latin", "training": {"epochs": 2}})
    assert space.init == start_model("latin")
    with pytest.raises(OcrSearchError, match=r"init: greek: no such model file.*'latin'"):
        space_from_dict({"init": "greek"})


def test_a_search_starts_from_it_and_goes_on_with_it(
    number_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    space = {
        "init": "latin",
        "images": {"height": START_HEIGHT},
        "model": {"architecture": "crnn", "encoder": network_of_start()},
        "training": {"learning_rate": {"float": [0.0005, 0.001]}, "epochs": 2},
    }
    lines: list[str] = []
    options = {"data": number_folder, "study": "s", "workers": 1}
    ocrsearch.search(
        space, epoch_budget=1, observer=lambda _, line: lines.append(line or ""), **options
    )
    assert any(line.startswith("starts from latin: 100% of the weights kept") for line in lines)
    facts = study_facts(ocrsearch.load_study("s").optuna_study)
    assert facts.space["init"] == "latin"
    ocrsearch.search(epoch_budget=2, **options)  # in the space that it began with
    assert len(ocrsearch.load_study("s").trials_dataframe()) >= 1


def network_of_start() -> dict[str, object]:
    prefix = "model.encoder."
    return {
        path.removeprefix(prefix): value[1] if isinstance(value, tuple) else value
        for path, value in START_NETWORK.items()
        if path.startswith(prefix)
    }
