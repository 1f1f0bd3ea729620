"""Data sets: what is left out, what is refused, and the way to disk and back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocrsearch.core.errors import DataError
from ocrsearch.data.checks import BadSample
from ocrsearch.data.data_options import DataOptions
from ocrsearch.data.dataset import load_dataset, load_split
from ocrsearch.data.images.reading import MAX_STORED_HEIGHT_PX
from ocrsearch.data.prepared import open_dataset, save_dataset
from ocrsearch.data.samples import SPLITS, PackedImages

N = 30


@pytest.fixture
def captcha_folder(tmp_path: Path) -> Path:
    """Thirty pictures of noise, with labels of two or three symbols."""
    folder = tmp_path / "captchas"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(N):
        noise = rng.integers(0, 256, (8, 10 + i), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{i:02d}{i % 3}.png")
    return folder


def two_greys(size: tuple[int, int], value: int) -> Image.Image:
    """Return a grey picture with a light column, so that it is not blank."""
    picture = Image.new("L", size, value)
    picture.paste(255, (0, 0, 1, size[1]))
    return picture


def write_labels(folder: Path, splits: Mapping[str, Sequence[str]]) -> str:
    """Write a labels file with a small picture for each label; return its specification."""
    content = {}
    for split, labels in splits.items():
        names = [f"{split}{i}.png" for i in range(len(labels))]
        for name in names:
            two_greys((6, 5), 200).save(folder / name)
        content[split] = [{"filename": n, "label": t} for n, t in zip(names, labels, strict=True)]
    (folder / "labels.json").write_text(json.dumps(content))
    return f"labels:{folder / 'labels.json'}"


def test_pictures_keep_their_labels(captcha_folder: Path) -> None:
    dataset = load_dataset(str(captcha_folder))

    assert sum(len(part) for part in dataset.splits.values()) == N
    for part in dataset.splits.values():
        for name, text, image in zip(part.names, part.texts, part.images, strict=True):
            assert name == f"{text}.png"
            np.testing.assert_array_equal(image, np.asarray(Image.open(captcha_folder / name)))


def test_saved_dataset_is_opened_as_it_was(captcha_folder: Path, tmp_path: Path) -> None:
    (captcha_folder / "000.png").write_bytes(b"")
    dataset = load_dataset(str(captcha_folder), DataOptions(max_invalid=0.1))
    save_dataset(dataset, tmp_path / "cache" / "below")

    opened = open_dataset(tmp_path / "cache" / "below")

    assert (opened.spec, opened.charset, opened.fingerprint, opened.bad) == (
        dataset.spec,
        dataset.charset,
        dataset.fingerprint,
        dataset.bad,
    )
    for split in SPLITS:
        assert opened.splits[split].names == dataset.splits[split].names
        assert opened.splits[split].texts == dataset.splits[split].texts
        assert opened.splits[split].images.shapes == dataset.splits[split].images.shapes
        for a, b in zip(opened.splits[split].images, dataset.splits[split].images, strict=True):
            np.testing.assert_array_equal(a, b)


def test_opened_pixels_are_mapped_and_not_writable(captcha_folder: Path, tmp_path: Path) -> None:
    save_dataset(load_dataset(str(captcha_folder)), tmp_path / "cache")

    pixels = open_dataset(tmp_path / "cache").splits["train"].images.pixels

    assert isinstance(pixels, np.memmap)
    assert not pixels.flags.writeable


def test_dataset_without_a_test_split_is_saved_and_opened(tmp_path: Path) -> None:
    dataset = load_dataset(write_labels(tmp_path, {"train": ["ab", "ba"], "val": ["a"]}))
    save_dataset(dataset, tmp_path / "cache")

    opened = open_dataset(tmp_path / "cache")

    assert len(opened.splits["test"]) == 0
    assert opened.splits["val"].texts == ["a"]


def test_fingerprint_follows_the_content(captcha_folder: Path) -> None:
    first = load_dataset(str(captcha_folder)).fingerprint
    assert load_dataset(f"captcha:{captcha_folder}").fingerprint == first
    assert load_dataset(str(captcha_folder), DataOptions(split_seed=1)).fingerprint != first

    (captcha_folder / "000.png").rename(captcha_folder / "001.png")
    relabelled = load_dataset(str(captcha_folder)).fingerprint
    assert relabelled != first

    two_greys((10, 8), 0).save(captcha_folder / "001.png")
    assert load_dataset(str(captcha_folder)).fingerprint not in (first, relabelled)


def test_few_bad_samples_are_left_out(captcha_folder: Path) -> None:
    (captcha_folder / "000.png").write_bytes(b"no picture")
    (captcha_folder / " .png").write_bytes((captcha_folder / "011.png").read_bytes())

    dataset = load_dataset(str(captcha_folder), DataOptions(max_invalid=2 / 31))

    assert sum(len(part) for part in dataset.splits.values()) == N - 1
    assert {b.name for b in dataset.bad} == {"000.png", " .png"}
    assert all(isinstance(b, BadSample) and b.name in b.reason for b in dataset.bad)
    assert ".png: the label is empty" in {b.reason.strip() for b in dataset.bad}


def test_too_many_bad_samples_are_refused_with_the_first_reasons(captcha_folder: Path) -> None:
    damaged = sorted(captcha_folder.iterdir())[:5]
    for path in damaged:
        path.write_bytes(b"no picture")
    with pytest.raises(DataError) as caught:
        load_dataset(str(captcha_folder), DataOptions(max_invalid=4 / N))

    message = str(caught.value)
    assert "\n" not in message
    assert f"5 of {N} samples" in message
    assert all(str(path) in message for path in damaged[:3])
    assert not any(str(path) in message for path in damaged[3:])
    assert message.endswith("and 2 more")


@pytest.mark.parametrize("label", ["", " ", "\n"])
def test_empty_label_is_a_reason(label: str, tmp_path: Path) -> None:
    spec = write_labels(tmp_path, {"train": ["a", "b", label], "val": ["a"]})
    with pytest.raises(DataError, match=r"1 of 4 samples.*train2.png: the label is empty"):
        load_dataset(spec)


def test_symbols_that_training_lacks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    held_out = ["a", "bzéz"]
    labels = {"train": ["ab", "ba"], "val": held_out, "test": held_out}

    dataset = load_dataset(write_labels(tmp_path, labels))

    assert dataset.charset.symbols == ("a", "b")
    assert dataset.splits["val"].texts == ["a"]
    assert dataset.splits["test"].texts == held_out
    assert [bad.reason for bad in dataset.bad] == ["val1.png: no training sample has z é"]
    assert (
        "1 validation samples have characters that no training sample has and are skipped"
        in caplog.text
    )


def test_validation_that_training_knows_nothing_of_is_refused(tmp_path: Path) -> None:
    labels = {"train": ["ab", "ba"], "val": ["x"]}
    with pytest.raises(DataError, match=r"no samples in the val split.*val0.png.*has x; give"):
        load_dataset(write_labels(tmp_path, labels))


def test_samples_with_symbols_of_their_own_are_split_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for i in range(120):
        two_greys((12, 5), i).save(tmp_path / f"{chr(0x4E00 + i)}{chr(0x5E00 + i)}.png")

    dataset = load_dataset(str(tmp_path))

    assert {split: len(part) for split, part in dataset.splits.items()} == {
        "train": 96,
        "val": 12,
        "test": 12,
    }
    assert not dataset.bad
    assert len(dataset.charset) == 2 * (96 + 12)  # validation can be encoded
    assert "120 of 120 samples have a character that no other sample or group has" in caplog.text
    assert "24 are in validation or test and cannot be recognised" in caplog.text


@pytest.mark.parametrize(
    ("splits", "lacking"),
    [
        ({"train": ["ab"]}, "val"),
        ({"train": ["ab", "ba"]}, "val"),
        ({"val": ["ab", "ba"]}, "train"),
        ({"test": ["ab", "ba"]}, "train"),
    ],
)
def test_nothing_to_train_or_validate_on(
    splits: dict[str, list[str]], lacking: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=f"no samples in the {lacking} split"):
        load_dataset(write_labels(tmp_path, splits))


@pytest.fixture
def spec_with_a_lost_symbol(tmp_path: Path) -> str:
    """Thirty samples of which two, in training and validation, have a z; the first is damaged."""
    for i in range(30):
        two_greys((6, 5), i).save(tmp_path / f"{i:02d}.png")
    names = [p.name for p in sorted(tmp_path.iterdir())]
    (tmp_path / "data.csv").write_text("image,text\n" + "".join(f"{n},a\n" for n in names))
    parts = load_dataset(str(tmp_path / "data.csv")).splits
    with_z = {parts["train"].names[0], parts["val"].names[0]}
    rows = "".join(f"{n},{'az' if n in with_z else 'a'}\n" for n in names)
    (tmp_path / "data.csv").write_text("image,text\n" + rows)
    (tmp_path / parts["train"].names[0]).write_bytes(b"")
    return str(tmp_path / "data.csv")


def test_symbol_of_a_damaged_training_sample_is_learned_from_another(
    spec_with_a_lost_symbol: str,
) -> None:
    options = DataOptions(max_invalid=0.1)

    dataset = load_dataset(spec_with_a_lost_symbol, options)

    assert dataset.charset.symbols == ("a", "z")
    assert [len(part) for part in dataset.splits.values()] == [24, 2, 3]
    for split in SPLITS:
        part, _ = load_split(spec_with_a_lost_symbol, split, options)
        assert part.names == dataset.splits[split].names


def test_share_of_training(captcha_folder: Path) -> None:
    whole = load_dataset(str(captcha_folder)).splits

    part = load_dataset(str(captcha_folder), DataOptions(train_fraction=0.5)).splits

    assert 12 <= len(part["train"]) < len(whole["train"])
    assert set(part["train"].names) < set(whole["train"].names)
    assert (part["val"].names, part["test"].names) == (whole["val"].names, whole["test"].names)


def test_leaks_are_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spec = write_labels(tmp_path, {"train": ["ab", "b"], "val": ["ab", "a"]})

    load_dataset(spec)

    (record,) = caplog.records
    assert record.getMessage() == (
        f"{spec}: of 2 validation and test samples, 2 with the image of a training sample, "
        "1 with the text of a training sample"
    )


def test_saved_dataset_replaces_another_whole(captcha_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / "stale.npy").touch()

    save_dataset(load_dataset(str(captcha_folder)), folder)

    assert sorted(p.name for p in folder.iterdir()) == [
        *("index.json", "test.npy", "train.npy", "val.npy")
    ]
    assert not list(tmp_path.glob(".cache*"))


def test_dataset_that_cannot_be_saved_leaves_the_other(
    captcha_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = load_dataset(str(captcha_folder))
    save_dataset(dataset, tmp_path / "cache")

    def full(*arguments: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="no space"):
        save_dataset(dataset, tmp_path / "cache")

    assert open_dataset(tmp_path / "cache").fingerprint == dataset.fingerprint


def test_progress_counts_to_the_end(captcha_folder: Path) -> None:
    told: list[tuple[int, int]] = []

    load_dataset(str(captcha_folder), progress=lambda done, total: told.append((done, total)))

    assert told == [(i, N) for i in range(1, N + 1)]


def test_high_pictures_are_stored_smaller(tmp_path: Path) -> None:
    spec = write_labels(tmp_path, {"train": ["ab"], "val": ["a"]})
    two_greys((40, 2 * MAX_STORED_HEIGHT_PX), 9).save(tmp_path / "train0.png")

    assert load_dataset(spec).splits["train"].images.shapes == [(MAX_STORED_HEIGHT_PX, 20)]


@pytest.mark.parametrize("split", SPLITS)
def test_one_split_is_that_of_the_whole(split: str, captcha_folder: Path) -> None:
    options = DataOptions(split_seed=3)
    whole = load_dataset(str(captcha_folder), options)

    part, bad = load_split(str(captcha_folder), split, options)

    assert bad == []
    assert part.names == whole.splits[split].names
    assert part.texts == whole.splits[split].texts


def test_one_split_is_read_alone(tmp_path: Path) -> None:
    spec = write_labels(tmp_path, {"train": ["a", "b"], "val": ["ab", "z"]})
    (tmp_path / "train0.png").write_bytes(b"")

    part, bad = load_split(spec, "val")

    assert (part.texts, bad) == (["ab", "z"], [])


def test_split_of_data_that_was_trained_on_is_not_refused(captcha_folder: Path) -> None:
    options = DataOptions(max_invalid=1 / N)
    name = load_dataset(str(captcha_folder), options).splits["test"].names[0]
    (captcha_folder / name).write_bytes(b"")
    whole = load_dataset(str(captcha_folder), options)

    part, bad = load_split(str(captcha_folder), "test", options)

    assert [b.name for b in bad] == [name]
    assert part.names == whole.splits["test"].names


def test_split_without_a_usable_sample_is_refused(tmp_path: Path) -> None:
    spec = write_labels(tmp_path, {"train": ["ab", "ba"], "val": ["a"]})
    (tmp_path / "val0.png").write_bytes(b"")
    with pytest.raises(DataError, match="none of 1 can be used"):
        load_split(spec, "val", DataOptions(max_invalid=1))


def test_all_splits_together(captcha_folder: Path) -> None:
    part, _ = load_split(str(captcha_folder), None)

    assert part.names == sorted(path.name for path in captcha_folder.iterdir())


def test_empty_split_is_refused_with_the_sizes(tmp_path: Path) -> None:
    spec = write_labels(tmp_path, {"train": ["ab", "ba"], "val": ["a"]})
    with pytest.raises(DataError, match=r"no samples in the test split \(train 2, val 1, test 0\)"):
        load_split(spec, "test")


@pytest.mark.parametrize(
    "shapes", [[], [(1, 1)], [(1, 9), (9, 1), (3, 4)], [(2, 2), (1, 1), (2, 3)]]
)
def test_packed_pictures_are_those_that_were_packed(shapes: list[tuple[int, int]]) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, shape, dtype=np.uint8) for shape in shapes]

    packed = PackedImages.pack(images)

    assert len(packed) == len(images)
    assert packed.pixels.dtype == np.uint8
    for a, b in zip(packed, images, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(packed[1:], images[1:], strict=True):
        np.testing.assert_array_equal(a, b)
    if images:
        np.testing.assert_array_equal(packed[-1], images[-1])
    with pytest.raises(IndexError):
        packed[len(images)]
