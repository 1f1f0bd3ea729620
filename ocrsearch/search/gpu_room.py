"""How many trials one GPU trains side by side, by its free memory.

Small networks leave most of a GPU idle: several at a time share it better than one after the
other. What a configuration takes is an estimate; one that finds too little memory after all is
tried once more with half the batch, as on any machine.
"""

from __future__ import annotations

from ocrsearch.data.dataset import LabelledImages
from ocrsearch.search.configuration import random_config
from ocrsearch.search.feasibility import network_figures
from ocrsearch.search.space import Space

N_DRAWN = 16
"""Configurations that are drawn to see what a large one takes."""

CONTEXT_MB = 700.0
"""What each process takes of a GPU before it trains: CUDA itself and its libraries."""

MEMORY_FACTOR = 2.0
"""Room beside the estimate: workspace of the libraries, and what the allocator holds back."""

USABLE_SHARE = 0.9


def trials_at_once(space: Space, train: LabelledImages, free_mb: float, n_cores: int) -> int:
    """Return how many workers a GPU has room for: at least 1, and no more than cores.

    Args:
        space: whose configurations they train; the largest of some drawn ones counts.
        train: what they train on.
        free_mb: memory of the GPU that nobody uses, in megabytes.
        n_cores: each worker keeps about one of them busy.
    """
    configs = [random_config(space, seed) for seed in range(N_DRAWN)]
    largest = max(network_figures(config, train)["memory_mb"] for config in configs)
    room = int(USABLE_SHARE * free_mb / (CONTEXT_MB + MEMORY_FACTOR * largest))
    return max(1, min(room, n_cores))
