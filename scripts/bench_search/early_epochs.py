"""Measure what early epochs tell about the end of a training, on the recorded tables.

For each table and some fractions of the training, the script prints the best CER so far with
averaged weights, divided by the best CER with the latest weights (median over the configurations
that read by then, with the lowest and highest value), and the fraction of pairs of configurations
that are in the order of their final CER, for both kinds of weights. Pairs whose final CERs differ
by less than a tenth are left out.

    python scripts/bench_search/early_epochs.py
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import typer
from recordings import READS_CER, Curve, Recorded, read_table, recorded_tasks

FRACTIONS = (1 / 27, 1 / 9, 1 / 3, 1 / 2, 1.0)
LEAST_DIFFERENCE = 0.1


def main() -> None:
    """Print a table."""
    columns = [f"{fraction:.2f}" for fraction in FRACTIONS]
    typer.echo(f"| table | figure | {' | '.join(columns)} |")
    typer.echo(f"|{' --- |' * (len(columns) + 2)}")
    for task in recorded_tasks():
        table = read_table(task.table)
        name = f"{task.name} (n = {len(table)})"
        typer.echo(row(name, "averaged / latest", [ratios(table, f) for f in FRACTIONS]))
        kinds = {"latest": [r.latest for r in table], "averaged": [r.curve for r in table]}
        for kind, curves in kinds.items():
            typer.echo(row(name, f"order, {kind}", [order(curves, f) for f in FRACTIONS]))


def row(*cells: str | Sequence[str]) -> str:
    """Return a row of a Markdown table."""
    flat = [text for cell in cells for text in ([cell] if isinstance(cell, str) else cell)]
    return f"| {' | '.join(flat)} |"


def best_so_far(curve: Curve, fraction: float) -> float:
    """Return the lowest CER within a fraction of the epochs, at least one epoch."""
    n = max(1, round(fraction * len(curve)))
    return float(curve.cer[:n].min())


def ratios(table: Sequence[Recorded], fraction: float) -> str:
    """Return median, lowest and highest ratio of the CERs of averaged and latest weights."""
    pairs = [(best_so_far(r.curve, fraction), best_so_far(r.latest, fraction)) for r in table]
    found = [averaged / latest for averaged, latest in pairs if 0.0 < latest <= READS_CER]
    if not found:
        return "-"
    return f"{np.median(found):.2f} ({min(found):.2f} to {max(found):.2f}; {len(found)})"


def order(curves: Sequence[Curve], fraction: float) -> str:
    """Return the fraction of pairs whose early order is that of their final CER."""
    early = [best_so_far(curve, fraction) for curve in curves]
    final = [curve.final_cer for curve in curves]
    agreed = [
        1.0 if (early[i] - early[j]) * (final[i] - final[j]) > 0 else 0.5 * (early[i] == early[j])
        for i, j in itertools.combinations(range(len(curves)), 2)
        if abs(final[i] - final[j]) >= LEAST_DIFFERENCE * max(final[i], final[j])
    ]
    return f"{np.mean(agreed):.2f} ({len(agreed)})" if agreed else "-"


if __name__ == "__main__":
    typer.run(main)
