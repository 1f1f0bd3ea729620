"""The leaves of a space: what they hold, and what Optuna makes of them."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ocrsearch.core.errors import SpaceError
from ocrsearch.spaces.distributions import (
    Choice,
    FloatRange,
    IntRange,
    is_distribution,
    parse_distribution,
)


def suggest(leaf: dict[str, Any], seed: int = 0, n: int = 1) -> list[Any]:
    """Draw values of a leaf from Optuna's random sampler."""
    distribution = parse_distribution(leaf, "w")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return [distribution.suggest(study.ask(), "x") for _ in range(n)]


@pytest.mark.parametrize(
    ("leaf", "kind"),
    [
        ({"choice": ["a"]}, Choice),
        ({"choice": [2, "a", 2.5, True]}, Choice),
        ({"int": [3, 3]}, IntRange),
        ({"int": [-2, 5], "step": 7}, IntRange),
        ({"int": [1, 64], "log": True}, IntRange),
        ({"float": [0, 0]}, FloatRange),
        ({"float": [0.0, 1.0], "step": 0.25}, FloatRange),
        ({"float": ["7e-4", "7e-3"], "log": True}, FloatRange),
    ],
)
def test_legal_leaves(leaf: dict[str, Any], kind: type) -> None:
    assert is_distribution(leaf)
    distribution = parse_distribution(leaf, "w")

    assert isinstance(distribution, kind)
    assert all(distribution.contains(value) for value in suggest(leaf, n=20))


@pytest.mark.parametrize("value", [3, None, "int", ["int"], {}, {"low": 1}, {"a": {"int": [1, 2]}}])
def test_what_is_no_distribution(value: object) -> None:
    assert not is_distribution(value)


@pytest.mark.parametrize(
    ("leaf", "problem"),
    [
        ({"choice": []}, "found [], must be a list of 1 or more values"),
        ({"choice": [1, 2, 1]}, "choice: 1 is listed twice"),
        ({"choice": 3}, "found 3"),
        ({"choice": [None]}, "choice[0]: found null, must be a number"),
        ({"choice": [8, None]}, "choice[1]: found null, must be a number, a text, true or false"),
        ({"choice": [[1, 2]]}, "found [1, 2]"),
        ({"choice": {"a": 1}}, "found {'a': 1}, must be a list"),
        ({"choice": None}, "found null, must be a list"),
        ({"choice": "8, 16"}, "found '8, 16', must be a list"),
        ({"choice": [0.5, float("nan")]}, "choice[1]: found nan, must be a finite number"),
        ({"choice": [1, True]}, "1 and true are the same value here; list only one of them"),
        ({"choice": [False, 0]}, "false and 0 are the same value here"),
        ({"choice": [8, 8.0]}, "8 and 8.0 are the same value here"),
        ({"choice": [0, 0.0, 1, 1.0]}, "0 and 0.0 are the same value here"),
        ({"choice": [0.0, -0.0]}, "0.0 and -0.0 are the same value here"),
        ({"choice": ["a" * 9000, None]}, "found null"),
        ({"int": [True, 3]}, "found true, must be a number, not true or false"),
        ({"int": [1, 3], "step": True}, "step: found true, must be a number"),
        ({"float": [0.5, True]}, "found true, must be a number, not true or false"),
        ({"int": []}, "found [], must be a list of two numbers"),
        ({"int": None}, "found null, must be a list of two numbers"),
        ({"float": [1, 2, 3]}, "found [1, 2, 3], must be a list of two numbers"),
        ({"float": [16**5000, 1]}, "found a huge integer"),
        ({"choice": [1], "log": True}, "unknown key 'log'"),
        ({"choice": [1], "int": [1, 2]}, "found choice and int"),
        ({"choice": [1], "int": [1, 2], "float": [1, 2]}, "found choice and int and float"),
        ({"int": [2, 1]}, "found [2, 1]"),
        ({"int": [1]}, "found [1]"),
        ({"int": [1, 2, 3]}, "found [1, 2, 3]"),
        ({"int": 3}, "found 3"),
        ({"int": [1.5, 3]}, "found 1.5"),
        ({"int": ["a", 3]}, "found 'a'"),
        ({"int": [1, 2], "step": 0}, "found 0"),
        ({"int": [1, 2], "step": 0.5}, "found 0.5"),
        ({"int": [0, 2], "log": True}, "low bound 0"),
        ({"int": [1, 8], "log": True, "step": 2}, "step and log"),
        ({"int": [1, 8], "stp": 2}, "unknown key 'stp'"),
        ({"float": [0.5, 0.25]}, "found [0.5, 0.25]"),
        ({"float": [0.0, 1.0], "log": True}, "low bound 0"),
        ({"float": [-1.0, 1.0], "log": True}, "low bound -1"),
        ({"float": [0.5, 1.0], "log": True, "step": 0.5}, "step and log"),
        ({"float": [1.0, 8.0], "log": True, "step": 1}, "step and log"),
        ({"float": [0.0, 1.0], "step": 0}, "found 0"),
        ({"float": [0.0, 1.0], "step": -0.5}, "found -0.5"),
        ({"float": [0.0, float("inf")]}, "inf"),
        ({"float": [float("nan"), 1.0]}, "nan"),
        ({"float": [0.0, 1.0], "log": "perhaps"}, "found 'perhaps'"),
    ],
)
def test_illegal_leaves_are_refused_on_one_line(leaf: dict[str, Any], problem: str) -> None:
    with pytest.raises(SpaceError) as caught:
        parse_distribution(leaf, "space.yaml: training.epochs")

    message = str(caught.value)
    assert "\n" not in message
    assert "  " not in message
    assert message.startswith("space.yaml: training.epochs")
    assert problem in message


