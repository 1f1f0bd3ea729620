"""One contract for every label format, and what each of them refuses."""

from __future__ import annotations

import csv
import gzip
import json
import os
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocrsearch.core.errors import (
    DataError,
    ImageError,
    OptionError,
)
from ocrsearch.data.data_options import DataOptions
from ocrsearch.data.dataset import list_samples, load_split
from ocrsearch.data.formats import specs
from ocrsearch.data.formats.specs import FORMATS, data_name, read_samples
from ocrsearch.data.images.reading import read_image
from ocrsearch.data.samples import (
    SPLITS,
    Sample,
    Split,
    normalize_label,
)
from tests.hostile_texts import write_image

LABELS = ("a1", "Zürich", "e\u0301te\u0301", " 7 b ", "漢字")

Writer = Callable[[Path, Sequence[str], Split | None], Path]
"""Writes pictures with the given labels in a folder; returns what to give as the path."""


def draw(path: Path, value: int) -> None:
    """Save a picture that is told from others by its grey."""
    Image.new("L", (5, 4), value).save(path)


def write_captcha(folder: Path, labels: Sequence[str], split: Split | None) -> Path:
    for i, label in enumerate(labels):
        draw(folder / f"{label}.png", i)
    (folder / "README.txt").write_text("not a supported image")
    (folder / "._a1.png").write_text("what another system leaves behind")
    (folder / "more.png").mkdir()
    return folder


def write_table(path: Path, delimiter: str, labels: Sequence[str], split: Split | None) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter=delimiter)
        table.writerow(["image", "text", "split"])
        for i, label in enumerate(labels):
            draw(path.parent / f"{i}.png", i)
            table.writerow([f"{i}.png", label, split or ""])
    return path


def write_csv(folder: Path, labels: Sequence[str], split: Split | None) -> Path:
    return write_table(folder / "labels.csv", ",", labels, split)


def write_tsv(folder: Path, labels: Sequence[str], split: Split | None) -> Path:
    return write_table(folder / "labels.tsv", "\t", labels, split)


def write_labels(folder: Path, labels: Sequence[str], split: Split | None) -> Path:
    (folder / "pictures").mkdir()
    for i in range(len(labels)):
        draw(folder / "pictures" / f"{i}.png", i)
    entries = [{"filename": f"pictures/{i}.png", "label": t} for i, t in enumerate(labels)]
    content = json.dumps({split or "train": entries})
    (folder / "labels.json").write_text(content, encoding="utf-8")
    return folder / "labels.json"


def write_jsonl(folder: Path, labels: Sequence[str], split: Split | None) -> Path:
    entries = []
    for i, label in enumerate(labels):
        draw(folder / f"{i}.png", i)
        entries.append({"image": f"{i}.png", "text": label, **({"split": split} if split else {})})
    lines = "".join(f"{json.dumps(entry)}\n" for entry in entries)
    (folder / "data.jsonl").write_text(lines, encoding="utf-8")
    return folder / "data.jsonl"


def write_ppocr(folder: Path, labels: Sequence[str], split: Split | None) -> Path:
    (folder / "images").mkdir()
    for i in range(len(labels)):
        draw(folder / "images" / f"{i}.png", i)
    lines = [f"images/{i}.png\t{label}\n" for i, label in enumerate(labels)]
    (folder / "rec_gt.txt").write_text("".join(lines), encoding="utf-8")
    return folder / "rec_gt.txt"


def write_gt(folder: Path, labels: Sequence[str], split: Split | None) -> Path:
    """Write every other sample into a folder below."""
    (folder / "book").mkdir()
    for i, label in enumerate(labels):
        place = folder / "book" if i % 2 else folder
        draw(place / f"{i}.png", i)
        (place / f"{i}.gt.txt").write_text(f"{label}\n", encoding="utf-8")
    draw(folder / "unlabelled.png", 99)
    return folder


def write_kalapa(folder: Path, labels: Sequence[str], split: Split | None) -> Path:
    """Write every other sample as of another writer."""
    (folder / "annotations").mkdir()
    for writer in ("7", "12"):
        (folder / "images" / writer).mkdir(parents=True)
        (folder / "annotations" / f"{writer}.txt").touch()
    for i, label in enumerate(labels):
        writer = "12" if i % 2 else "7"
        draw(folder / "images" / writer / f"{i}.jpg", i)
        with (folder / "annotations" / f"{writer}.txt").open("a", encoding="utf-8") as file:
            file.write(f"{writer}/{i}.jpg\t{label}\n")
    return folder


IAM_HEADER = "#--- lines.txt ---\n#\n# iam database line information\n#\n"


