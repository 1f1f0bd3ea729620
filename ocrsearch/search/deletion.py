"""Deleting a study: its rows in the database, its weights and its artifacts."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import optuna

from ocrsearch.errors import StudyError
from ocrsearch.search.artifacts import ARTIFACTS
from ocrsearch.search.database import open_storage, refuse_read_only, shown_storage, study_folder
from ocrsearch.search.facts import FACTS, ForeignStudyError, foreign_reason
from ocrsearch.search.identity import check_folder
from ocrsearch.search.postgresql import is_postgresql
from ocrsearch.search.sharing import is_searched
from ocrsearch.search.study import ConfigurationStudy, exists, study_lock

ARTIFACT_KEY = re.compile(r"artifacts:([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
"""System attribute of a trial that names an artifact; anything else could be a path."""


@dataclass(frozen=True)
class StudyFiles:
    """A study that may be deleted.

    Attributes:
        study: name of the study.
        n_trials: number of its trials.
        folder: folder with its weights, which may be missing.
        artifacts: files of its artifacts.
        n_bytes: size of all its files.
    """

    study: str
    n_trials: int
    folder: Path
    artifacts: tuple[Path, ...]
    n_bytes: int


def study_files(storage_url: str, name: str) -> StudyFiles:
    """Return what deleting a study would delete.

    Raises:
        StudyError: no such study, another program made it, its folder belongs to another study, or
            a search of it is running.
    """
    storage = open_storage(storage_url)
    if not exists(storage, name):
        there = ", ".join(optuna.get_all_study_names(storage)) or "none"
        raise StudyError(f"study {name!r}: not in {shown_storage(storage_url)}; there are {there}")
    study = ConfigurationStudy(name, storage)
    attributes = study.user_attrs
    if reason := foreign_reason(study.directions, has_facts=FACTS in attributes):
        raise ForeignStudyError(
            f"study {name!r}: not a study of ocrsearch ({reason}); delete it with the program that "
            "made it"
        )
    folder = study_folder(storage_url, name)
    facts = attributes[FACTS]
    check_folder(folder, name, facts.get("id") if isinstance(facts, dict) else None)
    _refuse_odd(folder, name)
    if is_searched(storage, folder, name):
        raise StudyError(f"study {name!r}: a search of it is running; wait for it, or end it")
    trials = study._storage.get_all_trials(study._study_id, deepcopy=False)
    keys = [ARTIFACT_KEY.fullmatch(key) for trial in trials for key in trial.system_attrs]
    names = [match[1] for match in keys if match]
    found = (folder.parent / ARTIFACTS / artifact for artifact in names)
    artifacts = tuple(path for path in found if path.is_file())
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    n_bytes = sum(path.stat().st_size for path in (*files, *artifacts))
    return StudyFiles(name, len(trials), folder, artifacts, n_bytes)


def delete_study(storage_url: str, name: str) -> StudyFiles:
    """Delete a study with its weights and artifacts.

    The rows go last: a deletion that is interrupted can be repeated.

    Returns:
        What was deleted.

    Raises:
        StudyError: see ``study_files``; or a file cannot be deleted.
    """
    files = study_files(storage_url, name)
    refuse_read_only(storage_url)
    storage = open_storage(storage_url)
    with _held(storage, files.folder, name):
        try:
            for path in files.artifacts:
                path.unlink(missing_ok=True)
            if files.folder.exists():
                shutil.rmtree(files.folder)
        except OSError as error:
            where = error.filename or files.folder
            raise StudyError(f"{where}: cannot be deleted ({error.strerror or error})") from None
        storage.delete_study(storage.get_study_id_from_name(name))
    return files


@contextmanager
def _held(storage: optuna.storages.RDBStorage, folder: Path, name: str) -> Iterator[None]:
    """Keep a search from beginning; on a server the rows alone could, and it would be told."""
    if is_postgresql(storage):
        yield
        return
    with study_lock(folder, name):
        yield


def _refuse_odd(folder: Path, name: str) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()) or not name:
        raise StudyError(f"{folder}: not a folder of its own; delete it yourself")
