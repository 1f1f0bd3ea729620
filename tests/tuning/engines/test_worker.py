"""A worker's job: checkpoints, leave to go on, and how it ends."""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ocrsearch.core.config import (
    Config,
    CrnnConfig,
    EncoderConfig,
    ImageConfig,
    TrainingConfig,
)
from ocrsearch.core.errors import DivergedError
from ocrsearch.data.dataset import Dataset
from ocrsearch.models.architecture import build_network, n_parameters
from ocrsearch.training.checkpoint import load_tensors
from ocrsearch.training.records import (
    BEST,
    LAST,
    VALIDATED,
    WORST,
    plain_epochs,
    remove_folder,
)
from ocrsearch.training.trainer import EpochReport, Trainer
from ocrsearch.tuning.engines.events import (
    Answer,
    EpochDone,
    Epochs,
    Job,
    TrialDone,
    TrialFailed,
    WorkerRefused,
)
from ocrsearch.tuning.engines.worker import train_job

CPU = torch.device("cpu")
ENCODER = EncoderConfig(conv_depth=2, conv_base=8, linear_width=8, hidden_size=8)
N_EPOCHS = 4
CONFIG = Config(
    images=ImageConfig(height=16),
    model=CrnnConfig(encoder=ENCODER),
    training=TrainingConfig(batch_size=8, epochs=N_EPOCHS, warmup_steps=2),
)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    folder = tmp_path / "trials" / "7"
    return Job(number=7, config=CONFIG, seed=3, folder=folder, precision="fp32", latency_ms=1.5)


class Listener:
    """Hears of each epoch, and says stop after some."""

    def __init__(self, job: Job, stop_after: int = N_EPOCHS) -> None:
        self.job = job
        self.stop_after = stop_after
        self.epochs_told: list[list[int]] = []

    def __call__(self, event: EpochDone) -> Answer:
        assert event.number == self.job.number
        assert (self.job.folder / LAST).exists()  # saved before it is told
        self.epochs_told.append([record.epoch for record in event.epochs])
        return Answer(len(event.epochs) < self.stop_after)


def train(job: Job, dataset: Dataset, listener: Callable[[EpochDone], Answer]) -> TrialDone:
    """Train a job that must succeed."""
    result = train_job(job, dataset, CPU, listener)
    assert isinstance(result, TrialDone)
    assert result.number == job.number
    return result


def without_seconds(epochs: Epochs) -> Epochs:
    return [record.model_copy(update={"seconds": 0.0}) for record in epochs]


def never(event: EpochDone) -> Answer:
    raise AssertionError(f"told of {event}")


def fail_in_epoch(monkeypatch: pytest.MonkeyPatch, epoch: int, error: Exception) -> None:
    """Let training fail when it comes to an epoch."""
    run_epoch = Trainer.run_epoch

    def failing(trainer: Trainer) -> EpochReport:
        if trainer.progress.epoch + 1 == epoch:
            raise error
        return run_epoch(trainer)

    monkeypatch.setattr(Trainer, "run_epoch", failing)


def test_trains_all_epochs_and_tells_of_each_but_the_last(job: Job, sixteen_lines: Dataset) -> None:
    listener = Listener(job)
    result = train(job, sixteen_lines, listener)
    assert listener.epochs_told == [[1], [1, 2], [1, 2, 3]]
    assert [record.epoch for record in result.epochs] == [1, 2, 3, 4]
    network = build_network(job.config, len(sixteen_lines.charset), job.seed)
    assert result.n_parameters == n_parameters(network)


def test_records_are_plain_values(job: Job, sixteen_lines: Dataset) -> None:
    (record, *_) = plain_epochs(train(job, sixteen_lines, Listener(job)).epochs)
    assert set(record) == {
        *("epoch", "train_loss", "val_loss", "is_best", "learning_rate", "seconds"),
        *("cer", "wer", "exact"),
    }
    assert {type(value) for value in record.values()} == {int, float, bool}


