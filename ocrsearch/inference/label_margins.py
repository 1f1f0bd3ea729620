"""Evidence against labels: how much more probable a network finds its own reading.

A wrong label usually differs from the image in one character. So each place where label and reading
differ is judged by itself, and the worst place counts, as in token classification (Wang and
Mueller, 2022, arXiv:2210.03920). The network must not have been trained on the image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from ocrsearch.data import Charset, GrayImage, Progress
from ocrsearch.inference.reader import Change, Reader, Text, changed, changes_to

MAX_MARGIN = 100.0
"""Largest margin in nats, also for a label that the network cannot write at all."""


@dataclass(frozen=True)
class LabelMargin:
    """A label beside the reading of a network.

    Attributes:
        reading: text that the network reads.
        confidence: probability of the reading, 0 to 1.
        margin: log probability of the reading less that of the reading with one place as in the
            label, in nats for each character of this place; the largest of all places. Above 0
            the network contradicts the label. If the reading is the label, the margin is the log
            odds against it, at most 0.
        is_unseen: whether the label differs only by characters that the network was not trained
            on. These say nothing, so the margin is 0.
    """

    reading: str
    confidence: float
    margin: float
    is_unseen: bool = False


def label_margins(
    reader: Reader,
    charset: Charset,
    images: Sequence[GrayImage],
    labels: Sequence[str],
    known: AbstractSet[int],
    progress: Progress | None = None,
) -> list[LabelMargin]:
    """Compare labels with what a network reads.

    Args:
        reader: network that was trained on none of the images.
        charset: charset of the network, with all characters of the labels.
        images: images, (H, W) uint8 each.
        labels: label of each image.
        known: ids of the characters that the network was trained on.
        progress: called with the number of images read and the total.

    Raises:
        BundleError: the output of the network contains NaN.
    """
    targets: list[Text] = [tuple(charset.encode(label)) for label in labels]
    found: dict[int, LabelMargin] = {}
    for encoding in reader.read(images):
        readings = dict(zip(encoding.ids, encoding.read, strict=True))
        changes = {i: changes_to(read.ids, [targets[i]]) for i, read in readings.items()}
        texts = {
            i: [read.ids, *(changed(read.ids, [change]) for change in changes[i])]
            for i, read in readings.items()
        }
        for i, scores in reader.score([encoding], texts).items():
            margin = _worst(scores, changes[i], known)
            found[i] = LabelMargin(
                charset.decode(readings[i].ids),
                readings[i].confidence,
                0.0 if margin is None else max(-MAX_MARGIN, min(MAX_MARGIN, margin)),
                margin is None,
            )
        if progress:
            progress(len(found), len(images))
    return [found[i] for i in range(len(images))]


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
