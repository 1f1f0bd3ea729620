"""Figures for notebooks: each from plain tuples or a study, also with little data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import optuna
import plotly.graph_objects as go
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from ocrsearch.reports.figures import (
    MIN_TRIALS_FOR_IMPORTANCE,
    TrialPoint,
    error_against_size,
    learning_curves_figure,
    optimization_history,
    parallel_coordinates,
    parameter_importances,
    study_figures,
    trial_points,
)
from ocrsearch.studies.results import load_study
from ocrsearch.training.records import EpochRecord

if TYPE_CHECKING:
    from tests.conftest import StudyDb

SPACE: dict[str, BaseDistribution] = {
    "training.learning_rate": FloatDistribution(0.001, 0.1, log=True),
    "training.optimizer": CategoricalDistribution(["adamw", "nadam"]),
}
TITLES = {
    "history": "Optimisation history",
    "curves": "Learning curves",
    "importances": "Parameter importances",
    "coordinates": "Parallel coordinates",
    "sizes": "Error against model size",
}


def point(
    number: int,
    cer: float,
    size_mb: float | None = 1.0,
    state: str = "complete",
    arch: str = "crnn",
) -> TrialPoint:
    return TrialPoint(number, state, cer, arch, size_mb)


def in_memory(cers: list[float], **params: Any) -> optuna.Study:
    """Return a study with finished trials of the given CER; rates grow from trial to trial."""
    study = optuna.create_study(study_name="s", sampler=optuna.samplers.RandomSampler(seed=0))
    for i, cer in enumerate(cers):
        found = {
            "training.learning_rate": 0.001 * (i + 1),
            "training.optimizer": ("adamw", "nadam")[i % 2],
            **params,
        }
        trial = create_trial(
            value=cer,
            params=found,
            distributions={name: SPACE[name] for name in found},
            intermediate_values={1: cer + 0.1, 2: cer},
            user_attrs={
                "architecture": "crnn",
                "size_mb": 1.0 + i,
                "epochs": [
                    {"epoch": 1, "cer": cer + 0.1, "val_loss": 2.0},
                    {"epoch": 2, "cer": cer, "val_loss": 1.0},
                ],
            },
        )
        study.add_trial(trial)
    return study


def traces(figure: go.Figure) -> dict[str, tuple[list[Any], list[Any]]]:
    """Return x and y of each trace by its name."""
    return {trace.name: (list(trace.x), list(trace.y)) for trace in figure.data}


def titles(figures: list[go.Figure]) -> list[str]:
    return [figure.layout.title.text for figure in figures]


# --- points -----------------------------------------------------------------------------------


def test_trial_points_of_the_made_study(study_db: StudyDb) -> None:
    points = trial_points(load_study(study_db.url, study_db.name))
    assert [(p.number, p.state, p.cer) for p in points] == [
        (0, "complete", 0.4),
        (1, "complete", 0.1),
        (2, "complete", 0.1),
        (3, "complete", 0.25),
        (4, "pruned", 0.75),
        (7, "running", 0.9),
    ]
    assert [(p.architecture, p.size_mb) for p in points[2:4]] == [("crnn", 0.08), ("seq2seq", 0.12)]
    assert (points[-1].architecture, points[-1].size_mb) == ("?", None)


def test_trial_points_take_the_lowest_cer() -> None:
    study = optuna.create_study()
    study.add_trial(create_trial(value=0.2, intermediate_values={1: 0.9, 2: 0.2, 3: 0.5}))
    assert [p.cer for p in trial_points(study)] == [0.2]


def test_a_paused_trial_is_a_point_of_its_own_state() -> None:
    study = optuna.create_study()
    for attrs in ({"paused": 1}, {"paused": None}):
        trial = create_trial(
            state=TrialState.PRUNED, intermediate_values={1: 0.9}, user_attrs=attrs
        )
        study.add_trial(trial)
    assert [p.state for p in trial_points(study)] == ["paused", "pruned"]


def test_trials_that_reached_no_cer_are_no_points() -> None:
    study = optuna.create_study()
    assert trial_points(study) == []
    study.add_trial(create_trial(state=TrialState.FAIL))
    study.add_trial(create_trial(state=TrialState.WAITING))
    assert trial_points(study) == []


# --- figures of points ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cers", "best"),
    [
        ([], []),
        ([0.5], [0.5]),
        ([0.5, 0.7, 0.2, 0.3], [0.5, 0.5, 0.2, 0.2]),
        ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5]),
    ],
)
def test_history_draws_the_best_so_far(cers: list[float], best: list[float]) -> None:
    figure = optimization_history([point(i, cer) for i, cer in enumerate(cers)])
    found = traces(figure)
    assert found["best so far"] == (list(range(len(cers))), best)
    assert found.get("complete", ([], []))[1] == cers


def test_history_shows_stopped_trials_and_leaves_them_out_of_the_best() -> None:
    points = [point(0, 0.5), point(1, 0.1, state="pruned"), point(2, 0.4)]
    found = traces(optimization_history(points))
    assert found["pruned"] == ([1], [0.1])
    assert found["best so far"] == ([0, 2], [0.5, 0.4])


def record(epoch: int, cer: float, fold: int = 1) -> EpochRecord:
    return EpochRecord(epoch=epoch, cer=cer, val_loss=cer, fold=fold)


def test_learning_curves_figure() -> None:
    curves = {
        3: [record(1, 0.9), record(2, 0.4)],
        5: [record(1, 0.8)],
        7: [],
    }
    found = traces(learning_curves_figure(curves))
    assert found["trial 3"] == ([1, 2], [0.9, 0.4])
    assert found["trial 5"] == ([1], [0.8])
    assert found["trial 7"] == ([], [])
    assert len(learning_curves_figure({}).data) == 0


def test_learning_curves_of_many_trials_name_the_best() -> None:
    curves = {n: [record(1, 1.0), record(2, n / 100)] for n in range(30)}
    found = learning_curves_figure(curves).data
    assert [trace.name for trace in found] == ["10 others", *(f"trial {n}" for n in range(20))]
    assert list(found[0].x) == [1, 2, None] * 10
    assert found[0].y[1] == 0.2


@pytest.mark.parametrize(
    ("sizes_and_cers", "front"),
    [
        ([(1.0, 0.5)], [(1.0, 0.5)]),
        ([(3.0, 0.1), (1.0, 0.5), (2.0, 0.6)], [(1.0, 0.5), (3.0, 0.1)]),
        ([(1.0, 0.5), (1.0, 0.4)], [(1.0, 0.4)]),  # of one size only the better one
        ([(2.0, 0.3), (1.0, 0.3), (3.0, 0.3)], [(1.0, 0.3)]),  # equal error: the smallest
    ],
)
def test_front_of_error_against_size(
    sizes_and_cers: list[tuple[float, float]], front: list[tuple[float, float]]
) -> None:
    points = [point(i, cer, size) for i, (size, cer) in enumerate(sizes_and_cers)]
    figure = error_against_size(points)
    assert figure is not None
    x, y = traces(figure)["Pareto front"]
    assert list(zip(x, y, strict=True)) == front


def test_error_against_size_shows_finished_trials_of_known_size_by_architecture() -> None:
    points = [
        point(0, 0.5, 1.0, arch="crnn"),
        point(1, 0.4, 2.0, arch="seq2seq"),
        point(2, 0.1, None),
        point(3, 0.1, 0.5, state="pruned"),
    ]
    figure = error_against_size(points)
    assert figure is not None
    found = traces(figure)
    assert found["crnn"] == ([1.0], [0.5])
    assert found["seq2seq"] == ([2.0], [0.4])
    assert found["Pareto front"] == ([1.0, 2.0], [0.5, 0.4])


def test_without_sizes_there_is_no_figure_of_them() -> None:
    assert error_against_size([]) is None
    assert error_against_size([point(0, 0.5, None), point(1, 0.5, 1.0, state="pruned")]) is None


@pytest.mark.parametrize("figure", [optimization_history([]), error_against_size([point(0, 0.5)])])
def test_axes_are_named(figure: go.Figure) -> None:
    assert figure.layout.yaxis.title.text == "validation CER"
    assert figure.layout.xaxis.title.text
    assert figure.layout.title.text


# --- figures of a study -----------------------------------------------------------------------


def test_importances_name_the_parameters_by_their_last_part() -> None:
    figure = parameter_importances(in_memory([0.9, 0.5, 0.8, 0.4, 0.7, 0.3]))
    assert figure is not None
    (bar,) = figure.data
    assert set(bar.y) == {"learning_rate", "optimizer"}
    assert sum(bar.x) == pytest.approx(1.0)
    assert list(bar.x) == sorted(bar.x)  # Plotly draws from below


def test_importances_need_enough_trials() -> None:
    cers = [0.9, 0.5, 0.8, 0.4]
    assert len(cers) == MIN_TRIALS_FOR_IMPORTANCE
    assert parameter_importances(in_memory(cers)) is not None
    assert parameter_importances(in_memory(cers[:-1])) is None


def test_importances_without_parameters() -> None:
    study = optuna.create_study()
    study.add_trials([create_trial(value=0.1 * i) for i in range(6)])
    assert parameter_importances(study) is None


def test_parallel_coordinates_take_the_parameters_that_all_have() -> None:
    study = in_memory([0.5, 0.4])
    study.add_trial(
        create_trial(
            value=0.3,
            params={"training.learning_rate": 0.01},
            distributions={"training.learning_rate": SPACE["training.learning_rate"]},
        )
    )
    figure = parallel_coordinates(study)
    assert figure is not None
    assert list(figure.layout.xaxis.ticktext) == ["CER", "learning_rate"]


def test_axes_of_parallel_coordinates_are_named_by_the_last_part() -> None:
    """Optuna itself cuts long names off."""
    figure = parallel_coordinates(in_memory([0.5, 0.4]))
    assert figure is not None
    assert list(figure.layout.xaxis.ticktext) == ["CER", "learning_rate", "optimizer"]


def test_parallel_coordinates_without_shared_parameters() -> None:
    assert parallel_coordinates(optuna.create_study()) is None
    study = in_memory([0.5])
    study.add_trial(create_trial(value=0.3))
    assert parallel_coordinates(study) is None


@pytest.mark.parametrize(
    ("cers", "expected"),
    [
        ([], []),
        ([0.5], ["history", "curves", "coordinates", "sizes"]),
        ([0.3, 0.2, 0.1], ["history", "curves", "coordinates", "sizes"]),
        ([0.4, 0.3, 0.2, 0.1], ["history", "curves", "importances", "coordinates", "sizes"]),
    ],
)
def test_figures_of_a_study(cers: list[float], expected: list[str]) -> None:
    assert titles(study_figures(in_memory(cers))) == [TITLES[name] for name in expected]


def test_figures_where_all_trials_are_equal() -> None:
    study = in_memory([0.5] * 6, **{"training.learning_rate": 0.01, "training.optimizer": "adamw"})
    found = titles(study_figures(study))
    assert {TITLES["history"], TITLES["curves"], TITLES["sizes"]} <= set(found)


def test_trials_that_only_failed_have_no_figures() -> None:
    study = optuna.create_study()
    study.add_trials([create_trial(state=TrialState.FAIL) for _ in range(5)])
    assert study_figures(study) == []


def test_between_two_folds_a_curve_is_broken() -> None:
    epochs = [record(i + 1, 0.1 * i, fold=1 + i // 2) for i in range(4)]
    (line,) = learning_curves_figure({0: epochs}).data
    assert list(line.x) == [1, 2, None, 3, 4]
