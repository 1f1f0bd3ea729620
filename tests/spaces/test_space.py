"""Spaces: those that are shipped hold, and those that are wrong say where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest

from ocrsearch.core.config import (
    ClassifierConfig,
    Config,
    CrnnConfig,
    Seq2SeqConfig,
    flatten,
)
from ocrsearch.core.errors import SpaceError
from ocrsearch.core.explain import config_paths, suggestion
from ocrsearch.spaces.reading import load_space, parse_space
from ocrsearch.spaces.space import (
    FixedValue,
    Parameter,
    Space,
    Values,
)

SHIPPED = sorted((Path(__file__).parents[2] / "search_spaces").glob("*.yaml"))
each_shipped_space = pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)

DECODER = """
model:
  architecture: {choice: [crnn, seq2seq]}
  decoder:
    when: {model.architecture: seq2seq}
    attention: {choice: [additive, none]}
"""


def sample(space: Space, n: int, seed: int = 0) -> list[Values]:
    """Draw points of a space from Optuna's random sampler."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return [space.suggest(study.ask()) for _ in range(n)]


def active(leaf: Parameter | FixedValue, space: Space, values: Values) -> bool:
    """Whether the conditions of a leaf hold, by the definition."""
    leaves: dict[str, Parameter | FixedValue] = {
        other.path: other for other in (*space.parameters, *space.fixed)
    }
    for path, allowed in leaf.condition.items():
        other = leaves[path]
        found = other.value if isinstance(other, FixedValue) else values.get(path)
        if found not in allowed or not active(other, space, values):
            return False
    return True


def test_spaces_are_shipped() -> None:
    assert {path.stem for path in SHIPPED} >= {"classifier", "crnn", "quick", "seq2seq"}


@each_shipped_space
def test_sampled_configurations_satisfy_the_space(path: Path) -> None:
    space = load_space(path)
    for values in sample(space, 60):
        config = space.resolve(values)

        flat = flatten(config.model_dump())
        assert {p: flat[p] for p in values} == values
        for parameter in space.parameters:
            assert (parameter.path in values) == active(parameter, space, values)
        for p, value in values.items():
            assert next(q for q in space.parameters if q.path == p).distribution.contains(value)
        for fixed in space.fixed:
            assert not active(fixed, space, values) or flat[fixed.path] == fixed.value
        assert space.resolve(values).identity() == config.identity()


@each_shipped_space
def test_attention_is_suggested_for_seq2seq_only(path: Path) -> None:
    space = load_space(path)
    for values in sample(space, 60):
        is_crnn = isinstance(space.resolve(values).model, CrnnConfig)
        assert not (is_crnn and any(path.startswith("model.decoder") for path in values))


def test_parameter_of_the_decoder_depends_on_two_others() -> None:
    space = load_space(next(path for path in SHIPPED if path.stem == "seq2seq"))
    seen = set()
    for values in sample(space, 60):
        kind = (values["model.architecture"], values.get("model.decoder.attention"))
        seen.add(kind)
        expected = kind in {("seq2seq", "additive"), ("seq2seq", "location_aware")}
        assert ("model.decoder.ctc_weight" in values) == expected
        assert ("model.decoder.scheduled_sampling" in values) == expected

    kinds = {("seq2seq", attention) for attention in ("additive", "location_aware", "none")}
    assert seen == {("crnn", None), *kinds}


@each_shipped_space
def test_configurations_to_try_first_are_suggested_as_they_are(path: Path) -> None:
    space = load_space(path)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    assert space.settings.try_first
    for first in space.settings.try_first:
        study.enqueue_trial(flatten(first))

        values = space.suggest(study.ask())

        assert values == flatten(first)
        assert isinstance(space.resolve(values), Config)


@each_shipped_space
def test_covering_values_are_points_of_the_space(path: Path) -> None:
    space = load_space(path)
    for parameter in space.parameters:
        for value in parameter.distribution.examples():
            values = space.covering_values(parameter, value)

            assert values[parameter.path] == value
            assert values.keys() == {p.path for p in space.parameters if active(p, space, values)}


