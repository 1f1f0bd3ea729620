"""The study database: made once, whoever is first."""

from __future__ import annotations

import multiprocessing
import shutil
from pathlib import Path
from typing import Any

import optuna
import pytest

from ocrsearch.core.errors import StudyError
from ocrsearch.spaces.reading import parse_space
from ocrsearch.studies.database import (
    make_durable,
    open_storage,
    write_log_back,
)
from ocrsearch.studies.facts import StudyFacts
from ocrsearch.studies.study import backend_of, open_study


def _open(url: str, n_studies: multiprocessing.Queue[int]) -> None:
    storage = open_storage(url, create=True)
    n_studies.put(len(storage.get_all_studies()))


def test_two_searches_that_begin_together_make_one_database(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    url, results = f"sqlite:///{tmp_path}/new.db", context.Queue()
    processes = [context.Process(target=_open, args=(url, results)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 4


def test_a_study_follows_images_that_were_moved(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path / 's.db'}", create=True)
    space = parse_space("model: {architecture: crnn}\n", "space")
    options = {"splits": "", "extra_train_data": "", "max_invalid": 0.01}

    def facts(spec: str, fingerprint: str = "0a1b", **changed: Any) -> StudyFacts:
        place = f"captcha:/data/{spec}"
        given = {**options, **changed}
        return StudyFacts(
            "space", space.content, f"captcha:{spec}", fingerprint, {}, given, 0, data_place=place
        )

    first = open_study(storage, "s", space, facts("c1")).user_attrs["facts"]
    moved = open_study(storage, "s", space, facts("c2", splits="/s.csv")).user_attrs["facts"]
    assert (moved["data_spec"], moved["data_place"]) == ("captcha:c2", "captcha:/data/c2")
    assert moved["data_options"]["splits"] == "/s.csv"
    kept = ("id", "data_fingerprint", "seed", "space")
    assert {key: moved[key] for key in kept} == {key: first[key] for key in kept}
    with pytest.raises(StudyError, match="began with other data"):
        open_study(storage, "s", space, facts("c3", "ffff"))
    assert open_study(storage, "s", space, facts("c2")).user_attrs["facts"]["id"] == first["id"]
    storage.engine.dispose()


def test_a_file_alone_is_a_whole_copy_after_a_search(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path / 's.db'}", create=True)
    optuna.create_study(storage=storage, study_name="s")
    copy = tmp_path / "copy.db"
    write_log_back(storage)
    shutil.copy(tmp_path / "s.db", copy)  # while it is open
    there = open_storage(f"sqlite:///{copy}")
    assert optuna.get_all_study_names(there) == ["s"]
    for opened in (storage, there):
        opened.engine.dispose()


def test_what_was_told_is_in_the_file_and_not_only_in_its_log(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    storage = open_storage(f"sqlite:///{file}", create=True)
    study = optuna.create_study(storage=storage, study_name="s")
    study.set_user_attr("note", "written last")
    assert b"written last" not in file.read_bytes()
    make_durable(backend_of(study))
    assert b"written last" in file.read_bytes()
    storage.engine.dispose()


def test_objectives_have_names_in_the_dashboard(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path / 's.db'}", create=True)
    content = "model: {architecture: crnn}\nsearch: {objective: [cer, latency_ms, parameters]}\n"
    space = parse_space(content, "space")
    objective = space.settings.objective
    facts = StudyFacts("space", space.content, "captcha:c", "0a1b", {}, {}, 0, objective=objective)
    for _ in range(2):
        study = open_study(storage, "s", space, facts)
        assert study.metric_names == ["validation CER", "latency (ms)", "parameters"]
