"""Summary of a dataset: sizes, characters, labels, duplicates and unusable samples.

Images are read in threads, measured and discarded. The summary uses only the measurements.
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ocrsearch.core import ImageConfig, ImageError, n_reading_threads
from ocrsearch.data.charset import has_rtl, is_mixed
from ocrsearch.data.checks import (
    BLANK,
    BadSample,
    Progress,
    label_problem,
)
from ocrsearch.data.images import (
    characters_may_be_stacked,
    count_unfit,
    digest_image,
    frames_needed,
    is_blank,
    load_image,
    open_image,
    to_gray,
)
from ocrsearch.data.samples import (
    SPLITS,
    Drawable,
    GrayImage,
    Sample,
    Split,
)
from ocrsearch.data.splits import RareSymbols, count_rare

HEIGHTS = (24, 32, 40, 48, 64)
"""Image heights for which labels that do not fit are counted."""


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


def summarize(usable: Sequence[Measured], bad: Sequence[Unusable]) -> Inspection:
    """Summarise measured samples."""
    texts = [m.sample.text for m in usable]
    counts = Counter("".join(texts))
    n_usable = Counter(m.sample.split for m in usable)
    n_bad = Counter(b.sample.split for b in bad)
    lengths = Counter(map(len, texts))
    return Inspection(
        n=len(usable),
        n_bad=len(bad),
        splits={split: (n_usable[split], n_bad[split]) for split in SPLITS},
        symbols=sorted(counts),
        symbol_counts=dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
        only_in=_only_in(usable),
        rare=count_rare([m.sample for m in usable]),
        width=_spread([m.shape[1] for m in usable]),
        height=_spread([m.shape[0] for m in usable]),
        modes=dict(Counter(m.mode for m in usable).most_common()),
        label_length=_spread([len(text) for text in texts]),
        label_lengths=dict(sorted(lengths.items())),
        n_rtl=sum(map(has_rtl, texts)),
        n_mixed=sum(map(is_mixed, texts)),
        copies=_copies(usable),
        unfit=_unfit(usable),
        unfit_names=_unfit_names(usable),
        stacked=characters_may_be_stacked([m.shape for m in usable], texts),
        problems=_problems(bad),
        bad=[BadSample(b.sample.name, b.reason) for b in bad],
    )


def _measure(sample: Sample) -> Measured | Unusable:
    problem = label_problem(sample)
    if problem is not None:
        return _unusable(sample, problem, sample.name)
    try:
        mode, image = _read(sample.image)
    except ImageError as error:
        return _unusable(sample, str(error), str(sample.image))
    if is_blank(image):
        return Unusable(sample, f"{sample.name}: {BLANK}", BLANK)
    return Measured(sample, (image.shape[0], image.shape[1]), mode, digest_image(image))


def _read(picture: Path | GrayImage | Drawable) -> tuple[str, GrayImage]:
    if not isinstance(picture, Path):
        return "L", load_image(picture)
    with open_image(picture) as image:
        return image.mode, to_gray(image)


def _unusable(sample: Sample, reason: str, place: str) -> Unusable:
    """Return an unusable sample whose problem omits details in brackets or after a colon.

    The reason has the form ``PLACE: PROBLEM``, so equal problems can be counted.
    """
    problem = reason.removeprefix(f"{place}: ")
    return Unusable(sample, reason, problem.partition(" (")[0].partition(":")[0])


def _spread(values: Sequence[int]) -> Spread | None:
    if not values:
        return None
    return Spread(min(values), statistics.median(values), max(values))


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


def _unfit(usable: Sequence[Measured]) -> dict[int, int]:
    shapes = [m.shape for m in usable]
    needed = [frames_needed(m.sample.text) for m in usable]
    return {h: count_unfit(shapes, needed, ImageConfig(height=h)) for h in HEIGHTS}


def _unfit_names(usable: Sequence[Measured]) -> list[str]:
    config = ImageConfig(height=max(HEIGHTS))
    return [
        m.sample.name
        for m in usable
        if count_unfit([m.shape], [frames_needed(m.sample.text)], config)
    ]


def _problems(bad: Iterable[Unusable]) -> dict[str, list[str]]:
    names: dict[str, list[str]] = defaultdict(list)
    for b in bad:
        names[b.problem].append(b.sample.name)
    return dict(sorted(names.items(), key=lambda item: -len(item[1])))
