"""Reading studies: which trial is best, which study the latest, and that nothing is written."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from ocrsearch.core.errors import OptionError, StudyError
from ocrsearch.spaces.reading import parse_space
from ocrsearch.studies.database import open_storage, study_folder
from ocrsearch.studies.facts import StudyFacts
from ocrsearch.studies.ownership import study_lock
from ocrsearch.studies.results import (
    best_trial,
    learning_curves,
    list_studies,
    load_study,
    trials_frame,
)
from ocrsearch.studies.study import open_study
from ocrsearch.training.records import trial_folder

if TYPE_CHECKING:
    from tests.conftest import StudyDb

NOON = datetime(2026, 3, 1, 12, 0, 0)
RATE = "training.learning_rate"

NewStudy = Callable[[str], optuna.Study]


def finished(
    cer: float, *, ended: datetime = NOON, val_loss: float = 1.0, **attrs: Any
) -> FrozenTrial:
    return stored(TrialState.COMPLETE, [cer], ended, {"epochs": curve(cer, val_loss), **attrs})


def curve(cer: float, val_loss: float = 1.0) -> list[dict[str, Any]]:
    """Return the records of one epoch."""
    rates = {"cer": cer, "wer": cer, "exact": 1.0 - cer, "val_loss": val_loss}
    return [{"epoch": 1, "seconds": 1.0, **rates}]


def unfinished(state: TrialState, *, ended: datetime = NOON, **attrs: Any) -> FrozenTrial:
    return stored(state, None, ended, attrs)


def stored(
    state: TrialState, values: list[float] | None, ended: datetime, attrs: dict[str, Any]
) -> FrozenTrial:
    return FrozenTrial(
        number=-1,
        trial_id=-1,
        state=state,
        value=None,
        values=values,
        datetime_start=ended - timedelta(minutes=1),
        datetime_complete=ended if state.is_finished() else None,
        params={RATE: 0.01},
        distributions={RATE: FloatDistribution(0.001, 0.1, log=True)},
        user_attrs=attrs,
        system_attrs={},
        intermediate_values={},
    )


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'studies.db'}"


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without a study, to be copied: making one takes longer than most tests."""
    file = tmp_path_factory.mktemp("empty") / "studies.db"
    open_storage(f"sqlite:///{file}", create=True).engine.dispose()
    return file


@pytest.fixture
def new_study(url: str, tmp_path: Path, empty_database: Path) -> Iterator[NewStudy]:
    """Make an empty study in the database of ``url``."""
    shutil.copy(empty_database, tmp_path)
    storage = open_storage(url)
    space = parse_space("training: {learning_rate: {float: [0.001, 0.1], log: true}}", "rate")
    facts = StudyFacts("rate", space.content, "captcha:x", "f", {"train": 1}, {}, 0)
    yield lambda name: open_study(storage, name, space, facts)
    storage.engine.dispose()


# --- the best trial ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cers", "losses", "expected"),
    [
        ([0.5], [1.0], 0),
        ([0.5, 0.2, 0.3], [1.0, 9.0, 1.0], 1),  # the CER decides, whatever the loss
        ([0.2, 0.2, 0.2], [0.9, 0.1, 0.5], 1),  # then the loss
        ([0.0, 0.0], [0.1, 0.1], 0),  # then age
        ([1.5, 2.0], [1.0, 1.0], 0),  # a CER may exceed 1
    ],
)
def test_best_trial(
    new_study: NewStudy, url: str, cers: list[float], losses: list[float], expected: int
) -> None:
    study = new_study("s")
    study.add_trials([finished(c, val_loss=v) for c, v in zip(cers, losses, strict=True)])
    found = best_trial(url, "s")
    assert (found.trial, found.value) == (expected, cers[expected])


def test_best_trial_tells_what_is_stored(study_db: StudyDb) -> None:
    found = best_trial(study_db.url, study_db.name)
    assert (found.study, found.trial, found.value) == (study_db.name, 2, 0.1)
    assert found.params == {
        "model.architecture": "crnn",
        "model.encoder.conv_depth": 2,
        RATE: pytest.approx(0.003),
    }
    assert found.metrics == {
        "cer": 0.1,
        "architecture": "crnn",
        "exact": 0.9,
        "wer": 0.1,
        "val_loss": 0.5,
        "n_parameters": 20_000,
        "size_mb": 0.08,
        "seconds": 2.5,
        "n_epochs": 2,
        "best_epoch": 2,
        "seed": 2,
        "data_fingerprint": "0a1b2c3d",
        "versions": {"ocrsearch": "0.1.0", "python": "3.11"},
    }
    assert found.weights == study_db.folder / "trial-00002" / "best.pt"
    assert found.weights.is_file()


@pytest.mark.parametrize(
    "state", [None, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING, TrialState.WAITING]
)
def test_nothing_is_finished(new_study: NewStudy, url: str, state: TrialState | None) -> None:
    study = new_study("early")
    if state is not None:
        study.add_trial(unfinished(state))
    with pytest.raises(StudyError, match=r"'early': no trial (has started|finished an epoch)"):
        best_trial(url, "early")


