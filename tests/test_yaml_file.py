"""YAML files that are small and grow, or that hold more than plain values: one line, at once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ocrsearch.core.errors import DataError, SpaceError
from ocrsearch.core.untrusted import parse_yaml, read_yaml
from ocrsearch.spaces.reading import parse_space

ALIASED_MAPS = "a0: &a0 {k: 1}\n" + "".join(
    f"a{i + 1}: &a{i + 1} {{{','.join(f'k{j}: *a{i}' for j in range(10))}}}\n" for i in range(12)
)
ALIASED_LISTS = "a0: &a0 [x, x]\n" + "".join(
    f"a{i + 1}: &a{i + 1} [{','.join([f'*a{i}'] * 9)}]\n" for i in range(20)
)
MERGED = "m0: &m0 {a: 1}\n" + "".join(
    f"m{i + 1}: &m{i + 1}\n  <<: [{','.join([f'*m{i}'] * 10)}]\n" for i in range(10)
)
SEXAGESIMAL = ":".join(["1"] * 5000)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(ALIASED_MAPS, "with aliases expanded", id="maps"),
        pytest.param(ALIASED_LISTS, "with aliases expanded", id="lists"),
        pytest.param(MERGED, "with aliases expanded", id="merge keys"),
        pytest.param("a: &a [*a]", "an alias refers to a section that contains it", id="loop"),
        pytest.param("a: &a {b: {c: *a}}", "an alias refers to", id="loop of sections"),
        pytest.param("a: &a {<<: *a}", "an alias refers to", id="loop of merges"),
        pytest.param("a: " + "[" * 60 + "]" * 60, "50 levels", id="deep lists"),
        pytest.param("".join(" " * i + "a:\n" for i in range(200)), "50 levels", id="deep"),
        pytest.param("a: " + "{b: " * 100_000, "50 levels", id="very deep"),
        pytest.param("a: [" + "1," * 100_000 + "]", "more than 20,000 values", id="long list"),
        pytest.param("a: 0x" + "f" * 4000, "a number of 4,002 characters", id="hexadecimal"),
        pytest.param("a: 0b" + "1" * 90_000, "a number of 90,002 characters", id="binary"),
        pytest.param("a: 0" + "7" * 9000, "a number of 9,001 characters", id="octal"),
        pytest.param("a: " + "9" * 9000, "a number of 9,000 characters", id="decimal"),
        pytest.param(f"a: {SEXAGESIMAL}", "a number of", id="sexagesimal"),
        pytest.param(f"a: {SEXAGESIMAL}.5", "a number of", id="sexagesimal real number"),
        pytest.param(f"{'9' * 9000}: 1", "a number of", id="number as a key"),
        pytest.param("a: !!binary AAAA", "'tag:yaml.org,2002:binary' is not allowed", id="bytes"),
        pytest.param("a: !!set {b, c}", "is not allowed", id="set"),
        pytest.param("a: !!timestamp 2001-01-01", "is not allowed", id="date"),
        pytest.param("a: !!python/name:os.system ''", "is not allowed", id="code"),
        pytest.param("a: !" + "x" * 9000 + " 1", "...", id="long tag"),
        pytest.param("yes: 1", "a key must be text", id="boolean key"),
        pytest.param("1: 1", "a key must be text", id="number key"),
        pytest.param("null: 1", "a key must be text", id="null key"),
        pytest.param("? {a: b}\n: 1", "a key must be text", id="section as a key"),
        pytest.param("a: 1\n" * 2, "duplicate key 'a'", id="key twice"),
        pytest.param(("k" * 500 + ": 1\n") * 2, "...", id="long key twice"),
        pytest.param("a: *" + "b" * 9000, "undefined alias", id="long name of an alias"),
    ],
)
def test_what_no_file_needs_is_refused_at_once(text: str, reason: str) -> None:
    start = time.process_time()
    with pytest.raises(SpaceError) as caught:
        parse_yaml(text, "here.yaml")
    assert time.process_time() - start < 10  # it takes a second; without limits there is no end
    message = str(caught.value)
    assert message.startswith("here.yaml: line ")
    assert reason in message
    assert len(message) < 400
    assert "\n" not in message


def test_aliases_merge_keys_and_dates_of_a_usual_size_are_read() -> None:
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: [*a, *a]\nd: 2024-01-31\ne: =\nf: 0x1F"
    assert parse_yaml(text, "here.yaml") == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 1, "y": 3},
        "c": [{"x": 1, "y": 2}] * 2,
        "d": "2024-01-31",
        "e": "=",
        "f": 31,
    }


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(4_000_000_000)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_pipe, "not a file"),
        (lambda path: path.symlink_to("/dev/zero"), "not a file"),
        (lambda path: path.symlink_to(path.name), "cannot be read"),
        (_sparse, "too large: 4,000 MB, at most 1 MB"),
        (
            lambda path: path.write_text("a: 1", encoding="utf-16"),
            "UTF-16 text, must be UTF-8",
        ),
        (lambda path: path.write_bytes(b"a: \xff"), "not UTF-8"),
        (Path.mkdir, "a folder"),
    ],
)
def test_what_is_not_a_small_text_file_is_refused(
    make: Callable[[Path], None], reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.yaml"
    make(path)
    with pytest.raises(DataError, match=rf"a\.yaml: {reason}"):
        read_yaml(path, DataError)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("".join(f"k{i}: 1\n" for i in range(9000)), id="at the top"),
        pytest.param("training:\n" + "".join(f"  k{i}: 1\n" for i in range(9000)), id="section"),
        pytest.param("search:\n" + "".join(f"  k{i}: 1\n" for i in range(9000)), id="settings"),
        pytest.param(
            "training: {epochs: {int: [1, 3]}}\nimages: {height: {"
            + ", ".join(f"k{i}: {{int: [1, 2]}}" for i in range(3000)) + "}}",
            id="below a value",
        ),
    ],
)  # fmt: skip
def test_many_unknown_keys_take_no_time(text: str) -> None:
    start = time.process_time()
    with pytest.raises(SpaceError, match=r"k0: unknown key|images.height: found"):
        parse_space(text, "here.yaml")
    assert time.process_time() - start < 15


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("training: {epochs: 1000000000000}", "training.epochs: found 1000000000000, must be at"),
        ("training: {batch_size: 1000000000}", "must be at most 4096"),
        ("images: {height: 1000000}", "must be at most 128"),
        ("training: {epochs: {int: [1, 1000000000000000000]}}", "must be at most 10000"),
        ("training: {clip_grad_norm: {float: [0.1, 1.0e+308]}}", "norm: found 1e+308, must be at"),
        ("training: {learning_rate: {float: [0, 1.0e+308]}}", "learning_rate"),
        ("training: {clip_grad_norm: {float: [0.1, 9], step: 1.0e-300}}", "step: found 1e-300"),
        ("training: {clip_grad_norm: {float: [0.1, 1.0e+308], step: 1}}", "most 1,000,000 steps"),
        (f"training: {{epochs: {{choice: {list(range(1, 5000))}}}}}", "found 4,999 values, at"),
        (f"training: {{epochs: {{choice: [{'1,' * 100_000}]}}}}", "more than 20,000 values"),
        (f"training: {{optimizer: {'x' * 900_000}}}", "xxx..., must be"),
        (f"training: {{optimizer: {{choice: [{'x' * 900_000}]}}}}", "xxx..., must be"),
        (f"training: {{{'x' * 900}: 1}}", "xxx...: unknown key"),
        ("search: {sampler: {n_startup_trials: 1000000000000}}", "must be at most 1000000"),
        (
            "search: {pruner: {name: hyperband, reduction_factor: 10000000}}",
            "must be at most 1000000",
        ),
        ("search: {pruner: {rungs: [1, 1000000000000000000]}}", "must be at most 1000000"),
        ("search: {constraints: {size_mb: 1.0e+300}}", "must be at most 1e+15"),
        (f"search: {{pruner: {{name: {'x' * 9000}}}}}", "xxx..., must be one of"),
        (f"model: {{architecture: {'x' * 9000}}}", "xxx..., must be one of"),
        ("training: {epochs: {int: [1, 3], when: {model.architecture: %s}}}" % ("x" * 9000),
         "training.epochs: when: no parameter 'model.architecture'"),
    ],
)  # fmt: skip
def test_huge_numbers_and_texts_are_refused_with_their_bounds(text: str, reason: str) -> None:
    start = time.process_time()
    with pytest.raises(SpaceError) as caught:
        parse_space(text, "here.yaml")
    assert time.process_time() - start < 10
    message = str(caught.value)
    assert reason in message
    assert len(message) < 800
