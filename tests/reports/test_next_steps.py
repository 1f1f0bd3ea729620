"""Next steps: each rule with numbers that support it, that do not, and that are missing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ocrsearch.reports.next_steps import MAX_NAMES, Context, common_edge, duration, next_steps
from ocrsearch.reports.study_content import DoubtfulLabel, StudyContent
from ocrsearch.reports.study_page import command_line
from ocrsearch.spaces.distributions import parse_distribution
from ocrsearch.spaces.reading import parse_space
from ocrsearch.studies import Separation
from tests.reports.made_content import STATES, made_content, made_search, made_trial

SPACE = parse_space(
    "model: {architecture: crnn, encoder: {conv_depth: {int: [2, 5]}, dropout: {float: [0, 0.5]}}}",
    "mine",
)
CONTEXT = Context(None, {"data": "numbers.csv"}, 60.0)


def titles(content: StudyContent, context: Context = CONTEXT) -> list[str]:
    return [step.title for step in next_steps(content, context)]


def test_all_rules_have_numbers() -> None:
    steps = next_steps(made_content(), CONTEXT)
    assert [step.title for step in steps] == [
        "Check 1 label",
        "Search longer",
        "Add about 900 validation images, or use any of the equally good networks",
        "Measure whether more training images help",
    ]
    assert all(step.numbers for step in steps)


def test_labels_to_check_are_named() -> None:
    labels = [DoubtfulLabel(f"{i}.png", "1", "7", 0.9) for i in range(MAX_NAMES + 5)]
    step = next_steps(made_content(doubtful=labels), CONTEXT)[0]
    assert step.title == f"Check {MAX_NAMES + 5} labels"
    assert "of 300" in step.reason
    (command,) = step.commands
    assert command_line(command).startswith("ocrsearch data check numbers.csv --study ")
    assert step.names == tuple(f"{i}.png" for i in range(MAX_NAMES))
    assert "Check" not in " ".join(titles(made_content(doubtful=[])))


def test_more_trials_by_the_expected_saving() -> None:
    step = next_steps(made_content(expected_saving=2.5), CONTEXT)[1]
    assert (
        "Twice as many trials (24) are expected to save 2.5 of 24 character errors" in step.reason
    )
    assert "2 paused trials" in step.reason
    (run,) = step.commands
    assert (run.name, run.options) == (
        "run",
        {"study": "numbers", "data": "numbers.csv", "trials": 24},
    )
    step = next_steps(made_content(expected_saving=0.4), CONTEXT)[1]
    assert step.title == "Do not search this space longer"
    assert "0.4 of 24" in step.reason
    assert not step.commands


@pytest.mark.parametrize(
    ("states", "objective", "expected"),
    [
        ({"finished": 2}, ("cer",), True),
        ({"finished": 3, "pruned": 6, "paused": 0}, ("cer",), True),
        ({"finished": 3, "pruned": 7}, ("cer",), False),  # enough, but none reads
        ({"finished": 2}, ("cer", "size_mb"), False),
    ],
)
def test_too_few_trials_to_tell(
    states: dict[str, int], objective: tuple[str, ...], expected: bool
) -> None:
    search = made_search(states={**STATES, **states}, objective=objective)
    content = made_content(search=search, expected_saving=None)
    assert ("Search longer" in titles(content)) == expected


@pytest.mark.parametrize(
    ("distribution", "values", "expected"),
    [
        ({"int": [2, 5]}, [5, 5, 5], ("largest", 5.0)),
        ({"int": [2, 5]}, [2, 2, 2], ("smallest", 2.0)),
        ({"int": [2, 5]}, [5, 5, 4], None),
        ({"int": [3, 3]}, [3, 3, 3], None),
        ({"float": [0.0, 0.5]}, [0.0, 0.01, 0.0], None),  # nothing is below 0
        ({"float": [0.0, 0.5]}, [0.49, 0.5, 0.48], ("largest", 0.5)),
        ({"float": [0.0, 0.5], "step": 0.1}, [0.4, 0.5, 0.5], None),
        ({"float": [0.001, 0.1], "log": True}, [0.001, 0.0011, 0.0012], ("smallest", 0.001)),
        ({"float": [0.001, 0.1], "log": True}, [0.05, 0.06, 0.07], None),
        ({"choice": [64, 32, 96]}, [96, 96, 96], ("largest", 96.0)),
        ({"choice": [64, 32, 96]}, [64, 64, 64], None),
        ({"choice": [64]}, [64, 64, 64], None),
        ({"choice": ["gru", "lstm"]}, ["gru", "gru", "gru"], None),
        ({"choice": [True, False]}, [True, True, True], None),
        ({"int": [2, 5]}, [5, 5, None], None),  # absent from a trial
        ({"int": [2, 5]}, [], None),
    ],
)
def test_values_at_the_edge(
    distribution: dict[str, Any], values: list[Any], expected: tuple[str, float] | None
) -> None:
    assert common_edge(parse_distribution(distribution, "x"), values) == expected


def test_a_larger_space_if_the_best_three_are_at_its_edge() -> None:
    params = {"model.encoder.conv_depth": 5, "model.encoder.dropout": 0.2}
    trials = [made_trial(i, 0.02, params=params) for i in range(3)]
    context = replace(CONTEXT, space=SPACE)
    steps = next_steps(made_content(trials=trials), context)
    (step,) = (step for step in steps if step.title.startswith("Extend"))
    assert step.title == "Extend the range of model.encoder.conv_depth to larger values"
    assert "trials (0, 1, 2)" in step.reason
    assert step.numbers == {"bound": 5.0}
    assert not [t for t in titles(made_content(trials=trials[:2]), context) if "Extend" in t]


@pytest.mark.parametrize(
    ("separation", "advised"),
    [
        (None, False),
        (Separation(300, 0, [1, 2], []), False),
        (Separation(300, 0, [1, 2], [1], 1, 900), True),
        (Separation(300, 0, [1, 2], [1], 1, 300 * 51), False),  # practically equal
        (Separation(300, 0, [1, 2], [1], no_errors=True), False),
    ],
)
def test_more_images_as_the_separation_says(separation: Separation | None, advised: bool) -> None:
    found = titles(made_content(separation=separation))
    assert any("validation images" in title for title in found) == advised


def test_an_ensemble_if_several_are_alike() -> None:
    separation = Separation(300, 0, [1, 2], [1, 2], 1, 900)
    assert "Combine the three best networks" in titles(made_content(separation=separation))
    with_folds = replace(separation, has_folds=True)
    assert "Combine the three best networks" not in titles(made_content(separation=with_folds))


def test_commands_measure_the_effect_of_more_training_images() -> None:
    context = replace(CONTEXT, data={"data": "a.csv", "train_fraction": 0.2})
    step = next_steps(made_content(storage={"storage": "sqlite:///a.db"}), context)[-1]
    assert "375, 750, 1,500 images, in about 2 minutes" in step.reason
    export, *trainings = step.commands
    assert export.options["storage"] == "sqlite:///a.db"
    assert [t.options["train_fraction"] for t in trainings] == pytest.approx([0.05, 0.1, 0.2])


def test_without_a_network_there_is_nothing_to_measure() -> None:
    content = made_content(trials=[], doubtful=[], separation=None, expected_saving=None)
    assert titles(content) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 seconds"), (1, "1 second"), (89, "89 seconds"), (90, "2 minutes"), (7200, "2.0 hours")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
