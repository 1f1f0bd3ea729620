"""Python interface to studies: trials, figures, export of the best model, and deletion."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna

from ocrsearch.core import (
    DEFAULT_STORAGE,
    OptionError,
    StudyError,
    output_problem,
    shown,
    takes_former_names,
)
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

    from ocrsearch.workflows.study_log import StudyLog


def load_study(name: str | None = None, storage: str | Path = DEFAULT_STORAGE) -> Study:
    """Open an existing study.

    Args:
        name: name of the study; None for the study that changed last.
        storage: URL of the study database, or path of a SQLite file.

    Raises:
        StudyError: the database or the study does not exist.
        OptionError: the storage is not a database, or an argument has the wrong type.
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


class Study:
    """A finished or running study. Each method reads the database again.

    Attributes:
        name: name of the study.
        storage: URL of the study database.
        optuna_study: Optuna study, for use with Optuna's functions.
    """

    def __init__(self, name: str, storage: str, optuna_study: optuna.Study) -> None:
        self.name, self.storage, self.optuna_study = name, storage, optuna_study

    def __repr__(self) -> str:
        return f"<Study {self.name!r} in {self.storage!r}>"

    def trials_dataframe(self) -> pd.DataFrame:
        """Return a table with the state, CER, metrics and parameters of each trial."""
        return trials_frame(self.optuna_study)

    def learning_curves(self) -> dict[int, Epochs]:
        """Return the epoch records of each trial, by trial number."""
        return learning_curves(self.optuna_study)

    def figures(self) -> dict[str, go.Figure]:
        """Return Plotly figures by title. Figures that need more trials are omitted."""
        from ocrsearch.reports import study_figures

        figures = study_figures(self.optuna_study)
        return {str(figure.layout.title.text): figure for figure in figures}

    def best_trial(self, limits: Mapping[str, float] | None = None) -> BestTrial:
        """Return the trial with the lowest validation CER among those with a checkpoint.

        Args:
            limits: upper limits for metrics, such as ``{"latency_ms": 5.0}``.

        Raises:
            StudyError: no trial has finished an epoch, or no trial meets the limits.
        """
        if limits is not None and not isinstance(limits, Mapping):
            problem = f"must be a dict such as {{'latency_ms': 5.0}}, got {shown(limits)}"
            raise OptionError(problem, "limits")
        folder = study_folder(self.storage, self.name)
        return best_trials(self.optuna_study, folder, limits or {}, 1)[0]

    @takes_former_names
    def export(
        self,
        path: str | Path,
        limits: Mapping[str, float] | None = None,
        *,
        fp16_weights: bool = False,
        int8: bool = False,
        max_error: float | None = None,
    ) -> BestTrial:
        """Write the model of the best trial to a file, without further training.

        Its confidence is calibrated on the validation images if they are at hand.

        Args:
            path: model file to write; with the suffix ``.onnx`` for recognition without PyTorch.
            limits: see ``best_trial``.
            fp16_weights: whether to store weights in 16 bits, not for ``.onnx``.
            int8: whether to store the weights of matrices and LSTMs in 8 bits, for ``.onnx`` only.
            max_error: largest fraction of texts with an error among those that are used unchecked.
                Their lowest confidence is stored in the model. None stores no threshold.

        Returns:
            The exported trial.

        Raises:
            OcrSearchError: no trial meets the limits, its weights cannot be read, or the file
                cannot be written.
        """
        from ocrsearch.training import halve, save_bundle
        from ocrsearch.workflows.study_data import find_study_data
        from ocrsearch.workflows.trial_models import bundle_trial
        from ocrsearch.workflows.trust import check_max_error, with_trust

        file = _output(path)
        check_max_error(max_error)
        is_onnx = file.suffix.lower() == ".onnx"
        if int8 and not is_onnx:
            raise OptionError("only for a file of ONNX; remove it", "int8")
        if fp16_weights and is_onnx:
            raise OptionError("not for a file of ONNX; remove it", "fp16_weights")
        if int8 and max_error is not None:
            raise OptionError("cannot be combined with max_error; remove one of them", "int8")
        best, facts = self.best_trial(limits), study_facts(self.optuna_study)
        bundle = bundle_trial(best, facts)
        dataset = find_study_data(self.name, facts, needed=max_error is not None)
        if dataset is not None:
            bundle = with_trust(bundle, dataset, facts.folds, max_error)
        if not is_onnx:
            save_bundle(halve(bundle) if fp16_weights else bundle, file)
            return best
        from ocrsearch.workflows.onnx_export import export_of_study

        export_of_study(bundle, file, self.optuna_study, dataset=dataset, int8=int8)
        return best

    def log(
        self,
        *,
        tensorboard: str | Path | None = None,
        mlflow: str | Path | None = None,
        follow: bool = False,
    ) -> StudyLog:
        """Log each trained trial as a run of TensorBoard or MLflow, with its learning curves.

        Only trials and epochs that the logs lack are written. Call it again to add new ones.

        Args:
            tensorboard: folder for TensorBoard; needs the extra ``tensorboard``.
            mlflow: tracking URI of MLflow, or a local folder; needs the extra ``mlflow``.
            follow: whether to return only when no search of the study is running, and to update
                the logs until then.

        Returns:
            Counts of the last update.

        Raises:
            OptionError: neither place is given, a package is missing, or a log cannot be written.
        """
        from ocrsearch.workflows.study_log import log_study

        for name, place in {"tensorboard": tensorboard, "mlflow": mlflow}.items():
            if place is not None and (not isinstance(place, str | Path) or not str(place)):
                raise OptionError(f"must be the path of a folder, got {shown(place)}", name)
        updates = log_study(
            self.storage,
            self.optuna_study,
            tensorboard=None if tensorboard is None else Path(tensorboard),
            mlflow=None if mlflow is None else str(mlflow),
            follow=follow,
        )
        return [*updates][-1]

    def write_report(
        self, path: str | Path, *, test: bool = False, data: str | None = None
    ) -> dict[str, Any]:
        """Write a report as one HTML page that works offline.

        Args:
            path: file to write.
            test: whether to evaluate the best network on the test split.
            data: new location of the dataset, if it was moved.

        Returns:
            The facts of the page as plain values.

        Raises:
            OcrSearchError: the file cannot be written, or the test split or the moved data cannot
                be read.
        """
        from ocrsearch.reports import plain_content
        from ocrsearch.workflows.report import collect_report, write_report
        from ocrsearch.workflows.study_data import DataPlace

        file = _output(path)
        if problem := output_problem(file):
            reason = problem.removeprefix("cannot be written (").removesuffix(")")
            raise StudyError(f"{file}: cannot be written ({reason})")
        content = collect_report(self.storage, self.name, DataPlace(data), test=test)
        write_report([content], file)
        return plain_content([content])


