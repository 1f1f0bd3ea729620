"""Labels to check: networks read images that they were not trained on and contradict the labels.

The labelled images are divided into folds. A network is trained on all other folds and reads its
own (cross-validation, as in confident learning: Northcutt, Jiang and Chuang, 2021,
arXiv:1911.00068). Labels that differ from the reading are ranked by the margin of their worst
character; see ``label_margins``. Checkpoints are kept in a folder: call again to resume.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
from pydantic import Field, SkipValidation

from ocrsearch.core import (
    DEFAULT_STORAGE,
    Config,
    Integer,
    TrainingError,
    checked_values,
    flatten,
    is_out_of_memory,
    remove_leftovers,
)
from ocrsearch.data import (
    BadSample,
    DataOptions,
    PackedImages,
    Sample,
    given_options,
    same_data,
)
from ocrsearch.evaluation import count_edits, rates
from ocrsearch.inference import LabelMargin, Reader, label_margins, open_networks
from ocrsearch.spaces import check_feasible, derive_space
from ocrsearch.studies import best_trial, study_facts, study_folder
from ocrsearch.studies import load_study as load_optuna_study
from ocrsearch.training import (
    BEST,
    START,
    Bundle,
    Provenance,
    StartWeights,
    Trainer,
    TrainerOptions,
    check_something_kept,
    faster_precision,
    fold_folder,
    read_start_weights,
    read_weights,
    select_device,
    train_folds,
    training_threads,
)
from ocrsearch.tuning import MAX_SEED, DeviceName
from ocrsearch.workflows.labelled_data import MIN_FOLDS, LabelledData, folds_of, read_labelled
from ocrsearch.workflows.training import Observer, locked
from ocrsearch.workflows.trial_models import read_trial_weights

MAX_FOLDS = 20
MAX_REPEATS = 10
MAX_TRAINING_EPOCHS = 10_000

EPOCHS_SHARE = 1 / 3
MIN_EPOCHS = 8
"""Fraction of the epochs of the configuration, and the smallest number, that a check trains for.

