"""The recorded tables: tasks, their search spaces, and learning curves as arrays.

``recordings.yaml`` lists the tasks. A table is a file ``tables/TASK.csv.gz`` with a row for each
epoch of each configuration: ``record.py`` writes it, ``curve_model.py`` draws new curves from it.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import yaml

from ocrsearch.spaces import Scalar, Space, open_space

FOLDER = Path(__file__).parent

AVERAGED = (1, 3)
"""Numbers of epochs over which weights are averaged for a further validation."""

COLUMNS = (
    *("configuration", "epoch", "exact", "seconds", "cer", "val_loss", "edits"),
    *(f"{name}_{n}" for n in AVERAGED for name in ("cer", "val_loss", "edits")),
    "values",
)
"""Columns of a table. ``cer_3`` is the CER with weights averaged over three epochs."""

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
"""Digits of the column ``edits``. An image with 35 edits or more counts as 35."""

Values = Mapping[str, Scalar]


@dataclass(frozen=True)
class Task:
    """A dataset for which learning curves are recorded.

    Attributes:
        name: name of the table.
        epochs: number of epochs of a training.
        width_scale: scaling of the image width.
        fraction: fraction of the training images that is used.
    """

    name: str
    epochs: int
    width_scale: float = 1.0
    fraction: float = 1.0

    @property
    def space(self) -> Space:
        """The space of all tables with the epochs and the image width of this task."""
        content = yaml.safe_load((FOLDER / "space.yaml").read_text(encoding="utf-8"))
        content["images"]["width_scale"] = self.width_scale
        content["training"] |= {"epochs": self.epochs, "decay_patience": max(8, self.epochs // 3)}
        return open_space(content)

    @property
    def table(self) -> Path:
        """Path of the table."""
        return FOLDER / "tables" / f"{self.name}.csv.gz"


def load_tasks() -> dict[str, Task]:
    """Return all tasks by name."""
    content = yaml.safe_load((FOLDER / "recordings.yaml").read_text(encoding="utf-8"))
    return {name: Task(name, **fields) for name, fields in content.items()}


@dataclass(frozen=True)
class Curve:
    """Learning curve of a configuration. Each array has one row for each epoch.

    Attributes:
        cer: (epochs,) character error rate on the validation split.
        val_loss: (epochs,) mean validation loss.
        exact: (epochs,) fraction of texts without an error.
        seconds: (epochs,) duration in seconds of processor time.
        edits: (epochs, images) number of edits in each validation image, at most 35.
        averaged: figures with averaged weights, by the number of epochs: CER and validation loss.
    """

    cer: np.ndarray
    val_loss: np.ndarray
    exact: np.ndarray
    seconds: np.ndarray
    edits: np.ndarray
    averaged: Mapping[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.cer)

    @property
    def final_cer(self) -> float:
        """Lowest CER of all epochs."""
        return float(self.cer.min())


@dataclass(frozen=True)
class Recorded:
    """A recorded configuration and its curve."""

    values: Values
    curve: Curve


def read_table(path: Path) -> list[Recorded]:
    """Read the table that ``record.py`` writes, in the order of the configurations."""
    rows: dict[int, list[dict[str, str]]] = {}
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            rows.setdefault(int(row["configuration"]), []).append(row)
    return [Recorded(json.loads(rows[n][0]["values"]), _curve(rows[n])) for n in sorted(rows)]


def _curve(rows: Sequence[Mapping[str, str]]) -> Curve:
    def column(name: str) -> np.ndarray:
        return np.array([float(row[name]) for row in rows])

    edits = np.array([[DIGITS.index(digit) for digit in row["edits"]] for row in rows], np.uint8)
    averaged = {n: (column(f"cer_{n}"), column(f"val_loss_{n}")) for n in AVERAGED}
    figures = (column(name) for name in ("cer", "val_loss", "exact", "seconds"))
    return Curve(*figures, edits, averaged)
