"""The benchmark over many datasets: what it counts, and that it does nothing twice."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState

from ocrsearch.spaces.reading import parse_space
from ocrsearch.studies.database import open_storage
from ocrsearch.studies.facts import StudyFacts
from ocrsearch.studies.records import PAUSED
from ocrsearch.studies.study import open_study

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))  # as for a script run from there

import bench_generality as bench
import plain_search

SPACE = parse_space(
    "model: {architecture: crnn}\ntraining: {learning_rate: {float: [0.001, 0.004]}, epochs: 6}",
    "mine",
)


def make_study(folder: Path, curves: list[tuple[list[tuple[float, float]], str]]) -> str:
    """Return a database with a trial for each curve of CER and exact match, and how it stands."""
    url = f"sqlite:///{folder / 'study.db'}"
    settings = SPACE.settings.model_dump(mode="json")
    facts = StudyFacts("mine", SPACE.content, "d", "f", {"train": 9}, {}, 0, search=settings)
    study = open_study(open_storage(url, create=True), "bench", SPACE, facts)
    for curve, state in curves:
        trial = study.ask()
        trial.suggest_float("training.learning_rate", 0.001, 0.004)
        records = [
            {"epoch": i, "cer": cer, "exact": exact, "wer": cer, "val_loss": cer, "seconds": 10.0}
            for i, (cer, exact) in enumerate(curve, start=1)
        ]
        trial.set_user_attr("epochs", records)
        for record in records:
            trial.report(record["cer"], record["epoch"])
        if state == "complete":
            study.tell(trial, curve[-1][0])
        elif state == "pruned":
            study.tell(trial, state=TrialState.PRUNED)
        elif state == "paused":
            trial.set_user_attr(PAUSED, len(records))
    return url


def test_configurations_that_read_by_a_third(tmp_path: Path) -> None:
    began = time.time()
    early, late, never = (0.4, 0.6), (0.45, 0.0), (1.0, 0.0)
    url = make_study(
        tmp_path,
        [
            ([never, early, early, early, early, early], "complete"),
            ([never, never, late, late, late, late], "complete"),  # after a third
            ([never], "paused"),
            ([never], "pruned"),
            ([never], "training"),  # not judged yet
            ([late], "training"),
        ],
    )
    found = bench.curve_figures(url, began)
    assert (found["reading"], found["judged"]) == (2, 5)
    assert found["n_epochs"] == 16
    assert 20 <= found["seconds_to_half"] <= 20.1 + time.time() - began
    assert found["n_train"] == 9


def test_a_network_that_never_reads_half(tmp_path: Path) -> None:
    url = make_study(tmp_path, [([(1.0, 0.0)] * 6, "complete")])
    assert bench.curve_figures(url, 0.0)["seconds_to_half"] is None


def test_lines_of_a_list() -> None:
    task = bench.parse_task("csv:'a b.csv' --group '^x' beside=lines", "crnn")
    assert task == bench.Task("csv:a b.csv", ("--group", "^x"), "lines")
    assert bench.parse_task("digits", "crnn") == bench.Task("digits", (), "crnn")
    assert bench.parse_task("captcha:some/plates", "").name == "plates"


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The command lines that are run, of which evaluate and best work and run trains nothing."""
    known: list[tuple[str, ...]] = []

    def command(*words: str, log: Path | None = None) -> Any:
        known.append(words)
        rates = {"exact": 0.9, "cer": 0.02, "n": 50}
        rates |= {f"{name}_{end}": v for name, v in (("exact", 0.9), ("cer", 0.02)) for end in
                  ("low", "high")}  # fmt: skip
        code = int("bad" in " ".join(words))
        out = json.dumps(rates) if words[0] == "evaluate" else "ocrsearch: bad: no such folder"
        return subprocess.CompletedProcess(words, code, out, "")

    figures = {"n_train": 9, "judged": 3, "reading": 2, "n_epochs": 7, "seconds_to_half": None}
    monkeypatch.setattr(bench, "command", command)
    monkeypatch.setattr(bench, "curve_figures", lambda *_: figures)
    return known


def test_finished_runs_are_not_repeated(tmp_path: Path, runs: list[tuple[str, ...]]) -> None:
    setting = bench.Setting(tmp_path, 90.0, 2, 0, None)
    bench.run_task(bench.Task("digits", ("--bidi", "off"), "quick"), setting)
    assert [words[0] for words in runs] == ["run", "best", "evaluate"] * 2
    assert "--space" not in runs[0]
    assert {"--bidi", "off", "90s"} <= set(runs[0])
    assert runs[3][3:5] == ("--space", "quick")
    bench.run_task(bench.Task("digits", (), "quick"), setting)
    bench.run_task(bench.Task("bad"), setting)
    assert len(runs) == 7
    lines = bench.table(tmp_path).splitlines()
    assert [line.split(" | ")[:2] for line in lines[2:]] == [
        ["| bad", "derived"],
        ["| digits", "derived"],
        ["| digits", "quick"],
    ]
    assert "no such folder" in lines[2]
    assert "| 1.5 | 0.900 (0.900 to 0.900) | 0.020 (0.020 to 0.020) | 2 of 3 | never |" in lines[3]


def test_a_search_written_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    plain_search.main("digits", timeout=0.5, threads=1)
    found = json.loads(capsys.readouterr().out)
    assert found == {"n_trials": 1, "n": 500}  # there was no time for an epoch

    network = plain_search.Crnn(channels=8, hidden=8, layers=2, dropout=0.1, n_symbols=10)
    images = np.zeros((3, plain_search.HEIGHT, 64), np.uint8)
    assert network(plain_search.tensor_of(images)).shape == (16, 3, 11)
    assert len(plain_search.read(network, images, "0123456789")) == 3
    warped = plain_search.augmented(images + 9, np.random.default_rng(0))
    assert warped.shape == images.shape
    assert (warped == 9).all()


def test_the_search_written_by_hand_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs in a process of its own, and its last line is the result."""
    known = []

    def execute(words: list[str], timeout_s: float | None = None) -> Any:
        known.append(words)
        out = 'noise\n{"n_trials": 2, "n": 9, "cer": 0.5, "exact": 0.1}\n'
        return subprocess.CompletedProcess(words, 0, out, "")

    monkeypatch.setattr(bench, "execute", execute)
    setting = bench.Setting(tmp_path, 90.0, 2, 5, None, plain=True)
    found = bench.run_plain(bench.Task("digits"), bench.PLAIN, tmp_path, setting)
    assert (found["cer"], found["n_trials"], found["timeout_s"]) == (0.5, 2, 90.0)
    assert known[0][-7:] == ["digits", "--timeout", "90", "--seed", "5", "--threads", "2"]
