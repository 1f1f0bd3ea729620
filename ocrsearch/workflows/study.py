"""Studies as Python users see them: trials, figures, export of the best model, and deletion."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import optuna

from ocrsearch.core import DEFAULT_STORAGE, OptionError, StudyError, shown
from ocrsearch.studies import (
    ARTIFACTS,
    FACTS,
    BestTrial,
    ConfigurationStudy,
    ForeignStudyError,
    best_trials,
    check_folder,
    exists,
    foreign_reason,
    is_postgresql,
    is_searched,
    learning_curves,
    open_storage,
    refuse_read_only,
    shown_storage,
    stored_trials,
    study_facts,
    study_folder,
    study_lock,
    trials_frame,
)
from ocrsearch.studies import load_study as read_study
from ocrsearch.training import Epochs
from ocrsearch.tuning import storage_url

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go


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
    trials = stored_trials(study)
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


class Study:
    """A study that was searched, or that is being searched; it is read anew by each method.

    Attributes:
        name: name of the study.
        storage: URL of its database.
        optuna_study: the study as Optuna has it, for its own functions.
    """

    def __init__(self, name: str, storage: str, optuna_study: optuna.Study) -> None:
        self.name, self.storage, self.optuna_study = name, storage, optuna_study

    def __repr__(self) -> str:
        return f"<Study {self.name!r} in {self.storage!r}>"

    def trials_dataframe(self) -> pd.DataFrame:
        """Return the trials as a table, a row each: state, CER, metrics and parameters."""
        return trials_frame(self.optuna_study)

    def learning_curves(self) -> dict[int, Epochs]:
        """Return the records of each trial's epochs, by the number of the trial."""
        return learning_curves(self.optuna_study)

    def figures(self) -> dict[str, go.Figure]:
        """Return Plotly figures by title; those for which there are too few trials are left out."""
        from ocrsearch.reports import study_figures

        figures = study_figures(self.optuna_study)
        return {str(figure.layout.title.text): figure for figure in figures}

    def best_trial(self, limits: Mapping[str, float] | None = None) -> BestTrial:
        """Return the trial with the lowest validation CER whose weights are kept.

        Args:
            limits: largest value of some metrics, such as ``{"latency_ms": 5.0}``.

        Raises:
            StudyError: no trial finished an epoch, or none keeps to the limits.
        """
        if limits is not None and not isinstance(limits, Mapping):
            problem = f"must be a dict such as {{'latency_ms': 5.0}}, got {shown(limits)}"
            raise OptionError(problem, "limits")
        folder = study_folder(self.storage, self.name)
        return best_trials(self.optuna_study, folder, limits or {}, 1)[0]

    def export(
        self,
        path: str | Path,
        limits: Mapping[str, float] | None = None,
        *,
        half: bool = False,
    ) -> BestTrial:
        """Write the model of the best trial to a file; nothing is trained.

        Args:
            path: model file to write.
            limits: see ``best_trial``.
            half: whether weights are stored in 16 bits.

        Returns:
            The trial whose model was written.

        Raises:
            OcrSearchError: there is no such trial, or its weights cannot be read or written.
        """
        from ocrsearch.inference import halve, save_bundle
        from ocrsearch.workflows.trial_models import bundle_trial

        file = _output(path)
        best = self.best_trial(limits)
        bundle = bundle_trial(best, study_facts(self.optuna_study))
        save_bundle(halve(bundle) if half else bundle, file)
        return best

    def write_report(self, path: str | Path) -> None:
        """Write one HTML page with all figures, which needs no network.

        Raises:
            StudyError: the file cannot be written.
        """
        from ocrsearch.reports import write_page

        file = _output(path)
        try:
            write_page(self.optuna_study, file)
        except OSError as error:
            raise StudyError(f"{file}: cannot be written ({error.strerror or error})") from None


def _output(path: str | Path) -> Path:
    if not isinstance(path, str | Path) or not str(path):
        raise OptionError(f"must be the path of a file to write, got {shown(path)}", "path")
    return Path(path)


def load_study(name: str | None = None, storage: str | Path = DEFAULT_STORAGE) -> Study:
    """Open a study to read it.

    Args:
        name: name of the study; None for the study with the latest change.
        storage: URL of the study database, or the path of a SQLite file.

    Raises:
        StudyError: no such database or study.
        OptionError: not a database, or a value of another type.
    """
    if name is not None and not isinstance(name, str):
        raise OptionError(f"must be the name of a study or None, got {shown(name)}", "study")
    if not isinstance(storage, str | Path):
        raise OptionError(
            f"must be the URL of a study database, such as {DEFAULT_STORAGE}, or the path of a "
            f"SQLite file, got {shown(storage)}",
            "storage",
        )
    url = storage_url(storage)
    study = read_study(url, name)
    return Study(study.study_name, url, study)
