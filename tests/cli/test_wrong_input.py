"""Whatever a user gets wrong is one line that says what, and never a traceback."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import socket
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from ocrsearch.tuning.engines import WorkerRefused, WorkerSetup
from tests.hostile_models import RunsCode

if TYPE_CHECKING:
    from tests.conftest import CommandResult, StudyDb

Command = Callable[..., "CommandResult"]

PROGRESS = "images read"
PREFIX = "ocrsearch: "


def complaint(result: CommandResult, code: int = 1) -> str:
    """Return the one line with which a command ended, after any progress, warnings and notes."""
    lines = [
        line
        for line in result.err.splitlines()
        if not (line.endswith(PROGRESS) or line.startswith(("warning: ", "[0/100] ")))
    ]
    assert len(lines) == 1, result.err
    assert lines[0].startswith(PREFIX)
    assert "internal error" not in lines[0]
    assert "Traceback" not in result.out + result.err
    assert result.code == code
    message = lines[0].removeprefix(PREFIX)
    assert message.strip()
    return message


def usage(result: CommandResult) -> str:
    """Return what is said of a command that was called wrongly."""
    assert result.code == 2
    assert "Traceback" not in result.out + result.err
    assert "Usage:" in result.err
    return result.err


class RefusingEngine:
    """Starts no process; a search that comes as far as to need one ends there."""

    machine = None

    def __init__(self, n_workers: int, setup: WorkerSetup) -> None:
        self.setup = setup

    def poll(self, timeout_s: float) -> list[WorkerRefused]:
        return [WorkerRefused("came as far as to the workers")]

    def close(self) -> None:
        pass


@pytest.fixture
def search(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., CommandResult]:
    """Run ``ocrsearch run`` in an empty folder, without workers; later options win."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ocrsearch.tuning.api.LocalEngine", RefusingEngine)
    space = tmp_path / "space.yaml"
    space.write_text("images: {height: {int: [16, 32]}}")
    return lambda *arguments: command("run", "--space", space, *arguments)


@pytest.fixture
def data(tmp_path: Path, number_folder: Path) -> Path:
    """A folder ``data`` with label files of all kinds of mistakes, and pictures in ``good``."""
    folder = tmp_path / "data"
    shutil.copytree(number_folder, folder / "good")
    for name, content in LABEL_FILES.items():
        (folder / name).write_text(content)
    (folder / "empty").mkdir()
    (folder / "none").mkdir()
    (folder / "none" / "1.png").write_text("no picture")
    (folder / "one").mkdir()
    shutil.copy(number_folder / "10.png", folder / "one")
    return folder


def labels(**splits: list[tuple[str, str]]) -> str:
    return json.dumps(
        {
            split: [{"filename": f"good/{name}.png", "label": label} for name, label in entries]
            for split, entries in splits.items()
        }
    )


LABEL_FILES = {
    "columns.csv": "place,reading\ngood/10.png,10\n",
    "header.csv": "image,text\n",
    "nothing.csv": "",
    "empty_label.csv": "image,text\ngood/10.png,10\ngood/11.png,\n",
    "no_picture.csv": "image,text\ngood/10.png,10\ngood/99.png,99\n",
    "outside.csv": "image,text\n../../10.png,10\n",
    "nul.csv": "image,text\ngood/1\0.png,10\n",
    "splits.csv": "image,text,split\ngood/10.png,10,other\n",
    "symbol.json": labels(train=[("10", "10"), ("11", "11")], val=[("12", "1x")]),
    "no_val.json": labels(train=[("10", "10")], val=[]),
    "no_object.json": "[]",
    "not.json": "{train:",
    "no_label.json": '{"train": [{"filename": "good/10.png"}]}',
    "nul.json": '{"train": [{"filename": "a\\u0000.png", "label": "1"}]}',
    "deep.json": "[" * 100_000,
}


