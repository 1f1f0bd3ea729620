"""Epochs: the lines that a network sees in each, the same ones or newly made ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

from ocrsearch.config import ImageConfig
from ocrsearch.data.charset import Charset
from ocrsearch.data.dataset import Dataset, LabelledImages, PackedImages
from ocrsearch.data.lines import Line, scaled_lines
from ocrsearch.data.synthesis.recipe import parse_recipe
from ocrsearch.data.synthesis.sources import open_synthesizer
from ocrsearch.data.synthesis.synthesizer import Synthesizer


class Epochs(Protocol):
    """The training lines of each epoch; ``len`` is how many an epoch has."""

    def __len__(self) -> int: ...

    def parts(self, epoch: int, size: int) -> Iterator[list[Line]]:
        """Yield the lines of an epoch, from 0, in parts.

        Args:
            epoch: the same one has the same lines, whatever came before.
            size: lines in a part, if they are made in parts; the last may have fewer.
        """
        ...


def training_epochs(dataset: Dataset, config: ImageConfig) -> Epochs:
    """Return the lines to train on, as the data set says."""
    train, charset = dataset.splits["train"], dataset.charset
    if dataset.fresh is None:
        return FixedEpochs(scaled_lines(train, charset, config))
    synthesizer = _opened(dataset.spec, json.dumps(dataset.fresh, sort_keys=True))
    if not train.n_added:
        return FreshEpochs(synthesizer, charset, config)
    own = train.first(len(train) - train.n_added)
    fresh = FreshEpochs(synthesizer, charset, config)
    return MixedEpochs(scaled_lines(own, charset, config), fresh)


@dataclass(frozen=True)
class FixedEpochs:
    """The same lines in each epoch."""

    lines: list[Line]

    def __len__(self) -> int:
        return len(self.lines)

    def parts(self, epoch: int, size: int) -> Iterator[list[Line]]:  # noqa: ARG002
        """Yield them all at once."""
        yield self.lines


@dataclass(frozen=True)
class FreshEpochs:
    """New lines in each epoch, made just before they are needed."""

    synthesizer: Synthesizer
    charset: Charset
    config: ImageConfig

    def __len__(self) -> int:
        return self.synthesizer.recipe.counts.train

    def parts(self, epoch: int, size: int) -> Iterator[list[Line]]:
        """Make the lines of an epoch; in epoch 0 they are those of the training split."""
        for start in range(0, len(self), size):
            yield self.lines(epoch, start, min(start + size, len(self)))

    def lines(self, epoch: int, start: int, end: int) -> list[Line]:
        """Make some of the lines of an epoch, from one to before another."""
        made = [self.synthesizer.picture("train", i, epoch) for i in range(start, end)]
        images = PackedImages.pack([image for image, _ in made])
        texts = [text for _, text in made]
        return scaled_lines(LabelledImages(texts, texts, images), self.charset, self.config)


@dataclass(frozen=True)
class MixedEpochs:
    """The same lines in each epoch, and new ones among them."""

    own: list[Line]
    fresh: FreshEpochs

    def __len__(self) -> int:
        return len(self.own) + len(self.fresh)

    def parts(self, epoch: int, size: int) -> Iterator[list[Line]]:
        """Yield parts of that size, each with its share of both; the last may be smaller."""
        order = np.random.default_rng(epoch).permutation(len(self.own))
        n = len(self)
        ends = [min(start + size, n) for start in range(0, n, size)]
        own_start = start = 0
        for end in ends:
            own_end = round(end * len(self.own) / n)
            own = [self.own[i] for i in order[own_start:own_end]]
            yield [*own, *self.fresh.lines(epoch, start - own_start, end - own_end)]
            own_start, start = own_end, end


@lru_cache(maxsize=1)
def _opened(spec: str, recipe: str) -> Synthesizer:
    """Open a recipe once a process, not once a training."""
    return open_synthesizer(parse_recipe(json.loads(recipe), spec))