@each_shipped_space
def test_parameters_come_behind_those_they_depend_on(path: Path) -> None:
    paths = [parameter.path for parameter in load_space(path).parameters]

    for i, parameter in enumerate(load_space(path).parameters):
        assert (set(parameter.condition) & set(paths)).issubset(paths[:i])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", Config()),
        ("training: {}", Config()),
        ("training: {learning_rate: 7e-4}", {"training": {"learning_rate": 7e-4}}),
        ("training: {epochs: 3}", {"training": {"epochs": 3}}),
        ("search: {sampler: {name: random}}", Config()),
        ("model: {architecture: seq2seq}", {"model": {"architecture": "seq2seq"}}),
    ],
)
def test_space_without_parameters_is_one_configuration(
    text: str, expected: Config | dict[str, Any]
) -> None:
    space = parse_space(text, "w")

    assert space.parameters == ()
    assert space.resolve(sample(space, 1)[0]) == Config.model_validate(expected)


def test_bounds_and_values_written_without_a_point_are_numbers() -> None:
    space = parse_space(
        "training: {learning_rate: {float: [7e-4, 7e-3], log: true}, weight_decay: 1e-5}", "w"
    )
    for values in sample(space, 20):
        training = space.resolve(values).training
        assert 7e-4 <= training.learning_rate <= 7e-3
        assert training.weight_decay == 1e-5


def test_configuration_to_try_first_may_be_written_without_a_point() -> None:
    space = parse_space(
        "training: {learning_rate: {float: [7e-4, 7e-3], log: true}}\n"
        "search: {try_first: [{training: {learning_rate: 2e-3}}]}",
        "w",
    )

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.enqueue_trial(flatten(space.settings.try_first[0]))
    assert space.resolve(space.suggest(study.ask())).training.learning_rate == 2e-3


def test_name_and_content_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "plates.yaml"
    path.write_text("training: {epochs: {int: [1, 2]}}\nsearch: {pruner: {name: none}}\n")

    space = load_space(path)

    assert space.name == "plates"
    assert space.content == {"training": {"epochs": {"int": [1, 2]}}}
    assert space.settings.pruner.name == "none"


def test_condition_may_list_several_values() -> None:
    space = parse_space(
        "training:\n"
        "  optimizer: {choice: [adam, adamw, sgd]}\n"
        "  weight_decay: {float: [0, 0.1], when: {training.optimizer: [adamw, sgd]}}\n",
        "w",
    )
    for values in sample(space, 30):
        expected = values["training.optimizer"] in ("adamw", "sgd")
        assert ("training.weight_decay" in values) == expected


def test_conditions_of_a_section_and_its_leaf_both_hold() -> None:
    space = parse_space(
        "training: {optimizer: {choice: [adam, adamw, sgd]}}\n"
        "model:\n"
        "  architecture: crnn\n"
        "  encoder:\n"
        "    when: {training.optimizer: [adam, adamw]}\n"
        "    dropout: {float: [0.0, 0.1], when: {training.optimizer: [adamw, sgd]}}\n",
        "w",
    )
    for values in sample(space, 30):
        expected = values["training.optimizer"] == "adamw"
        assert ("model.encoder.dropout" in values) == expected


