"""Studies that may only be read can be read, and nothing is written for it."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock

from ocrsearch.core.errors import StudyError
from ocrsearch.studies import sqlite_files as read_only
from ocrsearch.studies.artifacts import ARTIFACTS
from ocrsearch.studies.database import open_storage
from ocrsearch.studies.ownership import LOCK, is_locked
from ocrsearch.studies.results import best_trial
from ocrsearch.studies.sqlite_files import read_only_connector, refuse_unwritable

if TYPE_CHECKING:
    from tests.conftest import CommandResult, StudyDb

WITHOUT_PRIVILEGE = (
    "setpriv",
    "--bounding-set=-dac_override,-dac_read_search",
    "--inh-caps=-dac_override,-dac_read_search",
)
"""Makes root ask for permission as other users have to."""

COMMANDS = """
import contextlib, io, json, os, sys
from ocrsearch.cli.app import main
results = []
for words in json.loads(sys.argv[1]):
    sys.argv = ["ocrsearch", *words]
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    results.append((code, out.getvalue(), err.getvalue()))
print(json.dumps(results))
"""


@pytest.fixture
def copy(study_db: StudyDb, tmp_path: Path) -> Iterator[Path]:
    """A copy of a study and its folder, which may be made read-only."""
    source = Path(study_db.url.removeprefix("sqlite:///"))
    (tmp_path / "studies").mkdir()
    shutil.copy(source, tmp_path / "studies" / source.name)
    without = shutil.ignore_patterns(ARTIFACTS)  # other tests may have created them
    shutil.copytree(source.with_suffix(""), tmp_path / "studies" / source.stem, ignore=without)
    (tmp_path / "studies" / source.stem / "tiny-numbers" / LOCK).touch()
    yield tmp_path / "studies" / source.name
    for path in [tmp_path / "studies", *(tmp_path / "studies").rglob("*")]:
        path.chmod(path.stat().st_mode | stat.S_IWUSR)


def lock_up(*paths: Path) -> None:
    for path in paths:
        path.chmod(path.stat().st_mode & ~0o222)


def everything(folder: Path) -> list[Path]:
    return [folder, *folder.rglob("*")]


def run_unprivileged(*commands: list[str]) -> list[tuple[int, str, str]]:
    """Run commands in one process that is refused what is not allowed."""
    prefix: tuple[str, ...] = ()
    if os.geteuid() == 0:
        prefix = WITHOUT_PRIVILEGE
        if shutil.which("setpriv") is None or subprocess.run([*prefix, "true"]).returncode:
            pytest.skip("root cannot give up its privileges here")
    done = subprocess.run(
        [*prefix, sys.executable, "-c", COMMANDS, json.dumps(commands)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    return [(code, out, err) for code, out, err in json.loads(done.stdout)]


@pytest.mark.parametrize("everything_locked", [True, False], ids=["all", "files alone"])
def test_commands_that_read(copy: Path, everything_locked: bool) -> None:
    url, folder = f"sqlite:///{copy}", copy.parent
    export, out = str(folder.parent / "m.pt"), str(folder.parent / "t.csv")
    pytest.importorskip("tensorboard")
    paths = everything(folder)
    lock_up(*(paths if everything_locked else [p for p in paths if p.is_file()]))
    storage = ["--storage", url]
    reading = run_unprivileged(
        ["studies", "list", "--json", *storage],
        ["best", "--json", *storage],
        ["log", "--tensorboard", str(folder.parent / "logs"), *storage],
        ["best", "--export", export, *storage],
        ["studies", "export", *storage, "-o", out],
        ["best", "--confirm", "1", *storage],
        ["studies", "delete", "tiny-numbers", "--yes", *storage],
        ["run", "--space", "quick", "--data", "digits", *storage],
    )
    listed, best, *_ = reading
    assert [code for code, _, _ in reading] == [0, 0, 0, 0, 0, 1, 1, 1]
    assert json.loads(listed[1])["studies"][0]["name"] == "tiny-numbers"
    assert json.loads(best[1])["trial"] == 2
    assert Path(export).is_file()
    assert len(Path(out).read_text().splitlines()) == 9
    assert set(everything(folder)) == set(paths)
    for _, _, err in reading[5:]:
        assert "may only be read, not written; copy the study" in err
        assert len(err.splitlines()) == 1


def contents(opened: Callable[[], sqlite3.Connection]) -> list[Any]:
    connection = opened()
    try:
        return connection.execute("SELECT * FROM t").fetchall()
    finally:
        connection.close()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A file in the mode of a search, with a row."""
    file = tmp_path / "a b?#%41.db"
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t (x)")
        connection.execute("INSERT INTO t VALUES (1)")
    connection.close()
    return file


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_without_a_log_is_read_as_it_is(database: Path) -> None:
    assert contents(read_only_connector(database)) == [(1,)]
    assert names(database.parent) == [database.name]
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        read_only_connector(database)().execute("INSERT INTO t VALUES (2)")


