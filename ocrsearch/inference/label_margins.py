"""Evidence against labels: how much more probable networks find their own reading.

A wrong label usually differs from the image in one character. So each place where label and reading
differ is judged by itself, and the worst place counts, as in token classification (Wang and
Mueller, 2022, arXiv:2210.03920). The networks must not have been trained on the image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from ocrsearch.data import Charset, GrayImage, Progress
from ocrsearch.inference.reader import Change, Reader, Text, changed, changes_to, read_together

MAX_MARGIN = 100.0
"""Largest margin in nats, also for a label that the network cannot write at all."""


@dataclass(frozen=True)
class LabelMargin:
    """A label beside the reading of one or more networks.

    Attributes:
        reading: text that the networks read together.
        confidence: probability of the reading, 0 to 1, averaged over the networks.
        margin: log probability of the reading less that of the reading with one place as in the
            label, averaged over the networks, in nats for each character of this place; the
            largest of all places. Above 0 the label is contradicted. If the reading is the label,
            the margin is the log odds against it, at most 0.
        is_unseen: whether the label differs only by characters that the networks were not trained
            on. These say nothing, so the margin is 0.
    """

    reading: str
    confidence: float
    margin: float
    is_unseen: bool = False


def label_margins(
    readers: Sequence[Reader],
    charset: Charset,
    images: Sequence[GrayImage],
    labels: Sequence[str],
    known: AbstractSet[int],
    progress: Progress | None = None,
) -> list[LabelMargin]:
    """Compare labels with what networks read.

    Args:
        readers: one or more networks that were trained on none of the images.
        charset: charset of the networks, with all characters of the labels.
        images: images, (H, W) uint8 each.
        labels: label of each image.
        known: ids of the characters that the networks were trained on.
        progress: called with the number of images read and the total.

    Raises:
        BundleError: the output of a network contains NaN.
    """
    targets: list[Text] = [tuple(charset.encode(label)) for label in labels]
    readings = read_together(readers, images, progress)
    changes = [
        changes_to(reading.ids, [target]) for reading, target in zip(readings, targets, strict=True)
    ]
    texts = {
        i: [reading.ids, *(changed(reading.ids, [change]) for change in changes[i])]
        for i, reading in enumerate(readings)
    }
    totals = {i: np.zeros(len(of_image)) for i, of_image in texts.items()}
    for reader in readers:
        for encoding in reader.read(images):
            own = {i: texts[i] for i in encoding.ids}
            for i, scores in reader.score([encoding], own).items():
                totals[i] += np.array(scores) / len(readers)
    found = []
    for i, reading in enumerate(readings):
        margin = _worst(totals[i].tolist(), changes[i], known)
        bounded = 0.0 if margin is None else max(-MAX_MARGIN, min(MAX_MARGIN, margin))
        text = charset.decode(reading.ids)
        found.append(LabelMargin(text, reading.confidence, bounded, margin is None))
    return found


def _worst(
    scores: Sequence[float], changes: Sequence[Change], known: AbstractSet[int]
) -> float | None:
    """Return the largest margin of all places; None if no place can be judged.

    Args:
        scores: log probability of the reading, then that after each change.
        changes: changes of the reading towards the label.
        known: ids of the characters that the network was trained on.
    """
    own, *others = scores
    if not changes:
        return min(0.0, _log_odds_against(own))
    margins = [
        (own - score) / max(change.end - change.start, len(change.ids))
        for change, score in zip(changes, others, strict=True)
        if known >= set(change.ids)
    ]
    return max(margins, default=None)


def _log_odds_against(log_prob: float) -> float:
    """Return the log odds that a text of a log probability, at most 0, is not the right one."""
    against = -math.expm1(log_prob)
    return math.log(against) - log_prob if against > 0.0 else -math.inf
