"""One contract for every label format, and what each of them refuses."""

from __future__ import annotations

import csv
import json
import os
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocrsearch.data.formats import FORMATS
from ocrsearch.data.images import read_image
from ocrsearch.data.samples import SPLITS, Split, normalize_label
from ocrsearch.data.specs import data_name, read_samples
from ocrsearch.errors import DataError, ImageError

LABELS = ("a1", "Zürich", "e\u0301te\u0301", " 7 b ", "漢字")

Writer = Callable[[Path, Sequence[str], Split | None], Path]
"""Writes pictures with the given labels in a folder; returns what to give as the path."""


def draw(path: Path, value: int) -> None:
    """Save a picture that is told from others by its grey."""
    Image.new("L", (5, 4), value).save(path)


def write_captcha(folder: Path, labels: Sequence[str], split: Split | None) -> Path:
    for i, label in enumerate(labels):
        draw(folder / f"{label}.png", i)
    (folder / "README.txt").write_text("not a picture")
    (folder / "._a1.png").write_text("what another system leaves behind")
    (folder / "more.png").mkdir()
    return folder


def write_csv(folder: Path, labels: Sequence[str], split: Split | None) -> Path:
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["image", "text", "split"])
        for i, label in enumerate(labels):
            draw(folder / f"{i}.png", i)
            table.writerow([f"{i}.png", label, split or ""])
    return folder / "labels.csv"


def write_labels(folder: Path, labels: Sequence[str], split: Split | None) -> Path:
    (folder / "pictures").mkdir()
    for i in range(len(labels)):
        draw(folder / "pictures" / f"{i}.png", i)
    entries = [{"filename": f"pictures/{i}.png", "label": t} for i, t in enumerate(labels)]
    content = json.dumps({split or "train": entries})
    (folder / "labels.json").write_text(content, encoding="utf-8")
    return folder / "labels.json"


WRITERS: dict[str, Writer] = {
    "captcha": write_captcha,
    "csv": write_csv,
    "labels": write_labels,
}
every_format = pytest.mark.parametrize("name", WRITERS)


def test_each_format_is_under_the_contract() -> None:
    assert {*WRITERS, "synth"} == FORMATS.keys()  # a recipe's labels are its own


@every_format
def test_reads_what_was_written(name: str, tmp_path: Path) -> None:
    path = WRITERS[name](tmp_path, LABELS, None)

    samples = FORMATS[name].read(path)

    found = {}
    for sample in samples:
        assert isinstance(sample.image, Path)
        found[sample.text] = read_image(sample.image)
    assert len(samples) == len({s.name for s in samples}) == len(LABELS)
    for i, label in enumerate(LABELS):
        np.testing.assert_array_equal(found[normalize_label(label)], np.full((4, 5), i))


@every_format
def test_labels_are_nfc_and_stripped(name: str, tmp_path: Path) -> None:
    path = WRITERS[name](tmp_path, ["e\u0301 o\u0308", " 7 b "], None)

    texts = {sample.text for sample in FORMATS[name].read(path)}

    assert texts == {"\u00e9 \u00f6", "7 b"}
    assert all(unicodedata.is_normalized("NFC", text) for text in texts)


@every_format
def test_is_recognised_by_a_bare_path(name: str, tmp_path: Path) -> None:
    path = WRITERS[name](tmp_path, LABELS, None)

    samples = read_samples(str(path))

    assert samples == FORMATS[name].read(path) == read_samples(f"{name}:{path}")
    assert [n for n, other in FORMATS.items() if other.recognise(path)] == [name]


