"""The study database: made once, whoever is first."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

from ocrsearch.search.study import open_storage


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
