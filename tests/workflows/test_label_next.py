"""Images to label next: uncertain, different, and copied for labelling."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from ocrsearch.core.errors import DataError, OptionError
from ocrsearch.training.model_file import Bundle, save_bundle
from ocrsearch.workflows.label_next import (
    UnlabelledImage,
    choose_diverse,
    choose_images,
    copy_for_labels,
)

if TYPE_CHECKING:
    from tests.conftest import CommandResult

Command = Callable[..., "CommandResult"]


def test_an_image_of_each_kind_is_chosen() -> None:
    rng = np.random.default_rng(0)
    kinds = np.repeat(np.arange(4), 5)
    features = np.eye(4)[kinds] * 10 + rng.normal(size=(20, 4)) * 0.1
    weights = np.where(kinds == 3, 0.0, 1.0) + rng.uniform(0.0, 0.1, 20)
    chosen = choose_diverse(features, weights, 3, seed=0)
    assert sorted(kinds[chosen]) == [0, 1, 2]  # the certain kind is left out


@pytest.mark.parametrize(("n_images", "n", "n_chosen"), [(3, 5, 3), (9, 4, 4), (4, 4, 4)])
def test_equal_images_are_chosen_once(n_images: int, n: int, n_chosen: int) -> None:
    chosen = choose_diverse(np.zeros((n_images, 2)), np.zeros(n_images), n, seed=0)
    assert len(set(chosen)) == len(chosen) == n_chosen


def test_uncertainty_is_that_of_a_character() -> None:
    short = UnlabelledImage(Path("a.png"), "1", 0.25)
    long = UnlabelledImage(Path("b.png"), "1234567", 0.25)
    assert short.uncertainty == pytest.approx(np.log(2.0))
    assert long.uncertainty < short.uncertainty
    assert UnlabelledImage(Path("c.png"), "", 0.0).uncertainty > 10


@pytest.mark.parametrize("architecture", ["crnn", "seq2seq", "classifier"])
def test_images_are_chosen_by_networks_of_all_kinds(
    make_bundle: Callable[..., Bundle], number_folder: Path, tmp_path: Path, architecture: str
) -> None:
    save_bundle(make_bundle(architecture), tmp_path / "model.pt")
    paths = sorted(number_folder.iterdir())
    found = choose_images(paths, tmp_path / "model.pt", 6)
    assert (found.n, found.failures) == (40, [])
    assert len({image.path for image in found.images}) == 6
    uncertainties = [image.uncertainty for image in found.images]
    assert uncertainties == sorted(uncertainties, reverse=True)


def test_an_onnx_model_has_no_features(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"need a model file of PyTorch"):
        choose_images([], tmp_path / "model.onnx", 1)


def test_copies_keep_their_places(number_folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "all"
    (root / "b").mkdir(parents=True)
    names = ["b/10.png", "a\nb.png"]
    for name in names:
        shutil.copyfile(number_folder / "10.png", root / name)
    images = [UnlabelledImage(root / name, 'a "b",', 0.5) for name in names]
    table = copy_for_labels(images, root, tmp_path / "new")
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [["image", "text"], ["b/10.png", 'a "b",'], ["image-1.png", 'a "b",']]
    assert all((table.parent / row[0]).is_file() for row in rows[1:])
    with pytest.raises(OptionError, match="not empty"):
        copy_for_labels(images, root, tmp_path / "new")


def test_command(command: Command, number_folder: Path, model_file: Path, tmp_path: Path) -> None:
    root = tmp_path / "images"
    shutil.copytree(number_folder, root)
    cv2.imwrite(str(root / "blank.png"), np.full((20, 40), 255, np.uint8))
    (root / "broken.png").write_bytes(b"\x89PNG")
    new = tmp_path / "new"
    arguments = ("data", "next", root, "--model", model_file, "--n", 3)
    result = command(*arguments, "-o", new)
    assert result.code == 0
    paths = result.out.splitlines()
    assert len(paths) == 3
    assert all(Path(path).parent == root for path in paths)
    assert result.err.count("skipped: ") == 2
    used = command("data", "inspect", f"csv:{new / 'labels.csv'}", "--json").json()
    assert used["n"] + used["n_bad"] == 3
    content = command(*arguments, "--json").json()
    assert (content["n"], len(content["images"]), len(content["skipped"])) == (40, 3, 2)
    assert [image["file"] for image in content["images"]] == paths
    missing = command("data", "next", tmp_path / "nothing", "--model", model_file)
    assert missing.code == 1
    assert "no such folder" in missing.err


def test_folder_without_readable_images(model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    with pytest.raises(DataError, match="none of 1 images can be read"):
        choose_images([tmp_path / "broken.png"], model_file, 1)
