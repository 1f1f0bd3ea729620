"""Databases that others wrote: every command ends in a line, or goes on with the other trials."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ocrsearch.core.errors import StudyError
from ocrsearch.studies.sqlite_files import refuse_unusual
from tests.hostile_databases import KINDS, write_hostile_database

if TYPE_CHECKING:
    from tests.conftest import CommandResult

SEEDS = 3 * len(KINDS)
LONGEST_S = 20.0


def test_there_are_many_kinds() -> None:
    assert len(KINDS) >= 25


@pytest.mark.parametrize("seed", range(SEEDS), ids=lambda s: f"{KINDS[s % len(KINDS)]}-{s}")
def test_a_hostile_database_is_a_line(
    seed: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: Callable[..., CommandResult],
) -> None:
    monkeypatch.chdir(tmp_path)
    hostile = write_hostile_database(tmp_path, seed)
    began = time.process_time()
    result = command(*hostile.arguments)

    assert result.code in (0, 1, 2)
    assert time.process_time() - began < LONGEST_S
    printed = result.out + result.err
    assert "internal error" not in printed
    assert "Traceback" not in printed
    assert "\x1b" not in printed
    if result.code:
        assert result.err.splitlines()[-1].startswith("ocrsearch: ")
    assert all(path.is_relative_to(tmp_path) for path in tmp_path.rglob("*"))


def test_a_column_that_computes_its_values_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE t (a, b TEXT AS (hex(zeroblob(9))))")
    connection.close()
    with pytest.raises(StudyError, match="generated column"):
        refuse_unusual(file)
