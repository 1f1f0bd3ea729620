"""The recorded tables: tasks, their search spaces, and learning curves as arrays.

``recordings.yaml`` lists the tasks. A table is a file ``tables/TASK.csv.gz`` with a row for each
epoch of each configuration: ``record.py`` writes it, ``curve_model.py`` draws new curves from it.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from ocrsearch.spaces import Scalar, Space, open_space

FOLDER = Path(__file__).parent
COLUMNS = ("configuration", "epoch", "cer", "val_loss", "exact", "seconds", "edits", "values")

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
    """

    cer: np.ndarray
    val_loss: np.ndarray
    exact: np.ndarray
    seconds: np.ndarray
    edits: np.ndarray

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
    columns = ("cer", "val_loss", "exact", "seconds")
    figures = (np.array([float(row[name]) for row in rows]) for name in columns)
    edits = np.array([[DIGITS.index(digit) for digit in row["edits"]] for row in rows], np.uint8)
    return Curve(*figures, edits)
