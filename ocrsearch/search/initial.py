"""Weights that all trials of a search start from: what its networks will keep of them."""

from __future__ import annotations

from dataclasses import replace

from ocrsearch.config import flatten
from ocrsearch.data.charset import Charset
from ocrsearch.models.factory import build_network
from ocrsearch.search.configuration import random_config
from ocrsearch.search.space import Space
from ocrsearch.training.weights import StartWeights, check_something_kept, transfer_weights

N_DRAWN = 16
"""Configurations that are drawn to see what they keep."""


def check_start(space: Space, start: StartWeights, charset: Charset) -> str:
    """Refuse weights that fit none of a space's networks, as far as a random draw tells.

    Args:
        space: what will be searched.
        start: the model to start from.
        charset: of the data.

    Returns:
        A line on what will be kept.

    Raises:
        BundleError: nothing fits.
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
    return (
        f"starts from {start.name}: {shares} of the weights kept, {best.describe_symbols()} "
        f"({N_DRAWN} configurations drawn)"
    )


def with_own_network_first(space: Space, start: StartWeights) -> Space:
    """Return a space whose first configurations have the network of the model it starts from.

    The first is trained as the model was, as far as the space allows; the others as those that
    the space would have tried first. The space as it is where it does not allow the whole network,
    which then would not keep the weights.
    """
    config = start.config
    network = flatten({"images": config.images.model_dump(), "model": config.model.model_dump()})
    own = space.values_within(flatten(config.model_dump()))
    outside = [p.path for p in space.parameters if p.path in network.keys() - own.keys()]
    outside += [f.path for f in space.fixed if network.get(f.path, f.value) != f.value]
    if outside or not own:
        return space
    own_network = {path: value for path, value in own.items() if path in network}
    others = [{**flatten(first), **own_network} for first in space.settings.try_first]
    settings = space.settings.model_copy(update={"try_first": (own, *others)})
    return replace(space, settings=settings)
