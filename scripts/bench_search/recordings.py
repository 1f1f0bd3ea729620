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
from typing import Any

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
        is_default: whether the space is the one that the program derives from the dataset, which is
            in ``spaces``. Otherwise it is ``space.yaml``, with the values above.
    """

    name: str
    epochs: int = 0
    width_scale: float = 1.0
    fraction: float = 1.0
    is_default: bool = False

    @property
    def space(self) -> Space:
        """Space of the configurations."""
        if self.is_default:
            return open_space(FOLDER / "spaces" / f"{self.name}.yaml")
        content = yaml.safe_load((FOLDER / "space.yaml").read_text(encoding="utf-8"))
        content["images"]["width_scale"] = self.width_scale
        content["training"] |= {"epochs": self.epochs, "decay_patience": max(8, self.epochs // 3)}
        return open_space(content)

    @property
    def dataset(self) -> str:
        """Name of the dataset."""
        return self.name.removesuffix("_default")

    @property
    def table(self) -> Path:
        """Path of the table."""
        return FOLDER / "tables" / f"{self.name}.csv.gz"


def load_tasks() -> dict[str, Task]:
    """Return all tasks by name."""
    content = yaml.safe_load((FOLDER / "recordings.yaml").read_text(encoding="utf-8"))
    return {name: Task(name, **fields) for name, fields in content.items()}


def recorded_tasks() -> list[Task]:
    """Return the tasks with a table."""
    return [task for task in load_tasks().values() if task.table.exists()]


READS_CER = 0.5
"""From the epoch after the first with this CER, a search validates averaged weights."""


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
    """A recorded configuration and its curve.

    Attributes:
        values: values of the searched parameters.
        curve: curve that a search sees: with averaged weights once the network reads.
        latest: curve with the latest weights.
    """

    values: Values
    curve: Curve
    latest: Curve


def read_table(path: Path) -> list[Recorded]:
    """Read the table that ``record.py`` writes, in the order of the configurations."""
    rows: dict[int, list[dict[str, str]]] = {}
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            rows.setdefault(int(row["configuration"]), []).append(row)
    return [recorded(rows[number]) for number in sorted(rows)]


def recorded(rows: Sequence[Mapping[str, Any]]) -> Recorded:
    """Return a configuration from its rows of the table."""
    latest, averaged = _curve(rows, ""), _curve(rows, f"_{AVERAGED[0]}")
    reads = np.minimum.accumulate(latest.cer) <= READS_CER
    reads = np.concatenate([[False], reads[:-1]])
    seen = Curve(
        np.where(reads, averaged.cer, latest.cer),
        np.where(reads, averaged.val_loss, latest.val_loss),
        np.where(reads, averaged.exact, latest.exact),
        latest.seconds,
        np.where(reads[:, None], averaged.edits, latest.edits),
    )
    return Recorded(json.loads(rows[0]["values"]), seen, latest)


def _curve(rows: Sequence[Mapping[str, Any]], suffix: str) -> Curve:
    """Return the curve of one kind of weights, whose columns have a suffix."""

    def column(name: str) -> np.ndarray:
        return np.array([float(row[name]) for row in rows])

    digits = [[DIGITS.index(digit) for digit in row[f"edits{suffix}"]] for row in rows]
    edits = np.array(digits, np.uint8)
    cer, loss = column(f"cer{suffix}"), column(f"val_loss{suffix}")
    return Curve(cer, loss, (edits == 0).mean(1), column("seconds"), edits)