@pytest.mark.parametrize(
    ("leaf", "inside", "outside"),
    [
        ({"choice": ["a", 2]}, ["a", 2], ["b", 3, None, [2]]),
        ({"choice": [1, 2]}, [1, 2], [True, "1"]),
        ({"choice": [True, "a"]}, [True], [1, 1.0]),
        ({"int": [2, 8]}, [2, 5, 8], [1, 9, 2.5, "3", None, True]),
        ({"int": [2, 9], "step": 3}, [2, 5, 8], [3, 9, 11]),
        ({"int": [4, 4]}, [4], [3, 5]),
        ({"float": [0.0, 0.4], "step": 0.1}, [0.0, 0.1, 0.3, 0.4], [0.05, 0.5, -0.1, "0.1"]),
        ({"float": [1e-4, 1e-2], "log": True}, [1e-4, 5e-3, 1e-2], [0, 2e-2, False]),
    ],
)
def test_contains(leaf: dict[str, Any], inside: list[Any], outside: list[Any]) -> None:
    distribution = parse_distribution(leaf, "w")

    assert [v for v in inside if not distribution.contains(v)] == []
    assert [v for v in outside if distribution.contains(v)] == []


@pytest.mark.parametrize(
    ("leaf", "described"),
    [
        ({"choice": ["a", 2]}, "a, 2"),
        ({"int": [2, 8]}, "2 to 8"),
        ({"int": [2, 8], "step": 3}, "2 to 8, step 3"),
        ({"int": [2, 8], "log": True}, "2 to 8, log"),
        ({"float": [0.0, 0.5], "step": 0.25}, "0 to 0.5, step 0.25"),
        ({"float": ["7e-4", 0.1], "log": True}, "0.0007 to 0.1, log"),
    ],
)
def test_describe(leaf: dict[str, Any], described: str) -> None:
    assert parse_distribution(leaf, "w").describe() == described


@given(
    low=st.integers(-50, 50),
    width=st.integers(0, 100),
    step=st.integers(1, 30),
    seed=st.integers(0, 1000),
)
@settings(deadline=None, max_examples=30)
def test_suggested_integers_lie_on_the_grid(low: int, width: int, step: int, seed: int) -> None:
    leaf = {"int": [low, low + width], "step": step}

    for value in suggest(leaf, seed, n=3):
        assert low <= value <= low + width
        assert (value - low) % step == 0
        assert parse_distribution(leaf, "w").contains(value)


@given(
    low=st.integers(-500, 500),
    width=st.integers(0, 500),
    step=st.integers(1, 600),
    divisor=st.sampled_from([1, 10, 100, 1000]),
    seed=st.integers(0, 1000),
)
@settings(deadline=None, max_examples=60)
def test_suggested_reals_lie_on_the_grid(
    low: int, width: int, step: int, divisor: int, seed: int
) -> None:
    bounds = [low / divisor, (low + width) / divisor]
    leaf = {"float": bounds, "step": step / divisor}

    for value in suggest(leaf, seed, n=3):
        n_steps = (value - bounds[0]) / (step / divisor)
        assert bounds[0] - 1e-9 <= value <= bounds[1] + 1e-9
        assert n_steps == pytest.approx(round(n_steps), abs=1e-6)
        assert parse_distribution(leaf, "w").contains(value)


@given(low=st.floats(1e-6, 10), high=st.floats(1e-6, 10), log=st.booleans())
@settings(deadline=None, max_examples=30)
def test_suggested_reals_lie_between_the_bounds(low: float, high: float, log: bool) -> None:
    assume(low <= high)

    assert all(low <= v <= high for v in suggest({"float": [low, high], "log": log}, n=3))


@pytest.mark.parametrize(
    ("leaf", "all_values"),
    [
        ({"choice": ["a", "b", "c"]}, {"a", "b", "c"}),
        ({"int": [1, 4]}, {1, 2, 3, 4}),
        ({"int": [1, 6], "step": 2}, {1, 3, 5}),
        ({"float": [0.0, 0.5], "step": 0.25}, {0.0, 0.25, 0.5}),
        ({"float": [0.0, 0.6], "step": 0.25}, {0.0, 0.25, 0.5}),
        ({"float": [0.2, 0.3], "step": 0.5}, {0.2}),
    ],
)
def test_every_value_is_suggested_at_some_time(
    leaf: dict[str, Any], all_values: set[object]
) -> None:
    assert set(suggest(leaf, n=60)) == all_values