# --- data -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("missing.csv", "no such file, folder or built-in set"),
        ("csv:missing.csv", "no such file"),
        ("labels:missing.json", "no such file"),
        ("captcha:missing", "no such folder"),
        ("letters", "no such file, folder or built-in set"),
        ("~nobody-of-this-name/data", "~nobody-of-this-name/data"),
        ("captcha:empty", "no images in this folder"),
        ("empty", "no images in this folder"),
        ("none", "1.png: not a supported image"),
        ("one", "no samples in the val split"),
        ("csv:good", "a folder, not a file"),
        ("columns.csv", "column image and text missing; found ['place', 'reading']"),
        ("header.csv", "no rows"),
        ("nothing.csv", "column image and text missing"),
        ("empty_label.csv", "good/11.png: the label is empty"),
        ("no_picture.csv", "no such image"),
        ("outside.csv", "outside the file's folder"),
        ("nul.csv", "nul.csv"),
        ("splits.csv", "line 2: split is 'other', must be one of"),
        ("symbol.json", "good/12.png: no training sample has x; give more data"),
        ("no_val.json", "no samples in the val split"),
        ("no_object.json", "must be an object"),
        ("not.json", "not JSON (line 1"),
        ("no_label.json", "train[0]: 'label' must be a string"),
        ("nul.json", "nul.json"),
        ("deep.json", "deep.json"),
    ],
)
def test_data_that_cannot_be_used(
    search: Command, data: Path, monkeypatch: pytest.MonkeyPatch, spec: str, said: str
) -> None:
    monkeypatch.chdir(data)
    assert said in complaint(search("--data", spec, "--study", "s"))


def test_a_path_with_a_line_break_is_one_line(search: Command) -> None:
    assert "such file" in complaint(search("--data", "no\nsuch", "--study", "s"))


def test_good_data_comes_as_far_as_to_the_workers(search: Command, data: Path) -> None:
    assert complaint(search("--data", data / "good")) == "came as far as to the workers"


def test_a_study_of_other_data_or_another_space(
    search: Command, data: Path, tmp_path: Path
) -> None:
    for name in ("10.png", "11.png", "12.png", "20.png", "21.png"):
        shutil.copy(data / "good" / name, data / "one")
    complaint(search("--data", data / "good", "--study", "s"))
    said = complaint(search("--data", data / "one", "--study", "s"))
    assert "'s': began with other data" in said
    (tmp_path / "space.yaml").write_text("images: {height: {int: [16, 24]}}")
    said = complaint(search("--data", data / "good", "--study", "s"))
    assert "began with another space that differs in images.height" in said


# --- spaces -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("images: {heigth: 32}", "images.heigth: unknown key; did you mean 'images.height'?"),
        ("training: {learning_rat: 0.1}", "did you mean 'training.learning_rate'?"),
        ("images: {height: {int: [32, 16]}}", "low bound must not be above the high one"),
        ("images: {height: {int: [16, 999]}}", "images.height"),
        ("images: {height: {int: [16, 32], stepp: 2}}", "unknown key 'stepp'"),
        ("images: {height: -4}", "found -4"),
        ("images: {height: {int: [16, 32], when: {training.optimiser: sgd}}}", "no parameter"),
        ("model: {architecture: crnn, decoder: {attention: none}}", "model.decoder: "),
        ("search: {sampler: {name: grid}}", "found 'grid', must be 'tpe', 'gp', 'cmaes'"),
        ("search: {folds: 90}", "search: folds: found 90, must be auto or a number from 1 to 20"),
        ("search: {folds: true}", "folds: found true, must be auto or a number from 1 to 20"),
        ("images: [", "not YAML"),
        ("images: {height: 16}\nimages: {height: 32}", "duplicate key 'images'"),
        ("", "must be a mapping of sections, found nothing"),
        ("{[1, 2]: 3}", "space.yaml"),
        ("? {a: b}\n: 3", "space.yaml"),
        ("images: {height: 2020-13-45}", "space.yaml"),
        ("images: " + "[" * 500, "space.yaml"),
        ("training: {learning_rate: {float: [0.1, 0.2], step: .inf}}", "learning_rate"),
    ],
)
def test_a_space_that_is_wrong(command: Command, tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    assert said in complaint(command("space", "check", path))


def test_nothing_is_suggested_for_a_key_that_is_right_elsewhere(
    command: Command, tmp_path: Path
) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("model: {architecture: crnn, decoder: {attention: none}}")
    assert "did you mean 'model.decoder'" not in complaint(command("space", "check", path))


def test_a_wrong_space_is_found_before_the_data_is_looked_at(
    search: Command, tmp_path: Path
) -> None:
    (tmp_path / "space.yaml").write_text("images: {heigth: 32}")
    assert "images.heigth" in complaint(search("--data", "missing.csv"))
    assert not (tmp_path / "studies").exists()


@pytest.mark.parametrize("name", ["missing.yaml", "folder", "binary.yaml"])
def test_a_space_file_that_cannot_be_read(command: Command, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary.yaml").write_bytes(b"\x89PNG\xff")
    assert name in complaint(command("space", "check", tmp_path / name))


# --- options ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--trials", "0"),
        ("--trials", "-5"),
        ("--workers", "0"),
        ("--workers", "many"),
        ("--timeout", "abc"),
        ("--timeout", "0"),
        ("--max-invalid", "2"),
        ("--max-invalid", "-0.1"),
        ("--max-invalid", "nan"),
        ("--seed", "-1"),
        ("--seed", str(2**32)),
        ("--init", "missing.pt"),
        ("--storage", "not-a-url"),
        ("--storage", "sqlite://"),
        ("--storage", "postgresql://host:port/db"),
        ("--study", "../s"),
        ("--study", "a/b"),
    ],
)
def test_values_that_cannot_be_meant(search: Command, data: Path, option: str, value: str) -> None:
    said = complaint(search("--data", data / "good", option, value), code=2)
    assert said.startswith(option)


