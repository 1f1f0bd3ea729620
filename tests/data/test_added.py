"""Pictures that the training split gets in addition, and no other."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocrsearch.core.config import ImageConfig
from ocrsearch.core.errors import DataError
from ocrsearch.data.batches import Epochs, training_epochs
from ocrsearch.data.data_options import DataOptions
from ocrsearch.data.dataset import (
    Dataset,
    load_dataset,
    load_split,
)
from ocrsearch.data.formats.specs import read_samples
from ocrsearch.data.images.lines import Line, scaled_lines
from ocrsearch.data.prepared import open_dataset, save_dataset
from ocrsearch.data.samples import Sample

IMAGES = ImageConfig(height=20)
N_OWN = 30
N_FRESH = 12


@pytest.fixture
def own(tmp_path: Path) -> str:
    """Forty pictures of noise; thirty are trained on."""
    return str(noise(tmp_path / "own", [f"{i}{i % 7}" for i in range(10, 50)], seed=0))


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    path = tmp_path / "recipe.yaml"
    path.write_text(f"{{kind: digits, max_length: 3, counts: {{train: {N_FRESH}, val: 5}}}}")
    return f"synth:{path}"


def noise(folder: Path, texts: list[str], seed: int) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for text in texts:
        pixels = rng.integers(0, 256, (20, 24), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{text}.png")
    return folder


def load(spec: str, add: str = "", **values: float) -> Dataset:
    return load_dataset(spec, DataOptions(extra_train_data=add, train_fraction=0.95, **values))


def keys(lines: list[Line]) -> list[tuple[bytes, tuple[int, ...]]]:
    return [(line.image.tobytes(), tuple(line.target)) for line in lines]


def lines_of(epochs: Epochs, epoch: int, size: int = 8) -> list[Line]:
    return [line for part in epochs.parts(epoch, size) for line in part]


def test_another_set_is_for_training_alone(own: str, tmp_path: Path) -> None:
    more = str(noise(tmp_path / "more", ["ab", "bc"], seed=1))
    alone, both = load(own), load(own, more)

    n = len(alone.splits["train"])
    train = both.splits["train"]
    assert n == N_OWN
    assert train.names == [*alone.splits["train"].names, "added/ab.png", "added/bc.png"]
    assert (both.fresh, train.n_added) == (None, 2)
    for split in ("val", "test"):
        assert both.splits[split].names == alone.splits[split].names
        assert (
            load_split(own, split, DataOptions(extra_train_data=more))[0].names
            == both.splits[split].names
        )
    assert list(both.charset.symbols) == [*alone.charset.symbols, "a", "b", "c"]
    assert both.fingerprint != alone.fingerprint
    assert len(training_epochs(both, IMAGES)) == n + 2


def test_what_is_held_out_is_not_added(own: str, tmp_path: Path) -> None:
    held_out = load(own).splits["test"].names[0]
    more = noise(tmp_path / "more", ["ab"], seed=1)
    shutil.copy(Path(own) / held_out, more / "x9.png")

    both = load(own, str(more), max_invalid=0)

    assert both.splits["train"].names[-1] == "added/ab.png"
    (left_out,) = both.bad
    assert left_out.reason == f"added/x9.png: the image of {held_out} in the test split"


def test_its_own_held_out_splits_are_not_added(own: str, tmp_path: Path) -> None:
    more = noise(tmp_path / "more", ["ab", "bc", "cd"], seed=1)
    (more / "labels.csv").write_text(
        "image,text,split\nab.png,ab,train\nbc.png,bc,val\ncd.png,cd,test\n"
    )
    names = load(own, f"csv:{more / 'labels.csv'}").splits["train"].names
    assert [name for name in names if name.startswith("added/")] == ["added/ab.png"]


def test_a_recipe_makes_new_ones_among_the_same(own: str, recipe: str) -> None:
    alone, both = load(own), load(own, recipe)
    epochs = training_epochs(both, IMAGES)
    same = Counter(keys(scaled_lines(alone.splits["train"], both.charset, IMAGES)))

    assert len(epochs) == len(both.splits["train"]) == N_OWN + N_FRESH
    made = []
    for epoch in range(3):
        seen = Counter(keys(lines_of(epochs, epoch)))
        assert seen >= same
        assert (seen - same).total() == N_FRESH
        made += list(seen - same)
        assert Counter(keys(lines_of(epochs, epoch))) == seen
    assert len(set(made)) == 3 * N_FRESH
    # epoch 0 is what the training split says
    whole = scaled_lines(both.splits["train"], both.charset, IMAGES)
    assert Counter(keys(lines_of(epochs, 0))) == Counter(keys(whole))


@pytest.mark.parametrize("size", [1, 4, 9, 1000])
def test_each_part_has_its_share_of_both(own: str, recipe: str, size: int) -> None:
    both = load(own, recipe)
    same = set(keys(scaled_lines(load(own).splits["train"], both.charset, IMAGES)))
    parts = list(training_epochs(both, IMAGES).parts(1, size))

    n = N_OWN + N_FRESH
    assert [len(part) for part in parts] == [min(size, n - i) for i in range(0, n, size)]
    whole = parts[: n // size]
    shares = [sum(key in same for key in keys(part)) for part in whole]
    assert max(shares, default=0) - min(shares, default=0) <= 1


def test_the_same_ones_are_in_another_order(own: str, recipe: str) -> None:
    both = load(own, recipe)
    same = set(keys(scaled_lines(load(own).splits["train"], both.charset, IMAGES)))
    epochs = training_epochs(both, IMAGES)
    first, second = ([k for k in keys(lines_of(epochs, e)) if k in same] for e in (0, 1))
    assert first != second
    assert sorted(first) == sorted(second)


def test_what_is_marked_as_wrong_is_not_added(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.zeros((20, 24), np.uint8)
    image[5:] = 200
    samples = [Sample(f"{i}", image + i, "1", flagged=i == 0) for i in range(3)]
    monkeypatch.setattr(
        "ocrsearch.data.dataset.read_samples",
        lambda spec, *columns: samples if spec == "more" else read_samples(spec, *columns),
    )
    names = [load(own, "more", keep_flagged=keep).splits["train"].names[N_OWN:] for keep in (0, 1)]
    assert names == [["added/1", "added/2"], ["added/0", "added/1", "added/2"]]


def test_a_good_one_that_has_the_name_of_a_bad_one_is_added(own: str, tmp_path: Path) -> None:
    more = noise(tmp_path / "more", ["ab", "bc"], seed=1)
    (more / "labels.csv").write_text("image,text\nab.png,ab\nab.png,\nbc.png,bc\n")
    both = load(own, f"csv:{more / 'labels.csv'}", max_invalid=0.5)
    assert both.splits["train"].names[N_OWN:] == ["added/ab.png", "added/bc.png"]
    assert [b.name for b in both.bad] == ["added/ab.png"]


@pytest.mark.parametrize("fresh", ["true", "false"])
@pytest.mark.parametrize(("seed", "refused"), [(0, False), (1, True)])
def test_made_of_the_data_itself_it_holds_out_the_same(
    tmp_path: Path, seed: int, refused: bool, fresh: str
) -> None:
    image = Image.fromarray(np.pad(np.zeros((12, 6), np.uint8), 4, constant_values=255))
    single = tmp_path / "single"
    single.mkdir()
    names = [f"{i}.png" for i in range(60)]
    for name in names:
        image.save(single / name)
    rows = [f"{name},{i % 3}" for i, name in enumerate(names)]
    (single / "labels.csv").write_text("\n".join(["image,text", *rows]))
    recipe = tmp_path / "recipe.yaml"
    source = "source: single/labels.csv"
    recipe.write_text(f"{{kind: digits, {source}, seed: {seed}, fresh: {fresh}}}")
    options = DataOptions(extra_train_data=f"synth:{recipe}")
    if refused:
        with pytest.raises(DataError, match=r"made of the images of csv:.*write seed: 0 into"):
            load_dataset(f"csv:{single / 'labels.csv'}", options)
    else:
        load_dataset(f"csv:{single / 'labels.csv'}", options)


def test_the_built_in_strings_hold_out_the_same(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("{kind: digits, counts: {train: 10}}")
    with pytest.raises(DataError, match=r"made of the images of digits.*write seed: 20240101"):
        load_dataset("digits", DataOptions(extra_train_data=f"synth:{path}"))
    path.write_text("{kind: digits, seed: 20240101, counts: {train: 10}}")
    assert (
        load_dataset("digits", DataOptions(extra_train_data=f"synth:{path}"))
        .splits["train"]
        .n_added
        == 10
    )


def test_nothing_is_added_to_a_recipe(
    own: str, recipe: str, caplog: pytest.LogCaptureFixture
) -> None:
    alone = load_dataset(recipe)
    caplog.clear()
    both = load_dataset(recipe, DataOptions(extra_train_data=own))
    assert (both.fingerprint, both.splits["train"].n_added) == (alone.fingerprint, 0)
    assert f"{recipe} draws new images in each epoch; {own} is not added" in caplog.text


def test_the_way_to_disk_and_back(own: str, recipe: str, tmp_path: Path) -> None:
    both = load(own, recipe)
    save_dataset(both, tmp_path / "saved")
    opened = open_dataset(tmp_path / "saved")

    assert (opened.splits["train"].n_added, opened.fresh) == (N_FRESH, both.fresh)
    first, second = (lines_of(training_epochs(one, IMAGES), 2) for one in (both, opened))
    assert keys(first) == keys(second)


def test_what_cannot_be_added_is_said(own: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such file, folder or built-in set"):
        load(own, str(tmp_path / "nowhere"))
    more = noise(tmp_path / "more", ["ab"], seed=1)
    (more / "labels.csv").write_text("image,text,split\nab.png,ab,val\n")
    with pytest.raises(
        DataError, match=r"`extra_train_data` csv:.*: of 0 samples none is left to train on"
    ):
        load(own, f"csv:{more / 'labels.csv'}")
    (more / "ab.png").write_bytes(b"")
    with pytest.raises(
        DataError, match=r"`extra_train_data` .*more: 1 of 1 samples cannot be used"
    ):
        load(own, f"captcha:{more}")
