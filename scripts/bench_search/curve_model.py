"""Learning curves for any configuration of a space, drawn after a table of recorded ones.

A forest finds the recorded configurations that are like a new one; the new one gets the curve of
one of them, drawn at random, so that the simulated landscape keeps the plateaus, the jumps and
the luck of the real one ("quantile regression forests", Meinshausen, 2006). What the forest
foretells for the two moves the curve a little, so that no two curves are equal.
"""

from __future__ import annotations

import csv
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold

from ocrsearch.models import count_multiply_adds, list_layers
from ocrsearch.spaces import Scalar, Space

SUMMARY_EPOCHS = (3, 5, 8, 12, 20, 30, 45)
"""The forest looks for configurations whose best losses at these epochs are alike."""

PLATEAU_LOSS = 3.2
"""Validation loss of a network that reads nothing yet: curves are not moved there."""

MIN_DEPTH = 1.0
"""Logarithm of what a loss is below the plateau; curves that get less deep are not moved."""

MAX_STRETCH = 1.5
N_SYMBOLS, WIDTH_PX = 30, 128
"""About what the work of one picture is counted for; only the ratios matter."""

LEAF_SIZE = 3
N_TREES = 150
N_FOLDS = 10

Values = Mapping[str, Scalar]


@dataclass(frozen=True)
class Curve:
    """What a configuration's training gives; the arrays have a value for each epoch.

    Attributes:
        cer: validation CER.
        val_loss: validation loss.
        exact: share of labels read without an error.
        seconds: that each epoch takes.
    """

    cer: np.ndarray
    val_loss: np.ndarray
    exact: np.ndarray
    seconds: np.ndarray

    def __len__(self) -> int:
        return len(self.cer)

    @property
    def final_cer(self) -> float:
        """Lowest CER."""
        return float(self.cer.min())

    @property
    def final_loss(self) -> float:
        """Lowest loss."""
        return float(self.val_loss.min())

    @property
    def depth(self) -> float:
        """Logarithm of how far the loss gets below the plateau; at least 0."""
        return max(0.0, math.log(PLATEAU_LOSS / self.final_loss))


@dataclass(frozen=True)
class Recorded:
    """A recorded configuration and its curve."""

    values: Values
    curve: Curve


