"""The JSON schema of spaces, as an editor applies it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from ocrsearch.core.explain import config_paths
from ocrsearch.spaces.distributions import space_schema

SHIPPED = sorted((Path(__file__).parents[2] / "search_spaces").glob("*.yaml"))


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    return Draft202012Validator(space_schema())


def references(node: Any) -> Iterator[str]:
    """Yield all references of a schema."""
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


def test_schema_is_a_schema_and_complete() -> None:
    schema = space_schema()
    Draft202012Validator.check_schema(schema)

    names = {reference.removeprefix("#/$defs/") for reference in references(schema)}
    assert names
    assert names.issubset(schema["$defs"])


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_spaces_validate(path: Path, validator: Draft202012Validator) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))

    assert [error.message for error in validator.iter_errors(content)] == []


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "training: {learning_rate: 0.001}",
        "training: {epochs: {int: [1, 9], step: 2}}",
        "training: {learning_rate: {float: [0.001, 0.1], log: true}}",
        "training: {optimizer: {choice: [adam, sgd]}}",
        "model: {architecture: crnn}",
        "model: {architecture: {choice: [crnn, seq2seq]}}",
        "model: {decoder: {when: {model.architecture: seq2seq}, attention: none}}",
        "model: {architecture: classifier, encoder: {conv_depth: 3}}",
        "model: {encoder: {hidden_size: 64, when: {model.architecture: crnn}}}",
        "training: {augment: {strength: {float: [0, 1], when: {training.optimizer: [adam, sgd]}}}}",
        "search: {sampler: {name: random}, try_first: [{training: {epochs: 3}}]}",
    ],
)
def test_legal_content_validates(text: str, validator: Draft202012Validator) -> None:
    assert [error.message for error in validator.iter_errors(yaml.safe_load(text))] == []


@pytest.mark.parametrize(
    "text",
    [
        "trainng: {epochs: 3}",
        "training: {epoch: 3}",
        "model: {encoder: {conv_deph: 3}}",
        "model: {decoder: {atention: none}}",
        "search: {prunner: {name: none}}",
        "search: {pruner: {nam: none}}",
        "training: {epochs: {int: [1, 9], stp: 2}}",
        "training: {epochs: {int: [1, 9], float: [1, 9]}}",
        "training: {epochs: {int: [1]}}",
        "training: {epochs: {int: [1, 2, 3]}}",
        "training: {epochs: {int: [1.5, 2]}}",
        "training: {epochs: {choice: []}}",
        "training: {epochs: {int: [1, 9], step: 0}}",
        "training: {epochs: 0}",
        "training: {epochs: ten}",
        "training: {epochs: }",
        "training: 3",
        "training: {optimizer: adamx}",
        "model: {architecture: crn}",
        "model: {encoder: {conv_depth: 60}}",
        "model: {decoder: {when: seq2seq}}",
        "search: {sampler: {name: grid}}",
        "- training",
    ],
)
def test_illegal_content_does_not_validate(text: str, validator: Draft202012Validator) -> None:
    assert not validator.is_valid(yaml.safe_load(text))


def test_every_key_of_a_configuration_is_described() -> None:
    schema = space_schema()
    for path in config_paths():
        node = schema
        for key in path.split("."):
            node = node["properties"][key]
        assert node.get("type") == "object" or node["description"], path
