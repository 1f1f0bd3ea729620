"""``synth:FILE``: a recipe as a data set."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFont

from ocrsearch.core.errors import DataError, OptionError
from ocrsearch.data.data_options import DataOptions
from ocrsearch.data.dataset import load_dataset, load_split
from ocrsearch.data.formats.specs import read_samples
from ocrsearch.data.prepared import open_dataset, save_dataset
from ocrsearch.data.samples import SPLITS

RECIPE = "{kind: digits, counts: {train: 40, val: 6, test: 5}, seed: 2, fresh: FRESH}"


def write(folder: Path, *, fresh: bool = True) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.replace("FRESH", str(fresh).lower()))
    return path


def test_samples_have_their_texts_and_are_drawn_when_read(tmp_path: Path) -> None:
    path = write(tmp_path)

    samples = read_samples(f"synth:{path}")

    dataset = load_dataset(f"synth:{path}")
    assert [s.split for s in samples] == ["train"] * 40 + ["val"] * 6 + ["test"] * 5
    assert len({s.name for s in samples}) == 51
    for split in SPLITS:
        part = dataset.splits[split]
        own = [s for s in samples if s.split == split]
        assert part.texts == [s.text for s in own]
        for image, sample in zip(part.images, own, strict=True):
            assert not isinstance(sample.image, Path | np.ndarray)
            np.testing.assert_array_equal(image, sample.image.draw())


def test_bare_path_is_recognised(tmp_path: Path) -> None:
    path = write(tmp_path)

    assert [s.text for s in read_samples(str(path))] == [
        s.text for s in read_samples(f"synth:{path}")
    ]


def test_one_split_is_that_of_the_whole(tmp_path: Path) -> None:
    path = write(tmp_path)

    part, bad = load_split(f"synth:{path}", "test")

    assert bad == []
    assert part.texts == load_dataset(f"synth:{path}").splits["test"].texts


@pytest.mark.parametrize("fresh", [True, False])
def test_saved_dataset_knows_whether_epochs_are_fresh(fresh: bool, tmp_path: Path) -> None:
    dataset = load_dataset(f"synth:{write(tmp_path, fresh=fresh)}")

    save_dataset(dataset, tmp_path / "saved")

    opened = open_dataset(tmp_path / "saved")
    assert opened.fresh == dataset.fresh
    assert (opened.fresh is not None) == fresh
    assert opened.fingerprint == dataset.fingerprint


def test_fresh_epochs_are_another_data_set(tmp_path: Path) -> None:
    fixed, fresh = (
        load_dataset(f"synth:{write(tmp_path / str(flag), fresh=flag)}") for flag in (False, True)
    )

    assert fixed.splits["train"].texts == fresh.splits["train"].texts
    assert fixed.fingerprint != fresh.fingerprint


def test_fresh_epochs_have_no_share(tmp_path: Path) -> None:
    spec = f"synth:{write(tmp_path, fresh=True)}"
    with pytest.raises(OptionError, match=r"^train_fraction: .* draws new images"):
        load_dataset(spec, DataOptions(train_fraction=0.5))


def test_other_data_has_no_recipe() -> None:
    assert load_dataset("digits").fresh is None


def test_what_the_fonts_lack_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    font = ImageFont.load_default(20)
    assert isinstance(font, ImageFont.FreeTypeFont)
    assert isinstance(font.path, BytesIO)
    (tmp_path / "font.ttf").write_bytes(font.path.getvalue())
    entries = [f"{a}{b}" for a in "abcde" for b in "fghij"]
    (tmp_path / "corpus.txt").write_text("\n".join([*entries, "漢字"]), encoding="utf-8")
    (tmp_path / "r.yaml").write_text("{kind: text, fonts: font.ttf, corpus: corpus.txt}")

    samples = read_samples(f"synth:{tmp_path / 'r.yaml'}")

    assert len(samples) == 10_000
    assert {s.text for s in samples} <= set(entries)
    assert sum("font.ttf lacks 字 漢" in message for message in caplog.messages) == 1


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("{kind: digits, source: nowhere}", "nowhere: no such file, folder or built-in set"),
        ("{kind: text, fonts: f, corpus: c}", "no fonts here"),
        ("{kind: maps}", "kind: found 'maps'"),
    ],
)
def test_what_is_wrong_with_a_recipe_is_said(recipe: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(recipe)
    with pytest.raises(DataError) as caught:
        load_dataset(f"synth:{tmp_path / 'r.yaml'}")

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
