"""Measure the overhead of a search beside training, and the speed-up by several workers."""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import optuna
import typer
from optuna.trial import TrialState

from ocrsearch.data import LabelledImages, PackedImages
from ocrsearch.spaces import Space, load_space, parse_space
from ocrsearch.studies import StudyFacts, open_artifacts, open_storage, open_study
from ocrsearch.training import EpochRecord, Epochs
from ocrsearch.tuning import (
    Limits,
    OpenedStudy,
    Runner,
    SearchOptions,
    Status,
    TrialStore,
    build_scheduler,
    search,
)
from ocrsearch.tuning.engines import Answer, EpochDone, Event, Job, Machine, TrialDone

app = typer.Typer(help=__doc__, no_args_is_help=True)
SpaceFile = Annotated[Path, typer.Option(help="Search space.")]
CRNN = Path("search_spaces/crnn.yaml")


class InstantEngine:
    """Engine that answers immediately, so that only the coordinator takes time."""

    def __init__(self, n_workers: int, n_epochs: int) -> None:
        self.machine: Machine | None = Machine("cpu", "fp32", {})
        self.n_workers, self.n_epochs = n_workers, n_epochs
        self.curves: dict[int, Epochs] = {}
        self.events: list[Event] = []

    @property
    def n_idle(self) -> int:
        """Number of workers without a job."""
        return self.n_workers - len(self.curves)

    def submit(self, job: Job) -> None:
        """Pretend to train the first epoch."""
        job.folder.mkdir(parents=True, exist_ok=True)
        self.curves[job.number] = []
        self.answer(job.number, Answer(go_on=True))

    def answer(self, number: int, answer: Answer) -> None:
        """Pretend to train another epoch, or end the trial."""
        curve = self.curves[number]
        if answer.go_on:
            cer = 1.0 / (1 + len(curve) + number % 7)
            loss = {"cer": cer, "val_loss": cer, "train_loss": cer, "exact": 1.0 - cer, "wer": cer}
            about = {"is_best": True, "learning_rate": 1e-3, "seconds": 1.0}
            curve.append(EpochRecord(epoch=len(curve) + 1, **loss, **about))
        if not answer.go_on or len(curve) == self.n_epochs:
            self.events.append(TrialDone(number, list(curve), 100_000, None, 1.0))
        else:
            self.events.append(EpochDone(number, list(curve)))

    def poll(self, timeout_s: float) -> list[Event]:  # noqa: ARG002
        """Return the new events."""
        events, self.events = self.events, []
        for event in events:
            if isinstance(event, TrialDone):
                del self.curves[event.number]
        return events


def facts(space_name: str, content: dict) -> StudyFacts:
    """Return the facts of a study without a dataset."""
    return StudyFacts(space_name, content, "bench", "bench", {"train": 100}, {}, 0)


@app.command()
def decide(
    space: SpaceFile = CRNN,
    trials: Annotated[int, typer.Option(help="Number of trials.")] = 1000,
    epochs: Annotated[int, typer.Option(help="Number of epochs per trial.")] = 1,
    workers: Annotated[int, typer.Option(help="Number of workers that answer immediately.")] = 2,
) -> None:
    """Measure the coordinator alone: ask, store and decide for trials that need no training."""
    images = PackedImages.pack([np.zeros((32, 128), np.uint8)] * 100)
    train = LabelledImages([str(i) for i in range(100)], ["abcde"] * 100, images)
    searched = load_space(space)
    with tempfile.TemporaryDirectory() as folder:
        storage = open_storage(f"sqlite:///{folder}/bench.db", create=True)
        study = open_study(storage, "bench", searched, facts(searched.name, searched.content))
        marks = []

        def note(status: Status, line: str | None) -> None:  # noqa: ARG001
            if line:
                marks.append((time.perf_counter(), time.process_time()))

        opened = OpenedStudy(
            study,
            Path(folder) / "bench" / "bench",
            artifacts=open_artifacts(Path(folder) / "bench"),
        )
        store = TrialStore(opened, searched, train, Limits(trials))
        engine = InstantEngine(workers, epochs)
        runner = Runner(store, build_scheduler(searched), engine, note)
        start = time.perf_counter(), time.process_time()
        runner.run()
        clock, processor = (end - begin for end, begin in zip(marks[-1], start, strict=True))
        tenth = len(marks) // 10
        first = (marks[tenth][1] - start[1]) / tenth
        last = (marks[-1][1] - marks[-tenth - 1][1]) / tenth
    typer.echo(
        f"{trials} trials of {epochs} epochs: {1000 * clock / trials:.1f} ms per trial, "
        f"{1000 * processor / trials:.1f} ms of processor time "
        f"({1000 * first:.1f} in the first tenth, {1000 * last:.1f} in the last)"
    )
    typer.echo(
        f"if a trial takes a second, {workers} workers wait for at most "
        f"{100 * clock / trials:.1f} % of their time; "
        f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )


