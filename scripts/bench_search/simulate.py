"""Benchmark the searches by simulation, on learning curves that ``record.py`` has recorded.

A model of the recorded curves stands for training, so that a search of a hundred configurations
takes a second; coordinator, samplers and pruners are the real ones. Writes a table of all
searches, their comparison as JSON, and a page of figures. ``--again`` makes the last two from
the table without a search.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from curve_model import CurveModel, cross_validate, read_table, roughness
from outcome_figures import write_page
from outcomes import Outcome, compare, describe, load_outcomes, save_outcomes
from simulated_search import METHODS, Moment, Search, run_search

from ocrsearch.spaces import Space, load_space

ROUGHNESS_WORLDS = range(5)

_ready: list[tuple[Space, CurveModel]] = []  # of a process of the pool


def main(
    table: Annotated[Path, typer.Option(help="Recorded curves, CSV.")],
    space: Annotated[Path, typer.Option(help="Their search space.")],
    output: Annotated[Path, typer.Option(help="Folder to write to.")],
    seeds: Annotated[int, typer.Option(help="Searches of each method.")] = 50,
    workers: Annotated[str, typer.Option(help="Numbers of workers to simulate.")] = "1,2,8",
    methods: Annotated[str, typer.Option(help="Names, with commas.")] = ",".join(METHODS),
    configurations: Annotated[int, typer.Option(help="That each search may try.")] = 100,
    epochs: Annotated[int | None, typer.Option(help="That each search may train.")] = None,
    processes: Annotated[int, typer.Option(help="Of this machine.")] = 2,
    again: Annotated[bool, typer.Option(help="Only compare and draw once more.")] = False,
) -> None:
    """Simulate searches and compare the methods."""
    if not again:
        searches = [
            Search(method, n, seed, configurations, epochs)
            for seed in range(seeds)
            for n in map(int, workers.split(","))
            for method in methods.split(",")
        ]
        save_json(judge_model(table, space), output / "model.json")
        save_outcomes(simulate(searches, table, space, processes), output / "searches.csv")
    outcomes = load_outcomes(output / "searches.csv")
    figures = compare(outcomes)
    save_json(figures, output / "comparison.json")
    text = describe(figures)
    write_page(outcomes, text, output / "searches.html")
    typer.echo(text)


def judge_model(table: Path, space_path: Path) -> dict[str, Any]:
    """Say how well the model foretells, and print it."""
    space, recorded = load_space(space_path), read_table(table)
    figures: dict[str, Any] = {"configurations": len(recorded)}
    figures |= {k: round(v, 4) for k, v in cross_validate(space, recorded).items()}
    figures |= roughness(space, recorded, worlds=ROUGHNESS_WORLDS)
    for name, value in figures.items():
        typer.echo(f"{name}: {value}")
    return figures


def simulate(
    searches: Sequence[Search], table: Path, space: Path, processes: int
) -> Iterator[Outcome]:
    """Run searches in processes; give what they came to, in their order."""
    start = time.monotonic()
    for n_done, outcome in enumerate(_outcomes(searches, table, space, processes), start=1):
        yield outcome
        if n_done % 50 == 0 or n_done == len(searches):
            seconds = time.monotonic() - start
            typer.echo(f"{n_done}/{len(searches)} searches, {seconds:.0f} s", err=True)


def _outcomes(
    searches: Sequence[Search], table: Path, space: Path, processes: int
) -> Iterator[Outcome]:
    if processes == 1:
        _prepare(table, space)
        yield from map(_simulate_one, searches)
        return
    with multiprocessing.get_context("spawn").Pool(processes, _prepare, (table, space)) as pool:
        yield from pool.imap(_simulate_one, searches)


def _prepare(table: Path, space_path: Path) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    space = load_space(space_path)
    _ready[:] = [(space, CurveModel(space, read_table(table)))]


def _simulate_one(search: Search) -> Outcome:
    ((space, model),) = _ready
    moments = list(improvements(run_search(search, space, model).moments))
    rows = [(m.epochs, m.seconds, m.cer, m.val_loss) for m in moments]
    return Outcome(search.method, search.n_workers, search.seed, np.array(rows))


def improvements(moments: Sequence[Moment]) -> Iterator[Moment]:
    """Return the moments at which a search got better, and its last."""
    best: tuple[float, float] | None = None
    for moment in moments:
        if (moment.cer, moment.val_loss) != best or moment is moments[-1]:
            best = (moment.cer, moment.val_loss)
            yield moment


def save_json(figures: dict[str, Any], path: Path) -> None:
    """Write figures for programs to read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