def write_iam(folder: Path, labels: Sequence[str], split: Split | None) -> Path:
    """Write lines as the database has them, two to a form."""
    rows = []
    for i, label in enumerate(labels):
        form = f"a01-{i // 2:03d}u"
        place = folder / "lines" / "a01" / form
        place.mkdir(parents=True, exist_ok=True)
        draw(place / f"{form}-{i:02d}.png", i)
        text = label.strip().replace(" ", "|")
        rows.append(f"{form}-{i:02d} ok 154 19 408 746 1661 89 {text}\n")
    (folder / "lines.txt").write_text(IAM_HEADER + "".join(rows), encoding="utf-8")
    if split:
        name = {"train": "trainset", "val": "validationset1", "test": "testset"}[split]
        ids = "".join(f"{row.split()[0]}\n" for row in rows)
        (folder / f"{name}.txt").write_text(ids)
    return folder


def idx(values: np.ndarray) -> bytes:
    """Return an array as an IDX file has it."""
    sizes = b"".join(n.to_bytes(4, "big") for n in values.shape)
    return bytes((0, 0, 8, values.ndim)) + sizes + values.astype(np.uint8).tobytes()


def digits_of(labels: Sequence[str]) -> np.ndarray:
    """Return the i-th picture filled with i."""
    return np.repeat(np.arange(len(labels), dtype=np.uint8), 28 * 28).reshape(-1, 28, 28)


def write_mnist(folder: Path, labels: Sequence[str], split: Split | None) -> Path:
    """Write one part plain and with dots, the other packed and with hyphens."""
    images, targets = digits_of(labels), np.array(labels, np.uint8)
    (folder / "train-images.idx3-ubyte").write_bytes(idx(images[:2]))
    (folder / "train-labels.idx1-ubyte").write_bytes(idx(targets[:2]))
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images[2:])))
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(targets[2:])))
    return folder


def write_folders(folder: Path, labels: Sequence[str], split: Split | None) -> Path:
    """Write folders named by their labels, with a hidden one and one without pictures."""
    for i, label in enumerate(labels):
        place = folder / (split or ".") / label
        place.mkdir(parents=True, exist_ok=True)
        draw(place / f"{i}.png", i)
    (folder / (split or ".") / ".thumbnails").mkdir()
    return folder


@dataclass(frozen=True)
class FormatCase:
    """How to write an example of a format, and what labels it can hold."""

    write: Writer
    labels: tuple[str, ...] = LABELS


CASES: dict[str, FormatCase] = {
    "captcha": FormatCase(write_captcha),
    "folders": FormatCase(write_folders),
    "csv": FormatCase(write_csv),
    "tsv": FormatCase(write_tsv),
    "labels": FormatCase(write_labels),
    "jsonl": FormatCase(write_jsonl),
    "ppocr": FormatCase(write_ppocr),
    "gt": FormatCase(write_gt),
    "kalapa": FormatCase(write_kalapa),
    "iam": FormatCase(write_iam),
    "mnist": FormatCase(write_mnist, ("3", "0", "9", "3", "1")),
}
LABEL_FILES = ("csv", "tsv", "labels", "jsonl", "ppocr", "kalapa")
"""Formats whose files name the pictures."""

every_format = pytest.mark.parametrize("name", CASES)


def test_each_format_is_under_the_contract() -> None:
    assert {*CASES, "synth"} == FORMATS.keys()  # a recipe's labels are its own


def pixels(sample: Sample) -> np.ndarray:
    """Return the picture of a sample, read or made."""
    return read_image(sample.image) if isinstance(sample.image, Path) else sample.image


@every_format
def test_reads_what_was_written(name: str, tmp_path: Path) -> None:
    case = CASES[name]

    samples = FORMATS[name].read(case.write(tmp_path, case.labels, None))

    assert len(samples) == len({s.name for s in samples}) == len(case.labels)
    found = {int(pixels(sample)[0, 0]): sample for sample in samples}
    for i, label in enumerate(case.labels):
        assert found[i].text == normalize_label(label)
        np.testing.assert_array_equal(pixels(found[i]), np.full_like(pixels(found[i]), i))


@pytest.mark.parametrize("name", sorted(set(CASES) - {"mnist"}))
def test_labels_are_nfc_and_stripped(name: str, tmp_path: Path) -> None:
    path = CASES[name].write(tmp_path, ["e\u0301 o\u0308", " 7 b "], None)

    texts = {sample.text for sample in FORMATS[name].read(path)}

    assert texts == {"\u00e9 \u00f6", "7 b"}
    assert all(unicodedata.is_normalized("NFC", text) for text in texts)


