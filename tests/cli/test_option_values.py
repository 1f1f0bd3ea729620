"""Values that cannot be meant: one line that begins with the option, and no work before it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import CommandResult

Command = Callable[..., "CommandResult"]

HUGE = "9" * 31

RUN = [
    ("--trials 0", "--trials: must be at least 1, got 0"),
    (f"--trials {HUGE}", f"--trials: must be at most 1000000000, got {HUGE}"),
    ("--epoch-budget 0", "--epoch-budget: must be at least 1, got 0"),
    (f"--epoch-budget {HUGE}", "--epoch-budget: must be at most 1000000000"),
    ("--stall-trials -1", "--stall-trials: must be at least 1, got -1"),
    (f"--stall-trials {HUGE}", "--stall-trials: must be at most 1000000000"),
    ("--target-cer 2", "--target-cer: must be at most 1, got 2.0"),
    ("--target-cer nan", "--target-cer: must be at least 0, got nan"),
    ("--target-cer 1e400", "--target-cer: must be at most 1, got inf"),
    ("--timeout 0", "--timeout: write it as 90s, 30m, 2h or 1h30m, got '0'"),
    ("--timeout nan", "--timeout: write it as 90s, 30m, 2h or 1h30m, got 'nan'"),
    (f"--timeout {HUGE}h", "--timeout: must be at most 315360000"),
    ("--workers 0", "--workers: must be at least 1, got '0'"),
    ("--workers 1.5", "--workers: must be a number of 1 or more, or auto, got '1.5'"),
    (f"--workers {HUGE}", "--workers: must be at most 1000"),
    ("--gpus-per-worker 0.5", "--gpus-per-worker: works with engine 'ray' only"),
    ("--gpus-per-worker 2", "--gpus-per-worker: must be at most 1, got 2.0"),
    ("--engine ray --gpus-per-worker nan", "--gpus-per-worker: must be at least 0, got nan"),
    ("--address x:1", "--address: works with engine 'ray' only"),
    ("--split-seed -1", "--split-seed: must be at least 0, got -1"),
    ("--train-fraction 7", "--train-fraction: must be at most 1, got 7.0"),
    ("--train-fraction 0", "--train-fraction: must be more than 0, got 0.0"),
    ("--train-fraction nan", "--train-fraction: must be more than 0, got nan"),
    ("--max-invalid 3", "--max-invalid: must be at most 1, got 3.0"),
    ("--max-invalid nan", "--max-invalid: must be at least 0, got nan"),
    ("--max-disk-mb -3", "--max-disk-mb: must be more than 0, got -3.0"),
    ("--max-disk-mb 1e400", "--max-disk-mb: must be a finite number, got inf"),
    ("--seed -1", "--seed: must be at least 0, got -1"),
    (f"--seed {HUGE}", "--seed: must be at most 2147483647"),
    ("--init none.pt", "--init: none.pt: no such model file"),
    ("--study a/b", "--study: found '/'; use letters"),
    ("--storage none", "--storage: not a database URL: none"),
    ("--storage sqlite:///.", "--storage: sqlite:///. names no file"),
    ("--storage sqlite:///folder", "--storage: sqlite:///folder is a folder"),
    ("--group (", "--group: must be a regular expression, got '('"),
]

OTHERS = [
    ("train --config c.yaml --data digits --output m.pt --seed -1", "--seed: must be at least 0"),
    (
        "train --config c.yaml --data digits --output m.pt --epochs 0",
        "--epochs: must be at least 1",
    ),
    (
        "train --config c.yaml --data digits --output m.pt --train-fraction 0",
        "--train-fraction: must be",
    ),
    (
        "train --config c.yaml --data digits --output m.pt --set training.epochs=0",
        "--set: training",
    ),
    ("evaluate MODEL --data digits --tta 9", "--tta: must be at most 5, got 9"),
    ("evaluate MODEL --data digits --beam-size -1", "--beam-size: must be at least 0, got -1"),
    (f"evaluate MODEL --data digits --beam-size {HUGE}", "--beam-size: must be at most 1000"),
    ("evaluate MODEL --data digits --beam-size 9 --lm-weight nan", "--lm-weight: must be a finite"),
    (
        "evaluate MODEL --data digits --beam-size 9 --length-bonus inf",
        "--length-bonus: must be a finite",
    ),
    ("evaluate MODEL --data digits --lexicon c.yaml", "--lexicon: needs beam search"),
    ("evaluate MODEL --data digits --beam-size 9 --lm-weight 1", "--lm-weight: needs"),
    ("evaluate MODEL --data digits --max-invalid 2", "--max-invalid: must be at most 1, got 2.0"),
    ("predict MODEL a.png --tta 0", "--tta: must be at least 1, got 0"),
    ("predict MODEL a.png --ctc-weight 1", "--ctc-weight: needs beam search"),
    (
        "best --confirm 3 --ensemble 3",
        "--confirm and --ensemble: cannot be combined; remove all but one option",
    ),
    ("best --fp16-weights", "--fp16-weights: needs --export FILE"),
    ("best --int8", "--int8: needs --export FILE"),
    ("data split digits --split-seed -1", "--split-seed: must be at least 0, got -1"),
    ("data synth digits -o new --min-length 9 --max-length 3", "--min-length: found 9, must be"),
    ("data synth digits -o new --min-length 0", "--min-length: must be at least 1, got 0"),
    ("language-model --output l.npz --corpus c.yaml --order 99", "--order: must be at most 8"),
]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, in which no worker would start."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "space.yaml").write_text("images: {height: {int: [16, 32]}}")
    (tmp_path / "c.yaml").write_text("images: {height: 16}")
    (tmp_path / "folder").mkdir()
    return tmp_path


def complaint(result: CommandResult) -> str:
    """Return the last line of the errors, without the program's name."""
    assert (result.code, result.out) == (2, "")
    *usage, line = result.err.splitlines()
    assert all(text.startswith(("Usage: ", "Try ")) for text in usage)
    return line.removeprefix("ocrsearch: ")


