"""Whether any configuration of a space can read the labels, known before the search begins."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from ocrsearch.config import Config
from ocrsearch.data.dataset import LabelledImages
from ocrsearch.data.usable import BadSample
from ocrsearch.errors import InfeasibleError
from ocrsearch.search.feasibility import check_feasible, find_unfit
from ocrsearch.search.space import Space

MAX_COMPARED = 64
"""So many configurations are compared at the most."""


def unfit_in_space(space: Space, train: LabelledImages, max_bad: float) -> list[BadSample]:
    """Return the training samples that do not fit the configuration that has most room.

    Args:
        space: what will be searched.
        train: the training split.
        max_bad: share of the labels that need not fit, see ``check_feasible``.

    Raises:
        InfeasibleError: no configuration has room for enough labels.
    """
    roomiest, fewest = None, len(train) + 1
    for config in _extremes(space):
        n_unfit = len(find_unfit(config, train))
        if n_unfit < fewest:
            roomiest, fewest = config, n_unfit
        if not n_unfit:
            return []
    assert roomiest is not None, "each space has a configuration"
    try:
        return check_feasible(roomiest, train, max_bad)
    except InfeasibleError as error:
        raise InfeasibleError(
            f"no configuration of this space can read these labels: {error}"
        ) from None


def _extremes(space: Space) -> Iterator[Config]:
    """Yield configurations with the ends of all that frames depend on, the largest first."""
    decide = [
        p
        for p in space.parameters
        if p.path.startswith("images.") or p.path == "model.architecture"
    ]
    ends = [
        sorted(p.distribution.examples(), key=lambda v: v if isinstance(v, int | float) else 0)
        for p in decide
    ]
    values = itertools.product(*(reversed(e) for e in ends))
    for point in itertools.islice(values, MAX_COMPARED):
        wanted = dict(zip((p.path for p in decide), point, strict=True))
        yield space.resolve(space.complete(wanted))
