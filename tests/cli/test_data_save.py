"""``ocrsearch data save``: images of a dataset as files that can be read again."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from ocrsearch.core.errors import DataError, OptionError
from ocrsearch.data.formats.specs import read_samples
from ocrsearch.data.images.reading import read_image
from ocrsearch.data.samples import Sample
from ocrsearch.data.sheets import save_images
from ocrsearch.data.synthesis.synthesizer import make_digits
from tests.conftest import draw_text

if TYPE_CHECKING:
    from tests.conftest import CommandResult

Command = Callable[..., "CommandResult"]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_digits_are_saved_with_their_labels(command: Command) -> None:
    result = command("data", "save", "digits", "-o", "images", "--n", 8)
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines() == [
        "8 images written to images",
        "use them as: --data csv:images/labels.csv",
    ]
    samples = [sample for sample in make_digits() if sample.split == "test"][:8]
    with Path("images/labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == [sample.text for sample in samples]
    assert {row["split"] for row in rows} == {"test"}
    saved = read_image(Path("images") / rows[0]["image"])
    assert np.array_equal(saved, samples[0].image.draw())
    assert Path(rows[0]["image"]).stem == rows[0]["text"]
    assert [s.text for s in read_samples("csv:images/labels.csv")] == [s.text for s in samples]


def test_a_dataset_keeps_its_splits(command: Command, number_folder: Path) -> None:
    arguments = ("data", "save", f"captcha:{number_folder}", "--split", "all", "--json")
    content = command(*arguments, "-o", "copy").json()
    assert content == {"folder": "copy", "n": 40, "n_bad": 0, "data": "csv:copy/labels.csv"}
    counts = {"train": 0, "val": 0, "test": 0}
    for sample in read_samples("csv:copy/labels.csv"):
        counts[str(sample.split)] += 1
    assert counts == {"train": 32, "val": 4, "test": 4}


def test_what_is_there_stays(command: Command) -> None:
    Path("images").mkdir()
    assert command("data", "save", "digits", "-o", "images", "--n", 1).code == 0
    before = sorted(Path("images").iterdir())
    result = command("data", "save", "digits", "-o", "images", "--n", 5)
    assert result.code == 2
    assert "--output: images: folder is not empty" in result.err
    assert sorted(Path("images").iterdir()) == before
    Path("file").touch()
    assert command("data", "save", "digits", "-o", "file", "--n", 1).code == 2


def test_labels_become_names_of_files(tmp_path: Path) -> None:
    texts = ["a/b", "../../x", "a b", "a_b", "..", "x" * 300, "ü", "a/b", "a_b.2", "=1+2"]
    samples = [Sample(f"{i}", draw_text("12"), text, "test") for i, text in enumerate(texts)]
    n, bad = save_images("made", samples, tmp_path / "out")
    assert (n, bad) == (len(texts), [])
    names = sorted(path.name for path in (tmp_path / "out").glob("*.png"))
    assert len(names) == len(texts)
    assert all(len(name) < 60 and not name.startswith(".") for name in names)
    with (tmp_path / "out" / "labels.csv").open(encoding="utf-8", newline="") as file:
        assert [row["text"] for row in csv.DictReader(file)] == texts


def test_images_that_cannot_be_read_are_skipped(tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_text("no image")
    good = tmp_path / "1.png"
    assert cv2.imwrite(str(good), draw_text("1"))
    samples = [Sample("bad.png", bad, "2"), Sample("1.png", good, "1")]
    n, left_out = save_images("made", samples, tmp_path / "out", 1)
    assert (n, [b.name for b in left_out]) == (1, ["bad.png"])
    with pytest.raises(DataError, match=r"^made: no images to save: "):
        save_images("made", samples[:1], tmp_path / "none")
    assert not (tmp_path / "none").exists()
    with pytest.raises(OptionError, match=r"^output: .*folder is not empty"):
        save_images("made", samples, tmp_path)