@app.command()
def large(
    trials: Annotated[int, typer.Option(help="Number of trials in the study.")] = 10_000,
    space: SpaceFile = CRNN,
) -> None:
    """Measure the time of commands that read a large study."""
    searched = load_space(space)
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/bench.db"
        fill(url, searched, trials)
        command = [sys.executable, "-c", "from ocrsearch.cli.app import main; main()"]
        for name, arguments in {
            "best": [*command, "best", "--study", "bench"],
            "studies list": [*command, "studies", "list"],
            "report": [*command, "report", "bench", "-o", f"{folder}/s.html"],
        }.items():
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            start = time.perf_counter()
            subprocess.run(  # noqa: S603
                [*arguments, "--storage", url], check=True, stdout=subprocess.DEVNULL
            )
            clock = time.perf_counter() - start
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            user = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            typer.echo(f"{name}: {clock:.1f} s, {user:.1f} s of processor time")


ALIKE = """
model: {architecture: crnn, encoder: {conv_depth: 5, conv_base: 16, hidden_size: 128}}
training: {learning_rate: {float: [1.0e-3, 4.0e-3], log: true}, batch_size: 16, epochs: 8}
search: {sampler: {name: random}, pruner: {name: none}}
"""
"""Space whose configurations all take the same time."""


@app.command()
def workers(
    data: Annotated[str, typer.Option(help="Dataset, as for 'ocrsearch run'.")] = "digits",
    n: Annotated[int, typer.Option(help="Number of workers to compare with 1 worker.")] = 2,
    epochs: Annotated[int, typer.Option(help="Number of epochs per worker.")] = 16,
    rounds: Annotated[int, typer.Option(help="Number of rounds: 1 worker, then n.")] = 3,
) -> None:
    """Compare the epochs per second of n workers with 1 worker.

    The time is measured from the end of the first epoch to the end of the last. The processor time
    of the coordinator is printed too.
    """
    searched = parse_space(ALIKE, "alike")
    ratios = []
    for _ in range(rounds):
        one, _ = epochs_per_second(searched, data, 1, epochs)
        many, busy = epochs_per_second(searched, data, n, n * epochs)
        ratios.append(many / one)
        typer.echo(
            f"1 worker {one:.3f}, {n} workers {many:.3f} epochs per second: {many / one:.2f}; "
            f"the coordinator of {n} workers takes {100 * busy:.2f} % of a core"
        )
    typer.echo(
        f"median {np.median(ratios):.2f}; "
        f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )


def epochs_per_second(space: Space, data: str, n: int, epochs: int) -> tuple[float, float]:
    """Search for ``epochs`` epochs; return epochs per second and the coordinator's core share."""
    marks: list[tuple[int, float, float]] = []

    def note(status: Status, line: str | None) -> None:  # noqa: ARG001
        if status.n_epochs > (marks[-1][0] if marks else 0):
            marks.append((status.n_epochs, time.perf_counter(), time.process_time()))

    with tempfile.TemporaryDirectory() as folder:
        storage = f"sqlite:///{folder}/bench.db"
        search(space, data, SearchOptions(storage=storage, workers=n, epochs=epochs), observer=note)
    (first, start, busy_before), (last, end, busy_after) = marks[0], marks[-1]
    return (last - first) / (end - start), (busy_after - busy_before) / (end - start)


def fill(url: str, space: Space, n: int) -> None:
    """Write a study of n finished trials with 1 epoch each."""
    storage = open_storage(url, create=True)
    study = open_study(storage, "bench", space, facts(space.name, space.content))
    sampler = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    rng = np.random.default_rng(0)
    folder = Path(url.removeprefix("sqlite:///")).with_suffix("") / "bench"
    for number in range(n):
        asked = sampler.ask()
        space.suggest(asked)
        cer = float(rng.beta(1, 5))
        record = {"epoch": 1, "cer": cer, "val_loss": cer, "train_loss": cer, "wer": cer}
        record |= {"exact": 1 - cer, "is_best": True, "learning_rate": 1e-3, "seconds": 1.0}
        known = {"cer": cer, "exact": 1 - cer, "n_parameters": 100_000, "size_mb": 0.4}
        known |= {"architecture": "crnn", "multiply_adds": 1e6, "latency_ms": 1.0, "origin": {}}
        study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.COMPLETE,
                value=cer,
                params=asked.params,
                distributions=asked.distributions,
                user_attrs={"epochs": [record], **known},
                intermediate_values={1: cer},
            )
        )
        (folder / f"trial-{number:05d}").mkdir(parents=True)


if __name__ == "__main__":
    app()