def _output(path: str | Path) -> Path:
    """Return the path of a file to write, and check the type of the argument."""
    if not isinstance(path, str | Path) or not str(path):
        raise OptionError(f"must be the path of a file to write, got {shown(path)}", "path")
    return Path(path)


ARTIFACT_KEY = re.compile(r"artifacts:([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
"""Trial system attribute with the id of an artifact; other values could be paths."""


@dataclass(frozen=True)
class StudyFiles:
    """Contents of a study to delete.

    Attributes:
        study: name of the study.
        n_trials: number of trials.
        folder: folder with the weights; it may be missing.
        artifacts: artifact files.
        n_bytes: total size of all files in bytes.
    """

    study: str
    n_trials: int
    folder: Path
    artifacts: tuple[Path, ...]
    n_bytes: int


def study_files(storage_url: str, name: str) -> StudyFiles:
    """List the files and trials that ``delete_study`` would delete.

    Raises:
        StudyError: the study does not exist, belongs to another program or is being searched, or
            its folder belongs to another study.
    """
    storage = open_storage(storage_url)
    if not exists(storage, name):
        there = ", ".join(optuna.get_all_study_names(storage)) or "none"
        raise StudyError(f"study {name!r}: not in {shown_storage(storage_url)}; found {there}")
    study = ConfigurationStudy(name, storage)
    attributes = study.user_attrs
    if reason := foreign_reason(study.directions, has_facts=FACTS in attributes):
        raise ForeignStudyError(
            f"study {name!r}: not a study of ocrsearch ({reason}); delete it with the program that "
            "created it"
        )
    folder = study_folder(storage_url, name)
    facts = attributes[FACTS]
    check_folder(folder, name, facts.get("id") if isinstance(facts, dict) else None)
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()) or not name:
        raise StudyError(f"{folder}: not a regular folder of the study; delete it yourself")
    if is_searched(storage, folder, name):
        raise StudyError(f"study {name!r}: a search is running; wait for it to end, or stop it")
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

    The database rows are deleted last, so an interrupted deletion can be repeated.

    Returns:
        The deleted trials and files.

    Raises:
        StudyError: see ``study_files``; or a file cannot be deleted.
    """
    files = study_files(storage_url, name)
    refuse_read_only(storage_url)
    storage = open_storage(storage_url)
    # a search must not start meanwhile; on PostgreSQL, such a search ends with an error message
    lock = nullcontext() if is_postgresql(storage) else study_lock(files.folder, name)
    with lock:
        _delete_files(files)
        storage.delete_study(storage.get_study_id_from_name(name))
    return files


def _delete_files(files: StudyFiles) -> None:
    try:
        for path in files.artifacts:
            path.unlink(missing_ok=True)
        if files.folder.exists():
            shutil.rmtree(files.folder)
    except OSError as error:
        where = error.filename or files.folder
        raise StudyError(f"{where}: cannot be deleted ({error.strerror or error})") from None


def list_study_files(storage_url: str) -> list[StudyFiles]:
    """List the files of all studies that could be deleted now; see ``study_files``."""
    found = []
    for name in optuna.get_all_study_names(open_storage(storage_url)):
        with suppress(StudyError):
            found.append(study_files(storage_url, name))
    return found


def delete_files_of_deleted(storage_url: str, before: Sequence[StudyFiles]) -> list[StudyFiles]:
    """Delete the files of studies that another program has deleted from the database.

    Args:
        storage_url: URL of the study database.
        before: studies that were in the database before, with their files.

    Returns:
        The studies whose files were deleted.

    Raises:
        StudyError: a file cannot be deleted.
    """
    there = set(optuna.get_all_study_names(open_storage(storage_url)))
    gone = [files for files in before if files.study not in there and files.n_bytes]
    for files in gone:
        _delete_files(files)
    return gone