@pytest.mark.parametrize(
    ("state", "attrs", "word"),
    [
        (TrialState.PRUNED, {}, "pruned"),
        (TrialState.RUNNING, {"paused": 1}, "paused"),
        (TrialState.RUNNING, {}, "unfinished"),
        (TrialState.RUNNING, {"exact": 0.1}, "unfinished"),  # stored at a rung that it has left
    ],
)
def test_what_is_not_finished_can_be_best_if_its_weights_are_kept(
    new_study: NewStudy, url: str, state: TrialState, attrs: dict[str, Any], word: str
) -> None:
    study = new_study("early")
    study.add_trials([finished(0.3), unfinished(state, epochs=curve(0.2), **attrs)])
    assert best_trial(url, "early").trial == 0
    weights = trial_folder(study_folder(url, "early"), 1) / "best.pt"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"weights")
    best = best_trial(url, "early")
    assert (best.trial, best.value, best.state, best.weights) == (1, 0.2, word, weights)
    assert best.metrics["exact"] == pytest.approx(0.8)


def test_paused_and_pruned_trials_are_told_apart(new_study: NewStudy, url: str) -> None:
    study = new_study("p")
    study.add_trial(unfinished(TrialState.RUNNING, epochs=curve(0.2), paused=1))
    study.add_trial(unfinished(TrialState.PRUNED, epochs=curve(0.3), paused=None))
    study.add_trial(unfinished(TrialState.PRUNED, epochs=curve(0.3)))
    (summary,) = list_studies(url)
    assert (summary.n_paused, summary.n_pruned, summary.n_unfinished) == (1, 2, 0)
    assert trials_frame(load_study(url, "p"))["state"].tolist() == ["paused", "pruned", "pruned"]


# --- which study ------------------------------------------------------------------------------


def test_the_study_with_the_latest_change_is_the_default(new_study: NewStudy, url: str) -> None:
    new_study("a").add_trial(finished(0.1, ended=NOON))
    new_study("b").add_trial(finished(0.2, ended=NOON + timedelta(hours=1)))
    new_study("c").add_trial(finished(0.3, ended=NOON - timedelta(hours=1)))
    new_study("d")
    assert load_study(url, None).study_name == "b"
    assert best_trial(url).study == "b"


def test_a_trial_that_is_running_is_a_change(new_study: NewStudy, url: str) -> None:
    new_study("a").add_trial(unfinished(TrialState.RUNNING, ended=NOON + timedelta(hours=1)))
    new_study("b").add_trial(finished(0.2, ended=NOON))
    assert load_study(url, None).study_name == "a"


def test_the_latest_change_is_told_within_a_second(new_study: NewStudy, url: str) -> None:
    new_study("a").add_trial(finished(0.1, ended=NOON))
    new_study("b").add_trial(finished(0.2, ended=NOON + timedelta(milliseconds=300)))
    assert load_study(url, None).study_name == "b"
    assert [s.name for s in list_studies(url)] == ["a", "b"]


def test_a_study_without_trials_is_the_default_if_there_is_no_other(
    new_study: NewStudy, url: str
) -> None:
    new_study("only")
    assert load_study(url, None).study_name == "only"


def test_an_unknown_study_is_told_with_those_there_are(new_study: NewStudy, url: str) -> None:
    new_study("a")
    new_study("b")
    with pytest.raises(StudyError, match=r"study 'c': not in .*; found a, b"):
        load_study(url, "c")


@pytest.mark.parametrize("read", [best_trial, list_studies, lambda url: load_study(url, "s")])
def test_a_missing_database_is_not_made(
    url: str, tmp_path: Path, read: Callable[[str], object]
) -> None:
    with pytest.raises(StudyError, match=r"studies\.db: no such study database"):
        read(url)
    assert list(tmp_path.iterdir()) == []


def test_a_database_without_a_study(empty_database: Path) -> None:
    url = f"sqlite:///{empty_database}"
    assert list_studies(url) == []
    for name in (None, "s"):
        with pytest.raises(StudyError, match="has no study yet"):
            load_study(url, name)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    file = tmp_path / "notes.db"
    file.write_text("not a database" * 100)
    with pytest.raises(StudyError, match="cannot open the study database"):
        list_studies(f"sqlite:///{file}")
    assert file.read_text() == "not a database" * 100


@pytest.mark.parametrize(
    "bad_url", ["not-a-url", "", "sqlite://", "sqlite:///:memory:", "postgresql://host:port/db"]
)
def test_what_is_no_database_url(bad_url: str) -> None:
    with pytest.raises(OptionError, match=r"^storage: "):
        list_studies(bad_url)


# --- lists ------------------------------------------------------------------------------------


def test_list_of_the_made_study(study_db: StudyDb) -> None:
    (summary,) = list_studies(study_db.url)
    assert (summary.name, summary.space, summary.data) == (
        "tiny-numbers",
        "tiny",
        "captcha:numbers",
    )
    assert (summary.n_complete, summary.best) == (4, 0.1)
    assert (summary.n_failed, summary.n_unfinished, summary.is_running) == (1, 1, False)
    assert summary.last_change.startswith("20")


