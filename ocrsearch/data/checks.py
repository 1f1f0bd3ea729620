"""Checks of samples: which cannot be used, and which are in more than one split.

Which samples can be used, and why the others cannot: unreadable pictures, labels, symbols.

What is on both sides of the training split and the others, and so flatters an evaluation.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ocrsearch.core import DataError, ImageError, n_reading_threads
from ocrsearch.data.charset import Charset, is_symbol
from ocrsearch.data.images import digest_image, is_blank, load_image
from ocrsearch.data.samples import GrayImage, Sample

logger = logging.getLogger(__name__)

BLANK = "a blank picture, without any contrast"

Progress = Callable[[int, int], None]
"""Called with the number of pictures done and the number in all."""


@dataclass(frozen=True)
class BadSample:
    """A sample that was left out, and why."""

    name: str
    reason: str


def read_usable(
    spec: str, samples: Sequence[Sample], max_bad: float, progress: Progress | None, n_all: int
) -> tuple[list[tuple[Sample, GrayImage]], list[BadSample]]:
    """Read the pictures of samples; return those that can be used, and the others.

    Args:
        spec: of the data, for messages.
        samples: to read.
        max_bad: share of all samples that may be unusable, 0 to 1.
        progress: told how many are read.
        n_all: samples of the data set, of which these may be a part.

    Raises:
        DataError: more cannot be used than may.
    """
    usable: list[tuple[Sample, GrayImage]] = []
    bad: list[BadSample] = []
    for i, (sample, result) in enumerate(_read_all(samples), start=1):
        if isinstance(result, str):
            bad.append(BadSample(sample.name, result))
        else:
            usable.append((sample, result))
        if progress:
            progress(i, len(samples))
    if len(bad) > max_bad * n_all:
        raise DataError(
            f"{spec}: {len(bad)} of {n_all} samples cannot be used, at most "
            f"{100 * max_bad:g} % may (--max-bad), see 'ocrsearch data inspect': "
            f"{first_reasons(bad)}"
        )
    return usable, bad


def _read_all(samples: Sequence[Sample]) -> Iterator[tuple[Sample, GrayImage | str]]:
    if all(isinstance(sample.image, np.ndarray) for sample in samples):
        yield from ((sample, image_or_reason(sample)) for sample in samples)
        return
    # Pillow decodes without holding Python's lock
    with ThreadPoolExecutor(n_reading_threads()) as pool:
        yield from zip(samples, pool.map(image_or_reason, samples), strict=True)


def image_or_reason(sample: Sample) -> GrayImage | str:
    """Return a sample's picture, (H, W) uint8, or why the sample cannot be used."""
    problem = label_problem(sample)
    if problem is not None:
        return problem
    try:
        image = load_image(sample.image)
    except ImageError as error:
        return str(error)
    return f"{sample.name}: {BLANK}" if is_blank(image) else image


def is_usable(sample: Sample) -> bool:
    """Whether a sample's label and picture can be used; reads the picture."""
    return not isinstance(image_or_reason(sample), str)


def label_problem(sample: Sample) -> str | None:
    """Return why a sample's label cannot be used, or None if it can."""
    if not sample.text:
        return f"{sample.name}: the label is empty"
    n_lines = len(sample.text.splitlines())
    if n_lines > 1:
        return f"{sample.name}: label of more than one line ({n_lines} lines)"
    if not _is_unicode(sample.text):
        return f"{sample.name}: the label is not valid Unicode ({sample.text!a})"
    if not sample.text.isprintable() and not all(map(is_symbol, sample.text)):
        return f"{sample.name}: the label has control characters ({sample.text!a})"
    return None


def _is_unicode(text: str) -> bool:
    """Whether a text can be written; half a surrogate pair, from a file's name, cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def first_reasons(bad: Sequence[BadSample], n: int = 3) -> str:
    """Return the first few reasons in one line, and how many more there are."""
    more = f"; and {len(bad) - n} more" if len(bad) > n else ""
    return "; ".join(b.reason for b in bad[:n]) + more


def without_unknown(
    spec: str, usable: Sequence[tuple[Sample, GrayImage]], charset: Charset
) -> tuple[list[tuple[Sample, GrayImage]], list[BadSample]]:
    """Leave out validation samples with symbols that the training split lacks, and warn of both."""
    kept: list[tuple[Sample, GrayImage]] = []
    left_out: list[BadSample] = []
    n_test = 0
    for sample, image in usable:
        missing = [] if sample.split == "train" else charset.missing([sample.text])
        n_test += bool(missing) and sample.split == "test"
        if missing and sample.split == "val":
            reason = f"{sample.name}: no training sample has {' '.join(missing)}"
            left_out.append(BadSample(sample.name, reason))
        else:
            kept.append((sample, image))
    if left_out or n_test:
        logger.warning(
            "%s: symbols that no training sample has are in %d validation samples, which are "
            "left out, and in %d test samples, where they count as errors",
            spec,
            len(left_out),
            n_test,
        )
    return kept, left_out


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
    images = {digest_image(image) for _, image in train}
    n_images = sum(digest_image(image) in images for _, image in others)
    texts = {s.text for s, _ in train}
    n_texts = sum(len(s.text) > 1 and s.text in texts for s, _ in others)
    groups = {s.group for s, _ in train if s.group} & {s.group for s, _ in others if s.group}
    counts = {
        "with the picture of a training sample": n_images,
        "with the text of a training sample": n_texts,
        "groups are on both sides": len(groups),
    }
    found = ", ".join(f"{n} {what}" for what, n in counts.items() if n)
    return f"of {len(others)} validation and test samples, {found}" if found else ""