A network contradicts wrong labels long before it is as good as it can be.
"""


@dataclass(frozen=True)
class CheckOptions:
    """Options of a check of labels.

    Attributes:
        study: study whose best trial gives the configuration of the networks. Without it they have
            the first configuration of the space derived from the images.
        storage: URL of the study database.
        folds: number of parts. Each part is read by a network that was trained on the others.
        repeats: number of networks that read each part together.
        epochs: number of epochs of each network; None for a third of those in the configuration.
        timeout_s: approximate limit for the time to train in this run, in seconds; None for no
            limit.
        seed: random seed for the initial weights and the data order.
        device: "auto", "cpu" or "cuda".
        data: options to read the data, as in ``SearchOptions``.

    Raises:
        OptionError: a value has the wrong type or is out of range.
    """

    study: str | None = None
    storage: str = DEFAULT_STORAGE
    folds: Annotated[Integer, Field(ge=MIN_FOLDS, le=MAX_FOLDS)] = 3
    repeats: Annotated[Integer, Field(ge=1, le=MAX_REPEATS)] = 1
    epochs: Annotated[Integer, Field(ge=1, le=MAX_TRAINING_EPOCHS)] | None = None
    timeout_s: Annotated[float, Field(gt=0)] | None = None
    seed: Annotated[Integer, Field(ge=0, le=MAX_SEED)] = 0
    device: DeviceName = "auto"
    data: SkipValidation[DataOptions | Mapping[str, Any] | None] = None

    def __post_init__(self) -> None:
        for name, value in checked_values(self).items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class CheckedLabel:
    """A label and the reading of a network that was not trained on its image.

    Attributes:
        index: position of the image in the data.
        sample: labelled image.
        found: reading and margin.
        part: number of the part of the images that it is in, from 1.
    """

    index: int
    sample: Sample
    found: LabelMargin
    part: int

    @property
    def is_contradicted(self) -> bool:
        """Whether the network finds its own reading more probable than the label."""
        return self.found.margin > 0.0


@dataclass(frozen=True)
class LabelCheck:
    """Result of a check of labels.

    Attributes:
        data: specification of the data.
        images: images of all samples that could be used.
        labels: all labels, the most doubtful first.
        bad: samples that were skipped.
        cer: edits between the labels and the readings by characters of the labels.
        config: configuration of the networks.
        n_networks: number of networks.
    """

    data: str
    images: PackedImages
    labels: list[CheckedLabel]
    bad: list[BadSample]
    cer: float
    config: Config
    n_networks: int

    @property
    def n_contradicted(self) -> int:
        """Number of labels that a network contradicts."""
        return sum(label.is_contradicted for label in self.labels)


def check_labels(
    data: str, folder: Path, options: CheckOptions | None = None, observer: Observer | None = None
) -> LabelCheck:
    """Train networks on folds of labelled images and rank the labels that they contradict.

    Args:
        data: specification of the dataset; see ``read_samples``. All its splits are checked.
        folder: folder for the checkpoints. Call again with the same arguments to resume.
        options: options of the check.
        observer: callbacks for the progress.

    Raises:
        OcrSearchError: the data, the study or an option is invalid, or the loss diverged.
    """
    options, observer = options or CheckOptions(), observer or Observer()
    with locked(folder), training_threads():
        remove_leftovers(folder)
        cv2.setNumThreads(0)  # line images are too small for several threads
        config, start, data_options, source = _configuration(data, options)
        labelled = read_labelled(data, data_options, observer.reading)
        fold_of = folds_of(labelled, options.folds)
        if config is None:
            everything = range(len(labelled.samples))
            derived = derive_space(
                labelled.dataset(everything, [], data), data_options.max_invalid
            ).space
            config = derived.resolve(flatten(derived.settings.try_first[0]))
            start = read_start_weights(derived.init) if derived.init else None
        config = with_epochs(config, options.epochs)
        unfit = check_feasible(config, labelled.images, data_options.max_invalid)
        own = folder / _identity(config, labelled, options, start)
        n_networks = max(fold_of) * options.repeats
        observer.note(
            f"{n_networks} networks of {source}, each trained without a part of the "
            f"{len(fold_of)} images; checkpoints in {own}"
        )
        if unfit:
            observer.note(f"{len(unfit)} labels do not fit their images: {unfit[0].reason}")
        try:
            _train(config, start, labelled, fold_of, own, options, observer)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            problem = "out of memory; close other programs, or use another device"
            raise TrainingError(f"{options.device}: {problem}") from None
        margins = _read(labelled, fold_of, own, options, observer)
    texts = labelled.images.texts
    counts = count_edits(texts, [found.reading for found in margins])
    checked = [
        CheckedLabel(i, labelled.samples[i], found, fold_of[i]) for i, found in enumerate(margins)
    ]
    checked.sort(key=lambda label: -label.found.margin)
    return LabelCheck(
        data, labelled.images.images, checked, labelled.bad, rates(counts).cer, config, n_networks
    )


def _configuration(
    data: str, options: CheckOptions
) -> tuple[Config | None, StartWeights | None, DataOptions, str]:
    """Return configuration, pretrained weights, data options, and a name of the configuration.

    The configuration is None without a study: it follows from the images.
    """
    given = given_options(options.data)
    if options.study is None:
        return None, None, DataOptions(**given), "the suggested configuration"
    study = load_optuna_study(options.storage, options.study)
    facts = study_facts(study)
    best = best_trial(options.storage, options.study)
    config = read_trial_weights(best, facts).config
    start_file = study_folder(options.storage, best.study) / START
    start = read_start_weights(start_file) if facts.init else None
    if same_data(data, facts.data_place or facts.data_spec):
        return config, start, replace(facts.options(), **given), f"trial {best.trial}"
    return config, start, DataOptions(**given), f"trial {best.trial}"


def with_epochs(config: Config, epochs: int | None) -> Config:
    """Return a configuration for a check, with a number of epochs; None for the default."""
    own = config.training.epochs
    epochs = epochs or min(own, max(MIN_EPOCHS, round(EPOCHS_SHARE * own)))
    training = config.training.model_copy(update={"epochs": epochs})
    return config.model_copy(update={"training": training})


def _identity(
    config: Config, labelled: LabelledData, options: CheckOptions, start: StartWeights | None
) -> str:
    """Return the name of a folder for the networks: a hash of all that decides about them."""
    images = labelled.images
    facts = [
        *(config.model_dump(mode="json"), options.folds, options.seed),
        *(images.names, images.texts, list(images.groups), images.images.shapes),
        start.digest if start else None,
    ]
    digest = hashlib.blake2b(json.dumps(facts).encode(), digest_size=6)
    digest.update(np.ascontiguousarray(images.images.pixels).tobytes())
    return digest.hexdigest()


def _train(
    config: Config,
    start: StartWeights | None,
    labelled: LabelledData,
    fold_of: Sequence[int],
    folder: Path,
    options: CheckOptions,
    observer: Observer,
) -> None:
    """Train the networks of each fold, from their checkpoints if there are any."""
    device, n_folds = select_device(options.device), max(fold_of)
    n_networks = n_folds * options.repeats
    settings = TrainerOptions(faster_precision(device), start)
    began = time.monotonic()

    def build(network: int) -> Trainer:
        fold = _fold_of(network, n_folds)
        train = [i for i, number in enumerate(fold_of) if number != fold]
        val = [i for i, number in enumerate(fold_of) if number == fold]
        trainer = Trainer(
            config, labelled.dataset(train, val), options.seed + network - 1, device, settings
        )
        if start and trainer.transfer:
            check_something_kept(trainer.transfer, start, config)
        return trainer

    folder.mkdir(parents=True, exist_ok=True)
    network, n_before = 0, 0
    for trainer, epochs in train_folds(build, n_networks, folder):
        last = epochs[-1]
        if last.fold != network:
            network, own_start = last.fold, time.monotonic()
            n_before = sum(record.fold < network for record in epochs)
            left_s = (options.timeout_s or 0.0) - (own_start - began)
            share_s = left_s / (n_networks - network + 1)
        if options.timeout_s is not None and not trainer.finished:
            own_left_s = share_s - (time.monotonic() - own_start) - last.seconds
            trainer.end_within(max(1, int(own_left_s / max(last.seconds, 1e-3))))
        n_planned = n_before + trainer.schedule.end
        n_planned += (n_networks - network) * config.training.epochs
        observer.epochs_done(epochs, max(len(epochs), n_planned))


def _fold_of(network: int, n_folds: int) -> int:
    """Return the fold that a network reads, both from 1: every fold once, then again."""
    return (network - 1) % n_folds + 1


def _read(
    labelled: LabelledData,
    fold_of: Sequence[int],
    folder: Path,
    options: CheckOptions,
    observer: Observer,
) -> list[LabelMargin]:
    """Read each image with the networks that were not trained on it."""
    found: dict[int, LabelMargin] = {}
    n, n_folds = len(fold_of), max(fold_of)
    for fold in range(1, n_folds + 1):
        ids = [i for i, number in enumerate(fold_of) if number == fold]
        known = {
            symbol
            for i, number in enumerate(fold_of)
            if number != fold
            for symbol in labelled.charset.encode(labelled.images.texts[i])
        }
        networks = range(fold, n_folds * options.repeats + 1, n_folds)
        readers = [_reader(folder, network, options.device) for network in networks]
        part = labelled.images.take(ids)
        n_before = len(found)

        def progress(n_read: int, _: int, n_before: int = n_before) -> None:
            observer.reading(n_before + n_read, n)

        margins = label_margins(
            *(readers, labelled.charset, list(part.images), part.texts, known), progress
        )
        found |= dict(zip(ids, margins, strict=True))
    return [found[i] for i in range(n)]


def _reader(folder: Path, network: int, device: str) -> Reader:
    """Return a trained network, ready to read."""
    trained = read_weights(fold_folder(folder, network) / BEST)
    bundle = Bundle(trained.config, trained.charset, trained.weights, {}, Provenance())
    return Reader(open_networks(bundle, device)[0], trained.config.images, None)
