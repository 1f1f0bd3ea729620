"""What is measured of a data set, and what is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocrsearch.data.dataset import load_dataset
from ocrsearch.data.formats.specs import read_samples
from ocrsearch.data.measurements import (
    HEIGHTS,
    Inspection,
    Measured,
    Spread,
    Unusable,
    measure_samples,
    summarize,
)
from ocrsearch.data.samples import (
    GrayImage,
    Sample,
    Split,
)
from ocrsearch.data.splits import assign_splits


def measured(
    text: str,
    shape: tuple[int, int] = (20, 60),
    split: Split = "train",
    digest: bytes | None = None,
    mode: str = "L",
) -> Measured:
    name = f"{split}/{text}.png"
    sample = Sample(name, Path(name), text, split)
    return Measured(sample, shape, mode, digest or f"{name}{shape}".encode())


def unusable(name: str, problem: str, split: Split = "train") -> Unusable:
    return Unusable(Sample(name, Path(name), "x", split), f"{name}: {problem} (3 bytes)", problem)


def inspect(samples: Sequence[Sample]) -> Inspection:
    return summarize(*measure_samples(samples))


def gray(value: int, width: int = 3) -> GrayImage:
    image = np.full((2, width), value, np.uint8)
    image[1] = 255
    return image


def test_nothing_at_all() -> None:
    inspection = summarize([], [])

    assert (inspection.n, inspection.n_bad, inspection.symbols) == (0, 0, [])
    assert inspection.width is inspection.height is inspection.label_length is None
    assert inspection.splits == {"train": (0, 0), "val": (0, 0), "test": (0, 0)}
    assert inspection.only_in == inspection.modes == inspection.problems == {}
    assert inspection.unfit == dict.fromkeys(HEIGHTS, 0)


def test_nothing_that_can_be_used() -> None:
    inspection = summarize([], [unusable("a.png", "damaged image")])

    assert (inspection.n, inspection.n_bad, inspection.width) == (0, 1, None)


def test_sizes_symbols_and_lengths() -> None:
    inspection = summarize(
        [measured("ab", (10, 30)), measured("b", (20, 50)), measured("abbé", (24, 100))], []
    )

    assert inspection.width == Spread(30, 50, 100)
    assert inspection.height == Spread(10, 20, 24)
    assert inspection.label_length == Spread(1, 2, 4)
    assert inspection.label_lengths == {1: 1, 2: 1, 4: 1}
    assert inspection.symbols == ["a", "b", "é"]
    assert list(inspection.symbol_counts.items()) == [("b", 4), ("a", 2), ("é", 1)]


def test_splits_modes_and_problems_are_counted() -> None:
    inspection = summarize(
        [measured("a"), measured("b", mode="RGB"), measured("c", split="val", mode="RGB")],
        [
            unusable("1.png", "an empty file"),
            unusable("2.png", "damaged image", "val"),
            unusable("3.png", "damaged image"),
        ],
    )

    assert inspection.splits == {"train": (2, 2), "val": (1, 1), "test": (0, 0)}
    assert list(inspection.modes.items()) == [("RGB", 2), ("L", 1)]
    assert list(inspection.problems.items()) == [
        ("damaged image", ["2.png", "3.png"]),
        ("an empty file", ["1.png"]),
    ]
    assert [b.reason for b in inspection.bad] == [
        "1.png: an empty file (3 bytes)",
        "2.png: damaged image (3 bytes)",
        "3.png: damaged image (3 bytes)",
    ]


@pytest.mark.parametrize(
    ("train", "val", "test", "only"),
    [
        ("abc", "", "", {}),
        ("abc", "abc", "", {}),
        ("abc", "ab", "", {"train": ["c"]}),
        ("ab", "abz", "b", {"train": [], "val": ["z"]}),
        ("ab", "az", "bz", {}),
        ("", "b", "a", {"val": ["b"], "test": ["a"]}),
    ],
)
def test_symbols_of_one_split_alone(
    train: str, val: str, test: str, only: dict[Split, list[str]]
) -> None:
    texts: dict[Split, str] = {"train": train, "val": val, "test": test}
    usable = [measured(text, split=split) for split, text in texts.items() if text]

    assert summarize(usable, []).only_in == {split: s for split, s in only.items() if s}


def test_labels_that_do_not_fit_are_counted_by_height() -> None:
    narrow, wide = measured("0123456789", (20, 15)), measured("0123456789", (20, 200))

    unfit = summarize([narrow, narrow, wide], []).unfit

    assert unfit == {24: 2, 32: 2, 40: 2, 48: 2, 64: 0}  # 64 high it is 48 wide: 12 frames


@pytest.mark.parametrize(
    ("shape", "text", "stacked", "fits"),
    [
        ((60, 15), "01230", True, False),
        ((15, 60), "0123", False, True),
        ((60, 15), "0", False, True),  # a single character may be high
        ((20, 15), "0123456789012", True, False),
        ((15, 16), "0123456789012345678901234567890", False, False),
    ],
)
def test_characters_under_each_other(
    shape: tuple[int, int], text: str, stacked: bool, fits: bool
) -> None:
    inspection = summarize([measured(text, shape)], [])
    assert inspection.stacked is stacked
    assert len(inspection.unfit_names) == (not fits)


def test_copies_are_found_by_their_pixels() -> None:
    samples = [
        Sample("a", gray(1), "x", "train"),
        Sample("b", gray(1), "y", "val"),
        Sample("c", gray(1, width=4), "x", "train"),
        Sample("d", gray(2), "x", "train"),
        Sample("e", gray(1), "x", "train"),
    ]

    [copies] = inspect(samples).copies

    assert (copies.names, copies.texts) == (["a", "b", "e"], ["x", "y", "x"])
    assert copies.splits == ["train", "val", "train"]


def test_files_are_measured(tmp_path: Path) -> None:
    picture = Image.new("RGB", (30, 300), "white")
    picture.putpixel((3, 4), (0, 0, 0))
    picture.save(tmp_path / "a.png")
    Image.new("RGB", (30, 300), "white").save(tmp_path / "blank.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    told: list[tuple[int, int]] = []
    samples = [
        Sample("a.png", tmp_path / "a.png", "a", "train"),
        Sample("b.png", tmp_path / "b.png", "b", "val"),
        Sample("c.png", tmp_path / "c: (1).png", "c", "val"),
        Sample("d.png", tmp_path / "a.png", "", "test"),
        Sample("e.png", tmp_path / "a.png", "\ud800", "test"),
        Sample("f.png", tmp_path / "a.png", "a\nb", "test"),
        Sample("g.png", tmp_path / "blank.png", "a", "test"),
    ]

    usable, bad = measure_samples(samples, lambda i, n: told.append((i, n)))

    assert told == [(i, 7) for i in range(1, 8)]
    assert [(m.sample.name, m.shape, m.mode) for m in usable] == [("a.png", (300, 30), "RGB")]
    assert [(b.sample.name, b.problem) for b in bad] == [
        ("b.png", "not a supported image"),
        ("c.png", "no such image"),
        ("d.png", "the label is empty"),
        ("e.png", "the label is not valid Unicode"),
        ("f.png", "label of more than one line"),
        ("g.png", "a blank image, without any contrast"),
    ]
    assert bad[0].reason.startswith(f"{tmp_path / 'b.png'}: not a supported image")


def test_counts_are_those_of_the_dataset_that_is_trained_on(number_folder: Path) -> None:
    spec = f"captcha:{number_folder}"
    dataset = load_dataset(spec)

    inspection = inspect(assign_splits(read_samples(spec), 0))

    assert inspection.splits == {s: (len(part), 0) for s, part in dataset.splits.items()}
    assert inspection.symbols == list("0123456789")