@every_format
@pytest.mark.parametrize("path", ["missing", "file/below", "a" * 300, "~no_such_user_here/labels"])
def test_missing_path_is_one_line(name: str, path: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    place = path if path.startswith("~") else str(tmp_path / path)
    with pytest.raises(DataError) as caught:
        read_samples(f"{name}:{place}")

    assert "\n" not in str(caught.value)
    assert path in str(caught.value)


@pytest.mark.parametrize("name", ["csv", "labels"])
@pytest.mark.parametrize("split", SPLITS)
def test_split_is_kept(name: str, split: Split, tmp_path: Path) -> None:
    samples = FORMATS[name].read(WRITERS[name](tmp_path, LABELS, split))

    assert {sample.split for sample in samples} == {split}


@pytest.mark.parametrize("name", ["captcha", "csv"])
def test_split_is_open_where_none_is_given(name: str, tmp_path: Path) -> None:
    samples = FORMATS[name].read(WRITERS[name](tmp_path, LABELS, None))

    assert {sample.split for sample in samples} == {None}


def write_one_path(folder: Path, name: str, picture: str) -> Path:
    """Write a label file whose only entry names the given picture."""
    path = folder / ("labels.csv" if name == "csv" else "labels.json")
    if name == "csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["image", "text"], [picture, "x"]])
    else:
        path.write_text(json.dumps({"train": [{"filename": picture, "label": "x"}]}))
    return path


@pytest.mark.parametrize("name", ["csv", "labels"])
@pytest.mark.parametrize(
    "picture",
    ["../secret.png", "/etc/hostname", "a/../../secret.png", "link.png", "", " ", "a\0b"],
)
def test_picture_outside_the_folder_is_refused(name: str, picture: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    draw(tmp_path / "secret.png", 0)
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    path = write_one_path(folder, name, picture)
    with pytest.raises(DataError) as caught:
        FORMATS[name].read(path)

    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@every_format
def test_link_to_itself_spoils_only_its_sample(name: str, tmp_path: Path) -> None:
    (tmp_path / "loop.png").symlink_to("loop.png")
    path = tmp_path if name == "captcha" else write_one_path(tmp_path, name, "loop.png")

    [sample] = FORMATS[name].read(path)

    assert isinstance(sample.image, Path)
    with pytest.raises(ImageError, match="cannot be opened"):
        read_image(sample.image)


def test_captchas_that_are_no_files_are_told_of(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to("nothing")

    assert [s.text for s in FORMATS["captcha"].read(tmp_path)] == ["link", "pipe"]


@pytest.mark.parametrize("name", ["csv", "labels"])
@pytest.mark.parametrize("picture", ["a.png", "sub/a.png", "sub/../a.png", "./a.png", "../data/a"])
def test_picture_inside_the_folder_is_accepted(name: str, picture: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    path = write_one_path(folder, name, picture)

    assert [s.image for s in FORMATS[name].read(path)] == [folder / picture]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "image and text missing"),
        (b"\n", "image and text missing"),
        (b"image,text\n", "no rows"),
        (b"image\na.png\n", "column text missing"),
        (b"image;text\na.png;x\n", "image and text missing"),
        (b"image,text\na.png,\xff\n", "UTF-8"),
        (b'image,text\na.png,"x\n', "not a table"),
        (b"image,text,split\na.png,x,dev\n", "'dev'"),
        (b"image,text\na.png,1,234\n", "row 2"),
        (b"image,text\na.png," + b"x" * 200_000, "not a table"),
    ],
)
def test_csv_errors_are_one_line(content: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_samples(f"csv:{path}")

    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ("image,text\na.png,x\n", ["x"]),
        ("\ufeffimage,text\na.png,x\n", ["x"]),
        ("image,text\r\na.png,x\r\n", ["x"]),
        ("text,image\nx,a.png", ["x"]),
        ('image,text\na.png,"1,234"\n', ["1,234"]),
        ('image,text\na.png,"say ""x"""\n', ['say "x"']),
        ("image,text\na.png\n", [""]),
        ("image,text\n\na.png,x\n", ["x"]),
        ("image,text\na.png,x\u2028y\nb.png,z\n", ["x\u2028y", "z"]),
        ("image,text\na.png,x\x85y\nb.png,z\n", ["x\x85y", "z"]),
    ],
)
def test_csv_dialects(content: str, texts: list[str], tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(content.encode())

    assert [sample.text for sample in read_samples(f"csv:{path}")] == texts


def test_csv_split_is_read_in_any_case(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("image,text,split\na.png,x, VAL\nb.png,y,\n")

    assert [sample.split for sample in read_samples(str(path))] == ["val", None]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "needs an object"),
        (b"{}", "needs an object"),
        (b'{"valid": []}', "needs an object"),
        (b'{"train": []}', "all empty"),
        (b'{"train": null}', "found NoneType"),
        (b'{"train": {}}', "found dict"),
        (b'{"train": [3]}', "train[0]"),
        (b'{"train": [{"filename": "a.png"}]}', "'label' must be a string, found None"),
        (b'{"val": [{"filename": "a.png", "label": 3}]}', "val[0]: 'label'"),
        (b'{"train": [{"filename": 1, "label": "x"}]}', "'filename' must be a string, found 1"),
        (b"\xff", "UTF-8"),
        (b"[" * 100_000, "not JSON"),
        (b"1" * 5000, "not JSON"),
    ],
)
def test_labels_errors_are_one_line(content: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_samples(f"labels:{path}")

    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert problem in str(caught.value)


def test_captcha_takes_pictures_only(tmp_path: Path) -> None:
    for name in ("a.b.png", "c.JPG", "png", "notes.txt"):
        (tmp_path / name).touch()

    assert [(s.name, s.text) for s in read_samples(f"captcha:{tmp_path}")] == [
        ("a.b.png", "a.b"),
        ("c.JPG", "c"),
    ]


@pytest.mark.parametrize("names", [[], ["notes.txt"]])
def test_folder_without_pictures_is_refused(names: list[str], tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).touch()
    for spec in (str(tmp_path), f"captcha:{tmp_path}"):
        with pytest.raises(DataError, match="no pictures in this folder"):
            read_samples(spec)


@pytest.mark.parametrize("spec", ["", "nowhere", "xml:labels.xml", "digit", "a" * 300, "~no_one/x"])
def test_unknown_specification_lists_what_is_allowed(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        read_samples(spec)

    assert "\n" not in str(caught.value)
    assert "captcha:PATH, csv:PATH, labels:PATH, synth:PATH, digits" in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("digits", "digits"),
        ("captcha:some/plates", "plates"),
        ("captcha:some/plates/", "plates"),
        ("some/plates", "plates"),
        ("labels:some/plates/labels.json", "plates"),
        ("csv:some/plates/meters.csv", "meters"),
    ],
)
def test_data_name(spec: str, name: str) -> None:
    assert data_name(spec) == name


def test_data_name_of_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plates").mkdir()
    monkeypatch.chdir(tmp_path / "plates")

    assert data_name("captcha:.") == "plates"
