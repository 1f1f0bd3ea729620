"""Hostile study databases of many kinds: a good one, copied and damaged by SQL, by a seed.

Each comes with a command that must end in a line or go on with the other trials, whatever the
database holds.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STUDY = "s"
SPACE = """
images: {height: 16}
model:
  architecture: crnn
  encoder:
    conv_depth: {int: [2, 3]}
    conv_base: {choice: [8, 12]}
    linear_width: 16
    hidden_size: 16
training:
  learning_rate: {float: [1.0e-3, 1.0e-2], log: true}
  epochs: 2
"""

Database = sqlite3.Connection
Damage = Callable[[Database, random.Random], None]

JUNK = (
    *("null", "5", '"x"', "[]", "{}", "[[[[]]]]", "true", "NaN", "Infinity", "-1", "1e400"),
    *(
        "{",
        "",
        "\u202ejunk",
        '{"a": 1}',
        "[1, 2]",
        "[" * 3000,
        "9" * 5000,
        '"' + "x" * 300_000 + '"',
    ),
)
"""Texts in the place of JSON values."""

VALUES = (
    *(None, -1, 2**62, 1e308, float("inf"), "x", "", b"\xff\xfe", "-5", "0x10", "1" * 400),
    *(0.5, "\u202e\x1b[2J", "../../../etc", b"\x00" * 50),
)
"""Values of any type in the place of numbers."""

ESCAPES = "\x1b]0;x\x07\x1b[31m\u202e=cmd|' /C calc'!A0"


@dataclass(frozen=True)
class HostileDatabase:
    """A damaged database in a folder.

    Attributes:
        kind: kind of the damage.
        name: name of the database file.
        arguments: command to try it with, without the program's name.
    """

    kind: str
    name: str
    arguments: tuple[str, ...]


@functools.lru_cache(maxsize=1)
def good_database() -> Path:
    """Make a study of four trials, three of them finished, with weights that are none; once."""
    from ocrsearch.spaces.reading import parse_space
    from ocrsearch.studies.database import open_storage
    from ocrsearch.studies.facts import StudyFacts
    from ocrsearch.studies.study import open_study

    folder = Path(tempfile.mkdtemp(prefix="hostile-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    file = folder / "good.db"
    storage = open_storage(f"sqlite:///{file}", create=True)
    space = parse_space(SPACE, "tiny")
    facts = StudyFacts("tiny", space.content, "captcha:x", "f", {"train": 2}, {}, 0)
    study = open_study(storage, STUDY, space, facts)
    for cer in (0.5, 0.25, 0.75):
        trial = study.ask()
        space.suggest(trial)
        trial.report(cer, 1)
        trial.set_user_attr("epochs", [epoch(1, cer)])
        trial.set_user_attr("architecture", "crnn")
        trial.set_user_attr("origin", {"seed": trial.number, "device": "cpu"})
        study.tell(trial, cer)
    space.suggest(study.ask())
    study.enqueue_trial({"model.encoder.conv_depth": 2})
    good = folder / "whole.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("VACUUM INTO ?", (str(good),))
    storage.engine.dispose()
    return good


def epoch(number: int, cer: float) -> dict[str, Any]:
    """Return the record of an epoch."""
    rates = {"cer": cer, "wer": cer, "exact": 1.0 - cer}
    return {"epoch": number, "train_loss": 1.0, "val_loss": 1.0, "seconds": 1.0, **rates}


def _set(table: str, columns: tuple[str, ...], values: tuple[Any, ...]) -> Damage:
    """Put a value of any type into one column of one row, or of all rows."""

    def damage(database: Database, chance: random.Random) -> None:
        column, value = chance.choice(columns), chance.choice(values)
        where = chance.choice(["", " WHERE rowid = (SELECT max(rowid) FROM {0})"]).format(table)
        database.execute(f"UPDATE OR IGNORE {table} SET {column} = ?{where}", (value,))  # noqa: S608

    return damage


def _attribute(table: str, key: str, values: Callable[[random.Random], str]) -> Damage:
    """Put a text in the place of one attribute of all trials, or of the study."""

    def damage(database: Database, chance: random.Random) -> None:
        query = f"UPDATE {table} SET value_json = ? WHERE key = ?"  # noqa: S608
        database.execute(query, (values(chance), key))

    return damage


def _junk(chance: random.Random) -> str:
    return chance.choice(JUNK)


def _odd_epochs(chance: random.Random) -> str:
    record: dict[str, Any] = epoch(chance.choice([0, 1, 2, -1, 10**9]), 0.5)
    key = chance.choice(list(record))
    if chance.random() < 0.3:
        del record[key]
    else:
        record[key] = chance.choice([None, "x", float("nan"), -1e308, [], {}, True, 10**400])
    return json.dumps([record] * chance.choice([0, 1, 2, 5000]))


def _odd_facts(chance: random.Random) -> str:
    facts: dict[str, Any] = {
        "space_name": "tiny",
        "space": {},
        "data_spec": "captcha:x",
        "data_fingerprint": "f",
        "n_samples": {},
        "data_options": {},
        "seed": 0,
        "objective": ["cer"],
        "id": "0" * 32,
        "version": 2,
    }
    key = chance.choice(list(facts))
    odd = [None, "x", -1, [], {}, {"x": 1}, 99, ESCAPES, ["cer", "x"], {"group": "("}, 10**40]
    facts[key] = chance.choice(odd)
    return json.dumps(facts)


def _odd_distribution(chance: random.Random) -> str:
    names = ["CategoricalDistribution", "IntDistribution", "FloatDistribution", "Other", "eval"]
    attributes = [
        {"choices": []},
        {"choices": [[1], {"a": 2}]},
        {"low": 5, "high": 1, "step": 1, "log": False},
        {"low": float("nan"), "high": 1.0, "log": True, "step": None},
        {"low": 1, "high": 10**400, "step": 0, "log": False},
        {},
    ]
    return json.dumps({"name": chance.choice(names), "attributes": chance.choice(attributes)})


def _distribution(database: Database, chance: random.Random) -> None:
    text = chance.choice([_odd_distribution(chance), _junk(chance)])
    database.execute("UPDATE trial_params SET distribution_json = ?", (text,))


def _name(database: Database, chance: random.Random) -> None:
    names = [
        "../../..",
        "/etc/passwd",
        "a/b",
        "",
        ".",
        "..",
        ESCAPES,
        "x" * 4000,
        "CON",
        b"\xff\xfe",
    ]
    database.execute("UPDATE studies SET study_name = ?", (chance.choice(names),))


def _queue(database: Database, chance: random.Random) -> None:
    """Queue configurations that are none of the space."""
    odd = [
        {"model.encoder.conv_depth": 99},
        {"model.encoder.conv_base": "sixteen"},
        {"training.learning_rate": float("nan")},
        {"no.such": [1, 2]},
        {"model.encoder.conv_depth": [2]},
        {"training.learning_rate": 10**400},
        ["x"],
        5,
    ]
    text = json.dumps(chance.choice(odd))
    query = "UPDATE trial_system_attributes SET value_json = ? WHERE key = 'fixed_params'"
    database.execute(query, (text,))


def _numbers(database: Database, chance: random.Random) -> None:
    database.execute("UPDATE trials SET number = ?", (chance.choice([0, 5, -3, None, 10**15]),))


def _foreign(database: Database, chance: random.Random) -> None:
    """Turn the study into another program's."""
    if chance.random() < 0.5:
        database.execute("UPDATE study_directions SET direction = 'MAXIMIZE'")
    else:
        database.execute("DELETE FROM study_user_attributes")


