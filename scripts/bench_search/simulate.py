"""Benchmark search methods by simulation, on the learning curves recorded by ``record.py``.

A model of the recorded curves replaces training, so a search of a hundred configurations takes a
second. Coordinator, samplers and pruners are the real ones. The script writes a table of all
searches, their comparison as JSON, and a page of figures. With ``--again`` it only compares and
draws the searches of an existing table.
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
from curve_model import CurveModel, cross_validate, roughness
from make_prior import ranked
from outcome_figures import write_page
from outcomes import Outcome, compare, describe, load_outcomes, save_outcomes
from recordings import Task, load_tasks, read_table, recorded_tasks
from simulated_search import METHODS, Moment, Search, run_search

from ocrsearch.spaces import Space
from ocrsearch.studies import Prior

ROUGHNESS_WORLDS = range(5)

_ready: dict[str, tuple[Space, CurveModel, Prior]] = {}  # of a process of the pool


def main(
    output: Annotated[Path, typer.Argument(help="Folder to write to.")],
    tasks: Annotated[str, typer.Option(help="Comma-separated names; all by default.")] = "",
    seeds: Annotated[int, typer.Option(help="Number of searches of each method.")] = 50,
    workers: Annotated[str, typer.Option(help="Numbers of workers to simulate.")] = "1,2,8",
    methods: Annotated[str, typer.Option(help="Comma-separated names.")] = ",".join(METHODS),
    configurations: Annotated[int, typer.Option(help="Largest number of trials.")] = 100,
    epochs: Annotated[int | None, typer.Option(help="Largest number of epochs.")] = None,
    processes: Annotated[int, typer.Option(help="Number of processes to use.")] = 2,
    again: Annotated[bool, typer.Option(help="Compare and draw without searching.")] = False,
) -> None:
    """Simulate searches and compare the methods."""
    if not again:
        known = load_tasks()
        chosen = [known[name] for name in tasks.split(",")] if tasks else recorded_tasks()
        searches = [
            (task.name, Search(method, n, seed, configurations, epochs))
            for task in chosen
            for seed in range(seeds)
            for n in map(int, workers.split(","))
            for method in methods.split(",")
        ]
        save_json({task.name: judge_model(task) for task in chosen}, output / "model.json")
        save_outcomes(simulate(searches, processes), output / "searches.csv")
    outcomes = load_outcomes(output / "searches.csv")
    figures = compare(outcomes)
    save_json(figures, output / "comparison.json")
    text = describe(figures)
    write_page(outcomes, text, output / "searches.html")
    typer.echo(text)


def judge_model(task: Task) -> dict[str, Any]:
    """Return how well the model of a table predicts curves, and print it."""
    space, recorded = task.space, read_table(task.table)
    figures: dict[str, Any] = {"configurations": len(recorded)}
    figures |= {k: round(v, 4) for k, v in cross_validate(space, recorded).items()}
    figures |= roughness(space, recorded, worlds=ROUGHNESS_WORLDS)
    for name, value in figures.items():
        typer.echo(f"{task.name}: {name}: {value}")
    return figures


def simulate(searches: Sequence[tuple[str, Search]], processes: int) -> Iterator[Outcome]:
    """Run searches in processes; yield their results in order."""
    start = time.monotonic()
    for n_done, outcome in enumerate(_outcomes(searches, processes), start=1):
        yield outcome
        if n_done % 50 == 0 or n_done == len(searches):
            seconds = time.monotonic() - start
            typer.echo(f"{n_done}/{len(searches)} searches, {seconds:.0f} s", err=True)


def _outcomes(searches: Sequence[tuple[str, Search]], processes: int) -> Iterator[Outcome]:
    if processes == 1:
        yield from map(_simulate_one, searches)
        return
    os.environ["OMP_NUM_THREADS"] = "1"
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap(_simulate_one, searches)


def _simulate_one(named: tuple[str, Search]) -> Outcome:
    task_name, search = named
    if task_name not in _ready:
        task = load_tasks()[task_name]
        others = [other for other in recorded_tasks() if other.dataset != task.dataset]
        model = CurveModel(task.space, read_table(task.table))
        _ready[task_name] = task.space, model, Prior(*ranked(others))
    space, model, prior = _ready[task_name]
    moments = list(improvements(run_search(search, space, model, prior).moments))
    rows = [(m.epochs, m.seconds, m.cer, m.val_loss) for m in moments]
    return Outcome(task_name, search.method, search.n_workers, search.seed, np.array(rows))


def improvements(moments: Sequence[Moment]) -> Iterator[Moment]:
    """Yield the moments at which a search improved, and its last moment."""
    best: tuple[float, float] | None = None
    for moment in moments:
        if (moment.cer, moment.val_loss) != best or moment is moments[-1]:
            best = (moment.cer, moment.val_loss)
            yield moment


def save_json(figures: dict[str, Any], path: Path) -> None:
    """Write figures as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
