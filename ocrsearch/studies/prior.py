"""Prior: which configurations are likely to be good on a new dataset.

It is a Gaussian process over configurations that were trained on other datasets (Rasmussen and
Williams, 2006, chapter 2). It predicts the rank of a configuration among random configurations of
the same dataset, since error rates of different datasets cannot be compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Point = Mapping[str, Any]
"""Values of a configuration by path, such as ``training.learning_rate``."""


@dataclass(frozen=True)
class Column:
    """A number that describes a configuration.

    Attributes:
        path: path of the parameter.
        word: for a parameter with words, the word for which the column is 1; otherwise None.
        mean: mean over the known configurations; a configuration without the parameter gets it.
        scale: standard deviation over the known configurations.
        log: whether the logarithm of the value is used.
    """

    path: str
    word: str | None
    mean: float
    scale: float
    log: bool

    def cell(self, point: Point) -> float:
        """Return the standardised number of a configuration."""
        value = point.get(self.path)
        if value is None:
            return 0.0
        if self.word is not None:
            number = float(value == self.word)
        elif isinstance(value, str):
            return 0.0
        else:
            number = math.log(max(float(value), 1e-9)) if self.log else float(value)
        return (number - self.mean) / self.scale


def describing_columns(points: Sequence[Point]) -> tuple[Column, ...]:
    """Return the columns in which configurations differ."""
    found = []
    for path in sorted({path for point in points for path in point}):
        values = [point[path] for point in points if path in point]
        words = sorted({value for value in values if isinstance(value, str)})
        if words:
            columns = [(word, np.array([float(v == word) for v in values])) for word in words]
            found += [Column(path, w, x.mean(), x.std(), log=False) for w, x in columns if x.std()]
            continue
        numbers = np.array(values, float)
        log = bool(numbers.min() > 0)
        numbers = np.log(numbers) if log else numbers
        if numbers.std() > 0:
            found.append(Column(path, None, numbers.mean(), numbers.std(), log=log))
    return tuple(found)


@dataclass(frozen=True)
class Kernel:
    """Covariance of ranks: a smooth part, a linear part and noise.

    Attributes:
        smooth: variance of the smooth part.
        length: length scale of the smooth part, in standard deviations of the columns.
        linear: variance of the slope of each column.
        noise: variance of the noise.
    """

    smooth: float = 0.04
    length: float = 2.7
    linear: float = 0.007
    noise: float = 0.035

    def __call__(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return the covariance of the ranks of points (n, columns) and (m, columns), (n, m)."""
        squares = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
        near = self.smooth * np.exp(-squares / (2 * self.length**2))
        covariance: np.ndarray = near + self.linear * a @ b.T
        return covariance


class Prior:
    """Expected rank of configurations on a new dataset."""

    def __init__(
        self, points: Sequence[Point], ranks: Sequence[float], kernel: Kernel | None = None
    ) -> None:
        """Fit to known configurations.

        Args:
            points: values of the configurations.
            ranks: their ranks among the configurations of their dataset, from 0 (best) to 1.
            kernel: covariance.
        """
        self.columns, self._kernel = describing_columns(points), kernel or Kernel()
        self._rows = self._encode(points)
        covariance = self._kernel(self._rows, self._rows)
        covariance += self._kernel.noise * np.eye(len(points))
        centred = np.asarray(ranks) - 0.5
        self._weights = np.linalg.solve(covariance, centred)
        # negative logarithm of the marginal likelihood, without its constant
        log_volume = float(np.log(np.diag(np.linalg.cholesky(covariance))).sum())
        self.surprise = 0.5 * float(centred @ self._weights) + log_volume

    def expected_ranks(self, points: Sequence[Point]) -> np.ndarray:
        """Return the expected rank of each configuration, (points,); a lower rank is better."""
        return 0.5 + self._kernel(self._encode(points), self._rows) @ self._weights

    def _encode(self, points: Sequence[Point]) -> np.ndarray:
        return np.array([[column.cell(point) for column in self.columns] for point in points])


def ranks_within(errors: Sequence[Any]) -> list[float]:
    """Return the rank of each error among all, from 0 (best) to 1; ties are broken by order."""
    order = sorted(range(len(errors)), key=lambda i: errors[i])
    ranks = [0.0] * len(errors)
    for place, i in enumerate(order):
        ranks[i] = (place + 0.5) / len(errors)
    return ranks