def _missing(database: Database, chance: random.Random) -> None:
    """Drop a table or a column."""
    if chance.random() < 0.6:
        tables = ["trials", "trial_params", "trial_values", "studies", "study_directions"]
        tables += ["trial_user_attributes", "version_info", "alembic_version"]
        database.execute(f"DROP TABLE {chance.choice(tables)}")
    else:
        database.execute("ALTER TABLE trial_values DROP COLUMN value_type")


def _trigger(database: Database, chance: random.Random) -> None:
    endless = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3000000) "
        "SELECT 1, 'k' || i, '1' FROM n"
    )
    table = chance.choice(["trials", "trial_user_attributes", "study_user_attributes"])
    database.execute(
        f"CREATE TRIGGER odd AFTER INSERT ON {table} BEGIN "
        f"INSERT INTO trial_user_attributes (trial_id, key, value_json) {endless}; END"
    )


def _view(database: Database, chance: random.Random) -> None:
    table = chance.choice(["trials", "studies", "trial_values"])
    columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
    database.execute(f"ALTER TABLE {table} RENAME TO hidden")
    listed = ", ".join(f"i AS {column}" for column in columns)
    database.execute(
        f"CREATE VIEW {table} AS WITH RECURSIVE n(i) AS "  # noqa: S608
        f"(SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT {listed} FROM n"
    )


def _many(database: Database, chance: random.Random) -> None:
    """Add more rows than any study has."""
    n = chance.choice([5_000, 20_000])
    database.execute(
        "WITH RECURSIVE n(i) AS (SELECT 9 UNION ALL SELECT i + 1 FROM n LIMIT ?) "
        "INSERT INTO trial_user_attributes (trial_id, key, value_json) "
        "SELECT 1, 'k' || i, '1' FROM n",
        (n,),
    )


