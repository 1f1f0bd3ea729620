"""Former names of keys, options and arguments work; giving both names is one clear error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import typer.main

import ocrsearch
from ocrsearch.cli.app import app
from ocrsearch.cli.program import with_current_options
from ocrsearch.core import Config, OptionError, SpaceError, config_paths, flatten
from ocrsearch.core.renamed import FIELDS, KEYS, OPTIONS, VALUES, current_content, current_options
from ocrsearch.data import DataOptions
from ocrsearch.inference import DecodingOptions
from ocrsearch.spaces import parse_space, with_values
from ocrsearch.spaces.settings import SearchSettings
from ocrsearch.studies import open_storage
from ocrsearch.tuning import SearchOptions
from ocrsearch.tuning.options import search_options
from ocrsearch.workflows.study import Study
from tests.conftest import CommandResult

GROUP: Any = typer.main.get_command(app)
PATHS = {*config_paths(), *(f"search.{path}" for path in config_paths(SearchSettings))}

OLD = """
model:
  architecture: {choice: [crnn, seq2seq]}
  encoder: {rnn_norm: {choice: [true, false]}}
  decoder:
    when: {model.architecture: seq2seq}
    attention: {choice: [location, none]}
    sampling: {float: [0.0, 0.4], when: {model.decoder.attention: [location]}}
training:
  clip_norm: 2.0
  decay_share: 0.3
  patience: {int: [2, 4]}
  epochs: {choice: [8, 9], when: {training.patience: 3}}
  augment: {shift: 0.2, stroke: {float: [0.1, 0.3]}, blots: 0.1, join: 0.5}
search:
  sampler: {startup_trials: 2}
  pruner: {name: promotion, rungs: [3]}
  try_first:
    - {model: {decoder: {attention: location}}, training: {patience: 3}}
"""
NEW = """
model:
  architecture: {choice: [crnn, seq2seq]}
  encoder: {rnn_batch_norm: {choice: [true, false]}}
  decoder:
    when: {model.architecture: seq2seq}
    attention: {choice: [location_aware, none]}
    scheduled_sampling: {float: [0.0, 0.4], when: {model.decoder.attention: [location_aware]}}
training:
  clip_grad_norm: 2.0
  decay_fraction: 0.3
  decay_patience: {int: [2, 4]}
  epochs: {choice: [8, 9], when: {training.decay_patience: 3}}
  augment: {translate: 0.2, stroke_width: {float: [0.1, 0.3]}, blobs: 0.1, concat: 0.5}
search:
  sampler: {n_startup_trials: 2}
  pruner: {name: asha, rungs: [3]}
  try_first:
    - {model: {decoder: {attention: location_aware}}, training: {decay_patience: 3}}
