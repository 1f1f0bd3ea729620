"""Models of trials: exported, refit on more images, or combined in an ensemble.

The weights of a trial are checked against its configuration before use. A refit trains on the
training and validation images together and runs the whole schedule. The model keeps the error
rates of the trial before the refit.

Independently trained networks make different errors (Hansen and Salamon, 1990, IEEE TPAMI 12(10)),
so an ensemble of the best trials usually has a lower error rate than the best trial alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import cv2

from ocrsearch.core import (
    BundleError,
    Config,
    SpaceError,
    StudyError,
    flatten,
    remove_leftovers,
)
from ocrsearch.data import (
    Progress,
    without_validation,
)
from ocrsearch.evaluation import Metrics
from ocrsearch.inference import Predictor
from ocrsearch.spaces import Space, rebuild_space
from ocrsearch.studies import (
    BestTrial,
    StudyFacts,
    best_trials,
    load_study,
    study_facts,
    study_folder,
    study_lock,
)
from ocrsearch.training import (
    ADDED,
    BEST,
    LIMITS,
    START,
    Bundle,
    Member,
    OtherNetworkError,
    Provenance,
    Refit,
    Trainer,
    TrainerOptions,
    TrialWeights,
    read_start_weights,
    read_weights,
    select_device,
    train_epochs,
    training_threads,
    trial_folder,
)
from ocrsearch.workflows.study_data import UNMOVED, DataPlace, load_study_data
from ocrsearch.workflows.training import Observer


def read_trial_weights(best: BestTrial, facts: StudyFacts) -> TrialWeights:
    """Load and check the weights of a trial.

    Args:
        best: trial to load.
        facts: facts of its study.

    Raises:
        BundleError: the weights are missing or damaged, or belong to another trial.
    """
    whose = f"{best.weights}: the weights of trial {best.trial} of study {best.study!r}"
    if not best.weights.exists():
        raise BundleError(f"{whose} are missing; choose another trial")
    if not best.weights.is_file():
        raise BundleError(f"{whose} cannot be read (not a file); choose another trial")
    try:
        trained = read_weights(best.weights)
    except OtherNetworkError:
        raise BundleError(
            f"{whose} do not match this version of the network; use the ocrsearch version of the "
            "search, or search again under a new `study` name"
        ) from None
    except BundleError as error:
        reason = str(error).removeprefix(f"{best.weights}: ")
        raise BundleError(f"{whose} cannot be read ({reason}); choose another trial") from None
    if trained.study not in ("", facts.id):
        raise BundleError(
            f"{best.weights}: belongs to another study, not to {best.study!r}; restore the folder "
            "that belongs to the database, or choose another trial"
        )
    if difference := _difference(trained.config, best, facts):
        raise BundleError(
            f"{best.weights}: belongs to another configuration, not to trial {best.trial} of study "
            f"{best.study!r} ({difference}); restore the folder that belongs to the database, or "
            "choose another trial"
        )
    return trained


def _difference(config: Config, best: BestTrial, facts: StudyFacts) -> str:
    """Describe the first difference between a configuration and a trial; empty without one.

    The batch size may differ, because it is halved when memory runs out.
    """
    try:
        space: Space = rebuild_space(facts.space, facts.space_name)
        expected = space.resolve(best.params)
    except (SpaceError, ValueError):  # space of an older version
        return ""
    before, after = flatten(expected.model_dump()), flatten(config.model_dump())
    paths = sorted((before.keys() | after.keys()) - {"training.batch_size"})
    differ = [path for path in paths if before.get(path) != after.get(path)]
    return f"{differ[0]} is {after.get(differ[0])}, not {before.get(differ[0])}" if differ else ""


def refit(
    storage_url: str,
    best: BestTrial,
    place: DataPlace = UNMOVED,
    observer: Observer | None = None,
) -> Bundle:
    """Train the configuration of a trial on the training and validation images together.

    The checkpoints are kept in the folder of the study. Call again to resume the training, or to
    get the finished model.

    Args:
        storage_url: URL of the study database.
        best: trial to refit.
        place: location of the data, if it was moved.
        observer: callbacks for the progress.

    Returns:
        The refit model.

    Raises:
        OcrSearchError: the data has changed, there are no images to add, or the loss diverged.
    """
    observer = observer or Observer()
    facts = study_facts(load_study(storage_url, best.study))
    folder = study_folder(storage_url, best.study)
    with study_lock(folder, best.study), training_threads():
        remove_leftovers(folder)
        dataset = load_study_data(best.study, facts, place)
        if dataset.fresh is not None and not dataset.splits["train"].n_added:
            raise StudyError(
                f"study {best.study!r}: its dataset generates new images in each epoch, so a refit "
                "would add none; remove `refit`"
            )
        dataset = without_validation(dataset)
        config = read_trial_weights(best, facts).config
        seed = int(best.metrics.get("seed", facts.seed))
        start = read_start_weights(folder / START) if facts.init else None
        cv2.setNumThreads(0)
        options = TrainerOptions(best.metrics.get("precision", "fp32"), start)
        trainer = Trainer(config, dataset, seed, select_device("auto"), options)
        own = trial_folder(folder / "refit", best.trial)
        n_images = len(dataset.splits["train"])
        observer.note(f"trial {best.trial}: refit on {n_images} images; checkpoints in {own}")
        for epochs in train_epochs(trainer, own, facts.id):
            observer.epochs_done(epochs, trainer.schedule.end)
    trained = read_weights(own / BEST)
    metrics = best.numbers
    provenance = provenance_of(best, facts)
    of = provenance.metrics_of or "the validation split"
    provenance = provenance.model_copy(
        update={
            "splits_seen": ["train", "val"],
            "metrics_of": f"{of}, before the refit",
            "refit": Refit(n=n_images, epochs=trainer.schedule.end),
        }
    )
    return Bundle(trained.config, trained.charset, trained.weights, metrics, provenance)


WORST_RATIO, WORST_MARGIN = 2.0, 0.01
"""Maximum CER of a member: ratio times the lowest CER, plus the margin."""


@dataclass(frozen=True)
class Ensemble:
    """An ensemble, and its error rates on the validation split.

    Attributes:
        study: name of the study.
        n_asked: requested number of members.
        members: trials in the ensemble, the best first; there may be fewer than requested.
        bundle: model with the metrics of the ensemble.
        alone: error rates of the best member.
        together: error rates of the ensemble.
    """

    study: str
    n_asked: int
    members: list[BestTrial]
    bundle: Bundle
    alone: Metrics
    together: Metrics


def make_ensemble(
    storage_url: str,
    name: str | None,
    n: int,
    limits: Mapping[str, float] | None = None,
    progress: Progress | None = None,
    place: DataPlace = UNMOVED,
) -> Ensemble:
    """Combine the best networks of a study and evaluate the ensemble on the validation split.

    Args:
        storage_url: URL of the study database.
        name: name of the study; None for the latest study.
        n: maximum number of members, 2 or more. The ensemble is smaller if more members would
            exceed the limits, or if the other trials are much worse than the best.
        limits: upper limits for metrics of the whole ensemble; see ``best_trial``.
        progress: called with the number of recognised images of the validation split.
        place: location of the data, if it was moved.

    Raises:
        OcrSearchError: the study does not exist, fewer than two networks are suitable, or the
            data has changed.
    """
    study = load_study(storage_url, name)
    name, facts = study.study_name, study_facts(study)
    if facts.folds > 1:
        raise StudyError(
            f"study {name!r}: cross-validated on {facts.folds} folds, and the networks of all "
            "folds are already exported as an ensemble; remove `ensemble`"
        )
    limits = limits or {}
    trained = best_trials(study, study_folder(storage_url, name), limits, len(study.trials))
    found = [trial for trial in trained if trial.weights.exists()]
    members = choose_members(found, limits, n)
    if len(members) < 2:
        raise StudyError(
            f"study {name!r}: `ensemble` needs two trials with checkpoints, "
            f"{_found_instead(members)}; search longer, or remove `ensemble`"
        )
    bundles = [bundle_trial(member, facts) for member in members]
    validation = load_study_data(name, facts, place).splits["val"]
    first = Predictor(bundles[0]).evaluate(validation)
    joined = replace(bundles[0], others=tuple(bundles[1:]))
    together = Predictor(joined).evaluate(validation, progress)
    rates = {key: value for key, value in asdict(together.metrics).items() if key != "n"}
    metrics = {**rates, **_sums(members)}
    about = [Member(trial=member.trial, cer=member.value) for member in members]
    provenance = joined.provenance.model_copy(update={"members": about})
    bundle = replace(joined, metrics=metrics, provenance=provenance)
    return Ensemble(name, n, members, bundle, first.metrics, together.metrics)


def choose_members(found: list[BestTrial], limits: Mapping[str, float], n: int) -> list[BestTrial]:
    """Choose up to n trials, best first, that are good enough and together meet the limits."""
    members: list[BestTrial] = []
    for trial in found:
        worst = WORST_RATIO * found[0].value + WORST_MARGIN
        sums = _sums([*members, trial])
        fits = trial.value <= worst and all(sums[key] <= limits[key] for key in limits)
        if fits and len(members) < n:
            members.append(trial)
    return members


def _found_instead(members: list[BestTrial]) -> str:
    """Describe fewer than two members, for the message that an ensemble is impossible."""
    if not members:
        return "found none"
    best = members[0]
    return (
        f"found only trial {best.trial}: no other has a similar CER ({best.value:.4f}) and meets "
        "the limits together with it"
    )


def _sums(members: list[BestTrial]) -> dict[str, float]:
    """Return the metrics that add up in an ensemble, such as the size, if all members have them."""
    metrics = [member.numbers for member in members]
    known = [key for key in ADDED if all(key in numbers for numbers in metrics)]
    return {key: sum(numbers[key] for numbers in metrics) for key in known}


def bundle_trial(
    best: BestTrial, facts: StudyFacts, limits: Mapping[str, float] | None = None
) -> Bundle:
    """Create a bundle from the checkpoint of a trial, without further training.

    After cross-validation, the networks of the folds form an ensemble, as many as the limits allow.

    Args:
        best: trial to export.
        facts: facts of its study.
        limits: upper limits for metrics of the whole ensemble, in addition to the constraints of
            the study.

    Raises:
        BundleError: the weights are missing, or belong to an older version of the network.
    """
    metrics = best.numbers
    n = best.n_folds
    for name, limit in (*facts.constraints.items(), *(limits or {}).items()):
        value = metrics.get(LIMITS.get(name, name), 0.0)
        n = min(n, int(limit // value)) if name != "memory_mb" and value else n
    files = best.all_weights[: max(1, n)]
    provenance = provenance_of(best, facts)
    bundles = []
    for fold, file in enumerate(files, start=1):
        trained = read_trial_weights(replace(best, weights=file), facts)
        epochs = [record for record in best.epochs if record.fold == fold]
        about = provenance.model_copy(update={"epochs": epochs})
        bundle = Bundle(trained.config, trained.charset, trained.weights, best.numbers, about)
        bundles.append(bundle)
    first, *others = bundles
    added = {key: len(files) * value for key, value in metrics.items() if key in ADDED}
    return replace(first, metrics=metrics | added, others=tuple(others))


def provenance_of(best: BestTrial, facts: StudyFacts) -> Provenance:
    """Return the provenance of the network of a trial."""
    provenance = Provenance(
        study=best.study,
        study_id=facts.id or None,
        trial=best.trial,
        seed=best.metrics.get("seed"),
        data=facts.data_spec,
        data_fingerprint=facts.data_fingerprint,
        data_options=facts.data_options,
        versions=best.metrics.get("versions", {}),
        params={**best.params},
        epochs=best.epochs,
        init=facts.init,
        transfer=best.metrics.get("transfer"),
    )
    n_folds = facts.folds
    if n_folds == 1:
        return provenance
    of = f"cross-validation on {best.n_folds} of {n_folds} folds"
    return provenance.model_copy(update={"splits_seen": ["train", "val"], "metrics_of": of})