def test_a_search_that_runs_is_followed(database: Path) -> None:
    writer = sqlite3.connect(database)
    writer.execute("INSERT INTO t VALUES (2)")
    writer.commit()
    opened = read_only_connector(database)
    assert contents(opened) == [(1,), (2,)]
    writer.execute("INSERT INTO t VALUES (3)")
    writer.commit()
    assert contents(opened) == [(1,), (2,), (3,)]
    writer.close()


@pytest.fixture
def crashed(database: Path, tmp_path: Path) -> Path:
    """What a killed search leaves: changes that are in the log alone."""
    writer = sqlite3.connect(database)
    writer.execute("INSERT INTO t VALUES (2)")
    writer.commit()
    place = tmp_path / "crashed"
    place.mkdir()
    for ending in ("", "-wal"):
        shutil.copy(f"{database}{ending}", place / f"s.db{ending}")
    writer.close()
    return place / "s.db"


def test_changes_in_a_log_are_read_from_a_copy(crashed: Path) -> None:
    assert contents(read_only_connector(crashed)) == [(1,), (2,)]
    assert names(crashed.parent) == ["s.db", "s.db-wal"]


def test_a_log_that_cannot_be_copied(crashed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(read_only.shutil, "copyfile", full)
    with pytest.raises(StudyError, match=r"s\.db-wal: has changes .*: No space left on device"):
        read_only_connector(crashed)


def test_a_file_that_may_not_be_read(crashed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("-wal"))
    with pytest.raises(StudyError, match=r"s\.db-wal: may not be read by this user"):
        read_only_connector(crashed)


def test_a_study_with_changes_in_the_log(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole study through the read-only way, with a killed search's log."""
    writer = sqlite3.connect(copy)
    writer.execute("UPDATE studies SET study_name = 'renamed'")
    writer.commit()
    place = copy.parent.parent / "other"
    place.mkdir()
    for ending in ("", "-wal"):
        shutil.copy(f"{copy}{ending}", place / f"{copy.name}{ending}")
    writer.close()
    copy.with_suffix("").joinpath("tiny-numbers").rename(place / "renamed")
    (place / copy.stem).mkdir()
    (place / "renamed").rename(place / copy.stem / "renamed")
    monkeypatch.setattr("ocrsearch.studies.database.may_write", lambda file: False)
    assert best_trial(f"sqlite:///{place / copy.name}").study == "renamed"
    assert names(place) == sorted([copy.stem, copy.name, f"{copy.name}-wal"])


@pytest.mark.parametrize("writable", [True, False])
def test_a_lock_is_seen_without_the_right_to_take_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writable: bool
) -> None:
    assert not is_locked(tmp_path)
    (tmp_path / LOCK).touch()
    monkeypatch.setattr(os, "access", lambda path, mode: writable or mode == os.R_OK)
    assert not is_locked(tmp_path)
    with FileLock(tmp_path / LOCK):
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)


@pytest.mark.parametrize("refused", ["s/a.db", "s", "."])
def test_what_must_be_writable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    file = tmp_path / "s" / "a.db"
    if refused != ".":
        file.parent.mkdir()
        file.touch()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path / refused)
    with pytest.raises(StudyError, match="may only be read"):
        refuse_unwritable(file)


def test_the_dashboard_shows_and_says_so(
    command: Callable[..., CommandResult], copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[Any] = []
    dashboard = pytest.importorskip("optuna_dashboard")
    monkeypatch.setattr(dashboard, "run_server", lambda storage, **kw: served.append((storage, kw)))
    monkeypatch.setattr("ocrsearch.studies.database.may_write", lambda file: False)
    result = command("dashboard", "--storage", f"sqlite:///{copy}")
    assert result.code == 130  # as after Ctrl-C
    assert f"note: {copy} is read-only; the dashboard cannot change it" in result.err
    ((storage, options),) = served
    assert [s.study_name for s in storage.get_all_studies()] == ["tiny-numbers"]
    assert options["artifact_store"] is None
    assert not list(copy.parent.rglob(".artifacts"))


def test_tables_of_an_older_optuna(copy: Path) -> None:
    with sqlite3.connect(copy) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v2.6.0.a'")
    connection.close()
    with pytest.raises(StudyError) as caught:
        open_storage(f"sqlite:///{copy}")
    message = str(caught.value)
    assert message.startswith(
        f"{copy}: cannot open the study database: the tables were created by an older version of "
    )
    assert message.endswith(f"with optuna storage upgrade --storage sqlite:///{copy}")
    assert "$" not in message


def test_tables_of_a_newer_optuna(copy: Path) -> None:
    with sqlite3.connect(copy) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v99.0.0'")
    connection.close()
    with pytest.raises(StudyError, match="created by a newer version of Optuna"):
        open_storage(f"sqlite:///{copy}")