@pytest.mark.parametrize("sections", [0, 1], ids=["training first", "model first"])
def test_condition_on_a_fixed_value_holds_only_where_that_is_in_force(sections: int) -> None:
    text = [
        "training: {clip_grad_norm: {float: [1, 9], when: {model.decoder.attention: additive}}}",
        "model:\n"
        "  decoder: {when: {model.architecture: seq2seq}, attention: additive}\n"
        "  architecture: {choice: [crnn, seq2seq]}",
    ]
    space = parse_space("\n".join(text[sections:] + text[:sections]), "w")
    for values in sample(space, 30):
        expected = values["model.architecture"] == "seq2seq"
        assert ("training.clip_grad_norm" in values) == expected


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        pytest.param(
            "training: {learning_rte: 0.1}",
            ["training.learning_rte", "unknown key", "did you mean 'training.learning_rate'?"],
            id="misspelt leaf",
        ),
        pytest.param(
            "trainng: {epochs: 3}",
            ["trainng", "unknown key", "did you mean 'training'?"],
            id="misspelt section",
        ),
        pytest.param("trainng: {}", ["trainng", "unknown key"], id="misspelt empty section"),
        pytest.param(
            "model: {architecture: crnn, encoder: {conv_deph: {int: [3, 5]}}}",
            ["model.encoder.conv_deph", "did you mean 'model.encoder.conv_depth'?"],
            id="misspelt parameter",
        ),
        pytest.param(
            "training: {epochs: {int: [1, 2], stp: 1}}",
            ["training.epochs", "unknown key 'stp'"],
            id="misspelt key of a distribution",
        ),
        pytest.param(
            "search: {prunner: {name: none}}",
            ["search", "prunner", "unknown key", "did you mean", "pruner'?"],
            id="misspelt section of the search",
        ),
        pytest.param(
            "search: {pruner: {name: median, warm_up_epochs: 3}}",
            ["search", "pruner.warm_up_epochs", "did you mean", "n_warmup_epochs'?"],
            id="misspelt key of the search",
        ),
        pytest.param(
            "search: {pruner: median}",
            ["search: pruner: found 'median', must be a section such as {name: median}"],
            id="name of a pruner alone",
        ),
        pytest.param(
            "search: {pruner: {name: medain}}",
            ["search: pruner.name", "found 'medain'", "'median'", "'asha'"],
            id="misspelt pruner",
        ),
        pytest.param(
            "search: {pruner: {name: asha, rungs: [5, 5]}}",
            ["search: pruner.rungs: found [5, 5], must be epochs from 1, in rising order"],
            id="rungs that do not rise",
        ),
        pytest.param(
            "search: {pruner: {name: asha, n_warmup_epochs: 5}}",
            ["search: pruner.n_warmup_epochs: not a key of the pruner 'asha'; it belongs to"],
            id="key of another pruner",
        ),
        pytest.param("search: 3", ["search", "found 3"], id="search is a number"),
        pytest.param("search: []", ["search", "found []"], id="search is a list"),
        pytest.param("search: false", ["search", "found false"], id="search is false"),
        pytest.param(
            "search: {sampler: {name: grid}}",
            ["search", "sampler.name", "found 'grid'"],
            id="unknown sampler",
        ),
        pytest.param(
            "training: {epochs: {int: [9, 3]}}",
            ["training.epochs", "found [9, 3]"],
            id="bounds the wrong way round",
        ),
        pytest.param(
            "training: {learning_rate: {float: [0, 0.1], log: true}}",
            ["training.learning_rate", "low bound 0"],
            id="log from 0",
        ),
        pytest.param(
            "training: {learning_rate: {float: [0.1, 1], step: 0.1, log: true}}",
            ["training.learning_rate", "step and log"],
            id="step with log",
        ),
        pytest.param(
            "training: {learning_rate: {float: [1, 1], step: 1, log: true}}",
            ["training.learning_rate", "step and log"],
            id="step 1 with log",
        ),
        pytest.param(
            "training: {clip_grad_norm: {float: [1, .inf]}}",
            ["training.clip_grad_norm", "inf"],
            id="infinite bound",
        ),
        pytest.param(
            "training: {epochs: {int: [1, 2], when: {training.optimiser: sgd}}, optimizer: sgd}",
            ["training.epochs", "when", "'training.optimiser'", "mean 'training.optimizer'?"],
            id="when on an unknown parameter",
        ),
        pytest.param(
            "training: {epochs: {int: [1, 2], when: {training.optimizer: sgd}}, optimizer: adam}",
            ["training.epochs", "when", "fixed at 'adam'", "never be 'sgd'"],
            id="when against a fixed value",
        ),
        pytest.param(
            "training:\n"
            "  optimizer: {choice: [adam, adamw]}\n"
            "  epochs: {int: [1, 2], when: {training.optimizer: sgd}}",
            ["training.epochs", "when", "can be adam, adamw", "never be 'sgd'"],
            id="when against a choice",
        ),
        pytest.param(
            "training: {decay_patience: {int: [1, 5]},"
            " epochs: {int: [1, 2], when: {training.decay_patience: 6}}}",
            ["training.epochs", "when", "can be 1 to 5", "never be 6"],
            id="when against a range",
        ),
        pytest.param(
            "training: {optimizer: {choice: [adam, sgd]},"
            " epochs: {int: [1, 2], when: {training.optimizer: []}}}",
            ["training.epochs", "when", "never be nothing"],
            id="when nothing",
        ),
        pytest.param(
            "training: {optimizer: {choice: [adam, sgd]}}\n"
            "model:\n"
            "  architecture: crnn\n"
            "  encoder:\n"
            "    when: {training.optimizer: adam}\n"
            "    dropout: {float: [0.0, 0.1], when: {training.optimizer: sgd}}",
            ["model.encoder.dropout", "when"],
            id="when against the section's",
        ),
        pytest.param(
            "training:\n"
            "  optimizer: {choice: [adam, sgd]}\n"
            "  epochs: {int: [1, 2], when: {training.optimizer: sgd}}\n"
            "  decay_patience: {int: [1, 2], when: {training.optimizer: adam, training.epochs: 1}}",
            ["training.decay_patience", "when"],
            id="when against that of another parameter",
        ),
        pytest.param(
            "training: {epochs: {int: [1, 2], when: sgd}}",
            ["training.epochs", "when", "found 'sgd'"],
            id="when is a value",
        ),
        pytest.param(
            "training: {when: null, epochs: {int: [1, 2]}}",
            ["training", "when", "found null"],
            id="when is empty",
        ),
        pytest.param(
            "training: {epochs: {int: [1, 2], when: {training.decay_patience: 1}},"
            " decay_patience: {int: [1, 2], when: {training.epochs: 1}}}",
            ["when", "circle", "training.epochs", "training.decay_patience"],
            id="when in a circle",
        ),
        pytest.param(
            "training: {epochs: {int: [1, 2], when: {training.epochs: 1}}}",
            ["training.epochs", "when", "circle"],
            id="when on itself",
        ),
        pytest.param(
            "training: {epochs: {int: [1, 2], when: {images.height: 32}}}\n"
            "images: {when: {training.epochs: 1}, height: 32}",
            ["when", "circle", "training.epochs"],
            id="when in a circle through a fixed value",
        ),
        pytest.param(
            "model: {architecture: crnn, encoder: {rnn_layers: {float: [1, 2]}}}",
            ["model.encoder.rnn_layers", "found", "integer"],
            id="float distribution of an integer",
        ),
        pytest.param(
            "model: {architecture: crnn, encoder: {rnn_batch_norm: 3}}",
            ["model.encoder.rnn_batch_norm", "found 3", "must be true or false"],
            id="number for yes or no",
        ),
        pytest.param(
            "training: {optimizer: {int: [1, 2]}}",
            ["training.optimizer", "found 1", "'adamw'"],
            id="int distribution of a name",
        ),
        pytest.param(
            "model: {architecture: crnn, encoder: {conv_depth: {int: [3, 60]}}}",
            ["model.encoder.conv_depth", "found 60", "at most 12"],
            id="high bound out of range",
        ),
        pytest.param(
            "images: {height: {choice: [32, 8]}}",
            ["images.height", "found 8", "at least 16"],
            id="choice out of range",
        ),
        pytest.param(
            DECODER + "    ctc_weight: {float: [0.1, 9]}",
            ["model.decoder.ctc_weight", "found 9.0"],
            id="conditional value out of range",
        ),
        pytest.param(
            DECODER + "training:\n"
            "  decay_fraction:\n"
            "    float: [0, 9]\n"
            "    when: {model.architecture: [crnn, seq2seq], model.decoder.attention: additive}",
            ["training.decay_fraction", "found 9.0"],
            id="value out of range behind two conditions",
        ),
        pytest.param(
            "training: {augment: {float: [0, 1]}}",
            ["training.augment", "found 0.0", "must be a section with", "strength", "elastic"],
            id="value where a section is",
        ),
        pytest.param(
            "model: {architecture: {choice: [crnn, classifier]}}\n"
            "training: {augment: {concat: 0.5}}",
            ["training.augment.concat: found 0.5, must be 0 for a classifier"],
            id="what one architecture refuses",
        ),
        pytest.param(
            "training: {augment: {strenght: 0.5}}",
            ["training.augment.strenght", "did you mean 'training.augment.strength'"],
            id="misspelt kind of augmentation",
        ),
        pytest.param(
            DECODER + "    ctc_weight: 9", ["model.decoder.ctc_weight", "found 9"], id="fixed value"
        ),
        pytest.param(
            "training: {optimizer: {choice: [adam, adamx]}}",
            ["training.optimizer", "found 'adamx'"],
            id="unknown name in a choice",
        ),
        pytest.param(
            "model: {architecture: crn}",
            ["model.architecture", "'crn'", "'crnn'", "'seq2seq'"],
            id="unknown architecture",
        ),
        pytest.param(
            "model: {architecture: {choice: [crnn, classifer]}}",
            ["model.architecture", "'classifer'", "'crnn'", "'seq2seq'"],
            id="unknown architecture in a choice",
        ),
        pytest.param(
            "model: {encoder: {rnn_layers: 1}}",
            ["model.architecture", "'crnn'", "'seq2seq'"],
            id="no architecture",
        ),
        pytest.param(
            "training: {batch_size: {choice: [8, '8']}}",
            ["training.batch_size: choice", "8 and '8' are the same value here"],
            id="number and its text",
        ),
        pytest.param(
            "training: {learning_rate: {choice: [1e-3, 0.001]}}",
            ["training.learning_rate", "'1e-3' and 0.001 are the same value"],
            id="number that YAML takes for text",
        ),
        pytest.param(
            "training: {batch_size: true}",
            ["training.batch_size: found true, must be a number, not true or false"],
            id="boolean for a number",
        ),
        pytest.param(
            "training: {batch_size: {choice: [8, 16]}}\n"
            "search: {try_first: [{training: {batch_size: true}}]}",
            ["search.try_first[0]: training.batch_size: found true"],
            id="boolean to try first",
        ),
        pytest.param(
            "search: {constraints: {parameters: true}}",
            ["search: constraints.parameters: found true, must be a number"],
            id="boolean for a limit",
        ),
        pytest.param(
            "search: {pruner: {name: asha, rungs: [true, 3]}}",
            ["pruner.rungs.0: found true"],
            id="boolean for a rung",
        ),
        pytest.param(
            "training: {warmup_steps: {int: [0, 1000000000000000000000000000000]}}",
            ["training.warmup_steps", "must be at most 10000000"],
            id="more than a machine counts",
        ),
        pytest.param("training: {epochs: }", ["training.epochs", "found null"], id="no value"),
        pytest.param("training: ", ["training", "found null"], id="no section"),
        pytest.param("training: {batch_size: {}}", ["training.batch_size"], id="empty leaf"),
        pytest.param(
            "training: {optimizer: adam, epochs: {when: {training.optimizer: adam}}}",
            ["training.epochs"],
            id="leaf of a condition only",
        ),
        pytest.param("training: {epochs: {low: 1, high: 3}}", ["training.epochs"], id="no kind"),
        pytest.param(
            "images: {height: {int: [16, 32]}}\ntraining: {epochs: {low: 1, high: 3}}",
            ["training.epochs"],
            id="no kind beside a parameter",
        ),
        pytest.param(
            "training: {epochs: {int: [1, 2], float: [1, 2]}}",
            ["training.epochs", "found int and float"],
            id="two kinds",
        ),
        pytest.param("training: 3\ntraining.batch_size: 8", ["training"], id="value and section"),
        pytest.param(
            "training: {batch_size: 4}\ntraining.batch_size: 8",
            ["training.batch_size"],
            id="value given in two ways",
        ),
        pytest.param("3: 4", ["line 1", "a key must be text"], id="key is a number"),
        pytest.param(
            "training: {epochs: 3, epochs: 4}", ["line 1", "duplicate key 'epochs'"], id="key twice"
        ),
        pytest.param(
            "images:\n  height: 32\nimages:\n  height: 48",
            ["line 3", "duplicate key 'images'"],
            id="section twice",
        ),
        pytest.param("training: {epochs: 3", ["line 1", "not YAML"], id="not YAML"),
        pytest.param("training:\n\tepochs: 3", ["line 2", "not YAML"], id="tab"),
        pytest.param("a: \0", ["not YAML"], id="null byte"),
        pytest.param(
            "a: !!python/object:os.system {}", ["line 1", "tag", "not allowed"], id="object"
        ),
        pytest.param("? [a]\n: 1", ["line 1", "a key must be text"], id="key is a list"),
        pytest.param(
            "training: {epochs: 2024-13-45}",
            ["training.epochs", "'2024-13-45'", "must be an integer"],
            id="impossible date",
        ),
        pytest.param("a: " + "[" * 1000, ["line 1", "50 levels"], id="too deep"),
        pytest.param("---\na: 1\n---\nb: 1", ["not YAML"], id="two documents"),
        pytest.param("", ["found nothing"], id="empty"),
        pytest.param("# only a comment\n", ["found nothing"], id="comment"),
        pytest.param("- training\n- model", ["found list"], id="list"),
        pytest.param("training", ["found str"], id="text"),
        pytest.param(
            "training: {epochs: {int: [1, 9]}}\n"
            "search: {try_first: [{training: {epochs: 3}}, {training: {epoch: 3}}]}",
            ["search.try_first[1]", "training.epoch", "did you mean 'training.epochs'?"],
            id="unknown parameter to try first",
        ),
        pytest.param(
            "training: {epochs: {int: [1, 9]}}\nsearch: {try_first: [{training: {epochs: 10}}]}",
            ["search.try_first[0]", "training.epochs", "found 10", "1 to 9"],
            id="value outside to try first",
        ),
        pytest.param(
            "training: {epochs: {int: [1, 9], step: 4}}\n"
            "search: {try_first: [{training: {epochs: 4}}]}",
            ["search.try_first[0]", "training.epochs", "found 4", "1 to 9, step 4"],
            id="value off the grid to try first",
        ),
        pytest.param(
            "training: {optimizer: {choice: [adam, sgd]}}\n"
            "search: {try_first: [{training: {optimizer: [adam]}}]}",
            ["search.try_first[0]", "training.optimizer", "found ['adam']", "adam, sgd"],
            id="list to try first",
        ),
        pytest.param("search: {try_first: [3]}", ["try_first", "found 3"], id="try a number"),
        pytest.param("search: {try_first: 3}", ["try_first", "found 3"], id="try no list"),
    ],
)
def test_wrong_space_is_explained_on_one_line(text: str, parts: list[str], tmp_path: Path) -> None:
    path = tmp_path / "plates.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpaceError) as caught:
        load_space(path)

    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    assert [part for part in parts if part not in message] == []


