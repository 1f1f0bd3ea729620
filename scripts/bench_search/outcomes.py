"""Results of simulated searches: their table, and the comparison of the methods.

Errors are ordered as the coordinator orders configurations: by CER, then by validation loss.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.stats import binomtest

COLUMNS = ("task", "method", "workers", "seed", "epochs", "seconds", "cer", "val_loss")

RIVALS = ("promotion", "median", "halving", "constant")
"""A new method should be worse than the best of these at no budget."""

BUDGET_STEP = 50
SIGNIFICANT = 0.05
CER_SCALE = 1e6
"""One more wrong character in the CER weighs more than any loss."""

Axis = Literal["epochs", "seconds"]


@dataclass(frozen=True)
class Outcome:
    """A search: a row for each improvement, and one for its end.

    Attributes:
        task: name of the recorded table.
        method: name of the method.
        workers: number of trials that trained at the same time.
        seed: random seed of the search.
        rows: (moments, 4): number of epochs, seconds, CER and loss of the best so far.
    """

    task: str
    method: str
    workers: int
    seed: int
    rows: np.ndarray

    @property
    def order(self) -> np.ndarray:
        """Errors as numbers that compare as (CER, loss) do."""
        return self.rows[:, 2] * CER_SCALE + self.rows[:, 3]

    def axis(self, axis: Axis) -> np.ndarray:
        """Return the epochs or the seconds of the rows."""
        return self.rows[:, 0 if axis == "epochs" else 1]

    def at(self, budgets: np.ndarray, axis: Axis = "epochs") -> np.ndarray:
        """Return the row in force at each budget, -1 where nothing is finished yet."""
        return np.searchsorted(self.axis(axis), budgets, side="right") - 1

    def reached(self, order: float, axis: Axis = "epochs") -> float:
        """Return the epochs or seconds after which an error is reached, infinity if never."""
        hits = np.flatnonzero(self.order <= order)
        return float(self.axis(axis)[hits[0]]) if len(hits) else math.inf


def save_outcomes(outcomes: Iterable[Outcome], path: Path) -> None:
    """Write the table of all searches, each as it comes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for o in outcomes:
            writer.writerows(
                (o.task, o.method, o.workers, o.seed, int(epochs), f"{seconds:.1f}", cer, loss)
                for epochs, seconds, cer, loss in o.rows.tolist()
            )


