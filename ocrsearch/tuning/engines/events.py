"""Messages between the coordinator and its workers; plain values without tensors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ocrsearch.core import Config
from ocrsearch.training import Epochs


@dataclass(frozen=True)
class Machine:
    """Hardware and software of a worker.

    Attributes:
        device: "cpu" or "cuda".
        precision: fastest precision of convolutions and LSTMs.
        versions: installed versions by package.
        free_mb: free memory of the GPU in megabytes; None without a GPU.
    """

    device: str
    precision: str
    versions: dict[str, str]
    free_mb: float | None = None


@dataclass(frozen=True)
class Job:
    """A trial to train, resumed from the checkpoint in its folder if there is one.

    Attributes:
        number: number of the trial.
        config: configuration to train.
        seed: random seed of the training.
        folder: folder of the trial.
        precision: precision of convolutions and LSTMs.
        latency_ms: latency of the network; None to measure it.
        max_latency_ms: latency above which a new trial is not trained.
        study_id: id of the study, which is saved in the files.
        n_folds: number of folds to train on, one after the other.
        start: model to initialise from, the same for all jobs; None for random weights.
    """

    number: int
    config: Config
    seed: int
    folder: Path
    precision: str
    latency_ms: float | None = None
    max_latency_ms: float | None = None
    study_id: str = ""
    n_folds: int = 1
    start: Path | None = None


@dataclass(frozen=True)
class WorkerReady:
    """A worker has started."""

    machine: Machine


@dataclass(frozen=True)
class WorkerRefused:
    """A worker cannot train any configuration."""

    reason: str


@dataclass(frozen=True)
class EpochDone:
    """An epoch is finished and saved. The worker waits for an ``Answer``."""

    number: int
    epochs: Epochs


class Answer(NamedTuple):
    """The coordinator's answer to an epoch.

    Attributes:
        go_on: whether to train another epoch.
        n_left: number of epochs after which the training must end; None to follow its schedule.
    """

    go_on: bool
    n_left: int | None = None


@dataclass(frozen=True)
class TrialDone:
    """Training is finished, or was stopped by an answer.

    Attributes:
        number: number of the trial.
        epochs: records of all epochs.
        n_parameters: number of parameters of the network.
        transfer: summary of the kept pretrained weights; None if there were none.
        latency_ms: latency of the network for an image of median size.
    """

    number: int
    epochs: Epochs
    n_parameters: int
    transfer: dict[str, object] | None = None
    latency_ms: float | None = None


@dataclass(frozen=True)
class TrialFailed:
    """Training failed.

    Attributes:
        number: number of the trial.
        kind: "latency" if the network is too slow, "diverged", "memory", "crash" for an
            exception, "killed" if the worker got SIGKILL, or "died" if it ended otherwise.
        reason: reason in one line.
        traceback: traceback of the exception; empty if there is none.
        latency_ms: latency of the network, for kind "latency".
    """

    number: int
    kind: str
    reason: str
    traceback: str
    latency_ms: float | None = None


Event = WorkerReady | WorkerRefused | EpochDone | TrialDone | TrialFailed
