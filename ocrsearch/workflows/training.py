"""Training of a single configuration, from labelled images to a model file: ``ocrsearch train``.

The folder MODEL.training/ next to the model holds the checkpoints of the last and the best epoch
and a record of the training. Call again to resume the training. If it is finished, the call only
writes the model again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import cv2
import torch
from filelock import FileLock, Timeout
from pydantic import BaseModel, BeforeValidator, Field, SkipValidation

from ocrsearch.core import (
    Config,
    Integer,
    OptionError,
    TrainingError,
    checked_values,
    flatten,
    is_out_of_memory,
    remove_leftovers,
    write_text_file,
)
from ocrsearch.data import DataOptions, Dataset, left_out_line, load_dataset, write_left_out
from ocrsearch.reports import SCALARS
from ocrsearch.spaces import check_feasible, load_space
from ocrsearch.training import (
    BEST,
    LAST,
    LEFT_OUT,
    Bundle,
    Epochs,
    Precision,
    Provenance,
    Trainer,
    TrainerOptions,
    check_something_kept,
    computable_precision,
    faster_precision,
    inherited_options,
    installed_versions,
    load_bundle,
    plain_epochs,
    read_start_weights,
    read_weights,
    save_bundle,
    select_device,
    start_path,
    train_epochs,
    training_result,
    training_threads,
)
from ocrsearch.tuning import MAX_SEED, DeviceName
from ocrsearch.workflows.trust import MaxErrorRate, measure_trust, read_validation

RECORD = "training.json"
"""File with the facts of the training and, after it has finished, the result."""


@dataclass(frozen=True)
class TrainOptions:
    """Options of a training that are not part of the configuration.

    Attributes:
        init: model file with pretrained weights, copied where shapes match.
        seed: random seed for the initial weights and the data order.
        device: "auto", "cpu" or "cuda".
        tensorboard: folder for TensorBoard logs.
        data: options to read and split the data, as in ``SearchOptions``.
        split_as: model file. If that model was trained on the same data, its split is used.
        max_error: largest fraction of texts with an error among those that are used unchecked; see
            ``Study.export``. None stores no threshold.

    Raises:
        OptionError: a value has the wrong type or is out of range.
    """

    init: Annotated[Path | None, BeforeValidator(start_path)] = None
    seed: Annotated[Integer, Field(ge=0, le=MAX_SEED)] = 0
    device: DeviceName = "auto"
    tensorboard: Path | None = None
    data: SkipValidation[DataOptions | Mapping[str, Any] | None] = None
    split_as: Path | None = None
    max_error: MaxErrorRate | None = None

    def __post_init__(self) -> None:
        for name, value in checked_values(self).items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class TrainResult:
    """Result of a training.

    Attributes:
        bundle: model of the best epoch, as written to the file.
        n_bad: number of skipped samples.
    """

    bundle: Bundle
    n_bad: int


class Observer:
    """Callbacks for the progress of a training. The methods of this class do nothing."""

    def reading(self, n_read: int, n: int) -> None:
        """Called while images are loaded, with the number so far and in total."""

    def note(self, line: str) -> None:
        """Called with a line for the user."""

    def epochs_done(self, epochs: Epochs, n_epochs: int) -> None:
        """Called after each epoch, with all records so far and the total number of epochs."""


def training_folder(output: Path) -> Path:
    """Return the training folder of a model, with its checkpoints."""
    return output.with_name(f"{output.name}.training")


def load_config(path: Path) -> tuple[Config, Path | None]:
    """Read a configuration, and the path of the pretrained weights that it names, if any.

    Args:
        path: model file, or a YAML or JSON file with a space without search parameters.

    Raises:
        OcrSearchError: the file cannot be read, or it has search parameters.
    """
    if path.suffix == ".pt":
        return load_bundle(path).config, None
    space = load_space(path)
    if space.parameters:
        first = space.parameters[0]
        raise TrainingError(
            f"{path}: {first.path}: found {first.distribution.describe()}, must be a single value; "
            "use 'ocrsearch run' to search"
        )
    return space.resolve({}), space.init


def train(
    config: Config,
    data: str,
    output: Path,
    options: TrainOptions | None = None,
    observer: Observer | None = None,
) -> TrainResult:
    """Train a configuration on labelled images and write its model.

    Args:
        config: configuration to train.
        data: specification of the dataset; see ``read_samples``.
        output: model file to write.
        options: options of the training.
        observer: callbacks for the progress.

    Raises:
        OcrSearchError: the data, the pretrained weights or an option is invalid, the loss
            diverged, or the folder holds another unfinished training.
    """
    options, observer = options or TrainOptions(), observer or Observer()
    if output.is_dir():  # noticed before the training instead of after it
        problem = f"{output}: is a folder; give the name of a file, such as model.pt"
        raise TrainingError(problem, "output")
    data_options = inherited_options(data, options.data, options.init, options.split_as)
    device = select_device(options.device)
    start = read_start_weights(options.init) if options.init else None
    log = TensorBoardLog(options.tensorboard) if options.tensorboard else None
    folder = training_folder(output)
    with locked(folder):
        remove_leftovers(folder)
        dataset = load_dataset(data, data_options, observer.reading)
        unfit = check_feasible(config, dataset.splits["train"], data_options.max_invalid)
        dataset = replace(dataset, bad=[*dataset.bad, *unfit])
        init = start.digest if start else None
        facts = _Facts(config=config, data=dataset.fingerprint, seed=options.seed, init=init)
        record = _open_record(folder, facts, device)
        if left_out := write_left_out(dataset, folder / LEFT_OUT):
            observer.note(left_out_line(dataset, left_out))
        if record.result:
            observer.note(f"{folder}: training already finished; remove the folder to train again")
        else:
            cv2.setNumThreads(0)  # line images are too small for several threads
            with training_threads():
                settings = TrainerOptions(computable_precision(record.precision, device), start)
                trainer = Trainer(config, dataset, options.seed, device, settings)
                where = f"on {trainer.device.type}; checkpoints in {folder}"
                introduction = f"{trainer.n_parameters:,} weights {where}"
                if start and trainer.transfer:
                    check_something_kept(trainer.transfer, start, config)
                    introduction += f"\nstarts from {start.name}: {trainer.transfer.describe()}"
                observer.note(introduction)
                result = _run(trainer, folder, log, observer)
                record = record.model_copy(update={"result": result})
            record.write(folder)
        bundle = _bundle(folder, record, dataset, data_options)
        report = measure_trust(
            read_validation(bundle, dataset), dataset.splits["train"], options.max_error
        )
        bundle = replace(bundle, trust=report.trust)
        if line := report.describe_promise():
            observer.note(line)
        save_bundle(bundle, output)
        (folder / LAST).unlink(missing_ok=True)
    return TrainResult(bundle, len(dataset.bad))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock the folder for this training; the system releases the lock when the process ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"{folder}: cannot be created ({error.strerror or error})") from None
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise TrainingError(
            f"{folder}: another ocrsearch process is using this folder; wait for it to end, "
            "or give `output` another name"
        ) from None
    try:
        yield
    finally:
        lock.release()


class _Facts(BaseModel):
    """Facts that must match for a training to be resumed.

    Attributes:
        config: configuration.
        data: fingerprint of the dataset.
        seed: random seed.
        init: hash of the pretrained weights; None without them.
    """

    config: Config
    data: str
    seed: int
    init: str | None


class _Result(BaseModel):
    """Result of a finished training.

    Attributes:
        epochs: records of all epochs.
        n_parameters: number of weights of the network.
        transfer: record of the weights copied from the pretrained model; None without it.
    """

    epochs: Epochs
    n_parameters: int
    transfer: dict[str, object] | None


class _Record(BaseModel):
    """Contents of the record file: facts, machine and, after the training, the result.

    In the file the values of the result are on the same level as the facts.
    """

    facts: _Facts
    precision: Precision
    versions: dict[str, str]
    result: _Result | None = None

    @classmethod
    def read(cls, folder: Path) -> _Record | None:
        """Return the record of a training; None if the folder has none.

        Raises:
            TrainingError: the file is damaged.
        """
        file = folder / RECORD
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
            result = values if "epochs" in values else None
            return cls.model_validate({**values, "result": result})
        except FileNotFoundError:
            return None
        except Exception as error:  # values of any type may be anywhere
            problem = f"damaged ({type(error).__name__}); remove {folder} to train again"
            raise TrainingError(f"{file}: {problem}") from None

    def write(self, folder: Path) -> None:
        """Write the record to the folder of the training."""
        result = self.result
        content = {
            "facts": self.facts.model_dump(mode="json"),
            "precision": self.precision,
            "versions": self.versions,
            **({**dict(result), "epochs": plain_epochs(result.epochs)} if result else {}),
        }
        write_text_file(folder / RECORD, json.dumps(content, indent=1))


def _open_record(folder: Path, facts: _Facts, device: torch.device) -> _Record:
    """Return the record of the folder if its facts match, or start a new record.

    Raises:
        TrainingError: the folder holds an unfinished training with other facts.
    """
    record = _Record.read(folder)
    if record and record.facts == facts:
        return record
    if record and not record.result and (folder / LAST).exists():
        before = flatten(record.facts.model_dump(mode="json"))
        now = flatten(facts.model_dump(mode="json"))
        differ = [key for key in before | now if before.get(key) != now.get(key)]
        changes = ", ".join(f"{key} was {before.get(key)}, is {now.get(key)}" for key in differ[:3])
        raise TrainingError(
            f"{folder}: holds an unfinished training with other settings ({changes}); rerun with "
            "the original settings, remove the folder, or give `output` another name"
        )
    for name in (LAST, BEST):
        (folder / name).unlink(missing_ok=True)
    precision, versions = faster_precision(device), installed_versions(device)
    record = _Record(facts=facts, precision=precision, versions=versions)
    record.write(folder)
    return record


def _run(trainer: Trainer, folder: Path, log: TensorBoardLog | None, observer: Observer) -> _Result:
    """Train to the end of the schedule."""
    epochs: Epochs = []
    try:
        for epochs in train_epochs(trainer, folder):
            observer.epochs_done(epochs, trainer.schedule.end)
            if log:
                log.write(epochs)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(
            f"{trainer.device}: out of memory; reduce training.batch_size"
        ) from None
    finally:
        if log:
            log.close()
    transfer = trainer.transfer.record() if trainer.transfer else None
    return _Result(epochs=epochs, n_parameters=trainer.n_parameters, transfer=transfer)


class TensorBoardLog:
    """TensorBoard log of the epochs. A resumed training replaces the log of the earlier run."""

    def __init__(self, folder: Path) -> None:
        """Open a log in a folder and create the folder if needed.

        Raises:
            OptionError: TensorBoard is not installed, or the folder cannot be created.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise OptionError(
                "TensorBoard is not installed; pip install 'ocrsearch[tensorboard]'", "tensorboard"
            ) from None
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OptionError(f"{folder}: {error.strerror or error}", "tensorboard") from None
        # a writer purges the log in the folder, so it is opened only before the first epoch
        self._open: Callable[[], SummaryWriter] = partial(SummaryWriter, str(folder), purge_step=1)
        self._writer: SummaryWriter | None = None
        self._n_written = 0

    def write(self, epochs: Epochs) -> None:
        """Write the records of new epochs."""
        self._writer = self._writer or self._open()
        for record in epochs[self._n_written :]:
            for tag, name in SCALARS.items():
                self._writer.add_scalar(tag, getattr(record, name), record.epoch)
        self._n_written = len(epochs)
        self._writer.flush()

    def close(self) -> None:
        """Close the log."""
        if self._writer:
            self._writer.close()


def _bundle(folder: Path, record: _Record, dataset: Dataset, data_options: DataOptions) -> Bundle:
    """Return the model of the best epoch of a finished training."""
    facts, result = record.facts, record.result
    assert result is not None, "the training is finished"
    best = read_weights(folder / BEST)
    metrics = {**asdict(training_result(result.epochs, result.n_parameters)), "seed": facts.seed}
    provenance = Provenance(
        study=None,
        trial=None,
        seed=facts.seed,
        data=dataset.spec,
        data_fingerprint=dataset.fingerprint,
        data_options=data_options.to_dict(),
        versions=record.versions,
        params={},
        epochs=result.epochs,
        init=facts.init,
        transfer=result.transfer,
    )
    return Bundle(best.config, best.charset, best.weights, metrics, provenance)
