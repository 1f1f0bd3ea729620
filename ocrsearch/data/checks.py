"""Checks of samples: unusable images and labels, unknown characters, and leaks between splits.

Leaks are samples of the training split that recur in others and thus flatter an evaluation.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ocrsearch.core import DataError, ImageError, n_reading_threads
from ocrsearch.data.charset import Charset, is_symbol
from ocrsearch.data.images import digest_image, is_blank, load_image
from ocrsearch.data.samples import GrayImage, Progress, Sample, is_encodable
from ocrsearch.data.splits import count_rare

logger = logging.getLogger(__name__)

BLANK = "a blank image, without any contrast"

MAX_RARE_SHARE = 0.1
"""Fraction of samples with a character of their own above which a warning is logged."""

MANY_RARE = 20
"""Number of characters found in a single sample from which the same warning is logged."""

MIN_WARNED = 100
"""Number of samples below which characters are often found in a single sample."""


@dataclass(frozen=True)
class BadSample:
    """Skipped sample and the reason."""

    name: str
    reason: str


def read_usable(
    spec: str, samples: Sequence[Sample], max_invalid: float, progress: Progress | None, n_all: int
) -> tuple[list[tuple[Sample, GrayImage]], list[BadSample]]:
    """Read the images of samples and separate usable from unusable samples.

    Args:
        spec: Data specification, for messages.
        samples: Samples to read.
        max_invalid: Maximum fraction of unusable samples, 0 to 1.
        progress: Called with the number of images read and the total.
        n_all: Number of samples in the dataset, if ``samples`` is a part of it.

    Raises:
        DataError: Too many samples are unusable.
    """
    usable: list[tuple[Sample, GrayImage]] = []
    bad: list[BadSample] = []
    in_memory = all(isinstance(sample.image, np.ndarray) for sample in samples)
    with ThreadPoolExecutor(n_reading_threads()) as pool:  # Pillow decodes without the GIL
        results = (map if in_memory else pool.map)(image_or_reason, samples)
        for i, (sample, result) in enumerate(zip(samples, results, strict=True), start=1):
            if isinstance(result, str):
                bad.append(BadSample(sample.name, result))
            else:
                usable.append((sample, result))
            if progress:
                progress(i, len(samples))
    if len(bad) > max_invalid * n_all:
        raise DataError(
            f"{spec}: {len(bad)} of {n_all} samples cannot be used, at most "
            f"{100 * max_invalid:g} % may (`max_invalid`), see 'ocrsearch data inspect': "
            f"{first_reasons(bad)}"
        )
    return usable, bad


def image_or_reason(sample: Sample) -> GrayImage | str:
    """Return the (H, W) uint8 image of a sample, or the reason why it cannot be used."""
    problem = label_problem(sample)
    if problem is not None:
        return problem
    try:
        image = load_image(sample.image)
    except ImageError as error:
        return str(error)
    return f"{sample.name}: {BLANK}" if is_blank(image) else image


def is_usable(sample: Sample) -> bool:
    """Return whether a sample is usable. This reads the image."""
    return not isinstance(image_or_reason(sample), str)


def label_problem(sample: Sample) -> str | None:
    """Return the reason why a label cannot be used, or None if it can."""
    if not sample.text:
        return f"{sample.name}: the label is empty"
    n_lines = len(sample.text.splitlines())
    if n_lines > 1:
        return f"{sample.name}: label of more than one line ({n_lines} lines)"
    if not is_encodable(sample.text):
        return f"{sample.name}: the label is not valid Unicode ({sample.text!a})"
    if not sample.text.isprintable() and not all(map(is_symbol, sample.text)):
        return f"{sample.name}: the label has control characters ({sample.text!a})"
    return None


def first_reasons(bad: Sequence[BadSample], n: int = 3) -> str:
    """Return the first few reasons in a single line, and the number of others."""
    more = f"; and {len(bad) - n} more" if len(bad) > n else ""
    return "; ".join(b.reason for b in bad[:n]) + more


def warn_of_rare(spec: str, samples: Sequence[Sample]) -> None:
    """Log a warning if rare characters instead of chance determined the splits of many samples."""
    rare = count_rare(samples)
    many = rare.n > MAX_RARE_SHARE * rare.n_all or rare.n_symbols >= MANY_RARE
    if many and rare.n_all >= MIN_WARNED:
        logger.warning("%s: %s", spec, rare.describe())


def with_starved_validation(
    charset: Charset, usable: Sequence[tuple[Sample, GrayImage]]
) -> Charset:
    """Return the charset, with all validation characters if most of the samples need them.

    Without them hardly any validation samples would be left. They are never learned and count
    as errors.
    """
    texts = [sample.text for sample, _ in usable if sample.split == "val"]
    n_lacking = sum(bool(charset.missing([text])) for text in texts)
    if 2 * n_lacking <= len(texts):
        return charset
    more = {symbol for text in texts for symbol in charset.visual(text)}
    return Charset(sorted({*charset.symbols, *more}), charset.bidi)


def without_unknown(
    spec: str, usable: Sequence[tuple[Sample, GrayImage]], charset: Charset
) -> tuple[list[tuple[Sample, GrayImage]], list[BadSample]]:
    """Skip validation samples with characters that are not in the training split, and warn."""
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
            "%s: %d validation samples have characters that no training sample has and are "
            "skipped; %d test samples have them too, where they count as errors",
            spec,
            len(left_out),
            n_test,
        )
    return kept, left_out


def describe_leaks(usable: Sequence[tuple[Sample, GrayImage]]) -> str:
    """Return a one-line summary of the held-out samples that are known from training.

    Args:
        usable: Samples with splits, and their images.

    Returns:
        Number of held-out samples with an image from training, number with a text from training
        that is longer than one character, and number of divided groups. Empty if all are zero.
    """
    train = [(s, image) for s, image in usable if s.split == "train"]
    others = [(s, image) for s, image in usable if s.split != "train"]
    images = {digest_image(image) for _, image in train}
    n_images = sum(digest_image(image) in images for _, image in others)
    texts = {s.text for s, _ in train}
    n_texts = sum(len(s.text) > 1 and s.text in texts for s, _ in others)
    groups = {s.group for s, _ in train if s.group} & {s.group for s, _ in others if s.group}
    counts = {
        "with the image of a training sample": n_images,
        "with the text of a training sample": n_texts,
        "groups also in the training split": len(groups),
    }
    found = ", ".join(f"{n} {kind}" for kind, n in counts.items() if n)
    return f"of {len(others)} validation and test samples, {found}" if found else ""
