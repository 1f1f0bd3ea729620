"""A study as users meet it from Python: its trials, figures and best model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrsearch.errors import OptionError, StudyError
from ocrsearch.explain import shown
from ocrsearch.results.query import BestTrial, best_trials, learning_curves, trials_frame
from ocrsearch.results.query import load_study as read_study
from ocrsearch.search.database import study_folder
from ocrsearch.search.facts import study_facts
from ocrsearch.search.options import DEFAULT_STORAGE, storage_url

if TYPE_CHECKING:
    import optuna
    import pandas as pd
    import plotly.graph_objects as go


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

    def learning_curves(self) -> dict[int, list[dict[str, Any]]]:
        """Return the records of each trial's epochs, by the number of the trial."""
        return learning_curves(self.optuna_study)

    def figures(self) -> dict[str, go.Figure]:
        """Return Plotly figures by title; those for which there are too few trials are left out."""
        from ocrsearch.results.figures import study_figures

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
        from ocrsearch.deploy.bundle import bundle_trial, halve, save_bundle

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
        from ocrsearch.results.figures import write_page

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