@pytest.mark.parametrize("architecture", ["crnn", "{choice: [crnn, seq2seq]}"])
def test_decoder_without_a_condition_is_not_told_to_be_a_decoder(architecture: str) -> None:
    text = f"model: {{architecture: {architecture}, decoder: {{ctc_weight: 0.1}}}}"
    with pytest.raises(SpaceError, match=r"model\.decoder") as caught:
        parse_space(text, "w")

    assert "did you mean 'model.decoder'?" not in str(caught.value)


@pytest.mark.parametrize("name", ["missing.yaml", "folder", "latin.yaml", "file/below.yaml"])
def test_unreadable_file_is_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "latin.yaml").write_bytes(b"name: Z\xfcrich")
    with pytest.raises(SpaceError) as caught:
        load_space(tmp_path / name)

    assert "\n" not in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize(
    ("nested", "flat"),
    [
        ({}, {}),
        ({"a": 1}, {"a": 1}),
        ({"a": {"b": {"c": 1}, "d": [2]}, "e": None}, {"a.b.c": 1, "a.d": [2], "e": None}),
        ({"a": {}}, {}),
    ],
)
def test_flatten(nested: dict[str, Any], flat: dict[str, Any]) -> None:
    assert flatten(nested) == flat


def test_paths_of_all_keys_are_known() -> None:
    flat = {
        *flatten(Config().model_dump()),
        *flatten(Config(model=Seq2SeqConfig()).model_dump()),
    }

    assert flat.issubset(config_paths())


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("training.lerning_rate", "; did you mean 'training.learning_rate'?"),
        ("zzz", ""),
        ("", ""),
    ],
)
def test_suggestion(path: str, expected: str) -> None:
    assert suggestion(path, config_paths()) == expected


MIXED = """
model:
  architecture: {choice: [crnn, classifier]}
  encoder:
    conv_depth: {int: [2, 3]}
    hidden_size: {choice: [16, 32]%s}
"""


def test_a_space_of_lines_and_single_symbols() -> None:
    space = parse_space(MIXED % ", when: {model.architecture: crnn}", "mixed")
    for values in sample(space, 20):
        model = space.resolve(values).model
        kind = CrnnConfig if values["model.architecture"] == "crnn" else ClassifierConfig
        assert isinstance(model, kind)
        assert model.encoder.conv_depth == values["model.encoder.conv_depth"]
        assert ("model.encoder.hidden_size" in values) == (kind is CrnnConfig)


def test_a_key_that_the_classifier_lacks() -> None:
    with pytest.raises(SpaceError) as caught:
        parse_space(MIXED % "", "mixed")
    assert str(caught.value) == (
        "mixed: model.encoder.hidden_size: not a key of architecture 'classifier'; give it a when"
    )
