"""Refit: the network of a trial, trained again on training and validation images together.

There is no validation split then: the schedule is followed to its end, the last epoch counts, and
the error rates of the model are those that the trial had before.
"""

from __future__ import annotations

import cv2

from ocrsearch.data.folds import without_validation
from ocrsearch.deploy.bundle import Bundle, provenance_of
from ocrsearch.deploy.single_training import Observer
from ocrsearch.deploy.study_data import UNMOVED, DataPlace, load_study_data
from ocrsearch.deploy.trial_weights import read_trial_weights
from ocrsearch.errors import StudyError
from ocrsearch.files import remove_leftovers
from ocrsearch.results.query import BestTrial, load_study
from ocrsearch.search.database import study_folder
from ocrsearch.search.facts import study_facts
from ocrsearch.search.study import study_lock
from ocrsearch.training.device import select_device, training_threads
from ocrsearch.training.model_file import read_recogniser
from ocrsearch.training.session import train_epochs
from ocrsearch.training.trainer import Trainer
from ocrsearch.training.trial_files import BEST, START, trial_folder
from ocrsearch.training.weights import read_start_weights


def refit(
    storage_url: str,
    best: BestTrial,
    place: DataPlace = UNMOVED,
    observer: Observer | None = None,
) -> Bundle:
    """Train the configuration of a trial on training and validation images, and return its model.

    The checkpoints are in the folder of the study: the same call again resumes the training, or
    returns the finished model.

    Args:
        storage_url: URL of the study database.
        best: trial whose configuration is trained.
        place: where the data of the study is now.
        observer: told of each epoch.

    Raises:
        OcrSearchError: other data than the study's, nothing to refit on, or the loss diverged.
    """
    observer = observer or Observer()
    facts = study_facts(load_study(storage_url, best.study))
    folder = study_folder(storage_url, best.study)
    with study_lock(folder, best.study), training_threads():
        remove_leftovers(folder)
        dataset = load_study_data(best.study, facts, place)
        if dataset.fresh is not None and not dataset.splits["train"].n_added:
            raise StudyError(
                f"study {best.study!r}: its data draws new images in each epoch, which a refit "
                "adds nothing to; leave it out"
            )
        dataset = without_validation(dataset)
        config = read_trial_weights(best, facts).config
        seed = int(best.metrics.get("seed", facts["seed"]))
        start = read_start_weights(folder / START) if facts.get("init") else None
        cv2.setNumThreads(0)
        precision = best.metrics.get("precision", "fp32")
        trainer = Trainer(config, dataset, seed, select_device("auto"), precision, start)
        own = trial_folder(folder / "refit", best.trial)
        n_images = len(dataset.splits["train"])
        observer.note(f"trial {best.trial}: refit on {n_images} images; checkpoints in {own}")
        for epochs in train_epochs(trainer, own, facts.get("id") or ""):
            observer.epochs_done(epochs, trainer.schedule.end)
    trained = read_recogniser(own / BEST)
    metrics = {key: value for key, value in best.metrics.items() if isinstance(value, int | float)}
    provenance = provenance_of(best, facts)
    of = provenance.get("metrics_of", "the validation split")
    seen = {"splits_seen": ["train", "val"], "metrics_of": f"{of}, before the refit"}
    provenance |= {**seen, "refit": {"n": n_images, "epochs": trainer.schedule.end}}
    return Bundle(trained.config, trained.charset, trained.weights, metrics, provenance)
