"""Whose folder it is: each study has a random id, and everything in its folder carries it.

A file name is no identity. A database may be restored from a backup beside newer weights, a
study deleted and begun again under its name, a folder copied, two databases share a folder.
Every reader compares, and nothing of another study is overwritten or deleted.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ocrsearch.errors import StudyError
from ocrsearch.files import read_text_file, write_text_file
from ocrsearch.training.trial_files import trial_folder

IDENTITY = "study.json"
"""File in the folder of a study, and in the folder of its prepared data."""

MAX_BYTES = 100_000
TRIAL_FOLDER = re.compile(r"trial-(\d{5,})")


class Identity(BaseModel):
    """Content of the file.

    Attributes:
        id: id of the study.
        study: name of the study.
        database: name of its database file, or of its database on a server.
    """

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    id: str = Field(max_length=64)
    study: str
    database: str


def read_identity(folder: Path) -> Identity | None:
    """Return whose folder it is, None if it does not say.

    Raises:
        StudyError: the file cannot be read.
    """
    file = folder / IDENTITY
    if not file.exists():
        return None
    text = read_text_file(file, str(file), StudyError, max_bytes=MAX_BYTES)
    try:
        return Identity.model_validate_json(text)
    except ValidationError:
        raise StudyError(
            f"{file}: damaged; delete it if {folder} belongs to the study of its name"
        ) from None


def write_identity(folder: Path, identity: Identity) -> None:
    """Say in a folder whose it is."""
    write_text_file(folder / IDENTITY, json.dumps(identity.model_dump(), ensure_ascii=False) + "\n")


def check_folder(folder: Path, name: str, study_id: str | None) -> None:
    """Refuse the folder of another study.

    Args:
        folder: folder of the study, by its name.
        name: name of the study.
        study_id: id of the study, None for an older one that has none yet.

    Raises:
        StudyError: the folder says that it belongs to another study.
    """
    found = read_identity(folder)
    if found is not None and found.id != study_id:
        raise StudyError(
            f"{folder}: belongs to another study ({found.study!r} of {found.database}, id "
            f"{found.id[:8]}), not to this study {name!r}; move the folder away, restore the "
            "database that belongs to it, or give --study another name"
        )


def claim_folder(folder: Path, identity: Identity, n_known: int) -> None:
    """Make a folder the study's, or refuse it; nothing in it is changed.

    Args:
        folder: folder of the study, by its name.
        identity: to be written into a folder that has none.
        n_known: trials with lower numbers are in the database.

    Raises:
        StudyError: it belongs to another study, or has weights that the database does not know.
    """
    check_folder(folder, identity.study, identity.id)
    refuse_unknown_trials(folder, identity.study, n_known)
    if read_identity(folder) is None:
        write_identity(folder, identity)


def refuse_unknown_trials(folder: Path, name: str, n_known: int) -> None:
    """Refuse a folder with weights of trials that the database of the study does not know.

    Raises:
        StudyError: the database is older than the folder, or new.
    """
    unknown = [n for n in trial_numbers(folder) if n >= n_known]
    if not unknown:
        return
    first = trial_folder(folder, min(unknown)).name
    if n_known == 0:
        raise StudyError(
            f"{folder}: holds the weights of another study of this name ({first}), which the "
            "database does not know; move the folder away, or give --study another name"
        )
    raise StudyError(
        f"{folder}: newer than the database, which knows {n_known} trials of study {name!r} but "
        f"not {first}; restore the newer database, or move {first} and later ones away"
    )


def trial_numbers(folder: Path) -> list[int]:
    """Return the numbers of the trials that have files in the folder of a study."""
    if not folder.is_dir():
        return []
    found = [(TRIAL_FOLDER.fullmatch(path.name), path) for path in folder.iterdir()]
    return [int(m[1]) for m, path in found if m and path.is_dir() and any(path.iterdir())]
