"""Measure how many images per second several workers train on one device, with and without MPS.

Each worker is a process that trains the same network on the whole dataset, as in a search. All
workers begin together after a warm-up. Without a GPU the workers share the processor, and the rows
with MPS are missing.

    python scripts/bench_gpu.py captcha:FOLDER FOLDER
"""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Annotated, Any

import cv2
import torch
import typer

from ocrsearch.core import OcrSearchError, flatten
from ocrsearch.data import Dataset, load_dataset
from ocrsearch.spaces import derive_space
from ocrsearch.training import Trainer, TrainerOptions, faster_precision, select_device
from ocrsearch.tuning.engines import SharedGpu, shared_gpu

Way = Callable[[], AbstractContextManager[SharedGpu]]

START_TIMEOUT_S = 300.0
"""Time in which all workers must have loaded PyTorch and trained a first epoch."""


def main(
    specs: Annotated[list[str] | None, typer.Argument(metavar="[SPEC]...")] = None,
    workers: Annotated[str, typer.Option(help="Numbers of workers.")] = "1,2,4,8",
    seconds: Annotated[float, typer.Option(help="Measured time of each row.")] = 15.0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Print images per second for each dataset and number of workers."""
    try:
        chosen = select_device(device)
        for spec in specs or ["digits"]:
            dataset = load_dataset(spec)
            n_images = len(dataset.splits["train"])
            typer.echo(f"{spec}: {n_images:,} training images, {chosen.type}")
            ways: dict[str, Way] = {"in turns": in_turns}
            if chosen.type == "cuda":
                ways["with MPS"] = shared_gpu
            for name, way in ways.items():
                for n in map(int, workers.split(",")):
                    with way() as shared:
                        rate = measure(dataset, n, seconds, chosen.type, shared.environment)
                    failed = name == "with MPS" and not shared.environment
                    problem = f"  ({shared.note})" if failed else ""
                    typer.echo(f"{name:<12}{n:>3} workers {rate:9.0f} images per second{problem}")
    except OcrSearchError as error:
        typer.echo(f"bench_gpu: {error}", err=True)
        raise typer.Exit(error.exit_code) from None


@contextmanager
def in_turns() -> Iterator[SharedGpu]:
    """Let the workers take turns on the device."""
    yield SharedGpu()


def measure(
    dataset: Dataset, n_workers: int, seconds: float, device: str, environment: Mapping[str, str]
) -> float:
    """Return the images per second of all workers together.

    Args:
        dataset: dataset to train on.
        n_workers: number of processes.
        seconds: measured time.
        device: "cpu" or "cuda".
        environment: variables to set in the workers before CUDA is loaded.
    """
    context = multiprocessing.get_context("spawn")
    barrier, rates = context.Barrier(n_workers), context.Queue()
    processes = [
        context.Process(
            target=train, args=(dataset, seed, seconds, device, dict(environment), barrier, rates)
        )
        for seed in range(n_workers)
    ]
    for process in processes:
        process.start()
    total = sum(rates.get(timeout=2 * START_TIMEOUT_S + seconds) for _ in processes)
    for process in processes:
        process.join()
    return float(total)


def train(
    dataset: Dataset,
    seed: int,
    seconds: float,
    device: str,
    environment: dict[str, str],
    barrier: threading.Barrier,
    rates: Any,
) -> None:
    """Train in a worker process and put its images per second into the queue."""
    os.environ.update(environment)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    space = derive_space(dataset, max_invalid=1.0, starts=False).space
    config = space.resolve(space.values_within(flatten(dict(space.settings.try_first[0]))))
    where = torch.device(device)
    trainer = Trainer(config, dataset, seed, where, TrainerOptions(faster_precision(where)))
    trainer.run_epoch()
    barrier.wait(START_TIMEOUT_S)
    n_images, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        trainer.run_epoch()
        n_images += len(trainer.epochs)
    rates.put(n_images / (time.perf_counter() - start))


if __name__ == "__main__":
    typer.run(main)
