"""What is on both sides of the training split and the others, and so flatters an evaluation."""

from __future__ import annotations

from collections.abc import Sequence

from ocrsearch.data.images import digest_image
from ocrsearch.data.samples import GrayImage, Sample


def describe_leaks(usable: Sequence[tuple[Sample, GrayImage]]) -> str:
    """Say in one line how many validation and test samples are known from training.

    Args:
        usable: samples with their splits, and their pictures.

    Returns:
        Counts of those with the same pixels, of those with the same text if it is longer than
        one symbol, and of groups on both sides; empty where all are zero.
    """
    train = [(s, image) for s, image in usable if s.split == "train"]
    others = [(s, image) for s, image in usable if s.split != "train"]
    pictures = {digest_image(image) for _, image in train}
    n_pictures = sum(digest_image(image) in pictures for _, image in others)
    texts = {s.text for s, _ in train}
    n_texts = sum(len(s.text) > 1 and s.text in texts for s, _ in others)
    groups = {s.group for s, _ in train if s.group} & {s.group for s, _ in others if s.group}
    counts = {
        "with the picture of a training sample": n_pictures,
        "with the text of a training sample": n_texts,
        "groups are on both sides": len(groups),
    }
    found = ", ".join(f"{n} {what}" for what, n in counts.items() if n)
    return f"of {len(others)} validation and test samples, {found}" if found else ""
