"""Measurements of a dataset: a summary for people, and traits to derive a search space.

Images are read in threads, measured and discarded; ``summarize`` uses only the measurements. The
traits of a training split are measured on all labels and sizes and on the pixels of a subset. The
rules that use them are in ``spaces/derived.py``.
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ocrsearch.core import FRAME_STRIDE, ImageConfig, ImageError, n_reading_threads
from ocrsearch.data.charset import has_rtl, is_mixed
from ocrsearch.data.checks import (
    BLANK,
    BadSample,
    label_problem,
)
from ocrsearch.data.images import (
    characters_may_be_stacked,
    count_unfit,
    digest_image,
    frames_needed,
    gray_ends,
    has_ruling,
    ink_box,
    ink_is_light,
    ink_mask,
    is_blank,
    load_image,
    open_image,
    to_gray,
)
from ocrsearch.data.samples import SPLITS, GrayImage, LabelledImages, Progress, Sample, Split
from ocrsearch.data.splits import RareSymbols, count_rare

HEIGHTS = (24, 32, 40, 48, 64)
"""Image heights for which labels that do not fit are counted."""

N_SAMPLED = 300
"""Maximum number of images whose pixels are measured, evenly spread over the split."""

CLEAR_POLARITY = 0.2
"""Minimum distance of the paper from middle grey, relative to the range, for clear polarity."""

EDGE_PX = 1
"""Distance to the left or right edge, in pixels, below which ink is tight."""


@dataclass(frozen=True)
class Measured:
    """Measurements of a usable sample.

    Attributes:
        sample: Sample with its split.
        shape: (H, W) of the upright image.
        mode: Pillow's name for the pixel format of the file.
        digest: Hash of the grey pixels and their shape.
    """

    sample: Sample
    shape: tuple[int, int]
    mode: str
    digest: bytes


@dataclass(frozen=True)
class Unusable:
    """Skipped sample. ``problem`` is its reason without names and details."""

    sample: Sample
    reason: str
    problem: str


@dataclass(frozen=True)
class Spread:
    """Minimum, median and maximum of numbers."""

    min: float
    median: float
    max: float

    @classmethod
    def of(cls, values: Sequence[int]) -> Spread | None:
        """Return the spread of numbers, or None if there are none."""
        return cls(min(values), statistics.median(values), max(values)) if values else None


@dataclass(frozen=True)
class Copies:
    """Samples whose images have identical pixels."""

    names: list[str]
    texts: list[str]
    splits: list[Split | None]


@dataclass(frozen=True)
class Inspection:
    """Summary of a dataset. Numbers refer to usable samples unless noted.

    Attributes:
        n: Number of usable samples.
        n_bad: Number of skipped samples.
        splits: Number of usable and skipped samples per split.
        symbols: Characters in code point order.
        symbol_counts: Frequency of each character, most frequent first.
        only_in: Characters found in a single split. Empty if there is only one split.
        rare: Samples with a character of their own.
        width: Image widths in pixels. None without usable samples, like the next spreads.
        height: Image heights in pixels.
        modes: Number of samples per Pillow pixel format, most frequent first.
        label_length: Label lengths in characters.
        label_lengths: Number of samples per label length, sorted by length.
        n_rtl: Number of labels with right-to-left letters or digits.
        n_mixed: Number of labels with letters of both directions.
        copies: Images that occur more than once, most frequent first.
        unfit: Number of labels that need more time steps than their image has, per height.
        unfit_names: Names of the samples that do not fit at the greatest of these heights.
        stacked: Whether the characters of most labels seem to be stacked vertically.
        problems: Names of skipped samples per problem, most frequent first.
        bad: All skipped samples with their reasons.
    """

    n: int
    n_bad: int
    splits: dict[Split, tuple[int, int]]
    symbols: list[str]
    symbol_counts: dict[str, int]
    only_in: dict[Split, list[str]]
    rare: RareSymbols
    width: Spread | None
    height: Spread | None
    modes: dict[str, int]
    label_length: Spread | None
    label_lengths: dict[int, int]
    n_rtl: int
    n_mixed: int
    copies: list[Copies]
    unfit: dict[int, int]
    unfit_names: list[str]
    stacked: bool
    problems: dict[str, list[str]]
    bad: list[BadSample]


def measure_samples(
    samples: Sequence[Sample], progress: Progress | None = None
) -> tuple[list[Measured], list[Unusable]]:
    """Read and measure the images of samples, separating unusable samples.

    Args:
        samples: Samples with splits.
        progress: Called with the number of images read and the total.
    """
    usable: list[Measured] = []
    bad: list[Unusable] = []
    from_files = any(isinstance(sample.image, Path) for sample in samples)
    with ThreadPoolExecutor(n_reading_threads()) as pool:
        results = pool.map(_measure, samples) if from_files else map(_measure, samples)
        for i, found in enumerate(results, start=1):
            if isinstance(found, Measured):
                usable.append(found)
            else:
                bad.append(found)
            if progress:
                progress(i, len(samples))
    return usable, bad


def _measure(sample: Sample) -> Measured | Unusable:
    reason, place = label_problem(sample), sample.name
    if reason is None:
        try:
            if isinstance(sample.image, Path):  # at full size; load_image would shrink it
                with open_image(sample.image) as opened:
                    mode, image = opened.mode, to_gray(opened)
            else:
                mode, image = "L", load_image(sample.image)
        except ImageError as error:
            reason, place = str(error), str(sample.image)
        else:
            if not is_blank(image):
                height, width = image.shape
                return Measured(sample, (height, width), mode, digest_image(image))
            reason = f"{sample.name}: {BLANK}"
    # a reason is ``PLACE: PROBLEM``, with details in brackets or after a colon
    problem = reason.removeprefix(f"{place}: ")
    return Unusable(sample, reason, problem.partition(" (")[0].partition(":")[0])


def summarize(usable: Sequence[Measured], bad: Sequence[Unusable]) -> Inspection:
    """Summarise measured samples."""
    texts = [m.sample.text for m in usable]
    counts = Counter("".join(texts))
    n_usable = Counter(m.sample.split for m in usable)
    n_bad = Counter(b.sample.split for b in bad)
    lengths = Counter(map(len, texts))
    shapes = [m.shape for m in usable]
    needed = [frames_needed(text) for text in texts]
    sizes = [ImageConfig(height=height) for height in HEIGHTS]
    unfit_names = [
        m.sample.name
        for m, n_frames in zip(usable, needed, strict=True)
        if count_unfit([m.shape], [n_frames], sizes[-1])
    ]
    problems: dict[str, list[str]] = defaultdict(list)
    for b in bad:
        problems[b.problem].append(b.sample.name)
    return Inspection(
        n=len(usable),
        n_bad=len(bad),
        splits={split: (n_usable[split], n_bad[split]) for split in SPLITS},
        symbols=sorted(counts),
        symbol_counts=dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
        only_in=_only_in(usable),
        rare=count_rare([m.sample for m in usable]),
        width=Spread.of([width for _, width in shapes]),
        height=Spread.of([height for height, _ in shapes]),
        modes=dict(Counter(m.mode for m in usable).most_common()),
        label_length=Spread.of([len(text) for text in texts]),
        label_lengths=dict(sorted(lengths.items())),
        n_rtl=sum(map(has_rtl, texts)),
        n_mixed=sum(map(is_mixed, texts)),
        copies=_copies(usable),
        unfit={size.height: count_unfit(shapes, needed, size) for size in sizes},
        unfit_names=unfit_names,
        stacked=characters_may_be_stacked(shapes, texts),
        problems=dict(sorted(problems.items(), key=lambda item: -len(item[1]))),
        bad=[BadSample(b.sample.name, b.reason) for b in bad],
    )


def _only_in(usable: Iterable[Measured]) -> dict[Split, list[str]]:
    having: dict[str, set[Split]] = defaultdict(set)
    splits: set[Split] = set()
    for m in usable:
        if m.sample.split is not None:
            splits.add(m.sample.split)
            for symbol in set(m.sample.text):
                having[symbol].add(m.sample.split)
    if len(splits) < 2:
        return {}
    only = {split: sorted(s for s, where in having.items() if where == {split}) for split in SPLITS}
    return {split: symbols for split, symbols in only.items() if symbols}


def _copies(usable: Iterable[Measured]) -> list[Copies]:
    groups: dict[bytes, list[Measured]] = defaultdict(list)
    for m in usable:
        groups[m.digest].append(m)
    return [
        Copies(
            [m.sample.name for m in group],
            [m.sample.text for m in group],
            [m.sample.split for m in group],
        )
        for group in sorted(groups.values(), key=len, reverse=True)
        if len(group) > 1
    ]


@dataclass(frozen=True)
class Traits:
    """Statistics of a training split. All shares are between 0 and 1.

    Attributes:
        n_images: Number of training images.
        n_symbols: Number of distinct characters in the labels.
        n_texts: Number of distinct labels.
        length_min: Minimum label length, in characters.
        length_median: Median label length.
        length_max: Maximum label length.
        digits_only: Whether all characters are decimal digits.
        rtl_share: Fraction of labels with right-to-left letters or digits.
        height: Median image height, in pixels.
        width: Median image width, in pixels.
        frames: Median number of time steps per character over the width of the ink, at a height
            of one pixel. It scales with the height and ``width_scale``.
        frames_tight: Second percentile of the same over the whole image width.
        stacked: Whether the characters of most labels seem to be stacked vertically.
        light_share: Fraction of images that clearly have light ink on dark paper.
        dark_share: Fraction of images that clearly have dark ink on light paper.
        grey_range: Median difference between the lightest and darkest grey, 0 to 255.
        ink_width: Median width of the ink, relative to the image.
        ink_height: Median height of the ink, relative to the image.
        tight_share: Fraction of images whose ink reaches the left or right edge.
        uneven: Median change of the paper across an image, relative to the grey range.
        noise: Median noise of the paper, relative to the grey range.
        ruled_share: Fraction of images with a ruling line.
    """

    n_images: int
    n_symbols: int
    n_texts: int
    length_min: int
    length_median: float
    length_max: int
    digits_only: bool
    rtl_share: float
    height: float
    width: float
    frames: float
    frames_tight: float
    stacked: bool
    light_share: float
    dark_share: float
    grey_range: float
    ink_width: float
    ink_height: float
    tight_share: float
    uneven: float
    noise: float
    ruled_share: float


def measure_traits(train: LabelledImages) -> Traits:
    """Measure a training split with at least one image."""
    texts, shapes = train.texts, train.images.shapes
    lengths = [len(text) for text in texts]
    symbols = set().union(*texts)
    step = max(1, len(train) // N_SAMPLED)
    sampled = range(0, len(train), step)
    measured = np.array([_measure_pixels(train.images[i]) for i in sampled])
    light, dark, grey_range, ink_width, ink_height, tight, uneven, noise, ruled = measured.T
    frames = [
        width * ink / height / FRAME_STRIDE / lengths[i]
        for i, ink in zip(sampled, ink_width, strict=True)
        for height, width in [shapes[i]]
    ]
    tight_frames = [
        width / height / FRAME_STRIDE / frames_needed(text)
        for (height, width), text in zip(shapes, texts, strict=True)
    ]
    return Traits(
        n_images=len(train),
        n_symbols=len(symbols),
        n_texts=len(set(texts)),
        length_min=min(lengths),
        length_median=float(np.median(lengths)),
        length_max=max(lengths),
        digits_only=all(symbol.isdecimal() for symbol in symbols),
        rtl_share=sum(map(has_rtl, texts)) / len(texts),
        height=float(np.median([height for height, _ in shapes])),
        width=float(np.median([width for _, width in shapes])),
        frames=float(np.median(frames)),
        frames_tight=float(np.quantile(tight_frames, 0.02)),
        stacked=max(lengths) > 1 and characters_may_be_stacked(shapes, texts),
        light_share=float(light.mean()),
        dark_share=float(dark.mean()),
        grey_range=float(np.median(grey_range)),
        ink_width=float(np.median(ink_width)),
        ink_height=float(np.median(ink_height)),
        tight_share=float(tight.mean()),
        uneven=float(np.median(uneven)),
        noise=float(np.median(noise)),
        ruled_share=float(ruled.mean()),
    )


def _measure_pixels(image: GrayImage) -> Sequence[float]:
    """Return the nine pixel statistics of an image, in the order of ``Traits``."""
    low, high, median = gray_ends(image)
    grey_range = max(1, high - low)
    paper_side = (2 * median - low - high) / grey_range
    is_light = ink_is_light(image)
    dark_ink = 255 - image if is_light else image
    rows, columns = ink_box(dark_ink)
    height, width = image.shape
    is_tight = columns.start <= EDGE_PX or columns.stop >= width - EDGE_PX
    uneven = noise = 0.0
    paper = cv2.dilate(ink_mask(dark_ink), np.ones((3, 3), np.uint8)) == 0
    if paper.any():
        darkest, lightest = np.quantile(dark_ink.astype(np.float32)[paper], (0.1, 0.9))
        fine = np.abs(dark_ink.astype(np.float32) - cv2.medianBlur(dark_ink, 3))
        uneven = float(lightest - darkest) / grey_range
        noise = float(fine[paper].mean()) / grey_range
    return (
        float(paper_side < -CLEAR_POLARITY),
        float(paper_side > CLEAR_POLARITY),
        float(high - low),
        (columns.stop - columns.start) / width,
        (rows.stop - rows.start) / height,
        float(is_tight),
        uneven,
        noise,
        float(has_ruling(dark_ink)),
    )