@every_format
def test_is_recognised_by_a_bare_path(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    path = case.write(tmp_path, case.labels, None)

    expected = [(s.name, s.text, s.split, s.group) for s in FORMATS[name].read(path)]

    for spec in (str(path), f"{name}:{path}"):
        assert [(s.name, s.text, s.split, s.group) for s in read_samples(spec)] == expected
    assert next(n for n, other in FORMATS.items() if other.recognise(path)) == name


READABLE_AS = {
    *(("captcha", "gt"), ("folders", "gt"), ("ppocr", "tsv")),
    *(("csv", "tsv"), ("tsv", "csv"), ("csv", "ppocr"), ("tsv", "ppocr")),
}
"""Formats that can, if named, read what was written in another one."""


@pytest.mark.parametrize(("name", "other"), [(a, b) for a in FORMATS for b in CASES if a != b])
def test_another_format_is_refused(name: str, other: str, tmp_path: Path) -> None:
    case = CASES[other]
    path = case.write(tmp_path, case.labels, None)
    if (name, other) in READABLE_AS:
        assert FORMATS[name].read(path)
        return
    with pytest.raises(DataError) as caught:
        FORMATS[name].read(path)

    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@every_format
@pytest.mark.parametrize("path", ["missing", "file/below", "a" * 300, "~no_such_user_here/labels"])
def test_missing_path_is_one_line(name: str, path: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    place = path if path.startswith("~") else str(tmp_path / path)
    with pytest.raises(DataError) as caught:
        read_samples(f"{name}:{place}")

    assert "\n" not in str(caught.value)
    assert path[:40] in str(caught.value)


@pytest.mark.parametrize("name", ["csv", "tsv", "labels", "jsonl", "iam"])
@pytest.mark.parametrize("split", SPLITS)
def test_split_is_kept(name: str, split: Split, tmp_path: Path) -> None:
    samples = FORMATS[name].read(CASES[name].write(tmp_path, LABELS, split))

    assert {sample.split for sample in samples} == {split}


@pytest.mark.parametrize("name", sorted(set(CASES) - {"labels", "mnist"}))
def test_split_is_open_where_none_is_given(name: str, tmp_path: Path) -> None:
    samples = FORMATS[name].read(CASES[name].write(tmp_path, LABELS, None))

    assert {sample.split for sample in samples} == {None}


def write_one_path(folder: Path, name: str, picture: str) -> Path:
    """Write a label file whose only entry names the given picture; return what to read."""
    if name == "kalapa":
        (folder / "annotations").mkdir()
        (folder / "images").mkdir(exist_ok=True)
        (folder / "annotations" / "1.txt").write_text(f"{picture}\tx\n")
        return folder
    path = folder / f"labels.{name}"
    if name in ("csv", "tsv"):
        with path.open("w", newline="", encoding="utf-8") as file:
            delimiter = "," if name == "csv" else "\t"
            csv.writer(file, delimiter=delimiter).writerows([["image", "text"], [picture, "x"]])
    elif name == "ppocr":
        path.write_text(f"{picture}\tx\n")
    elif name == "jsonl":
        path.write_text(json.dumps({"image": picture, "text": "x"}))
    else:
        path.write_text(json.dumps({"train": [{"filename": picture, "label": "x"}]}))
    return path


@pytest.mark.parametrize("name", LABEL_FILES)
@pytest.mark.parametrize(
    "picture",
    ["../secret.png", "/etc/hostname", "a/../../secret.png", "link.png", "", " ", "a\0b"],
)
def test_picture_outside_the_folder_is_refused(name: str, picture: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    pictures = folder / "images" if name == "kalapa" else folder
    pictures.mkdir(parents=True)
    draw(pictures.parent / "secret.png", 0)
    (pictures / "link.png").symlink_to(pictures.parent / "secret.png")
    path = write_one_path(folder, name, picture)
    with pytest.raises(DataError) as caught:
        FORMATS[name].read(path)

    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", [*LABEL_FILES, "captcha"])
def test_link_to_itself_spoils_only_its_sample(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "images" if name == "kalapa" else tmp_path
    folder.mkdir(exist_ok=True)
    (folder / "loop.png").symlink_to("loop.png")
    path = tmp_path if name == "captcha" else write_one_path(tmp_path, name, "loop.png")

    [sample] = FORMATS[name].read(path)

    assert isinstance(sample.image, Path)
    with pytest.raises(ImageError, match="cannot be opened"):
        read_image(sample.image)


def test_captchas_that_are_no_files_are_told_of(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to("nothing")

    assert [s.text for s in FORMATS["captcha"].read(tmp_path)] == ["link", "pipe"]


@pytest.mark.parametrize("name", LABEL_FILES)
@pytest.mark.parametrize("picture", ["a.png", "sub/a.png", "sub/../a.png", "./a.png"])
def test_picture_inside_the_folder_is_accepted(name: str, picture: str, tmp_path: Path) -> None:
    path = write_one_path(tmp_path, name, picture)

    folder = tmp_path / "images" if name == "kalapa" else tmp_path
    assert [s.image for s in FORMATS[name].read(path)] == [folder / picture]


IDX_HEADER = bytes((0, 0, 8, 3))
ONE_DIGIT = idx(np.zeros((1, 28, 28)))
LONG_ROW = b"5" + b",0" * 784


@pytest.mark.parametrize(
    ("name", "files", "problem"),
    [
        ("jsonl", {"data.jsonl": b""}, "empty; each line must be"),
        ("jsonl", {"data.jsonl": b"\n\n{\n"}, "line 3: not JSON"),
        ("jsonl", {"data.jsonl": b"[" * 100_000}, "line 1: not JSON"),
        ("jsonl", {"data.jsonl": b"[]\n"}, "line 1: must be an object"),
        ("jsonl", {"data.jsonl": b'{"text": "x"}'}, "'image' must be a string, found None"),
        ("jsonl", {"data.jsonl": b'{"image": "a.png"}'}, "'text' must be a string, found None"),
        ("jsonl", {"data.jsonl": b'{"file": 3, "text": "x"}'}, "'file' must be a string, found 3"),
        ("jsonl", {"data.jsonl": b'{"image":"a","text":"x","split":"other"}'}, "split is 'other'"),
        ("jsonl", {"data.jsonl": b'{"image":"a","text":"x","group":7}'}, "'group' must be a str"),
        ("jsonl", {"data.jsonl": b"\xff"}, "UTF-8"),
        ("tsv", {"labels.tsv": b"image|text\na.png|x\n"}, "image and text missing"),
        ("tsv", {"labels.tsv": b"image\ttext\n\na.png\tx\ty\n"}, "line 3: more fields"),
        ("ppocr", {"rec.txt": b""}, "empty; each line must be"),
        ("ppocr", {"rec.txt": b"a.png\tx\n\nb.png y\n"}, "line 3: no tab in 'b.png y'"),
        ("ppocr", {"rec.txt": b"a.png\t\xff\n"}, "UTF-8"),
        ("gt", {"a.png": b"", "a.txt": b"x"}, "no images with a .gt.txt"),
        ("kalapa", {"annotations/1.txt": b"1/0.jpg\tx"}, "no "),
        ("kalapa", {"images/1/0.jpg": b""}, "no annotations/WRITER.txt"),
        ("kalapa", {"images/1/0.jpg": b"", "annotations/1.txt": b"\n"}, "empty"),
        ("kalapa", {"images/1/0.jpg": b"", "annotations/1.txt": b"1/0.jpg"}, "line 1: no tab"),
        ("kalapa", {"images/1/0.jpg": b"", "annotations/1.txt": b"\xff"}, "UTF-8"),
        ("iam", {"words.txt": b"a01-000u-00-00 ok 1 1 1 1 1 X x"}, "beside the folder words"),
        ("iam", {"words.txt": b"#\n", "words/a.png": b""}, "no entries"),
        ("iam", {"words.txt": b"\xff", "words/a.png": b""}, "UTF-8"),
        ("iam", {"words.txt": b"#\na.png ok", "words/a.png": b""}, "line 2: found 'a.png ok'"),
        ("iam", {"lines.txt": b"a01-000u-00 no 1 1 1 1 1 1 x", "lines/a.png": b""}, "ok or err"),
        (
            "iam",
            {"lines.txt": b"", "lines/a": b"", "ascii/words.txt": b"", "words/a": b""},
            "found both words and lines",
        ),
        (
            "iam",
            {
                "lines.txt": b"a01-000u-00 ok 1 1 1 1 1 1 x",
                "lines/a": b"",
                "testset.txt": b"a01-000x-00",
            },
            "no entry is named by a split list",
        ),
        ("iam", {"lines.txt": b"../../a ok 1 1 1 1 1 1 x", "lines/a": b""}, "line 1: found"),
        ("mnist", {"labels.csv": b""}, "1 columns in the first line, must be 785"),
        ("mnist", {"labels.csv": LONG_ROW + b",0"}, "786 columns"),
        ("mnist", {"labels.csv": LONG_ROW + b"\n1,2\n"}, "number of columns changed"),
        ("mnist", {"labels.csv": LONG_ROW.replace(b"5", b"x", 1)}, "no rows below the header"),
        ("mnist", {"labels.csv": LONG_ROW + b"\n" + LONG_ROW[:-1] + b"256"}, "0 to 255"),
        ("mnist", {"labels.csv": LONG_ROW.replace(b"5", b"10", 1)}, "0: label 10, must be 0 to 9"),
        ("mnist", {"train-images-idx3-ubyte": ONE_DIGIT}, "no train-labels-idx1-ubyte"),
        ("mnist", {"train-images-idx3-ubyte": b""}, "not an IDX file"),
        ("mnist", {"train-images-idx3-ubyte": idx(np.zeros(9))}, "not an IDX file of bytes in 3"),
        (
            "mnist",
            {"train-images-idx3-ubyte": ONE_DIGIT[:-1]},
            "783 bytes after the header, must be 784",
        ),
        ("mnist", {"train-images-idx3-ubyte": ONE_DIGIT + b"0"}, "over 784 bytes after the header"),
        ("mnist", {"train-images-idx3-ubyte": idx(np.zeros((1, 8, 8)))}, "shape (1, 8, 8)"),
        ("mnist", {"train-images-idx3-ubyte": idx(np.zeros((0, 28, 28)))}, "shape (0, 28, 28)"),
        (
            "mnist",
            {"train-images-idx3-ubyte": IDX_HEADER + b"\xff" * 4 + ONE_DIGIT[8:]},
            "at most 400,000,000 bytes",
        ),
        ("mnist", {"train-images-idx3-ubyte.gz": ONE_DIGIT}, "cannot be read"),
        ("mnist", {"train-images-idx3-ubyte.gz": gzip.compress(ONE_DIGIT)[:-9]}, "cannot be read"),
        (
            "mnist",
            {"train-images-idx3-ubyte": ONE_DIGIT, "train-labels-idx1-ubyte": idx(np.zeros(2))},
            "1 images but 2 labels",
        ),
    ],
)
def test_garbled_input_is_refused_in_one_line(
    name: str, files: dict[str, bytes], problem: str, tmp_path: Path
) -> None:
    for file, content in files.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(content)
    is_file = (name in LABEL_FILES and name != "kalapa") or "labels.csv" in files
    path = tmp_path / next(iter(files)) if is_file else tmp_path
    with pytest.raises(DataError) as caught:
        read_samples(f"{name}:{path}")

    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "image and text missing"),
        (
            b"picture no,words read\na.png,x\n",
            "or choose columns: `columns='image=NAME,text=NAME'`",
        ),
        (b"gone.png,x\nalso.png,y\n", "image and text missing"),
        (b"\n", "image and text missing"),
        (b"image,text\n", "no rows"),
        (b"image\na.png\n", "column text missing"),
        (b"image,text\na.png,\xff\n", "UTF-8"),
        (b'image,text\na.png,"x\n', "not a table"),
        (b"image,text,split\na.png,x,other\n", "'other'"),
        (b"image,text\na.png,1,234\n", "line 2"),
        (b"image,text\n\n\na.png,1,234\n", "line 4"),
        (b'image,text,split\na.png,"x\ny",\n\nb.png,z,other\n', "line 5: split is 'other'"),
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
        ("image;text\na.png;x,y\n", ["x,y"]),
        ("\ufeffimage;text\r\na.png;x\r\n", ["x"]),
        ("image\ttext\na.png\tx;y\n", ["x;y"]),
        ("Filename,Label\na.png,x\n", ["x"]),
        ("id;File Name;Transcription\n7;a.png;x\n", ["x"]),
        (" image_path , ground_truth \na.png,x\n", ["x"]),
        ("path,gt,label,text\na.png,1,2,3\n", ["3"]),
        ("here.png,x\nb.png,y\n", ["x", "y"]),
        ("here.png;x,y\n", ["x,y"]),
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
    draw(tmp_path / "here.png", 9)  # a first field that is a file needs no header

    assert [sample.text for sample in read_samples(f"csv:{path}")] == texts
    assert [sample.text for sample in read_samples(f"tsv:{path}")] == texts


@pytest.mark.parametrize(
    ("columns", "texts"),
    [
        ("image=scan,text=reading", ["x", "y"]),
        (" image = scan , text = note", ["n", "m"]),
        ("image=scan,text=reading,split=part,group=writer", ["x", "y"]),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
def test_columns_are_chosen(ending: str, columns: str, texts: list[str], tmp_path: Path) -> None:
    names = ["scan", "reading", "note", "part", "writer"]
    rows = [["a.png", "x", "n", "train", "w"], ["b.png", "y", "m", "val", "v"]]
    path = tmp_path / f"labels.{ending}"
    lines = [json.dumps(dict(zip(names, row, strict=True))) for row in rows]
    if ending != "jsonl":
        lines = [(";" if ending == "csv" else "\t").join(row) for row in [names, *rows]]
    path.write_text("\n".join(lines))

    for spec in (f"{ending}:{path}", str(path), str(tmp_path)):
        samples = list_samples(spec, DataOptions(columns=columns))
        assert [(s.name, s.text) for s in samples] == list(
            zip(["a.png", "b.png"], texts, strict=True)
        )
        splits = ["train", "val"] if "split" in columns else [None, None]
        assert [s.split for s in samples] == splits
        assert [s.group for s in samples] == (["w", "v"] if "group" in columns else [None, None])


@pytest.mark.parametrize("columns", ["image", "image=", "picture=x", "image=a,,text=b", "=x"])
def test_columns_that_cannot_be_meant(columns: str) -> None:
    with pytest.raises(
        OptionError, match=r"^columns: must be some of image=NAME, text=NAME, .*, got '"
    ):
        DataOptions(columns=columns)


def test_columns_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("image,text\na.png,x\n")
    (tmp_path / "a.jsonl").write_text('{"image": "a.png", "text": "x"}\n')
    with pytest.raises(DataError, match="column label missing; found"):
        list_samples(f"csv:{tmp_path / 'a.csv'}", DataOptions(columns="text=label"))
    with pytest.raises(DataError, match="'label' must be a string, found None"):
        list_samples(f"jsonl:{tmp_path / 'a.jsonl'}", DataOptions(columns="text=label"))
    with pytest.raises(DataError, match="column writer missing"):
        list_samples(f"csv:{tmp_path / 'a.csv'}", DataOptions(columns="group=writer"))


def test_columns_say_nothing_of_data_without_any(tmp_path: Path) -> None:
    draw(tmp_path / "ab.png", 9)

    assert [s.text for s in list_samples(str(tmp_path), DataOptions(columns="text=label"))] == [
        "ab"
    ]


def test_folders_of_labels_are_recognised_if_there_is_nothing_else(tmp_path: Path) -> None:
    write_folders(tmp_path, ["a", "bc"], None)
    assert [(s.name, s.text) for s in read_samples(str(tmp_path))] == [
        ("a/0.png", "a"),
        ("bc/1.png", "bc"),
    ]
    (tmp_path / "labels.csv").write_text("image,text\na/0.png,x\n")

    assert [s.text for s in read_samples(str(tmp_path))] == ["x"]


def test_folders_of_splits_are_no_labels(tmp_path: Path) -> None:
    for split in ("train", "valid", "Test"):
        (tmp_path / split).mkdir()
        draw(tmp_path / split / "a.png", 1)
    with pytest.raises(DataError, match="needs a folder per label"):
        FORMATS["folders"].read(tmp_path)
    assert not FORMATS["folders"].recognise(tmp_path)
    for split in ("train", "valid", "Test"):
        for label in "xy":
            (tmp_path / split / label).mkdir()
            draw(tmp_path / split / label / "a.png", 1)

    found = [(s.text, s.split) for s in read_samples(f"folders:{tmp_path}")]
    assert found == [(t, split) for split in ("test", "train", "val") for t in "xy"]


def test_csv_split_is_read_in_any_case(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("image,text,split\na.png,x, VAL\nb.png,y,\n")

    assert [sample.split for sample in read_samples(str(path))] == ["val", None]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "must be an object"),
        (b"{}", "must be an object"),
        (b'{"valid": []}', "unknown list 'valid'"),
        (b'{"train": [], "valid": [3]}', "unknown list 'valid', must be one of ('train'"),
        (b'{"info": {}}', "must be an object"),
        (b'{"train": []}', "empty"),
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


@pytest.mark.parametrize("name", ["csv", "tsv"])
def test_table_gives_groups(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"labels.{name}"
    rows = [["group", "text", "image"], ["w1", "x", "a.png"], ["", "y", "b.png"]]
    path.write_text("".join(("," if name == "csv" else "\t").join(r) + "\n" for r in rows))

    assert [(s.name, s.group) for s in read_samples(str(path))] == [
        ("a.png", "w1"),
        ("b.png", None),
    ]


@pytest.mark.parametrize("image", ["image", "file", "file_name", "filename"])
@pytest.mark.parametrize("text", ["text", "label"])
def test_jsonl_keys(image: str, text: str, tmp_path: Path) -> None:
    entry = {image: "a.png", text: " x ", "split": "Val", "group": "w1", "score": 0.5}
    (tmp_path / "d.ndjson").write_text(json.dumps(entry))

    (sample,) = read_samples(str(tmp_path / "d.ndjson"))

    expected = ("a.png", "x", "val", "w1")
    assert (sample.name, sample.text, sample.split, sample.group) == expected


def test_gt_pairs_names_of_many_kinds(tmp_path: Path) -> None:
    for name in ("a.png", "a.bin.png", "b.nrm.png", "c.d.TIF", "._a.png"):
        (tmp_path / name).touch()
    for name in ("a", "b", "c.d", "gone", "._a"):
        (tmp_path / f"{name}.gt.txt").write_text(f" {name}\nx \n")

    assert [(s.name, s.text) for s in read_samples(f"gt:{tmp_path}")] == [
        ("a.png", "a\nx"),
        ("b.nrm.png", "b\nx"),
        ("c.d.TIF", "c.d\nx"),
        ("gone.png", "gone\nx"),
    ]


def test_gt_text_that_is_not_unicode_is_a_bad_sample(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        Image.fromarray(np.array([[9, 255]], np.uint8)).save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.gt.txt").write_text("x")
    (tmp_path / "c.gt.txt").write_bytes(b"\xff")

    part, bad = load_split(f"gt:{tmp_path}", None, DataOptions(max_invalid=0.5))

    assert (part.texts, [b.name for b in bad]) == (["x", "x"], ["c.png"])
    assert "not valid Unicode" in bad[0].reason


def test_kalapa_groups_are_writers(tmp_path: Path) -> None:
    samples = read_samples(str(write_kalapa(tmp_path, LABELS, None)))

    assert {s.name: s.group for s in samples} == {
        "7/0.jpg": "7",
        "12/1.jpg": "12",
        "7/2.jpg": "7",
        "12/3.jpg": "12",
        "7/4.jpg": "7",
    }


def write_iam_words(folder: Path) -> None:
    """Write words of two forms, one marked as cut badly, as the database has them."""
    (folder / "ascii").mkdir()
    (folder / "words" / "a01" / "a01-000u").mkdir(parents=True)
    (folder / "ascii" / "words.txt").write_text(
        "#--- words.txt ---\n#\n"
        "a01-000u-00-00 ok 154 408 768 27 51 AT A\n"
        "a01-000u-00-01 err 154 507 766 213 48 NN MOVE\n"
        "r06-022-03-05 ok 170 -1 -1 -1 -1 NP B B|C\n"
    )


def test_iam_words_are_read(tmp_path: Path) -> None:
    write_iam_words(tmp_path)
    expected = [
        ("words/a01/a01-000u/a01-000u-00-00.png", "A", "a01-000u", False),
        ("words/a01/a01-000u/a01-000u-00-01.png", "MOVE", "a01-000u", True),
        ("words/r06/r06-022/r06-022-03-05.png", "B B|C", "r06-022", False),
    ]
    for spec in (tmp_path, tmp_path / "ascii" / "words.txt", f"iam:{tmp_path}"):
        samples = read_samples(str(spec))
        assert [(s.name, s.text, s.group, s.flagged) for s in samples] == expected
        assert all(s.image == tmp_path / s.name for s in samples)


@pytest.mark.parametrize(
    ("keep_flagged", "texts"), [(False, ["A", "B B|C"]), (True, ["A", "MOVE", "B B|C"])]
)
def test_iam_words_cut_badly_are_left_out(
    keep_flagged: bool, texts: list[str], tmp_path: Path
) -> None:
    write_iam_words(tmp_path)

    samples = list_samples(str(tmp_path), DataOptions(keep_flagged=keep_flagged))

    assert [s.text for s in samples] == texts


def test_data_of_flagged_samples_alone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "words").mkdir()
    (tmp_path / "words.txt").write_text("a01-000u-00-00 err 154 408 768 27 51 AT A\n")
    with pytest.raises(
        DataError, match=r"all 1 samples are marked as wrong; use them with `keep_flagged`"
    ):
        list_samples(str(tmp_path), DataOptions())


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ({"task/trainset.txt": "a01-000u-00"}, {"A": "train", "MOVE": "train"}),
        (
            {"trainset.txt": "r06-022-03", "validationset2.txt": "a01-000u-00"},
            {"A": "val", "MOVE": "val", "B B|C": "train"},
        ),
        (
            {"splits/train.uttlist": "a01-000u\n", "splits/test.uttlist": "r06-022\n"},
            {"A": "train", "MOVE": "train", "B B|C": "test"},
        ),
        ({"testset.txt": "a01-000u-00", "train.uttlist": "r06-022"}, {"A": "test", "MOVE": "test"}),
    ],
)
def test_iam_split_lists(lists: dict[str, str], expected: dict[str, str], tmp_path: Path) -> None:
    write_iam_words(tmp_path)
    for name, ids in lists.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(ids)

    assert {s.text: s.split for s in read_samples(f"iam:{tmp_path}")} == expected


@pytest.mark.parametrize(("parts", "splits"), [(["train"], {None}), (["t10k"], {None})])
def test_mnist_part_alone_has_no_split(parts: list[str], splits: set[None], tmp_path: Path) -> None:
    for part in parts:
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(idx(digits_of("12")))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx(np.array([1, 2])))

    assert {s.split for s in read_samples(str(tmp_path))} == splits


def test_mnist_test_digits_are_the_test_split(tmp_path: Path) -> None:
    samples = read_samples(str(write_mnist(tmp_path, list("12345"), None)))

    assert [(s.text, s.split) for s in samples] == [
        *(("1", "train"), ("2", "train")),
        *(("3", "test"), ("4", "test"), ("5", "test")),
    ]


@pytest.mark.parametrize(
    "header", [b"", b"label," + b",".join(b"p%d" % i for i in range(784)) + b"\n"]
)
def test_mnist_table(header: bytes, tmp_path: Path) -> None:
    row = [b"7", *(b"%d" % (i % 256) for i in range(784))]
    (tmp_path / "digits.csv").write_bytes(header + b",".join(row) + b"\r\n\n" + LONG_ROW)

    seven, five = read_samples(str(tmp_path / "digits.csv"))

    assert (seven.text, five.text) == ("7", "5")
    np.testing.assert_array_equal(pixels(seven).ravel(), np.arange(784) % 256)
    assert pixels(five).shape == (28, 28)


def test_format_of_another_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "xml_lines.py").write_text(
        "from ocrsearch.data.samples import Sample\n"
        "def recognise(path): return path.suffix == '.xml'\n"
        "def read(path): return [Sample(path.name, path, 'x')]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    group = "ocrsearch.formats"
    points = [EntryPoint("xml", "xml_lines", group), EntryPoint("csv", "nowhere", "other")]
    monkeypatch.setattr(
        specs, "entry_points", lambda group: [p for p in points if p.group == group]
    )
    (tmp_path / "page.xml").touch()

    assert [s.text for s in read_samples(str(tmp_path / "page.xml"))] == ["x"]
    assert [s.text for s in read_samples(f"xml:{tmp_path / 'page.xml'}")] == ["x"]


def test_format_of_another_package_that_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("xml", "no_such_module", "ocrsearch.formats")
    monkeypatch.setattr(specs, "entry_points", lambda group: [point])
    with pytest.raises(DataError, match=r"label format 'xml' \(no_such_module\): cannot be loaded"):
        read_samples("xml:page.xml")


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
        with pytest.raises(DataError, match="no images in this folder"):
            read_samples(spec)


def test_folder_with_one_label_file_is_read_by_it(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("plates")
    (tmp_path / "labels.csv").write_text("image,text\nimages/a.png,x\n")

    assert [sample.text for sample in read_samples(str(tmp_path))] == ["x"]


def test_folder_with_two_label_files_asks_for_one(tmp_path: Path) -> None:
    for name in ("train.csv", "more.json"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"\(more\.json, train\.csv\); name one of them"):
        read_samples(str(tmp_path))


@pytest.mark.parametrize("spec", ["", "nowhere", "xml:labels.xml", "digit", "a" * 300, "~no_one/x"])
def test_unknown_specification_lists_what_is_allowed(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        read_samples(spec)

    assert "\n" not in str(caught.value)
    assert "csv:PATH, tsv:PATH, ppocr:PATH, folders:PATH, captcha:PATH, digits" in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("digits", "digits"),
        ("captcha:some/plates", "plates"),
        ("captcha:some/plates/", "plates"),
        ("some/plates", "plates"),
        ("labels:some/plates/labels.json", "plates"),
        ("csv:some/plates/meters.csv", "meters"),
        ("iam:some/iam/words.txt", "iam"),
        ("some/plates/metadata.jsonl", "plates"),
    ],
)
def test_data_name(spec: str, name: str) -> None:
    assert data_name(spec) == name


def test_data_name_of_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plates").mkdir()
    monkeypatch.chdir(tmp_path / "plates")

    assert data_name("captcha:.") == "plates"


def test_gt_text_without_a_name_is_not_read(tmp_path: Path) -> None:
    for name in ("", "a"):
        (tmp_path / f"{name}.gt.txt").write_text("x")

    assert [s.name for s in read_samples(f"gt:{tmp_path}")] == ["a.png"]


def test_gt_takes_the_same_of_two_pictures_everywhere(tmp_path: Path) -> None:
    for name in ("a.png", "a.bmp", "a.jpg", "a.tif", "a.gt.txt"):
        (tmp_path / name).write_text("x")

    assert [s.name for s in read_samples(f"gt:{tmp_path}")] == ["a.tif"]


def test_a_table_among_images_is_not_passed_over(tmp_path: Path) -> None:
    write_image(tmp_path / "0001.png")
    (tmp_path / "labels.csv").write_text("image,text\n0001.png,12\n")
    with pytest.raises(DataError, match=r"images and the table labels\.csv; give captcha:"):
        read_samples(str(tmp_path))
    assert [s.text for s in read_samples(f"captcha:{tmp_path}")] == ["0001"]
    assert [s.text for s in read_samples(str(tmp_path / "labels.csv"))] == ["12"]
