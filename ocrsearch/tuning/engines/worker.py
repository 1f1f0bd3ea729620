"""Worker: trains one job after another.

It saves a checkpoint after each epoch before it reports the epoch, so that a crash loses at most
the epoch in progress. A worker never accesses the study.
"""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ocrsearch.core import (
    CheckpointError,
    DivergedError,
    OcrSearchError,
    TrainingError,
    is_out_of_memory,
)
from ocrsearch.data import Dataset, fold_dataset, open_dataset
from ocrsearch.spaces import over_limit, scaled_widths
from ocrsearch.studies import check_folder
from ocrsearch.training import BEST, LAST, WORST, fold_folder, lacks_folds
from ocrsearch.tuning.engines.events import (
    Answer,
    EpochDone,
    Job,
    Machine,
    TrialDone,
    TrialFailed,
    WorkerReady,
    WorkerRefused,
)

if TYPE_CHECKING:
    import torch

    from ocrsearch.training import StartWeights


@dataclass(frozen=True)
class WorkerSetup:
    """Settings of a worker, the same for all its jobs.

    Attributes:
        data_folder: folder that ``save_dataset`` writes before the first job.
        device: "auto", "cpu" or "cuda".
        environment: environment variables to set before CUDA is loaded.
    """

    data_folder: Path
    device: str
    environment: Mapping[str, str] = field(default_factory=dict)


class Channel(Protocol):
    """Connection to the coordinator: sends events, receives jobs and answers."""

    def send(self, event: Any, /) -> None:
        """Send an event to the coordinator."""

    def recv(self) -> Any:
        """Wait for a job or an answer."""


def worker_main(channel: connection.Connection, setup: WorkerSetup) -> None:
    """Entry point of a worker process: serve the coordinator until its end."""

    def end_with_parent() -> None:
        """Exit at once when the coordinator dies; the next coordinator resumes the trial."""
        parent = parent_process()
        if parent is not None:
            connection.wait([parent.sentinel])
            os._exit(1)

    os.environ.update(setup.environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the coordinator handles Ctrl-C
    threading.Thread(target=end_with_parent, daemon=True).start()
    with suppress(EOFError, ConnectionError):  # the coordinator is gone
        serve(channel, setup, lambda: open_dataset(setup.data_folder))


def serve(channel: Channel, setup: WorkerSetup, open_data: Callable[[], Dataset]) -> None:
    """Report the hardware, then train jobs until the channel is closed.

    Args:
        channel: connection to the coordinator.
        setup: settings of the worker.
        open_data: function that opens the dataset, called at the first job.
    """

    def report(event: EpochDone) -> Answer:
        channel.send(event)
        return Answer(*channel.recv())

    start = None
    try:
        device, machine = _start(setup)
        channel.send(WorkerReady(machine))
        job: Job = channel.recv()
        check_folder(setup.data_folder, "of this search", job.study_id)
        dataset = open_data()
        if job.start is not None:
            from ocrsearch.training import read_start_weights

            start = read_start_weights(job.start)
    except Exception as error:
        reason = str(error) if isinstance(error, OcrSearchError) else _one_line(error)
        channel.send(WorkerRefused(reason))
        return
    while True:
        channel.send(train_job(job, dataset, device, report, start))
        job = channel.recv()


def train_job(
    job: Job,
    dataset: Dataset,
    device: torch.device,
    report: Callable[[EpochDone], Answer],
    start: StartWeights | None = None,
) -> TrialDone | TrialFailed | WorkerRefused:
    """Train a trial, resumed from its checkpoint if there is one.

    Args:
        job: trial to train.
        dataset: dataset of the search.
        device: device to train on.
        report: function called after each epoch but the last; it returns the answer.
        start: model to initialise from where shapes match; None for random weights.

    Returns:
        Outcome of the training. Errors that are not due to the configuration, such as a full
        disk, are returned as ``WorkerRefused``.
    """
    try:
        latency_ms, limit = _latency(job, dataset, device), job.max_latency_ms
        is_new = not (job.folder / LAST).exists()
        if limit is not None and latency_ms > limit and is_new:
            reason = over_limit("latency_ms", latency_ms, limit)
            return TrialFailed(job.number, "latency", reason, "", latency_ms)
        return replace(_train(job, dataset, device, report, start), latency_ms=latency_ms)
    except CheckpointError as error:
        return TrialFailed(job.number, "crash", str(error), traceback.format_exc())
    except TrainingError as error:  # files of another training must not be overwritten
        return WorkerRefused(str(error))
    except DivergedError as error:
        return TrialFailed(job.number, "diverged", str(error), "")
    except ConnectionError:
        raise  # the coordinator is gone
    except Exception as error:
        if is_out_of_memory(error):
            return TrialFailed(job.number, "memory", _one_line(error), "")
        if isinstance(error, OSError):
            return WorkerRefused(f"{job.folder}: cannot save the checkpoint: {_one_line(error)}")
        return TrialFailed(job.number, "crash", _one_line(error), traceback.format_exc())


def _train(
    job: Job,
    dataset: Dataset,
    device: torch.device,
    report: Callable[[EpochDone], Answer],
    start: StartWeights | None,
) -> TrialDone:
    from ocrsearch.training import (
        Trainer,
        TrainerOptions,
        computable_precision,
        draw_worst,
        train_folds,
    )

    stored: Any = job.precision
    precision = computable_precision(stored, device)

    def build(fold: int) -> Trainer:
        own, seed = fold_dataset(dataset, job.n_folds, fold), (job.seed + fold - 1) % 2**31
        return Trainer(job.config, own, seed, device, TrainerOptions(precision, start))

    for trainer, epochs in train_folds(build, job.n_folds, job.folder, job.study_id):
        finished = trainer.finished and not lacks_folds(epochs)
        if finished:
            break
        answer = report(EpochDone(job.number, epochs))
        if not answer.go_on:
            break
        if answer.n_left is not None:
            trainer.end_within(answer.n_left)
    if finished:
        val = fold_dataset(dataset, job.n_folds, job.n_folds).splits["val"]
        best = fold_folder(job.folder, job.n_folds) / BEST
        draw_worst(trainer, val, best, job.folder / WORST)
    transfer = trainer.transfer.record() if trainer.transfer else None
    return TrialDone(job.number, epochs, trainer.n_parameters, transfer)


def _latency(job: Job, dataset: Dataset, device: torch.device) -> float:
    """Return the latency of the network for an image and a label of median length."""
    if job.latency_ms is not None:
        return job.latency_ms
    from ocrsearch.training import measure_latency

    train = dataset.splits["train"]
    widths = sorted(scaled_widths(job.config, train.images))
    lengths = sorted(map(len, train.texts))
    width, length = widths[len(widths) // 2], lengths[len(lengths) // 2]
    return measure_latency(job.config, len(dataset.charset), width, length, device)


def _start(setup: WorkerSetup) -> tuple[torch.device, Machine]:
    import cv2
    import torch

    from ocrsearch.training import (
        faster_precision,
        free_memory_mb,
        installed_versions,
        select_device,
    )

    torch.set_num_threads(1)  # more threads slow each other down on a busy machine
    cv2.setNumThreads(0)
    device = select_device(setup.device)
    free_mb = free_memory_mb(device)  # before this process uses it
    precision = faster_precision(device)
    return device, Machine(device.type, precision, installed_versions(device), free_mb)


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
