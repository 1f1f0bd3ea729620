"""Learning curves for any configuration of a space, drawn from a table of recorded curves.

A forest finds the recorded configurations that are similar to a new configuration. The new
configuration gets the curve of one of them, drawn at random, so that the simulated landscape keeps
the plateaus, jumps and luck of the real one (quantile regression forests, Meinshausen, 2006). The
number of edits is then scaled by the predicted difference between the two configurations and by a
random factor, so that no two curves are equal.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from recordings import Curve, Recorded, Values
from scipy.stats import spearmanr
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold

from ocrsearch.models import count_multiply_adds, list_layers
from ocrsearch.spaces import Scalar, Space

SUMMARY_EPOCHS = (1, 3, 9, 27, 81)
"""Similar configurations have similar errors at these epochs."""

READS_BELOW_CER = 0.5
"""Epochs with a higher CER are not scaled: their networks read hardly anything."""

PULL = 0.25
"""Fraction of the predicted difference of two configurations by which a curve is scaled.

The rest of the difference is in the choice of the recorded curve.
"""

LUCK = 0.05
"""Standard deviation of the logarithm of the random factor: about that of two seeds."""

N_SYMBOLS, WIDTH_PX = 40, 160
"""Size of the image for which arithmetic is counted; only ratios matter."""

LEAF_SIZE = 3
N_TREES = 150
N_FOLDS = 10


class Encoder:
    """Configurations as rows of numbers: logarithms of positive values, a column for each word."""

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
    """Draws a curve for any configuration of a space."""

    def __init__(self, space: Space, recorded: Sequence[Recorded], *, seed: int = 0) -> None:
        """Fit to recorded curves.

        Args:
            space: space of the configurations.
            recorded: at least ``LEAF_SIZE`` configurations with their curves.
            seed: random seed of the forest.
        """
        self._encoder, self._space = Encoder(space), space
        self._curves = [r.curve for r in recorded]
        rows = self._encoder.rows([r.values for r in recorded])
        self._forest = ExtraTreesRegressor(
            N_TREES, min_samples_leaf=LEAF_SIZE, random_state=seed
        ).fit(rows, np.array([_summary(c) for c in self._curves]))
        self._trees = [tree.tree_ for tree in self._forest.estimators_]
        self._leaves = [_by_leaf(tree.apply(rows)) for tree in self._trees]
        self._log_cer = np.log([max(c.final_cer, 1e-4) for c in self._curves])
        self._predicted = self._weights(rows) @ self._log_cer
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
        expected = float(self._weights(row)[0] @ self._log_cer) - self._predicted[donor]
        work = self._work_rows([values])
        speed = float(self._speed.predict(work)[0]) + generator.choice(self._residuals)
        factor = math.exp(PULL * expected + generator.normal(0.0, LUCK))
        return scaled(self._curves[donor], factor, math.exp(speed), generator)

    def predict(self, points: Sequence[Values]) -> dict[str, np.ndarray]:
        """Return the expected logarithm of the final CER, and the seconds of a full training."""
        weights = self._weights(self._encoder.rows(points))
        mean_epochs = weights @ [len(c) for c in self._curves]
        return {
            "log_cer": weights @ self._log_cer,
            "seconds": mean_epochs * np.exp(self._speed.predict(self._work_rows(points))),
        }

    def _work_rows(self, points: Sequence[Values]) -> np.ndarray:
        """Return (points, columns) with the logarithm of the multiply-adds as the last column."""
        layers = [list_layers(self._space.resolve(p), N_SYMBOLS, WIDTH_PX, 1) for p in points]
        work = np.log([[count_multiply_adds(x)] for x in layers])
        return np.hstack([self._encoder.rows(points), work])

    def _weights(self, rows: np.ndarray) -> np.ndarray:
        """Return (rows, recorded): probability of each recorded curve to be drawn."""
        weights = np.zeros((len(rows), len(self._curves)))
        for tree, leaves in zip(self._trees, self._leaves, strict=True):
            for i, leaf in enumerate(tree.apply(rows)):
                members = leaves[leaf]
                weights[i, members] += 1.0 / len(members)
        return weights / len(self._trees)


def scaled(
    curve: Curve, factor: float, mean_seconds: float, generator: np.random.Generator
) -> Curve:
    """Return a curve with the edits and losses of reading epochs multiplied by a factor.

    Edits are rounded up or down at random, in each image alike over all epochs.
    """
    reads = curve.cer < READS_BELOW_CER
    threshold = generator.random(curve.edits.shape[1])
    edits = np.floor(curve.edits * factor + threshold).astype(np.uint8)
    edits = np.where(reads[:, None], edits, curve.edits)
    before = np.maximum(curve.edits.sum(1), 1)
    cer = np.where(reads, curve.cer * edits.sum(1) / before, curve.cer)
    exact = np.where(reads, (edits == 0).mean(1), curve.exact)
    loss = np.where(reads, curve.val_loss * factor, curve.val_loss)
    seconds = curve.seconds * (mean_seconds / curve.seconds.mean())
    return Curve(cer, loss, exact, seconds, edits)


def _summary(curve: Curve) -> list[float]:
    return [math.log(max(1e-4, curve.cer[:epoch].min())) for epoch in SUMMARY_EPOCHS]


def _by_leaf(leaves: np.ndarray) -> dict[int, np.ndarray]:
    return {int(leaf): np.flatnonzero(leaves == leaf) for leaf in np.unique(leaves)}


def cross_validate(
    space: Space, recorded: Sequence[Recorded], *, n_draws: int = 30
) -> dict[str, float]:
    """Return how well a model predicts configurations that are left out of its fit.

    Returns:
        Spearman's rank correlation of the final CER and of the seconds; the mean absolute error of
        the logarithm of the final CER, beside that of the table's median; and the continuous
        ranked probability score of drawn log CERs, beside that of draws from the whole table. All
        over configurations left out, in ``N_FOLDS`` folds.
    """
    log_cer = np.log([max(r.curve.final_cer, 1e-4) for r in recorded])
    seconds = np.array([r.curve.seconds.sum() for r in recorded])
    predicted = {"log_cer": np.zeros(len(recorded)), "seconds": np.zeros(len(recorded))}
    scores = np.zeros((len(recorded), 2))
    folds = KFold(min(N_FOLDS, len(recorded)), shuffle=True, random_state=0)
    for fit, held in folds.split(recorded):
        model = CurveModel(space, [recorded[i] for i in fit])
        for name, values in model.predict([recorded[i].values for i in held]).items():
            predicted[name][held] = values
        for i in held:
            drawn = [model.curve(recorded[i].values, w).final_cer for w in range(n_draws)]
            scores[i] = (
                _crps(np.log(np.maximum(drawn, 1e-4)), log_cer[i]),
                _crps(log_cer[fit], log_cer[i]),
            )
    return {
        "spearman_cer": float(spearmanr(predicted["log_cer"], log_cer).statistic),
        "spearman_seconds": float(spearmanr(predicted["seconds"], seconds).statistic),
        "mae_log_cer": float(np.abs(predicted["log_cer"] - log_cer).mean()),
        "mae_log_cer_of_the_median": float(np.abs(np.median(log_cer) - log_cer).mean()),
        "crps_log_cer": float(scores[:, 0].mean()),
        "crps_log_cer_of_the_table": float(scores[:, 1].mean()),
    }


def _crps(drawn: np.ndarray, true: float) -> float:
    """Return E|X - y| - E|X - X'| / 2 of draws X (Gneiting and Raftery, 2007); lower is better."""
    spread = np.abs(drawn[:, None] - drawn[None, :]).mean()
    return float(np.abs(drawn - true).mean() - spread / 2)


def roughness(
    space: Space, recorded: Sequence[Recorded], *, worlds: Sequence[int]
) -> dict[str, Any]:
    """Compare how well a forest predicts the real table, and simulated tables of its points.

    A landscape that is smoother than the real one would be predicted better.
    """
    model = CurveModel(space, recorded)
    simulated = []
    for world in worlds:
        curves = [(r.values, model.curve(r.values, world)) for r in recorded]
        table = [Recorded(values, curve, curve) for values, curve in curves]
        simulated.append(cross_validate(space, table, n_draws=2)["spearman_cer"])
    real = cross_validate(space, recorded, n_draws=2)["spearman_cer"]
    return {"spearman_real": real, "spearman_simulated": [round(s, 4) for s in simulated]}
