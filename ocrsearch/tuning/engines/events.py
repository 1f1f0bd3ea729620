"""What coordinator and workers say to each other; plain values, no tensors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ocrsearch.core import Config
from ocrsearch.training import Epochs


@dataclass(frozen=True)
class Machine:
    """What a worker runs on.

    Attributes:
        device: "cpu" or "cuda".
        precision: of its networks, whichever was fastest.
        versions: of what trains.
        free_mb: memory of the GPU that nobody uses, in megabytes; None without a GPU.
    """

    device: str
    precision: str
    versions: dict[str, str]
    free_mb: float | None = None


@dataclass(frozen=True)
class Job:
    """A configuration to train, from its last checkpoint if its folder has one.

    Attributes:
        number: of the trial.
        config: what to train.
        seed: of its training.
        folder: where it is saved.
        precision: of convolutions and LSTMs.
        latency_ms: of its network, if that is known; otherwise it is measured.
        max_latency_ms: a new configuration whose network takes longer is not trained.
        study_id: id of the study, which the saved files carry.
        n_folds: number of folds to train on, one after the other.
        start: model whose weights it starts from, if there is one: the same for all jobs.
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
    """A worker cannot work at all, whatever the configuration."""

    reason: str


@dataclass(frozen=True)
class EpochDone:
    """An epoch is finished and saved; the worker waits for leave to go on."""

    number: int
    epochs: Epochs


class Answer(NamedTuple):
    """The coordinator's answer to an epoch.

    Attributes:
        go_on: whether to train another epoch.
        n_left: number of epochs in which the training is to end; None to follow its schedule.
    """

    go_on: bool
    n_left: int | None = None


@dataclass(frozen=True)
class TrialDone:
    """Training has come to its end, or was told to stop.

    Attributes:
        number: of the trial.
        epochs: all of them.
        n_parameters: of the network.
        transfer: what it kept of the weights that it started from, if there were any.
        latency_ms: of the network, for the median picture.
    """

    number: int
    epochs: Epochs
    n_parameters: int
    transfer: dict[str, object] | None = None
    latency_ms: float | None = None


@dataclass(frozen=True)
class TrialFailed:
    """Training broke off.

    Attributes:
        number: of the trial.
        kind: "latency" if its network is too slow, "diverged", "memory", "crash" for an
            exception, "killed" for a worker that got SIGKILL, or "died" for one that ended
            otherwise.
        reason: one line.
        traceback: of an exception; empty if none is known.
        latency_ms: of the network, if that is what it failed for.
    """

    number: int
    kind: str
    reason: str
    traceback: str
    latency_ms: float | None = None


Event = WorkerReady | WorkerRefused | EpochDone | TrialDone | TrialFailed
