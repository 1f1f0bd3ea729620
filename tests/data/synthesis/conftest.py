"""A font with a plain alphabet, one with three letters, a corpus, and single digits."""

from __future__ import annotations

import csv
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from fontTools import subset
from fontTools.ttLib import TTFont
from PIL import ImageFont

ENTRIES = [f"{a}{b} {c}" for a in "abcdefg" for b in "hijkl" for c in ("no", "xyz", "q")]


@pytest.fixture(scope="session")
def default_font() -> bytes:
    font = ImageFont.load_default(20)
    assert isinstance(font, ImageFont.FreeTypeFont)
    assert isinstance(font.path, BytesIO)
    return font.path.getvalue()


@pytest.fixture
def fonts(tmp_path: Path, default_font: bytes) -> Path:
    """A folder with a font of basic Latin, one of a, b, c and space alone, and a licence."""
    folder = tmp_path / "fonts"
    folder.mkdir()
    (folder / "Latin.ttf").write_bytes(default_font)
    font = TTFont(BytesIO(default_font))
    subsetter = subset.Subsetter()
    subsetter.populate(text="abc ")
    subsetter.subset(font)
    font.save(folder / "ABC.ttf")
    (folder / "OFL.txt").write_text("licence")
    return folder


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(ENTRIES) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def single_digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty pictures each of 1, 4 and 7, no two alike, as a table."""
    folder = tmp_path_factory.mktemp("singles")
    rng = np.random.default_rng(0)
    rows = [("image", "text")]
    for i in range(120):
        symbol = "147"[i % 3]
        image = np.full((30, 24), 230, np.uint8)
        scale = rng.uniform(0.7, 0.9)
        cv2.putText(image, symbol, (4, 25), cv2.FONT_HERSHEY_SIMPLEX, scale, 20, 2, cv2.LINE_AA)
        image -= rng.integers(0, 12, image.shape, dtype=np.uint8)
        cv2.imwrite(str(folder / f"{i}.png"), image)
        rows.append((f"{i}.png", symbol))
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder / "labels.csv"