def load_outcomes(path: Path) -> list[Outcome]:
    """Read a table that ``save_outcomes`` wrote."""
    groups: dict[tuple[str, str, int, int], list[list[float]]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            key = (row["task"], row["method"], int(row["workers"]), int(row["seed"]))
            groups.setdefault(key, []).append([float(row[name]) for name in COLUMNS[4:]])
    return [Outcome(*key, np.array(rows)) for key, rows in groups.items()]


def of(outcomes: Sequence[Outcome], method: str, workers: int) -> list[Outcome]:
    """Return the searches of a method with a number of workers, by seed."""
    chosen = [o for o in outcomes if (o.method, o.workers) == (method, workers)]
    return sorted(chosen, key=lambda o: o.seed)


def by_task(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """Return the searches of each task."""
    return {
        name: [o for o in outcomes if o.task == name]
        for name in dict.fromkeys(o.task for o in outcomes)
    }


def compare(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the figures of each task, number of workers and method.

    The error to reach is the median of the last errors of random search.
    """
    return {
        task: {
            str(workers): _compare_methods([o for o in searches if o.workers == workers])
            for workers in sorted({o.workers for o in searches})
        }
        for task, searches in by_task(outcomes).items()
    }


def _compare_methods(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    methods = dict.fromkeys(o.method for o in outcomes)
    groups = {name: [o for o in outcomes if o.method == name] for name in methods}
    full = groups.get("random", [])
    target = float(np.median([o.order[-1] for o in full])) if full else math.nan
    return {
        name: _needs(group, full, target) | against_rivals(group, groups, name)
        for name, group in groups.items()
    }


def _needs(group: Sequence[Outcome], full: Sequence[Outcome], target: float) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "searches": len(group),
        "final_cer": _median(o.rows[-1, 2] for o in group),
        "final_loss": _median(o.rows[-1, 3] for o in group),
        "reach_random": sum(o.reached(target) < math.inf for o in group),
    }
    axes: tuple[Axis, ...] = ("epochs", "seconds")
    for axis in axes:
        needed = _median(o.reached(target, axis) for o in group)
        in_full = _median(o.axis(axis)[-1] for o in full) if full else math.nan
        figures[f"all_{axis}"] = _median(o.axis(axis)[-1] for o in group)
        figures[f"{axis}_to_random"] = _number(needed)
        figures[f"{axis}_to_random_share"] = _number(needed / in_full)
    return figures


def against_rivals(
    group: Sequence[Outcome], groups: dict[str, list[Outcome]], name: str
) -> dict[str, Any]:
    """Compare a method with the best of its rivals at each budget of epochs, seed by seed.

    Returns:
        The budgets at which its median error is worse or better, and those at which a sign test
        over the seeds finds this significant.
    """
    rivals = [g for rival, g in groups.items() if rival in RIVALS and rival != name]
    found: dict[str, list[int]] = {
        "worse": [],
        "better": [],
        "surely_worse": [],
        "surely_better": [],
    }
    last = max((o.rows[-1, 0] for g in [group, *rivals] for o in g), default=0)
    budgets = np.arange(BUDGET_STEP, last + BUDGET_STEP, BUDGET_STEP)
    if not rivals:
        return found
    own, theirs = _errors(group, budgets), [_errors(g, budgets) for g in rivals]
    for i, budget in enumerate(budgets):
        best = min((t[:, i] for t in theirs), key=np.median)
        _judge(found, int(budget), own[:, i], best)
    return found


def _judge(found: dict[str, list[int]], budget: int, own: np.ndarray, best: np.ndarray) -> None:
    word = "worse" if np.median(own) > np.median(best) else "better"
    if np.median(own) != np.median(best):
        found[word].append(budget)
    n_worse, n_better = int((own > best).sum()), int((own < best).sum())
    n = n_worse + n_better
    if n and binomtest(n_worse, n).pvalue < SIGNIFICANT:
        found["surely_worse" if n_worse > n_better else "surely_better"].append(budget)


def _errors(group: Sequence[Outcome], budgets: np.ndarray) -> np.ndarray:
    """Return (searches, budgets): errors that compare as (CER, loss) do."""
    return np.array([np.append(o.order, math.inf)[o.at(budgets)] for o in group])


def ranges(budgets: Sequence[int]) -> str:
    """Return budgets as ranges for people to read: ``50-200, 400``."""
    runs: list[list[int]] = []
    for budget in budgets:
        if runs and budget == runs[-1][-1] + BUDGET_STEP:
            runs[-1].append(budget)
        else:
            runs.append([budget])
    return ", ".join(f"{r[0]}-{r[-1]}" if len(r) > 1 else str(r[0]) for r in runs) or "none"


def describe(figures: dict[str, Any]) -> str:
    """Return the comparison as text."""
    lines = []
    for task, by_workers in figures.items():
        for workers, methods in by_workers.items():
            noun = "worker" if workers == "1" else "workers"
            lines.append(
                f"\n{task}, {workers} {noun}: median of {_searches(methods)} searches each"
            )
            lines.append(
                f"{'method':<20}{'epochs':>8}{'seconds':>9}{'CER':>8}{'loss':>10}"
                f"{'to random':>11}{'share':>7}{'seconds':>9}{'reach':>7}"
            )
            lines += [_line(name, f) for name, f in methods.items()]
            for name, f in methods.items():
                words = ("worse", "surely_worse", "better", "surely_better")
                judged = "; ".join(f"{w.replace('_', ' ')} {ranges(f[w])}" for w in words)
                lines.append(f"  {name} against the best of {', '.join(RIVALS)}: {judged}")
    return "\n".join(lines)


def _searches(methods: dict[str, Any]) -> int:
    return max(f["searches"] for f in methods.values())


def _line(name: str, f: dict[str, Any]) -> str:
    def said(value: float | None, form: str) -> str:
        return "never" if value is None else format(value, form)

    return (
        f"{name:<20}{f['all_epochs']:>8.0f}{f['all_seconds']:>9.0f}{f['final_cer']:>8.4f}"
        f"{f['final_loss']:>10.6f}{said(f['epochs_to_random'], '.0f'):>11}"
        f"{said(f['epochs_to_random_share'], '.2f'):>7}"
        f"{said(f['seconds_to_random_share'], '.2f'):>9}{f['reach_random']:>7}"
    )


def _median(values: Iterable[float]) -> float:
    return float(np.median(list(values)))


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
