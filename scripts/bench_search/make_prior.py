"""Write the configurations of the recorded tables, with their ranks, for the prior of a search.

The covariance of the ranks is that of ``Kernel``; ``--fit`` prints the one with the highest
marginal likelihood. ``--judge`` prints how well the ranks on each dataset are predicted from the
tables of the other datasets.

    python scripts/bench_search/make_prior.py --judge
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated

import numpy as np
import typer
from recordings import Task, read_table, recorded_tasks
from scipy.optimize import minimize
from scipy.stats import spearmanr

from ocrsearch.studies import PRIOR_FILE, Kernel, Point, Prior, describing_point, ranks_within

N_SHUFFLES = 1000


def main(
    judge: Annotated[bool, typer.Option("--judge", help="Print what the prior is worth.")] = False,
    fit: Annotated[bool, typer.Option("--fit", help="Print the most likely covariance.")] = False,
) -> None:
    """Write the file of the prior."""
    tasks = recorded_tasks()
    points, ranks = ranked(tasks)
    if judge:
        for line in judgement(tasks):
            typer.echo(line)
    if fit:
        typer.echo(most_likely(points, ranks))
    paths = sorted({path for point in points for path in point})
    rows = [[point.get(path) for path in paths] for point in points]
    content = {"paths": paths, "points": rows, "ranks": [round(rank, 4) for rank in ranks]}
    text = json.dumps(content, separators=(",", ":"))
    PRIOR_FILE.write_text(text.replace("],[", "],\n[") + "\n", encoding="utf-8")
    size_kb = PRIOR_FILE.stat().st_size / 1e3
    typer.echo(f"{PRIOR_FILE.name}: {len(points)} configurations, {size_kb:.0f} kB")


def ranked(tasks: Sequence[Task]) -> tuple[list[Point], list[float]]:
    """Return the configurations of some tables, and their ranks by the lowest CER."""
    points: list[Point] = []
    ranks: list[float] = []
    for task in tasks:
        recorded, varied = read_table(task.table), {p.path for p in task.space.parameters}
        for one in recorded:
            point = describing_point(task.space, one.values)
            kept = varied | {"pretrained"}  # a fixed value says nothing within a table
            points.append({path: value for path, value in point.items() if path in kept})
        ranks += ranks_within([one.curve.final_cer for one in recorded])
    return points, ranks


def judgement(tasks: Sequence[Task]) -> list[str]:
    """Return lines of a Markdown table: each dataset predicted from the others."""
    lines = [
        "| table | configurations | rank correlation | mean rank of the best predicted quarter |",
        "| --- | --- | --- | --- |",
    ]
    for task in tasks:
        others = [other for other in tasks if other.dataset != task.dataset]
        points, ranks = ranked([task])
        predicted = Prior(*ranked(others)).expected_ranks(points)
        agreement = spearmanr(predicted, ranks).statistic
        best = np.argsort(predicted)[: max(1, len(ranks) // 4)]
        chosen = float(np.mean(np.array(ranks)[best]))
        lines.append(f"| {task.name} | {len(ranks)} | {agreement:.2f} | {chosen:.2f} |")
    return lines


def most_likely(points: Sequence[Point], ranks: Sequence[float]) -> Kernel:
    """Return the covariance with the highest marginal likelihood, with a weak prior on it."""
    usual = np.log([0.04, 2.7, 0.007, 0.035])

    def loss(logs: np.ndarray) -> float:
        kernel = Kernel(*np.exp(logs))
        return Prior(points, ranks, kernel).surprise + float(((logs - usual) ** 2).sum())

    return Kernel(*np.exp(minimize(loss, usual, method="Nelder-Mead").x).round(4).tolist())


if __name__ == "__main__":
    typer.run(main)
