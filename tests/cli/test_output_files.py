"""Files to be written are checked before the work for them begins; no useless model by mistake."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ocrsearch.core.files import output_problem
from ocrsearch.studies import results as query

if TYPE_CHECKING:
    from tests.conftest import CommandResult, StudyDb

Command = Callable[..., "CommandResult"]

OUTPUTS = {
    "best": ("best --export", ".pt"),
    "best confirmed": ("best --confirm 3 --export", ".pt"),
    "train": ("train --config c.yaml --data digits --output", ".pt"),
    "evaluate": ("evaluate m.pt --data digits --html", ".html"),
    "predict": ("predict m.pt a.png --page --draw", ".png"),
    "inspect": ("inspect m.pt --svg", ".svg"),
    "language-model": ("language-model --data digits --output", ".npz"),
    "data inspect": ("data inspect digits --sheet", ".png"),
    "data preview": ("data preview digits --output", ".png"),
    "data split": ("data split digits --output", ".csv"),
    "studies export": ("studies export --output", ".csv"),
}


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file and a folder in it, to work in."""
    (tmp_path / "file").write_text("text")
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", OUTPUTS)
def test_outputs_that_cannot_be_written_are_refused_first(
    command: Command, places: Path, name: str
) -> None:
    line, suffix = OUTPUTS[name]
    words = line.split()
    bad = {
        f"folder{suffix}": "a folder; give the name of a file",
        f"file/a{suffix}": f"{places / 'file'} is a file, not a folder",
        f"file/b/a{suffix}": f"{places / 'file'} is a file, not a folder",
        f"{'x' * 250}{suffix}": "cannot be written (File name too long)",
    }
    (places / f"folder{suffix}").mkdir()
    for path, problem in bad.items():
        result = command(*words, path)
        assert (result.code, result.out) == (1, "")
        assert result.err == f"ocrsearch: {words[-1]} {path}: {problem}\n"
    assert {p.name for p in places.iterdir()} == {"file", "folder", f"folder{suffix}"}


@pytest.mark.parametrize("name", ["predict", "data inspect", "data preview"])
def test_pictures_must_be_png(command: Command, places: Path, name: str) -> None:
    words = OUTPUTS[name][0].split()
    result = command(*words, "picture.jpg")
    assert (result.code, result.err) == (
        2,
        f"ocrsearch: {words[-1]} picture.jpg: must end in .png, got .jpg; rename the file\n",
    )


def test_output_problems(places: Path) -> None:
    assert output_problem(places / "new" / "er" / "a.pt") is None
    assert output_problem(places / "file") is None
    assert output_problem(Path("a.pt")) is None
    assert output_problem(Path("/")) == "a folder; give the name of a file"
    if Path("/dev/null").exists():
        assert output_problem(Path("/dev/null")) == "not a file (a pipe, socket or device)"
    if Path("/proc/self").exists():
        assert str(output_problem(Path("/proc/none/a.pt"))).startswith("cannot be written (")
    assert sorted(p.name for p in places.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "--config", "c", "--data", "digits", "--output", "m.pt", "--epochs", "0"],
         "--epochs: must be at least 1, got 0"),
        (["train", "--config", "c", "--data", "digits", "--output", "m.pt", "--epochs", "1" * 31],
         f"--epochs: must be at most 10000, got {'1' * 31}"),
        (["predict", "m.pt", "a.png", "--draw", "a.png"],
         "--draw a.png: needs --page; add it or remove --draw"),
        (["best", "--force"], "--force: needs --export FILE; add it or remove --force"),
        (["best", "--confirm", "1000"], "--confirm: must be at most 100, got 1000"),
        (["language-model", "--data", "digits", "--output", "l.npz", "--order", "0"],
         "--order: must be at least 1, got 0"),
        (["data", "synth", "digits", "-o", "new", "--n", "0"], "--n: must be at least 1, got 0"),
        (["data", "synth", "digits", "-o", "new", "--min-length", "0"],
         "--min-length: must be at least 1, got 0"),
        (["data", "synth", "digits", "-o", "new", "--seed", "-1"],
         "--seed: must be at least 0, got -1"),
    ],
)  # fmt: skip
def test_numbers_out_of_range_name_their_option(
    command: Command, places: Path, arguments: list[str], said: str
) -> None:
    result = command(*arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.splitlines()[-1] == f"ocrsearch: {said}"


def test_a_folder_for_made_pictures_must_be_new(command: Command, places: Path) -> None:
    result = command("data", "synth", "digits", "--n", "100", "-o", ".")
    assert result.code == 2
    assert "folder is not empty; give a new or empty folder" in result.err


# --- networks that read nothing -----------------------------------------------------------------


@pytest.fixture
def reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The best trial of each study reads nothing."""
    found = query.best_trial

    def best_trial(*arguments: Any) -> query.BestTrial:
        best = found(*arguments)
        return replace(best, value=1.0, metrics={**best.metrics, "exact": 0.0, "cer": 1.0})

    monkeypatch.setattr("ocrsearch.studies.best_trial", best_trial)


@pytest.mark.usefixtures("reads_nothing")
@pytest.mark.parametrize("more", [[], ["--fp16-weights"], ["--confirm", "3"], ["--json"]])
def test_a_network_that_reads_nothing_is_not_exported(
    command: Command, study_db: StudyDb, tmp_path: Path, more: list[str]
) -> None:
    path = tmp_path / "m.pt"
    arguments = ["--storage", study_db.url, "--study", study_db.name, "--export", path, *more]
    result = command("best", *arguments)
    assert (result.code, result.out) == (1, "")
    (line,) = result.err.splitlines()
    assert "of trial 2, reads nothing (validation CER 1.0000, exact match 0.000)" in line
    assert line.endswith("to export it anyway, give --force")
    assert not path.exists()


@pytest.mark.usefixtures("reads_nothing")
def test_it_is_exported_by_force_and_shown_with_a_warning(
    command: Command, study_db: StudyDb, tmp_path: Path
) -> None:
    path = tmp_path / "m.pt"
    study = ["--storage", study_db.url, "--study", study_db.name]
    forced = command("best", *study, "--export", path, "--force")
    assert forced.code == 0
    assert path.is_file()
    shown = command("best", *study)
    assert shown.code == 0
    for result in (forced, shown):
        assert result.err.startswith("warning: the best network, of trial 2, reads nothing")


def test_the_study_of_an_export_is_named(
    command: Command, study_db: StudyDb, tmp_path: Path
) -> None:
    arguments = ["best", "--storage", study_db.url, "--export", tmp_path / "m.pt"]
    said = f"note: no --study given: using {study_db.name}, the study that changed last\n"
    assert command(*arguments).err.startswith(said)
    assert "note:" not in command(*arguments, "--study", study_db.name).err
    assert command("best", "--storage", study_db.url).err == ""