def read_table(path: Path) -> list[Recorded]:
    """Read the table that ``record.py`` writes."""
    rows: dict[str, list[dict[str, str]]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            rows.setdefault(row["configuration"], []).append(row)
    return [Recorded(json.loads(group[0]["values"]), _curve(group)) for group in rows.values()]


def _curve(rows: Sequence[Mapping[str, str]]) -> Curve:
    columns = ("cer", "val_loss", "exact", "seconds")
    return Curve(*(np.array([float(row[name]) for row in rows]) for name in columns))


class Encoder:
    """Configurations as rows of numbers: logarithms of what is positive, a column for a word."""

    def __init__(self, space: Space) -> None:
        self._columns: list[tuple[str, Scalar | None, bool]] = []
        for parameter in space.parameters:
            examples = parameter.distribution.examples()
            if any(isinstance(value, str) for value in examples):
                self._columns += [(parameter.path, value, False) for value in examples]
            else:
                positive = all(float(value) > 0 for value in examples)
                self._columns.append((parameter.path, None, positive))

    def rows(self, points: Sequence[Values]) -> np.ndarray:
        """Return (points, columns) float32; a parameter that a point lacks is 0."""
        return np.array([[self._cell(p, *c) for c in self._columns] for p in points], np.float32)

    def _cell(self, point: Values, path: str, word: Scalar | None, logarithm: bool) -> float:
        value = point.get(path)
        if value is None:
            return 0.0
        if word is not None:
            return float(value == word)
        return math.log(float(value)) if logarithm else float(value)


class CurveModel:
    """Gives a curve to any configuration of a space."""

    def __init__(
        self, space: Space, recorded: Sequence[Recorded], *, seed: int = 0, pull: float = 0.25
    ) -> None:
        """Fit to what was recorded.

        Args:
            space: of the configurations.
            recorded: at least ``LEAF_SIZE``.
            seed: of the forest.
            pull: how much of the difference that the forest foretells moves a drawn curve.
        """
        self._encoder, self._pull, self._space = Encoder(space), pull, space
        self._curves = [r.curve for r in recorded]
        rows = self._encoder.rows([r.values for r in recorded])
        self._forest = ExtraTreesRegressor(
            N_TREES, min_samples_leaf=LEAF_SIZE, random_state=seed
        ).fit(rows, np.array([_summary(c) for c in self._curves]))
        self._trees = [tree.tree_ for tree in self._forest.estimators_]
        self._leaves = [_by_leaf(tree.apply(rows)) for tree in self._trees]
        self._depths = np.array([c.depth for c in self._curves])
        self._foretold = self._weights(rows) @ self._depths
        mean_seconds = np.log([c.seconds.mean() for c in self._curves])
        work = self._work_rows([r.values for r in recorded])
        self._speed = Ridge(alpha=1.0).fit(work, mean_seconds)
        self._residuals = mean_seconds - self._speed.predict(work)

    def curve(self, values: Values, world: int) -> Curve:
        """Return the curve of a configuration, always the same in the same world."""
        row = self._encoder.rows([values])
        key = zlib.crc32(json.dumps(values, sort_keys=True).encode())
        generator = np.random.default_rng([world, key])
        tree = int(generator.integers(N_TREES))
        (leaf,) = self._trees[tree].apply(row)
        donor = int(generator.choice(self._leaves[tree][leaf]))
        shift = self._pull * (float(self._weights(row)[0] @ self._depths) - self._foretold[donor])
        work = self._work_rows([values])
        speed = float(self._speed.predict(work)[0]) + generator.choice(self._residuals)
        return moved(self._curves[donor], shift, math.exp(speed))

    def foretell(self, points: Sequence[Values]) -> dict[str, np.ndarray]:
        """Return what is expected of the final CER, the log of the final loss, the seconds."""
        rows = self._encoder.rows(points)
        weights = self._weights(rows)
        log_loss = np.log([c.final_loss for c in self._curves])
        mean_epochs = weights @ [len(c) for c in self._curves]
        return {
            "cer": weights @ [c.final_cer for c in self._curves],
            "log_loss": weights @ log_loss,
            "median_log_loss": np.array([_weighted_median(log_loss, w) for w in weights]),
            "seconds": mean_epochs * np.exp(self._speed.predict(self._work_rows(points))),
        }

    def _work_rows(self, points: Sequence[Values]) -> np.ndarray:
        """Return (points, columns) with the logarithm of the multiply-adds besides."""
        layers = [list_layers(self._space.resolve(p), N_SYMBOLS, WIDTH_PX, 1) for p in points]
        work = np.log([[count_multiply_adds(x)] for x in layers])
        return np.hstack([self._encoder.rows(points), work])

    def _weights(self, rows: np.ndarray) -> np.ndarray:
        """Return (rows, recorded): the chance of each recorded curve to be the donor."""
        weights = np.zeros((len(rows), len(self._curves)))
        for tree, leaves in zip(self._trees, self._leaves, strict=True):
            for i, leaf in enumerate(tree.apply(rows)):
                members = leaves[leaf]
                weights[i, members] += 1.0 / len(members)
        return weights / len(self._trees)


def moved(curve: Curve, shift: float, mean_seconds: float) -> Curve:
    """Return a curve whose final loss is so much deeper below the plateau, on the log scale.

    The part of a loss below the plateau is stretched as a power, so that the plateau and the
    epoch of each jump stay; a CER follows, in whole symbols.
    """
    stretch = 1.0
    if curve.depth > MIN_DEPTH:
        stretch = (curve.depth + shift) / curve.depth
        stretch = min(max(stretch, 1.0 / MAX_STRETCH), MAX_STRETCH)
    ratio = curve.val_loss / PLATEAU_LOSS
    loss = PLATEAU_LOSS * np.where(ratio < 1.0, ratio**stretch, ratio)
    seconds = curve.seconds * (mean_seconds / curve.seconds.mean())
    return Curve(_moved_cer(curve.cer, stretch), loss, curve.exact, seconds)


def _moved_cer(cer: np.ndarray, stretch: float) -> np.ndarray:
    symbol = cer[cer > 0.0].min(initial=1.0)  # about what one wrong symbol makes
    cut = np.where(cer < 1.0, cer**stretch, cer)
    return np.where(cer < 0.5, np.rint(cut / symbol) * symbol, cer)


def _summary(curve: Curve) -> list[float]:
    return [math.log(curve.val_loss[:epoch].min()) for epoch in SUMMARY_EPOCHS]


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    middle = np.searchsorted(np.cumsum(weights[order]), weights.sum() / 2)
    return float(values[order[min(int(middle), len(values) - 1)]])


def _by_leaf(leaves: np.ndarray) -> dict[int, np.ndarray]:
    return {int(leaf): np.flatnonzero(leaves == leaf) for leaf in np.unique(leaves)}


def cross_validate(
    space: Space, recorded: Sequence[Recorded], *, pull: float = 0.25, n_draws: int = 30
) -> dict[str, float]:
    """Say how well configurations are foretold that are left out of the fit.

    Returns:
        Spearman's rank correlation of the final CER and of the final loss; mean absolute errors
        of the log loss and of the seconds, beside those of always saying the median; and the
        continuous ranked probability score of the drawn log losses, beside that of draws from
        the whole table. All over configurations left out, in ``N_FOLDS`` parts.
    """
    true = {
        "cer": np.array([r.curve.final_cer for r in recorded]),
        "log_loss": np.log([r.curve.final_loss for r in recorded]),
        "seconds": np.array([r.curve.seconds.sum() for r in recorded]),
    }
    said = {name: np.zeros(len(recorded)) for name in (*true, "median_log_loss")}
    scores = np.zeros((len(recorded), 2))
    for fit, held in KFold(min(N_FOLDS, len(recorded)), shuffle=True, random_state=0).split(
        recorded
    ):
        model = CurveModel(space, [recorded[i] for i in fit], pull=pull)
        for name, part in model.foretell([recorded[i].values for i in held]).items():
            said[name][held] = part
        for i in held:
            drawn = [model.curve(recorded[i].values, w).final_loss for w in range(n_draws)]
            scores[i] = (
                _crps(np.log(drawn), true["log_loss"][i]),
                _crps(true["log_loss"][fit], true["log_loss"][i]),
            )
    return _figures(true, said) | {
        "crps_log_loss": float(scores[:, 0].mean()),
        "crps_log_loss_of_the_table": float(scores[:, 1].mean()),
    }


def _figures(true: dict[str, np.ndarray], said: dict[str, np.ndarray]) -> dict[str, float]:
    figures = {
        f"spearman_{name}": float(spearmanr(said[name], true[name]).statistic)
        for name in ("cer", "log_loss", "seconds")
    }
    for name in ("log_loss", "seconds"):
        best_guess = said.get(f"median_{name}", said[name])
        figures[f"mae_{name}"] = float(np.abs(best_guess - true[name]).mean())
        median = np.median(true[name])
        figures[f"mae_{name}_of_the_median"] = float(np.abs(median - true[name]).mean())
    return figures


def _crps(drawn: np.ndarray, true: float) -> float:
    """Return E|X - y| - E|X - X'| / 2 of draws X (Gneiting and Raftery, 2007); lower is better."""
    spread = np.abs(drawn[:, None] - drawn[None, :]).mean()
    return float(np.abs(drawn - true).mean() - spread / 2)


def roughness(
    space: Space, recorded: Sequence[Recorded], *, worlds: Sequence[int], pull: float = 0.25
) -> dict[str, Any]:
    """Compare how well a forest foretells the real table, and simulated ones of the same points.

    A landscape that is smoother than the real one would be foretold better.
    """
    model = CurveModel(space, recorded, pull=pull)
    simulated = []
    for world in worlds:
        table = [Recorded(r.values, model.curve(r.values, world)) for r in recorded]
        simulated.append(cross_validate(space, table, pull=pull, n_draws=2)["spearman_log_loss"])
    real = cross_validate(space, recorded, pull=pull, n_draws=2)["spearman_log_loss"]
    return {"spearman_real": real, "spearman_simulated": [round(s, 4) for s in simulated]}