"""


def test_the_tables_lead_from_former_to_existing_keys() -> None:
    assert set(KEYS.values()) | set(VALUES) <= PATHS
    assert not set(KEYS) & PATHS


def test_a_space_with_former_names_is_the_same_space() -> None:
    assert parse_space(OLD, "a") == parse_space(NEW, "a")


@pytest.mark.parametrize("pruner", ["median", "percentile", "successive_halving", "hyperband"])
def test_settings_of_a_pruner(pruner: str) -> None:
    median = "{name: P, startup_trials: 2, warmup_epochs: 1}"
    halving = "{name: P, reduction: 4}"
    old = (median if pruner in ("median", "percentile") else halving).replace("P", pruner)
    new = old.replace("startup", "n_startup").replace("warmup", "n_warmup")
    new = new.replace("reduction", "reduction_factor")
    assert parse_space(f"search: {{pruner: {old}}}", "a") == parse_space(
        f"search: {{pruner: {new}}}", "a"
    )


@pytest.mark.parametrize("former", [path for path in KEYS if path.startswith(("model", "train"))])
def test_both_names_of_a_key_are_an_error(former: str) -> None:
    *sections, old = former.split(".")
    new = KEYS[former].rpartition(".")[2]
    content: Any = {old: 0.5, new: 0.5}
    for section in reversed(sections):
        content = {section: content}
    message = f"{former}: is the former name of {KEYS[former]}, which is given too; remove"
    with pytest.raises(SpaceError, match=message):
        parse_space(json.dumps(content), "a.yaml")
    with pytest.raises(ValueError, match=message):
        Config.model_validate(content)


def test_both_names_of_a_condition_are_an_error() -> None:
    when = "{training.patience: 3, training.decay_patience: 3}"
    with pytest.raises(SpaceError, match=r"training\.patience: is the former name of"):
        parse_space(f"training: {{epochs: {{choice: [1, 2], when: {when}}}}}", "a")


def test_odd_content_is_left_to_the_checks_of_a_space() -> None:
    content: Any = {1: {"when": 3}, "training": [], "search": {"try_first": ["x"], "pruner": 2}}
    assert current_content(content) == content
    with pytest.raises(SpaceError):
        parse_space("model: {decoder: {attention: [location, 3]}}", "a")


def test_values_set_by_their_former_names() -> None:
    seq2seq = Config.model_validate({"model": {"architecture": "seq2seq"}})
    values = ["training.augment.join=0.5", "model.decoder.attention=location"]
    found = flatten(with_values(seq2seq, values).model_dump())
    assert found["training.augment.concat"] == 0.5
    assert found["model.decoder.attention"] == "location_aware"


def test_a_configuration_is_written_by_its_current_names() -> None:
    old = Config.model_validate({"training": {"patience": 3, "augment": {"shift": 0.5}}})
    assert not KEYS.keys() & flatten(old.model_dump()).keys()
    assert (old.training.decay_patience, old.training.augment.translate) == (3, 0.5)


def test_trials_stored_by_former_names(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path / 'a.db'}", create=True)
    study = optuna.create_study(storage=storage, study_name="a")
    choices = optuna.distributions.CategoricalDistribution(("none", "location"))
    stroke = optuna.distributions.FloatDistribution(0.0, 1.0)
    distributions = {"model.decoder.attention": choices, "training.augment.stroke": stroke}
    params = {"model.decoder.attention": "location", "training.augment.stroke": 0.3}
    study.add_trial(
        optuna.trial.create_trial(params=params, distributions=distributions, value=1.0)
    )
    study.enqueue_trial({**params, "images.height": 16})

    stored, queued = optuna.load_study(storage=storage, study_name="a").trials

    expected = {"model.decoder.attention": "location_aware", "training.augment.stroke_width": 0.3}
    assert stored.params == expected
    assert stored.distributions == {
        "model.decoder.attention": optuna.distributions.CategoricalDistribution(
            ("none", "location_aware")
        ),
        "training.augment.stroke_width": stroke,
    }
    assert queued.system_attrs["fixed_params"] == {**expected, "images.height": 16}


def test_a_trial_with_both_names_of_a_parameter_is_damaged(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path / 'a.db'}", create=True)
    study = optuna.create_study(storage=storage, study_name="a")
    stroke = optuna.distributions.FloatDistribution(0.0, 1.0)
    names = ("training.augment.stroke", "training.augment.stroke_width")
    study.add_trial(
        optuna.trial.create_trial(
            params=dict.fromkeys(names, 0.3),
            distributions=dict.fromkeys(names, stroke),
            value=1.0,
        )
    )
    assert optuna.load_study(storage=storage, study_name="a").trials == []


OF_SEARCH = {"target": 0.1, "max_epochs": 3, "patience": 4, "max_disk": 5.0}
OF_DATA = {"train_share": 0.5, "max_bad": 0.2, "keep_err": True, "add": "digits"}


@pytest.mark.parametrize(("former", "value"), [*OF_SEARCH.items(), *OF_DATA.items()])
def test_former_arguments_of_search(former: str, value: Any) -> None:
    with pytest.warns(DeprecationWarning, match=f"{former} is the former name of {FIELDS[former]}"):
        found = search_options(None, {former: value})
    assert found == search_options(None, {FIELDS[former]: value})
    with pytest.raises(OptionError, match=f"{former}: is the former name of {FIELDS[former]}"):
        search_options(None, {former: value, FIELDS[former]: value})


@pytest.mark.parametrize(
    ("options", "former", "value"),
    [
        *((SearchOptions, former, value) for former, value in OF_SEARCH.items()),
        (SearchOptions, "epochs", 3),
        (SearchOptions, "disk_mb", 3.0),
        *((DataOptions, former, value) for former, value in OF_DATA.items()),
        (DecodingOptions, "beam", 4),
        (DecodingOptions, "views", 3),
    ],
)
def test_former_fields_of_options(options: Any, former: str, value: Any) -> None:
    with pytest.warns(DeprecationWarning, match=f"{former} is the former name") as warned:
        found = options(**{former: value})
    assert [warning.filename for warning in warned] == [__file__]
    assert found == options(**{FIELDS[former]: value})
    with pytest.raises(OptionError, match=f"{former}: is the former name of {FIELDS[former]}"):
        options(**{former: value, FIELDS[former]: value})


def test_a_call_of_search_is_named_by_the_warning() -> None:
    with pytest.warns(DeprecationWarning, match="max_epochs") as warned, pytest.raises(OptionError):
        ocrsearch.search(data="digits", max_epochs=3, timeout="soon")  # type: ignore[call-arg]
    assert [warning.filename for warning in warned] == [__file__]


def test_data_options_as_a_dict() -> None:
    with pytest.warns(DeprecationWarning, match="max_bad is the former name of max_invalid"):
        assert search_options(SearchOptions(data={"max_bad": 0.5}), {}).data == {"max_invalid": 0.5}


def test_stored_data_options_give_no_warning() -> None:
    current = DataOptions(max_invalid=0.5, extra_train_data="digits", bidi="off")
    former = {"max_bad": 0.5, "add": "digits", "keep_err": False, "train_share": 1.0}
    assert DataOptions.from_dict(former) == current
    with pytest.raises(OptionError, match="max_bad: is the former name of max_invalid"):
        DataOptions.from_dict({"max_bad": 0.5, "max_invalid": 0.5})


def test_export_of_half_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_trial(*_: object) -> None:
        raise OptionError("reached")

    monkeypatch.setattr(Study, "best_trial", no_trial)
    study = Study("a", "b", optuna.create_study())
    with (
        pytest.warns(DeprecationWarning, match="half"),
        pytest.raises(OptionError, match="reached"),
    ):
        study.export(tmp_path / "m.pt", half=True)  # type: ignore[call-arg]


def test_names_of_other_functions_are_not_renamed() -> None:
    assert current_options({"views": 1, "x": 2}, {"x"}) == {"views": 1, "x": 2}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("run --max-epochs 3 --patience=4", "run --epoch-budget 3 --stall-trials=4"),
        ("run --target 0.1 --max-disk 5", "run --target-cer 0.1 --max-disk-mb 5"),
        ("run --train-share 0.5 --max-bad=1", "run --train-fraction 0.5 --max-invalid=1"),
        ("run --add a --keep-err", "run --extra-train-data a --keep-flagged"),
        ("data inspect a --leave-err", "data inspect a --leave-flagged"),
        ("best --max-size 3 --half", "best --max-size-mb 3 --fp16-weights"),
        ("best --max-latency 3", "best --max-latency-ms 3"),
        ("best --export m.pt --add a", "best --export m.pt --extra-train-data a"),
        ("evaluate m.pt --beam 4 --views 3", "evaluate m.pt --beam-size 4 --tta 3"),
        ("train --export m.pt", "train --output m.pt"),
        ("language-model --export m.npz", "language-model --output m.npz"),
        ("predict m.pt -- --beam", "predict m.pt -- --beam"),
        ("studies list --beam", "studies list --beam"),
        ("--help", "--help"),
        ("", ""),
    ],
)
def test_former_options_of_commands(given: str, expected: str) -> None:
    assert with_current_options(GROUP, given.split()) == expected.split()


def test_both_names_of_an_option_are_an_error(command: Callable[..., CommandResult]) -> None:
    result = command("run", "--epoch-budget", "3", "--max-epochs=4")
    assert result.code == 2
    assert (
        result.err == "ocrsearch: --max-epochs: is the former name of --epoch-budget; remove it\n"
    )


def test_former_options_are_not_in_the_help(command: Callable[..., CommandResult]) -> None:
    text = command("run", "--help").out.split()
    assert "--epoch-budget" in text
    assert not {f"--{name.replace('_', '-')}" for name in OPTIONS} & set(text)