@pytest.mark.parametrize(("options", "said"), RUN, ids=[options for options, _ in RUN])
def test_options_of_run(command: Command, work: Path, options: str, said: str) -> None:
    words = ["run", "--space", "space.yaml", "--data", "digits", *shlex.split(options)]
    assert complaint(command(*words)).startswith(said)
    assert sorted(path.name for path in work.iterdir()) == ["c.yaml", "folder", "space.yaml"]


@pytest.mark.parametrize(("line", "said"), OTHERS, ids=[line for line, _ in OTHERS])
def test_options_of_other_commands(
    command: Command, work: Path, model_file: Path, line: str, said: str
) -> None:
    words = [str(model_file) if word == "MODEL" else word for word in shlex.split(line)]
    assert complaint(command(*words)).startswith(said)
    assert sorted(path.name for path in work.iterdir()) == ["c.yaml", "folder", "space.yaml"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "run --space space.yaml --data digits --storage sqlite:///c.yaml/x.db",
            "c.yaml/x.db: FOLDER/c.yaml is a file, not a folder",
        ),
        ("data synth digits -o c.yaml", "--output c.yaml: FOLDER/c.yaml is a file, not a folder"),
        ("data synth digits -o c.yaml/n", "--output c.yaml/n: FOLDER/c.yaml is a file, not a"),
        ("run --space folder --data digits", "space 'folder': is a folder; if it holds labelled"),
    ],
)
def test_places_that_cannot_be_used(command: Command, work: Path, line: str, said: str) -> None:
    result = command(*shlex.split(line))
    assert (result.code, result.out) == (1, "")
    (found,) = result.err.splitlines()
    assert found.startswith(f"ocrsearch: {said.replace('FOLDER', str(work))}")
