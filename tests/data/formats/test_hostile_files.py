"""Label files and texts that are none, have no end, or lead elsewhere: one line, at once."""

from __future__ import annotations

import gzip
import json
import struct
import time
from pathlib import Path

import pytest

from ocrsearch.core.errors import DataError, ImageError
from ocrsearch.data.formats.files import read_texts
from ocrsearch.data.formats.specs import FORMATS, read_samples
from ocrsearch.data.images.documents import read_pages
from ocrsearch.data.splits import apply_splits
from ocrsearch.data.synthesis.text import read_entries, read_fonts
from ocrsearch.models.decoding.automata import split_words
from tests.hostile_texts import make_special, write_image

SPECIAL = {
    "pipe": "not a file (a pipe, socket or device)",
    "zero": "not a file (a pipe, socket or device)",
    "random": "not a file (a pipe, socket or device)",
    "socket": "not a file (a pipe, socket or device)",
    "sparse": "too large: 4,000 MB",
    "folder": "a folder, not a file",
    "dangling": "no such file",
    "loop": "cannot be read",
    "messages": "",
}
"""Kinds of files that are none, and the reason that is given."""

every_special = pytest.mark.parametrize("special", SPECIAL)


def refusal(spec: str) -> str:
    """Return why a data set is refused, which takes one short line and no time."""
    start = time.perf_counter()
    with pytest.raises(DataError) as caught:
        read_samples(spec)
    assert time.perf_counter() - start < 5
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 700
    return message


@every_special
@pytest.mark.parametrize("label_format", ["csv", "tsv", "jsonl", "labels", "ppocr", "synth"])
def test_a_label_file_that_is_none(label_format: str, special: str, tmp_path: Path) -> None:
    make_special(tmp_path / "file", special)
    assert SPECIAL[special] in refusal(f"{label_format}:{tmp_path}/file")


@every_special
@pytest.mark.parametrize(
    ("label_format", "name"),
    [
        ("gt", "0.gt.txt"),
        ("gt", "below/0.gt.txt"),
        ("kalapa", "annotations/w.txt"),
        ("iam", "words.txt"),
        ("iam", "below/trainset.txt"),
        ("mnist", "train-images-idx3-ubyte"),
        ("mnist", "train-images-idx3-ubyte.gz"),
    ],
)
def test_a_text_that_a_folder_brings_and_that_is_none(
    label_format: str, name: str, special: str, tmp_path: Path
) -> None:
    for folder in ("annotations", "images", "words", "below"):
        (tmp_path / folder).mkdir()
    if name.endswith("trainset.txt"):
        (tmp_path / "words.txt").write_text("a01-000u-00-00 ok 1 2 3 4 5 6 text\n")
    make_special(tmp_path / name, special)
    reason = SPECIAL[special] if label_format in ("gt", "kalapa") else ""
    if special in ("zero", "random", "messages") and label_format != "mnist":
        reason = "a link to a file outside" if label_format in ("gt", "kalapa") else ""
    is_file = special in ("sparse", "messages")
    if label_format == "iam" and name != "words.txt" and not is_file:
        assert read_samples(f"iam:{tmp_path}")  # a list that is no file is not a list
        return
    assert reason in refusal(f"{label_format}:{tmp_path}")


@every_special
def test_corpus_lexicon_splits_and_fonts_that_are_none(special: str, tmp_path: Path) -> None:
    path = tmp_path / "a.ttf"
    make_special(path, special)
    for read in (
        lambda: read_texts(path, "lexicon"),
        lambda: read_entries(path),
        lambda: apply_splits([], path),
        lambda: read_fonts(tmp_path),
    ):
        with pytest.raises(DataError, match=r"a\.ttf: ") as caught:
            read()
        assert SPECIAL[special] in str(caught.value)


@every_special
def test_an_image_or_document_that_is_none(special: str, tmp_path: Path) -> None:
    make_special(tmp_path / "a.pdf", special)
    with pytest.raises(ImageError, match=r"a\.pdf: "):
        list(read_pages(tmp_path / "a.pdf"))


