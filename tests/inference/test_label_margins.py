"""Margins of labels: the place that the networks contradict most decides."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from ocrsearch.core.config import ImageConfig
from ocrsearch.data.charset import Charset
from ocrsearch.data.samples import GrayImage
from ocrsearch.inference.label_margins import MAX_MARGIN, LabelMargin, label_margins
from ocrsearch.inference.networks import Network
from ocrsearch.inference.reader import Reader
from ocrsearch.models.decoding.ctc import CtcOutput
from ocrsearch.models.decoding.readout import CtcReadout

CHARSET = Charset("0123")
BLANK = 4
SURE, LIKELY, REST = 0.97, 0.6, 0.01


class Told(Network):
    """Reads a text in each image: a time step for each character and a blank between them."""

    def __init__(self, text: str, sure: Sequence[float] | None = None) -> None:
        steps = [i for symbol in text for i in (CHARSET.encode(symbol)[0], BLANK)]
        probabilities = np.full((len(steps), 5), REST)
        for step, symbol, p in zip(probabilities, steps, sure or [SURE] * len(steps), strict=True):
            step[:] = (1.0 - p) / 4
            step[symbol] = p
        self._log_probs = np.log(probabilities).astype(np.float32)

    def read(self, images: Sequence[GrayImage]) -> CtcReadout:
        n = len(images)
        lengths = np.full(n, len(self._log_probs))
        return CtcReadout(CtcOutput(np.repeat(self._log_probs[None], n, 0), lengths))


def margins(
    networks: Sequence[Told], labels: Sequence[str], known: str = "0123"
) -> list[LabelMargin]:
    readers = [Reader(network, ImageConfig(height=16), None) for network in networks]
    images = [np.zeros((16, 40), np.uint8) + 200 for _ in labels]
    return label_margins(readers, CHARSET, images, labels, set(CHARSET.encode(known)))


def test_only_wrong_labels_are_contradicted() -> None:
    wrong = ["310", "30", "0213", "", "0012", "012012012012"]
    right, *others = margins([Told("012")], ["012", *wrong])
    assert right.reading == "012"
    assert right.margin == pytest.approx(math.log((1 - right.confidence) / right.confidence))
    assert right.margin < 0.0
    assert all(other.reading == "012" and other.margin > 2.0 for other in others)
    assert others[-1].margin == MAX_MARGIN  # it does not fit the time steps


def test_the_worst_place_counts() -> None:
    unsure_first = Told("012", [LIKELY, SURE, SURE, SURE, SURE, SURE])
    first, second, both = margins([unsure_first], ["312", "032", "332"])
    assert 0.0 < first.margin < second.margin
    # neighbouring places are one, and its margin is that of a character on average
    assert first.margin < both.margin < second.margin
    apart, *_ = margins([unsure_first], ["313"])
    last, *_ = margins([unsure_first], ["013"])
    assert apart.margin == pytest.approx(last.margin)


def test_networks_that_disagree_contradict_less() -> None:
    (alone,) = margins([Told("012")], ["013"])
    (agreeing,) = margins([Told("012"), Told("012")], ["013"])
    (disagreeing,) = margins([Told("012"), Told("013")], ["013"])
    assert agreeing.margin == pytest.approx(alone.margin)
    assert disagreeing.margin < alone.margin / 10


def test_unknown_characters_say_nothing() -> None:
    only_unknown, another_too = margins([Told("012")], ["013", "313"], known="012")
    assert (only_unknown.margin, only_unknown.is_unseen) == (0.0, True)
    assert (another_too.margin, another_too.is_unseen) == (0.0, True)
    (known,) = margins([Told("012")], ["113"], known="012")
    assert known.margin > 2.0
    assert not known.is_unseen
