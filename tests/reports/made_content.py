"""Content of a report, made up: a study with ten trials and some errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ocrsearch.evaluation import count_confusions
from ocrsearch.reports import coverage_content, thumbnail_url
from ocrsearch.reports.study_content import (
    DataContent,
    DoubtfulLabel,
    ErrorsContent,
    Rate,
    SampleImage,
    StudyContent,
    TrialContent,
    TrialPoint,
    WrongImage,
)
from ocrsearch.reports.texts import pair_name
from ocrsearch.studies import Importance, Importances, SearchSummary, Separation
from tests.conftest import draw_text

STATES = {"finished": 4, "paused": 2, "pruned": 5, "infeasible": 0, "failed": 1, "unfinished": 0}


def made_search(**changes: Any) -> SearchSummary:
    known: dict[str, Any] = {
        "space": "quick",
        "parameters": {"training.learning_rate": "0.001 to 0.006, log"},
        "states": STATES,
        "n_epochs": 60,
        "seconds": 600.0,
        "max_epochs": 10,
        "sampler": "tpe",
        "pruner": "median",
        "objective": ("cer",),
        "folds": 1,
        "constraints": {},
        "began": "2026-01-01 10:00",
        "ended": "2026-01-01 10:20",
    }
    return SearchSummary(**{**known, **changes})


def made_trial(number: int, cer: float, **changes: Any) -> TrialContent:
    known: dict[str, Any] = {
        "number": number,
        "state": "finished",
        "n_epochs": 10,
        "best_epoch": 8,
        "rates": {"cer": Rate(cer, 0.9 * cer, 1.1 * cer), "exact": Rate(1 - 2 * cer)},
        "n_parameters": 20_000,
        "size_mb": 0.08,
        "latency_ms": 2.5,
        "params": {"training.learning_rate": 0.003, "model.architecture": "crnn"},
        "architecture": "crnn",
    }
    return TrialContent(**{**known, **changes})


def wrong_image(name: str, label: str, reading: str, group: str = "") -> WrongImage:
    pairs = tuple(map(pair_name, count_confusions([label], [reading])))
    url = thumbnail_url(draw_text("12"))
    return WrongImage(name, label, reading, 0.5, len(pairs), group, pairs, url)


def made_errors(pairs: Sequence[tuple[str, str]], groups: Sequence[str] = ()) -> ErrorsContent:
    images = [
        wrong_image(f"{i}.png", label, reading, groups[i % len(groups)] if groups else "")
        for i, (label, reading) in enumerate(pairs)
    ]
    labels, readings = [label for label, _ in pairs], [reading for _, reading in pairs]
    return ErrorsContent(300, len(pairs), 0.02, count_confusions(labels, readings), images)


def made_content(name: str = "numbers", **changes: Any) -> StudyContent:
    """Return the content of a study in which everything is known."""
    url = thumbnail_url(np.zeros((20, 60), np.uint8))
    cers = [0.02, 0.021, 0.03]
    points = [
        TrialPoint(i, "finished" if i < 4 else "pruned", 0.02 + 0.01 * i, 0.1 + i, 2.0 + i,
                   (0.5, 0.02 + 0.01 * i))
        for i in range(10)
    ]  # fmt: skip
    rate = Importance(
        "training.learning_rate", 0.9, True, [0.001 + i / 2000 for i in range(10)],
        [0.1 + i / 50 for i in range(10)], list(range(10)),
    )  # fmt: skip
    cell = Importance("model.rnn_cell", 0.1, False, ["lstm", "gru"] * 5, rate.cers, rate.trials)
    known: dict[str, Any] = {
        "name": name,
        "search": made_search(),
        "data": DataContent(
            "numbers.csv", "0a1b", {"train": 1500, "val": 300, "test": 500},
            characters=tuple("0123456789"), lengths=(1, 4.0, 8),
            samples=[SampleImage("1.png", "12", "train", url)],
        ),
        "trials": [made_trial(i, cer, verdict=("best", "alike", "worse")[i],
                              p_value=(None, 0.4, 1e-6)[i]) for i, cer in enumerate(cers)],
        "n_validated": 300,
        "importances": Importances(3, 10, 1, 5, [rate, cell]),
        "points": points,
        "errors": made_errors([("12", "13"), ("4 5", "45"), ("7", "77"), ("12", "13")], "ab"),
        "coverage": coverage_content(
            np.linspace(1, 0.5, 300).tolist(), [i < 297 for i in range(300)]
        ),
        "doubtful": [DoubtfulLabel("3.png", "12", "13", 0.9)],
        "n_agreeing": 3,
        "separation": Separation(300, 0, [1, 2], [1], 1, 900, p_values=(0.4, 1e-6)),
        "expected_saving": 2.5,
        "n_symbols": 1200,
    }  # fmt: skip
    return StudyContent(**{**known, **changes})