@pytest.mark.parametrize("target", ["/etc/passwd", "/proc/self/environ", "../secret.txt"])
def test_a_label_that_is_a_link_to_elsewhere(target: str, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    folder = tmp_path / "data"
    for name in ("annotations", "images"):
        (folder / name).mkdir(parents=True)
    write_image(folder / "0.png")
    (folder / "0.gt.txt").symlink_to(target)
    (folder / "annotations" / "w.txt").symlink_to(Path("..") / target)
    assert "0.gt.txt: a link to a file outside" in refusal(f"gt:{folder}")
    assert "w.txt: a link to a file outside" in refusal(f"kalapa:{folder}")


def test_a_label_that_is_a_link_within_the_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("seven")
    (tmp_path / "0.gt.txt").symlink_to("text")
    assert [sample.text for sample in FORMATS["gt"].read(tmp_path)] == ["seven"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.json", "[" * 100_000, "not JSON that can be read"),
        ("a.json", '{"train": ' * 5000, "not JSON that can be read"),
        ("a.json", '{"train": [' + "9" * 5000 + "]}", "not JSON that can be read"),
        ("a.json", '{"train": [NaN]}', "must be an object"),
        ("a.json", '{"train": [], "train": []}', "duplicate key 'train'"),
        ("a.json", '{"%s": []}' % ("x" * 9000), "xxx..., must be one of"),
        ("a.json", '{"train": [{"filename": %s}]}' % ("[" * 500 + "]" * 500), "must be a string"),
        ("a.json", '{"train": [{"filename": "\\ud800", "label": "a"}]}', r"image '\ud800'"),
        ("a.json", '{"train": [{"filename": "\\u0000", "label": "a"}]}', "null"),
        ("a.json", " " * 32_000_001, "too large: 32 MB"),
        ("a.jsonl", "[" * 100_000, "line 1: not JSON that can be read"),
        ("a.jsonl", '{"image": "a.png", "image": "b.png"}', "line 1: not JSON that can be read"),
        ("a.jsonl", '{"image": %s}' % ("8" * 4000), "888..."),
        ("a.jsonl", '\n{"image": "a", "text": "%s"}' % ("x" * 1_000_001), "line 2: 1,000,"),
        ("a.csv", "image,text\na.png," + "x" * 140_000, "field larger than field limit"),
        ("a.csv", "image,text\n\0.png,a", "null"),
        ("a.csv", "," * 100_000 + "\n1", "column image and text missing"),
        ("a.csv", "image,text,split\na.png,a," + "t" * 9000, "ttt..., must be"),
        ("a.csv", "image,text\n" + "\n" * 1_000_001, "more than 1,000,000 lines"),
        ("a.csv", "image,text\n" + "x" * 9000 + ".png,a", "xxx...: File name too long"),
        ("a.txt", "x" * 9000 + "\ta", "xxx...: File name too long"),
    ],
)  # fmt: skip
def test_texts_with_odd_content(name: str, content: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    spec = f"{tmp_path}/{name}"
    if "File name too long" in reason:  # only reading the image fails
        assert len(read_samples(f"{'csv' if name == 'a.csv' else 'ppocr'}:{spec}")) == 1
        return
    assert reason in refusal(
        {"a.json": "labels:", "a.jsonl": "jsonl:", "a.csv": "csv:"}[name] + spec
    )


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1"])
def test_other_encodings_are_named_or_refused(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("image,text\nä.png,ü".encode(encoding))
    reason = {"utf-16": "UTF-16 text, must be UTF-8; save it as UTF-8", "utf-32": "UTF-16 text"}
    assert reason.get(encoding, "save it as UTF-8") in refusal(f"csv:{path}")


def test_digits_that_unpack_without_end(tmp_path: Path) -> None:
    header = bytes((0, 0, 8, 3)) + struct.pack(">3I", 500_000, 28, 28)
    bomb = gzip.compress(header + bytes(20_000_000), 1)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(bomb)
    assert "20000000 bytes after the header" in refusal(f"mnist:{tmp_path}")
    path.write_bytes(gzip.compress(bytes((0, 0, 8, 3)) + struct.pack(">3I", 2**32 - 1, 28, 28)))
    assert "at most 400,000,000 bytes" in refusal(f"mnist:{tmp_path}")


def test_a_recipe_that_names_itself(tmp_path: Path) -> None:
    for name, source in (("a", "synth:b.yaml"), ("b", "c.yaml"), ("c", "a.yaml")):
        (tmp_path / f"{name}.yaml").write_text(json.dumps({"kind": "digits", "source": source}))
    assert "its source leads back to this recipe" in refusal(f"synth:{tmp_path}/a.yaml")


def test_fonts_that_grow_are_not_opened(tmp_path: Path) -> None:
    for mark in (b"wOFF", b"wOF2", b"%!PS", b"ttcf", b""):
        (tmp_path / "a.ttf").write_bytes(mark + bytes(200))
        with pytest.raises(DataError, match="not a font that can be used"):
            read_fonts(tmp_path)


def test_a_long_word_is_found_in_linear_time() -> None:
    start = time.perf_counter()
    assert split_words("a" * 200_000 + " b1c d") == ["a" * 200_000, "b", "d"]
    assert time.perf_counter() - start < 3