def test_writes_the_last_and_the_best_epoch(job: Job, sixteen_lines: Dataset) -> None:
    result = train(job, sixteen_lines, Listener(job))
    assert sorted(path.name for path in job.folder.iterdir()) == [BEST, LAST, VALIDATED, WORST]
    last, best = load_tensors(job.folder / LAST), load_tensors(job.folder / BEST)
    assert last["epochs"] == plain_epochs(result.epochs)
    assert last["trainer"]["progress"]["epoch"] == N_EPOCHS
    assert best["epoch"] == max(r.epoch for r in result.epochs if r.is_best)
    assert Config.model_validate(best["config"]) == job.config
    assert tuple(best["symbols"]) == sixteen_lines.charset.symbols
    build_network(job.config, len(best["symbols"]), 0).load_state_dict(best["weights"])


def test_an_epoch_that_is_not_the_best_leaves_the_best_alone(
    job: Job, sixteen_lines: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_epoch = Trainer.run_epoch

    def best_is_second(trainer: Trainer) -> EpochReport:
        report = run_epoch(trainer)
        return replace(report, is_best=report.epoch == 2)

    monkeypatch.setattr(Trainer, "run_epoch", best_is_second)
    train(job, sixteen_lines, Listener(job))
    best, last = load_tensors(job.folder / BEST), load_tensors(job.folder / LAST)
    assert best["epoch"] == 2
    weights, later = best["weights"], last["trainer"]["network"]
    assert any(not torch.equal(weights[key], later[key]) for key in weights)


def test_stops_when_it_is_told_to(job: Job, sixteen_lines: Dataset) -> None:
    listener = Listener(job, stop_after=2)
    result = train(job, sixteen_lines, listener)
    assert listener.epochs_told == [[1], [1, 2]]
    assert [record.epoch for record in result.epochs] == [1, 2]


def test_continues_from_its_checkpoint_as_if_never_stopped(
    job: Job, sixteen_lines: Dataset, tmp_path: Path
) -> None:
    uninterrupted = replace(job, folder=tmp_path / "other")
    expected = train(uninterrupted, sixteen_lines, Listener(uninterrupted))
    train(job, sixteen_lines, Listener(job, stop_after=2))
    listener = Listener(job)
    result = train(job, sixteen_lines, listener)
    assert listener.epochs_told == [[1, 2], [1, 2, 3]]
    assert without_seconds(result.epochs) == without_seconds(expected.epochs)
    weights, expected_weights = (
        load_tensors(folder / LAST)["trainer"]["network"]
        for folder in (job.folder, uninterrupted.folder)
    )
    torch.testing.assert_close(weights, expected_weights, rtol=0, atol=0)


def test_asks_before_it_continues(job: Job, sixteen_lines: Dataset) -> None:
    train(job, sixteen_lines, Listener(job, stop_after=1))
    listener = Listener(job, stop_after=1)
    assert len(train(job, sixteen_lines, listener).epochs) == 1
    assert listener.epochs_told == [[1]]


def test_what_is_finished_is_not_trained_again(job: Job, sixteen_lines: Dataset) -> None:
    expected = train(job, sixteen_lines, Listener(job))
    assert train(job, sixteen_lines, never) == expected


def test_a_crash_is_told_and_costs_one_epoch(
    job: Job, sixteen_lines: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as context:
        fail_in_epoch(context, 3, RuntimeError("broken\n  pipe"))
        result = train_job(job, sixteen_lines, CPU, Listener(job))
    assert isinstance(result, TrialFailed)
    assert (result.number, result.kind) == (7, "crash")
    assert result.reason == "RuntimeError: broken pipe"
    assert result.traceback.startswith("Traceback")
    assert "in failing" in result.traceback
    listener = Listener(job)
    train(job, sixteen_lines, listener)
    assert listener.epochs_told == [[1, 2], [1, 2, 3]]


def test_divergence_is_told(
    job: Job, sixteen_lines: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_in_epoch(monkeypatch, 2, DivergedError("the loss became nan in epoch 2"))
    result = train_job(job, sixteen_lines, CPU, Listener(job))
    assert result == TrialFailed(7, "diverged", "the loss became nan in epoch 2", "")


def test_too_little_memory_is_told(
    job: Job, sixteen_lines: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_in_epoch(monkeypatch, 1, torch.OutOfMemoryError("of 2 GiB"))
    result = train_job(job, sixteen_lines, CPU, never)
    assert isinstance(result, TrialFailed)
    assert (result.kind, result.reason) == ("memory", "OutOfMemoryError: of 2 GiB")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_from_a_damaged_checkpoint_training_begins_anew(
    job: Job, sixteen_lines: Dataset, share: float
) -> None:
    """PyTorch reports some of them as an error of the disk."""
    whole = train(job, sixteen_lines, lambda _: Answer(go_on=True))
    content = (job.folder / LAST).read_bytes()
    (job.folder / LAST).write_bytes(content[: int(share * len(content))])
    anew = train(job, sixteen_lines, lambda _: Answer(go_on=True))
    assert [e.val_loss for e in anew.epochs] == [e.val_loss for e in whole.epochs]


def test_a_file_in_place_of_the_folder_is_refused(job: Job, sixteen_lines: Dataset) -> None:
    job.folder.parent.mkdir()
    job.folder.write_text("in the way")
    result = train_job(job, sixteen_lines, CPU, never)
    assert isinstance(result, WorkerRefused)
    assert str(job.folder) in result.reason
    assert "cannot save the checkpoint" in result.reason


def test_a_full_disk_is_refused(
    job: Job, sixteen_lines: Dataset, full_disk: Callable[[], AbstractContextManager[None]]
) -> None:
    model = CrnnConfig(encoder=ENCODER.model_copy(update={"linear_width": 512}))
    large = replace(job, config=CONFIG.model_copy(update={"model": model}))
    with full_disk():
        result = train_job(large, sixteen_lines, CPU, never)
    assert isinstance(result, WorkerRefused)
    assert "cannot save the checkpoint" in result.reason
    assert [path.name for path in job.folder.iterdir()] == [VALIDATED]


def test_a_trial_folder_is_removed_whole(job: Job, sixteen_lines: Dataset) -> None:
    train(job, sixteen_lines, Listener(job, stop_after=1))
    remove_folder(job.folder)
    assert not job.folder.exists()
    remove_folder(job.folder)  # nothing to do


def test_latency_is_measured_before_training_unless_it_is_known(
    job: Job, sixteen_lines: Dataset
) -> None:
    assert train(job, sixteen_lines, Listener(job)).latency_ms == 1.5
    remove_folder(job.folder)
    unknown = replace(job, latency_ms=None)
    latency_ms = train(unknown, sixteen_lines, Listener(job)).latency_ms
    assert latency_ms is not None
    assert 0.0 < latency_ms < 1000.0


def test_a_network_that_is_too_slow_is_not_trained(job: Job, sixteen_lines: Dataset) -> None:
    result = train_job(replace(job, max_latency_ms=1.0), sixteen_lines, CPU, never)
    reason = "needs 1.5 ms, limit 1"
    assert result == TrialFailed(7, "latency", reason, "", 1.5)
    assert not job.folder.exists()


def test_what_was_trained_before_is_not_refused_for_its_latency(
    job: Job, sixteen_lines: Dataset
) -> None:
    begun = train(job, sixteen_lines, Listener(job, stop_after=2))
    done = train(replace(job, max_latency_ms=1.0), sixteen_lines, Listener(job))
    assert len(done.epochs) > len(begun.epochs) == 2


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
        RuntimeError("std::bad_alloc"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_too_little_memory_in_other_words_is_told(
    job: Job, sixteen_lines: Dataset, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    fail_in_epoch(monkeypatch, 1, error)
    result = train_job(job, sixteen_lines, CPU, never)
    assert isinstance(result, TrialFailed)
    assert result.kind == "memory"
