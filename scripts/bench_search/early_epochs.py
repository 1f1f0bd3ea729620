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
from recordings import Curve, load_tasks, read_table

FRACTIONS = (1 / 27, 1 / 9, 1 / 3, 1 / 2, 1.0)
READS_CER = 0.5
LEAST_DIFFERENCE = 0.1


def main() -> None:
    """Print a table."""
    columns = [f"{fraction:.2f}" for fraction in FRACTIONS]
    typer.echo(f"| table | figure | {' | '.join(columns)} |")
    typer.echo(f"|{' --- |' * (len(columns) + 2)}")
    for task in load_tasks().values():
        curves = [recorded.curve for recorded in read_table(task.table)]
        name = f"{task.name} (n = {len(curves)})"
        typer.echo(row(name, "averaged / latest", [ratios(curves, f) for f in FRACTIONS]))
        for kind in ("latest", "averaged"):
            typer.echo(row(name, f"order, {kind}", [order(curves, f, kind) for f in FRACTIONS]))


def row(*cells: str | Sequence[str]) -> str:
    """Return a row of a Markdown table."""
    flat = [text for cell in cells for text in ([cell] if isinstance(cell, str) else cell)]
    return f"| {' | '.join(flat)} |"


def best_so_far(curve: Curve, fraction: float, kind: str) -> float:
    """Return the lowest CER within a fraction of the epochs, as the trainer would measure it.

    Args:
        curve: learning curve.
        fraction: fraction of the epochs, at least one epoch.
        kind: "latest" weights, or "averaged" weights once the network reads.
    """
    n = max(1, round(fraction * len(curve)))
    return float(measured(curve, kind)[:n].min())


def measured(curve: Curve, kind: str) -> np.ndarray:
    """Return the CER of each epoch; the arguments are those of ``best_so_far``."""
    if kind == "latest":
        return curve.cer
    reads = np.minimum.accumulate(curve.cer) <= READS_CER
    reads = np.concatenate([[False], reads[:-1]])  # known from the epoch after
    return np.where(reads, curve.averaged[1][0], curve.cer)


def ratios(curves: Sequence[Curve], fraction: float) -> str:
    """Return median, lowest and highest ratio of the CERs of averaged and latest weights."""
    pairs = [
        (best_so_far(c, fraction, "averaged"), best_so_far(c, fraction, "latest")) for c in curves
    ]
    found = [averaged / latest for averaged, latest in pairs if 0.0 < latest <= READS_CER]
    if not found:
        return "-"
    return f"{np.median(found):.2f} ({min(found):.2f} to {max(found):.2f}; {len(found)})"


def order(curves: Sequence[Curve], fraction: float, kind: str) -> str:
    """Return the fraction of pairs whose early order is that of their final CER."""
    early = [best_so_far(curve, fraction, kind) for curve in curves]
    final = [best_so_far(curve, 1.0, kind) for curve in curves]
    agreed = [
        1.0 if (early[i] - early[j]) * (final[i] - final[j]) > 0 else 0.5 * (early[i] == early[j])
        for i, j in itertools.combinations(range(len(curves)), 2)
        if abs(final[i] - final[j]) >= LEAST_DIFFERENCE * max(final[i], final[j])
    ]
    return f"{np.mean(agreed):.2f} ({len(agreed)})" if agreed else "-"


if __name__ == "__main__":
    typer.run(main)