def _blob(database: Database, chance: random.Random) -> None:
    """Put a very long value into a cell: zeros, which SQLite makes by itself."""
    size = chance.choice([9_000_000, 70_000_000])
    table, column = chance.choice(
        [("trial_user_attributes", "value_json"), ("trials", "number"), ("studies", "study_name")]
    )
    database.execute(f"UPDATE OR IGNORE {table} SET {column} = zeroblob(?)", (size,))  # noqa: S608


def _origin(chance: random.Random) -> str:
    odd = [{"seed": "x"}, {"versions": 5}, {"versions": {"torch": ESCAPES}}, {"ended": "now"}]
    odd += [{"transfer": []}, {"device": None}, {"device": ESCAPES}]
    return json.dumps(chance.choice(odd))


TRIAL, STUDY_ATTRIBUTES = "trial_user_attributes", "study_user_attributes"

DAMAGES: dict[str, Damage] = {
    "facts: junk": _attribute(STUDY_ATTRIBUTES, "facts", _junk),
    "facts: odd values": _attribute(STUDY_ATTRIBUTES, "facts", _odd_facts),
    "epochs: junk": _attribute(TRIAL, "epochs", _junk),
    "epochs: odd values": _attribute(TRIAL, "epochs", _odd_epochs),
    "origin": _attribute(TRIAL, "origin", lambda c: c.choice([_junk(c), _origin(c)])),
    "architecture": _attribute(TRIAL, "architecture", _junk),
    "distributions": _distribution,
    "parameters": _set("trial_params", ("param_value",), VALUES),
    "parameter names": _set("trial_params", ("param_name",), VALUES),
    "states": _set("trials", ("state",), ("BOGUS", None, 5, "RUNNING", "COMPLETE", b"\xff")),
    "dates": _set("trials", ("datetime_start", "datetime_complete"), (*VALUES, "9999-99-99")),
    "numbers": _numbers,
    "values": _set("trial_values", ("value", "value_type", "objective"), VALUES),
    "steps": _set("trial_intermediate_values", ("intermediate_value", "step"), VALUES),
    "directions": _set("study_directions", ("direction", "objective"), VALUES),
    "study names": _name,
    "queue": _queue,
    "another program's": _foreign,
    "missing tables": _missing,
    "triggers": _trigger,
    "views": _view,
    "many rows": _many,
    "long values": _blob,
}
FILES = ("no database", "cut off", "a pipe", "a folder", "random bytes")
KINDS = (*DAMAGES, *FILES)

COMMANDS: tuple[tuple[str, ...], ...] = (
    ("studies", "list"),
    ("studies", "list", "--json"),
    ("best",),
    ("best", "--json"),
    ("best", "--export", "model.pt", "--force"),
    ("studies", "export"),
    ("report", "--json"),
    ("studies", "delete", STUDY, "--yes"),
)


def write_hostile_database(folder: Path, seed: int) -> HostileDatabase:
    """Write one database into a folder: the same for the same seed.

    Args:
        folder: an existing folder.
        seed: chooses the kind in turn, and by chance the damage and the command.
    """
    chance = random.Random(seed)
    kind = KINDS[seed % len(KINDS)]
    name = f"hostile-{seed}.db"
    file = folder / name
    if kind in DAMAGES:
        _damage(file, kind, chance)
    else:
        _write_file(file, kind, chance)
    command = chance.choice(COMMANDS)
    return HostileDatabase(kind, name, (*command, "--storage", f"sqlite:///{file}"))


def write_damaged(folder: Path, kind: str, seed: int) -> Path:
    """Write a database with damage of one kind; see ``DAMAGES``."""
    file = folder / f"damaged-{seed}.db"
    _damage(file, kind, random.Random(seed))
    return file


def _damage(file: Path, kind: str, chance: random.Random) -> None:
    shutil.copy(good_database(), file)
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA foreign_keys=OFF")
        DAMAGES[kind](database, chance)
        database.commit()


def hostile_databases(folder: Path, seeds: range) -> Iterator[HostileDatabase]:
    """Write databases into a folder, one for each seed."""
    for seed in seeds:
        yield write_hostile_database(folder, seed)


def _write_file(file: Path, kind: str, chance: random.Random) -> None:
    content = good_database().read_bytes()
    if kind == "no database":
        file.write_text("not a database, but a text\n" * 50, encoding="utf-8")
    elif kind == "cut off":
        file.write_bytes(content[: chance.randrange(1, len(content))])
    elif kind == "a pipe":
        os.mkfifo(file)
    elif kind == "a folder":
        file.mkdir()
    else:  # the first page stays, so that it looks like one
        page = bytearray(content)
        for _ in range(chance.choice([20, 2000])):
            page[chance.randrange(100, len(page))] = chance.randrange(256)
        file.write_bytes(page)
