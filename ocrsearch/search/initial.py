"""Weights that all trials of a search start from: what its networks will keep of them."""

from __future__ import annotations

from dataclasses import replace

from ocrsearch.config import flatten
from ocrsearch.data.charset import Charset
from ocrsearch.models.factory import build_network
from ocrsearch.search.configuration import random_config
from ocrsearch.search.space import Space, Values
from ocrsearch.training.weights import StartWeights, check_something_kept, transfer_weights

N_DRAWN = 16
"""Configurations that are drawn to see what they keep."""


def prepare_start(space: Space, start: StartWeights, charset: Charset) -> tuple[Space, str]:
    """Let a space begin with the network of a model, as far as it has that.

    Weights that fit none of the space's networks are refused, as far as a random draw tells.

    Args:
        space: what will be searched.
        start: the model to start from.
        charset: of the data.

    Returns:
        The space, and a line on what will be kept. Where the space has a network that keeps all
        weights, it is the first, trained as the model was, as far as the space allows; then come
        the space's own first configurations, with that network. If all its networks keep all
        weights, a space with first configurations of its own is left as it is.

    Raises:
        BundleError: nothing fits.
    """
    line, all_fit = _check_start(space, start, charset)
    if all_fit and space.settings.try_first:
        return space, line
    network = _own_network(space, start, charset)
    if network is None:
        return space, line
    own = space.values_within(flatten(start.config.model_dump()))
    others = [{**flatten(first), **network} for first in space.settings.try_first]
    first = [own, *others] if own else others
    settings = space.settings.model_copy(update={"try_first": tuple(first)})
    return replace(space, settings=settings), f"{line}; the first have its network"


def _own_network(space: Space, start: StartWeights, charset: Charset) -> Values | None:
    """Return the values with which a network of the space keeps all weights, None if none does."""
    own = space.values_within(flatten(start.config.model_dump()))
    config = space.resolve(space.complete(own))
    network = build_network(config, len(charset), seed=0)
    if transfer_weights(start, network, config, charset).fresh_layers:
        return None
    return {path: v for path, v in own.items() if path.startswith(("images.", "model."))}


def _check_start(space: Space, start: StartWeights, charset: Charset) -> tuple[str, bool]:
    """Refuse weights that fit none of some random networks of a space.

    Returns:
        A line for people about the weights that they keep, and whether all keep all.
    """
    configs = [random_config(space, seed) for seed in range(N_DRAWN)]
    networks = [build_network(config, len(charset), seed=0) for config in configs]
    transfers = [
        transfer_weights(start, network, config, charset)
        for network, config in zip(networks, configs, strict=True)
    ]
    best = max(transfers, key=lambda transfer: transfer.share)
    check_something_kept(best, start, configs[transfers.index(best)])
    low = min(transfer.share for transfer in transfers)
    shares = f"{low:.0%}" if low == best.share else f"{low:.0%} to {best.share:.0%}"
    line = (
        f"starts from {start.name}: {shares} of the weights kept, {best.describe_symbols()} "
        f"({N_DRAWN} configurations drawn)"
    )
    return line, not any(transfer.fresh_layers for transfer in transfers)