def test_counts_of_a_study(new_study: NewStudy, url: str) -> None:
    new_study("a").add_trials(
        [
            finished(0.3),
            finished(0.2),
            unfinished(TrialState.PRUNED),
            unfinished(TrialState.FAIL, failure="out of memory"),
            unfinished(TrialState.RUNNING),
            unfinished(TrialState.WAITING),
        ]
    )
    (summary,) = list_studies(url)
    counts = summary.n_complete, summary.n_pruned, summary.n_failed, summary.n_unfinished
    assert counts == (2, 1, 1, 1)
    assert summary.best == 0.2


def test_a_loss_that_diverged_is_counted_as_failed_as_a_search_counts_it(
    new_study: NewStudy, url: str
) -> None:
    new_study("a").add_trial(unfinished(TrialState.PRUNED, failure="the loss became NaN"))
    (summary,) = list_studies(url)
    assert (summary.n_pruned, summary.n_failed) == (0, 1)


def test_list_of_a_study_without_trials(new_study: NewStudy, url: str) -> None:
    new_study("a")
    (summary,) = list_studies(url)
    assert (summary.n_complete, summary.best, summary.last_change) == (0, None, "")


def test_the_latest_change_comes_last(new_study: NewStudy, url: str) -> None:
    for name, hours in (("a", 2), ("b", 1), ("c", 3)):
        new_study(name).add_trial(finished(0.1, ended=NOON + timedelta(hours=hours)))
    new_study("d")
    assert [s.name for s in list_studies(url)] == ["d", "b", "a", "c"]


def test_a_study_that_is_searched_now(new_study: NewStudy, url: str) -> None:
    new_study("a")
    with study_lock(study_folder(url, "a"), "a"):
        assert list_studies(url)[0].is_running
    assert not list_studies(url)[0].is_running


# --- tables and curves ------------------------------------------------------------------------


def test_trials_frame(study_db: StudyDb) -> None:
    frame = trials_frame(load_study(study_db.url, study_db.name))
    assert frame["trial"].tolist() == list(range(8))
    assert frame["state"].tolist() == [
        *("complete", "complete", "complete", "complete"),
        *("pruned", "fail", "infeasible", "running"),
    ]
    assert frame["cer"].fillna(-1).tolist() == [0.4, 0.1, 0.1, 0.25, 0.75, -1, -1, 0.9]
    assert frame["failure"].tolist()[5:7] == [
        "RuntimeError: out of memory",
        "3 of 32 labels need more frames",
    ]
    assert frame["failure"].isna().sum() == 6
    assert frame["size_mb"].notna().tolist() == [True] * 5 + [False] * 3
    assert frame["ended"].notna().tolist() == [True] * 7 + [False]
    assert frame["model.decoder.attention"].notna().tolist() == [
        *(False, False, False, True),
        *(True, False, False, True),
    ]


def test_columns_of_the_frame_begin_with_what_matters_and_end_with_the_parameters(
    study_db: StudyDb,
) -> None:
    columns = list(trials_frame(load_study(study_db.url, study_db.name)).columns)
    assert columns[:3] == ["trial", "state", "cer"]
    assert {"exact", "wer", "seconds", "n_epochs", "failure", "started", "ended"} < set(columns)
    assert columns[-4:] == [
        "model.architecture",
        "model.decoder.attention",
        "model.encoder.conv_depth",
        RATE,
    ]


def test_frame_of_a_study_without_trials_has_its_columns(new_study: NewStudy) -> None:
    frame = trials_frame(new_study("a"))
    assert len(frame) == 0
    assert list(frame.columns[:3]) == ["trial", "state", "cer"]


def test_learning_curves(study_db: StudyDb) -> None:
    curves = learning_curves(load_study(study_db.url, study_db.name))
    assert list(curves) == [0, 1, 2, 3, 4, 7]
    assert [(r.epoch, r.cer) for r in curves[3]] == [(1, 0.5), (2, 0.25)]


# --- nothing is written -----------------------------------------------------------------------


def dump(database: Path) -> list[str]:
    connection = sqlite3.connect(database)
    lines = list(connection.iterdump())
    connection.close()
    return lines


def test_reading_changes_neither_database_nor_folder(study_db: StudyDb) -> None:
    database = study_db.folder.parent / "studies.db"
    before, files = dump(database), sorted(study_db.folder.rglob("*"))
    list_studies(study_db.url)
    best_trial(study_db.url)
    study = load_study(study_db.url, study_db.name)
    trials_frame(study)
    learning_curves(study)
    assert dump(database) == before
    assert sorted(study_db.folder.rglob("*")) == files


@pytest.mark.parametrize("tables", [[], ["CREATE TABLE customers (name TEXT)"]])
def test_no_table_is_made_in_a_database_that_holds_no_studies(
    tmp_path: Path, tables: list[str]
) -> None:
    database = tmp_path / "other.db"
    connection = sqlite3.connect(database)
    for table in tables:
        connection.execute(table)
    connection.commit()
    connection.close()
    before = dump(database)
    with pytest.raises(StudyError):
        load_study(f"sqlite:///{database}", None)
    assert dump(database) == before