@pytest.mark.parametrize("name", ["x" * 300])
def test_study_names_that_cannot_be_a_folder(search: Command, data: Path, name: str) -> None:
    result = search("--data", data / "good", "--study", name)
    assert name in complaint(result, code=result.code)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--trial", "5"],
        ["--trials", "many"],
        ["--device", "tpu"],
        ["--target-cer", "low"],
        ["data"],
    ],
)
def test_options_that_do_not_exist(search: Command, arguments: list[str]) -> None:
    assert arguments[0] in usage(search(*arguments))


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nothing"],
        ["--version-of-what"],
        ["train"],
        ["evaluate"],
        ["predict"],
        ["space"],
        ["space", "check"],
        ["studies", "lst"],
        ["best", "--jsn"],
        ["dashboard", "--port", "0"],
        ["dashboard", "--port", "65536"],
        ["dashboard", "--port", "http"],
    ],
)
def test_commands_that_are_called_wrongly(command: Command, arguments: list[str]) -> None:
    result = command(*arguments)
    assert result.code == 2
    assert "Usage:" in result.out + result.err
    assert "Traceback" not in result.out + result.err


# --- studies ----------------------------------------------------------------------------------

READING = [["best"], ["best", "--json"], ["studies", "export"]]


@pytest.mark.parametrize("arguments", [*READING, ["studies", "list"], ["dashboard"]])
def test_no_study_database(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    said = complaint(command(*arguments))
    assert said == "studies/ocrsearch.db: no such study database; create one with 'ocrsearch run'"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", READING)
def test_a_study_that_does_not_exist(
    command: Command, study_db: StudyDb, arguments: list[str]
) -> None:
    said = complaint(command(*arguments, "--study", "other", "--storage", study_db.url))
    assert "'other': not in" in said
    assert said.endswith("found tiny-numbers")


@pytest.mark.parametrize("arguments", [["best"], ["studies", "list"]])
def test_a_database_that_is_none(command: Command, tmp_path: Path, arguments: list[str]) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("milk, bread\n" * 100)
    said = complaint(command(*arguments, "--storage", f"sqlite:///{path}"))
    assert "cannot open the study database" in said


def test_a_password_is_not_shown(command: Command) -> None:
    url = "postgresql://someone:hunter2@localhost:1/studies"
    assert "hunter2" not in complaint(command("best", "--storage", url))


@pytest.mark.parametrize(
    "arguments", [["best", "--export"], ["studies", "export", "--output"]], ids=["best", "export"]
)
@pytest.mark.parametrize("name", [".", "folder", "file/model.pt"])
def test_an_output_that_cannot_be_written(
    command: Command,
    study_db: StudyDb,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    name: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    assert name in complaint(command(*arguments, name, "--storage", study_db.url))


def test_a_port_that_is_taken(command: Command, study_db: StudyDb) -> None:
    pytest.importorskip("optuna_dashboard")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = command("dashboard", "--port", port, "--storage", study_db.url)
    assert result.code == 2
    assert result.err.splitlines()[-1].startswith(f"ocrsearch: --port {port}: cannot listen")
    assert "Traceback" not in result.err


# --- models and pictures ----------------------------------------------------------------------


def huge_png() -> bytes:
    """Return a PNG of a few bytes that says it has 50,000 x 50,000 pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(50_001))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("name", ["missing.pt", "text.pt", "folder", "picture.pt"])
def test_a_model_that_is_none(
    command: Command, tmp_path: Path, number_folder: Path, name: str
) -> None:
    (tmp_path / "text.pt").write_text("no model")
    (tmp_path / "folder").mkdir()
    shutil.copy(number_folder / "10.png", tmp_path / "picture.pt")
    for arguments in (("predict", tmp_path / name, number_folder / "10.png"),
                      ("evaluate", tmp_path / name, "--data", number_folder)):  # fmt: skip
        assert name in complaint(command(*arguments))


@pytest.mark.parametrize("kind", ["pickle", "torch"])
def test_a_model_that_would_run_code(
    command: Command, tmp_path: Path, number_folder: Path, kind: str
) -> None:
    path, trace = tmp_path / "model.pt", tmp_path / "trace"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(RunsCode(trace)))
    else:
        torch.save({"format": "ocrsearch model", "config": RunsCode(trace)}, path)
    assert "not an ocrsearch model" in complaint(command("predict", path, number_folder))
    assert not trace.exists()


def test_a_model_that_does_not_say_how_its_data_was_split(
    command: Command, model_file: Path, number_folder: Path, tmp_path: Path
) -> None:
    content = torch.load(model_file, weights_only=True)
    torch.save({**content, "provenance": {}}, tmp_path / "model.pt")
    result = command("evaluate", tmp_path / "model.pt", "--data", number_folder)
    assert result.code == 0, result.err  # it was drawn by the seed that all searches use


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing.png", "no such image"),
        ("text.png", "not a supported image"),
        ("cut.png", "damaged image"),
        ("huge.png", "image too large"),
        ("folder", "no images in this folder"),
        ("folder.png", "no images in this folder"),
    ],
)
def test_a_picture_that_is_none(
    command: Command, model_file: Path, number_folder: Path, tmp_path: Path, name: str, said: str
) -> None:
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "cut.png").write_bytes((number_folder / "10.png").read_bytes()[:-60])
    (tmp_path / "huge.png").write_bytes(huge_png())
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder.png").mkdir()
    found = complaint(command("predict", model_file, tmp_path / name))
    assert found.startswith(f"{tmp_path / name}: ")
    assert said in found


def test_a_picture_with_a_line_break_in_its_name_is_told_in_one_line(
    command: Command, model_file: Path, tmp_path: Path
) -> None:
    said = complaint(command("predict", model_file, tmp_path / "no\nsuch.png"))
    assert "no such.png: no such image" in said


@pytest.mark.parametrize("name", ["predict", "evaluate"])
def test_cuda_where_there_is_none(
    command: Command,
    model_file: Path,
    number_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    data = [number_folder] if name == "predict" else ["--data", number_folder]
    said = complaint(command(name, model_file, *data, "--device", "cuda"), code=2)
    assert said.startswith("--device: PyTorch finds no GPU here")


@pytest.mark.parametrize(
    ("option", "value"),
    [("--max-invalid", "2"), ("--max-invalid", "-1"), ("--max-invalid", "nan"), ("--errors", "-1")],
)
def test_values_that_evaluate_cannot_mean(
    command: Command, model_file: Path, number_folder: Path, option: str, value: str
) -> None:
    result = command("evaluate", model_file, "--data", number_folder, option, value)
    assert result.code == 2
    assert option in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "missing.csv"], "no such file"),
        (["--data", "small"], "no samples in the test split (train 1, val 0, test 0)"),
        (["--data", "empty"], "no images in this folder"),
    ],
)
def test_data_that_cannot_be_evaluated(
    command: Command,
    model_file: Path,
    number_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "small").mkdir()
    shutil.copy(number_folder / "10.png", tmp_path / "small")
    assert said in complaint(command("evaluate", model_file, *arguments))


# --- as a user would --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["best", "--storage", "sqlite:///missing.db"], 1, "missing.db: no such study database"),
        (["run", "--space", "missing.yaml"], 1, "missing.yaml: no such file"),
        (
            ["run", "--space", "missing.yaml", "--timeout", "abc"],
            2,
            "--timeout: write it as 90s, 30m, 2h or 1h30m, got 'abc'",
        ),
    ],
)
def test_the_installed_command(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("ocrsearch"), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if not name.startswith("OCRSEARCH")},
    )
    assert done.returncode == code
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{PREFIX}{said}")
