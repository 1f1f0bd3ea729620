"""What a search holds open is looked at again: nothing goes on in files that are gone."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ocrsearch.studies import ownership as held_module
from ocrsearch.studies.ownership import HeldFiles, LostError


@pytest.fixture
def held(tmp_path: Path) -> HeldFiles:
    folder = tmp_path / "one" / "s"
    folder.mkdir(parents=True)
    for file in (tmp_path / "one.db", tmp_path / "one.db-wal", folder / "lock"):
        file.write_bytes(b"x")
    return HeldFiles("s", folder, tmp_path / "one.db", lambda: True)


def replace_file(path: Path) -> None:
    """Put another file in the place of one, as a backup program does."""
    path.with_name("new").write_bytes(path.read_bytes())
    path.with_name("new").replace(path)


@pytest.mark.parametrize("end", [Path.unlink, replace_file])
@pytest.mark.parametrize("name", ["one.db", "one.db-wal", "one/s/lock"])
def test_a_lost_file_is_one_line(
    held: HeldFiles, tmp_path: Path, name: str, end: Callable[[Path], object]
) -> None:
    held.look(now=True)
    end(tmp_path / name)
    with pytest.raises(LostError, match=f"{name} was deleted or replaced during the search; ") as e:
        held.look(now=True)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("end", [shutil.rmtree, lambda folder: folder.rename(f"{folder}.old")])
def test_a_lost_folder_is_told_as_such(held: HeldFiles, end: Callable[[Path], object]) -> None:
    end(held.folder)
    with pytest.raises(
        LostError, match=r"one/s was deleted .* its weights and checkpoints are lost"
    ):
        held.look(now=True)


def test_a_folder_made_anew_is_another(held: HeldFiles) -> None:
    other = held.folder.with_name("t")
    shutil.copytree(held.folder, other)
    shutil.rmtree(held.folder)
    other.rename(held.folder)
    with pytest.raises(LostError):
        held.look(now=True)


def test_a_study_that_was_deleted(tmp_path: Path) -> None:
    held = HeldFiles("s", tmp_path, None, lambda: False)
    with pytest.raises(LostError, match="study 's' was deleted from the database during"):
        held.look(now=True)


def test_it_looks_about_once_a_second(
    held: HeldFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one.db").unlink()
    held.look()
    monkeypatch.setattr(held_module, "LOOK_SECONDS", 0.0)
    with pytest.raises(LostError):
        held.look()


def test_an_error_is_explained_by_a_loss(held: HeldFiles, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), held.explained():
        raise ZeroDivisionError
    (tmp_path / "one.db").unlink()
    with pytest.raises(LostError, match=r"one\.db was deleted"), held.explained():
        raise FileNotFoundError("data/index.json")


def test_a_file_that_never_was_is_not_missed(tmp_path: Path) -> None:
    held = HeldFiles("s", tmp_path, tmp_path / "none.db", lambda: True)
    held.look(now=True)
    tmp_path.rename(tmp_path.with_name("moved"))
    with pytest.raises(LostError, match=re.escape(f"{tmp_path} was deleted")):
        held.look(now=True)


def test_a_disk_that_does_not_answer_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = HeldFiles("s", tmp_path, None, lambda: True)

    def no_answer(path: Path) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    with monkeypatch.context() as unreachable:
        unreachable.setattr("ocrsearch.studies.ownership.mark", no_answer)
        held.look(now=True)
    tmp_path.rename(tmp_path.with_name("moved"))  # and that is seen when it answers again
    with pytest.raises(LostError, match="was deleted"):
        held.look(now=True)
