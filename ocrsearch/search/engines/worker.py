"""A worker: trains the configurations that it is given, one after the other.

It saves a checkpoint after each epoch and then reports it, so that whatever happens at most
the epoch in progress is lost. It never touches the study.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import signal
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrsearch.data.dataset import Dataset, open_dataset
from ocrsearch.errors import DivergedError, OcrSearchError
from ocrsearch.search.engines.events import (
    EpochDone,
    Epochs,
    Event,
    Job,
    Machine,
    TrialDone,
    TrialFailed,
    WorkerReady,
    WorkerRefused,
)
from ocrsearch.search.trial_files import BEST, LAST

if TYPE_CHECKING:
    import torch

    from ocrsearch.training.trainer import EpochReport, Trainer

PACKAGES = ("ocrsearch", "torch", "optuna", "numpy")


@dataclass(frozen=True)
class WorkerSetup:
    """What a worker needs to know before its first job.

    Attributes:
        data_folder: written by ``save_dataset`` before the first job is given.
        device: "auto", "cpu" or "cuda".
        n_threads: for PyTorch.
    """

    data_folder: Path
    device: str
    n_threads: int


def worker_main(channel: connection.Connection, setup: WorkerSetup) -> None:
    """Serve the coordinator at the other end of a channel until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the coordinator's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, ConnectionError):  # the coordinator is gone
        try:
            device, machine = _start(setup)
            channel.send(WorkerReady(machine))
            job: Job = channel.recv()
            dataset = open_dataset(setup.data_folder)
        except Exception as error:
            reason = str(error) if isinstance(error, OcrSearchError) else _one_line(error)
            channel.send(WorkerRefused(reason))
            return
        while True:
            channel.send(train_job(job, dataset, device, lambda event: _ask(channel, event)))
            job = channel.recv()


def train_job(
    job: Job, dataset: Dataset, device: torch.device, report: Callable[[EpochDone], bool]
) -> TrialDone | TrialFailed | WorkerRefused:
    """Train a configuration, continuing from its checkpoint.

    Args:
        job: what to train and where to save it.
        dataset: what to train on.
        device: where to compute.
        report: told each epoch but the last; returns whether to go on.

    Returns:
        How it ended. A disk that cannot be written is nobody's configuration's fault and
        comes back as WorkerRefused.
    """
    import torch

    try:
        return _train(job, dataset, device, report)
    except DivergedError as error:
        return TrialFailed(job.number, "diverged", str(error), "")
    except torch.OutOfMemoryError as error:
        return TrialFailed(job.number, "memory", _one_line(error), "")
    except ConnectionError:
        raise  # nobody is left to be told
    except OSError as error:
        return WorkerRefused(f"{job.folder}: cannot save the checkpoint: {_one_line(error)}")
    except Exception as error:
        return TrialFailed(job.number, "crash", _one_line(error), traceback.format_exc())


def _train(
    job: Job, dataset: Dataset, device: torch.device, report: Callable[[EpochDone], bool]
) -> TrialDone:
    from ocrsearch.training.checkpoint import load_tensors, save_tensors
    from ocrsearch.training.trainer import Trainer

    job.folder.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(job.config, dataset, job.seed, device, job.precision)  # type: ignore[arg-type]
    epochs: Epochs = []
    if (job.folder / LAST).exists():
        saved = load_tensors(job.folder / LAST)
        trainer.restore(saved["trainer"])
        epochs = saved["epochs"]
        if trainer.finished or not report(EpochDone(job.number, list(epochs))):
            return TrialDone(job.number, epochs, trainer.n_parameters)
    while not trainer.finished:
        result = trainer.run_epoch()
        epochs.append(epoch_record(result))
        if result.is_best:
            _save_best(job, dataset, trainer, result)
        save_tensors({"trainer": trainer.state(), "epochs": epochs}, job.folder / LAST)
        if trainer.finished or not report(EpochDone(job.number, list(epochs))):
            break
    return TrialDone(job.number, epochs, trainer.n_parameters)


def _save_best(job: Job, dataset: Dataset, trainer: Trainer, result: EpochReport) -> None:
    from ocrsearch.training.checkpoint import save_tensors

    content = {
        "weights": trainer.network.state_dict(),
        "config": job.config.model_dump(mode="json"),
        "symbols": list(dataset.charset.symbols),
        "epoch": result.epoch,
    }
    save_tensors(content, job.folder / BEST)


def epoch_record(report: EpochReport) -> dict[str, Any]:
    """Return an epoch as plain values, for the study and for figures."""
    record = asdict(report)
    metrics = record.pop("metrics")
    return {**record, **{key: metrics[key] for key in ("cer", "wer", "exact")}}


def _start(setup: WorkerSetup) -> tuple[torch.device, Machine]:
    import cv2
    import torch

    from ocrsearch.training.device import select_device
    from ocrsearch.training.precision import faster_precision

    torch.set_num_threads(setup.n_threads)
    cv2.setNumThreads(0)
    device = select_device(setup.device)
    precision = faster_precision(device)
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    versions |= {"python": platform.python_version(), "machine": name}
    return device, Machine(device.type, precision, versions)


def _ask(channel: connection.Connection, event: Event) -> bool:
    channel.send(event)
    return bool(channel.recv())


def _end_with_parent() -> None:
    """Leave at once when the coordinator dies: its successor continues our configuration."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
