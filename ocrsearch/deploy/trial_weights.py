"""Weights of a trial as the search left them, compared with the trial that they should be of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ocrsearch.config import Config, flatten
from ocrsearch.errors import BundleError, SpaceError
from ocrsearch.results.query import BestTrial
from ocrsearch.search.space import Space
from ocrsearch.search.space_reading import rebuild_space
from ocrsearch.training.model_file import OtherNetworkError, Recogniser, read_recogniser


def read_trial_weights(best: BestTrial, facts: Mapping[str, Any]) -> Recogniser:
    """Return the checked weights of a trial.

    Args:
        best: the trial.
        facts: facts of its study, as stored.

    Raises:
        BundleError: the weights are missing or damaged, or they belong to another trial.
    """
    whose = f"{best.weights}: the weights of trial {best.trial} of study {best.study!r}"
    if not best.weights.exists():
        raise BundleError(f"{whose} are missing; choose another trial")
    if not best.weights.is_file():
        raise BundleError(f"{whose} cannot be read (not a file); choose another trial")
    try:
        trained = read_recogniser(best.weights)
    except OtherNetworkError:
        raise BundleError(
            f"{whose} do not fit this program's network; use the ocrsearch that searched, or "
            "search again under a new --study"
        ) from None
    except BundleError as error:
        reason = str(error).removeprefix(f"{best.weights}: ")
        raise BundleError(f"{whose} cannot be read ({reason}); choose another trial") from None
    if trained.study not in ("", facts.get("id")):
        raise BundleError(
            f"{best.weights}: belongs to another study, not to {best.study!r}; restore the folder "
            "that belongs to the database, or choose another trial"
        )
    if difference := _difference(trained.config, best, facts):
        raise BundleError(
            f"{best.weights}: belongs to another configuration than trial {best.trial} of study "
            f"{best.study!r} ({difference}); restore the folder that belongs to the database, or "
            "choose another trial"
        )
    return trained


def _difference(config: Config, best: BestTrial, facts: Mapping[str, Any]) -> str:
    """Return where a configuration differs from that of a trial, empty if nowhere.

    The batch size may differ: it is halved where there was too little memory.
    """
    try:
        space: Space = rebuild_space(facts["space"], str(facts["space_name"]))
        expected = space.resolve(best.params)
    except (SpaceError, ValueError):  # of an older program
        return ""
    before, after = flatten(expected.model_dump()), flatten(config.model_dump())
    paths = sorted((before.keys() | after.keys()) - {"training.batch_size"})
    differ = [path for path in paths if before.get(path) != after.get(path)]
    return f"{differ[0]} is {after.get(differ[0])}, not {before.get(differ[0])}" if differ else ""
