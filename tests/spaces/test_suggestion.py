"""The space derived from a dataset fits it, says why, and is the same when it is read again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from ocrsearch.core.config import Config, flatten
from ocrsearch.core.errors import InfeasibleError
from ocrsearch.data.charset import Charset
from ocrsearch.data.dataset import Dataset
from ocrsearch.data.measurements import Traits, measure_traits
from ocrsearch.data.samples import GrayImage, LabelledImages, PackedImages
from ocrsearch.spaces.derived import derive
from ocrsearch.spaces.feasibility import check_feasible
from ocrsearch.spaces.reading import parse_space, space_from_dict
from ocrsearch.spaces.suggestion import (
    DERIVED,
    SuggestedSpace,
    derive_space,
)

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def draw(text: str, height: int = 40, step: int = 28, pad: int = 12) -> GrayImage:
    """Return dark text on light paper, with some paper round it."""
    image = np.full((height, 2 * pad + step * len(text)), 230, np.uint8)
    for i, character in enumerate(text):
        place = (pad + i * step, height - height // 4)
        cv2.putText(image, character, place, cv2.FONT_HERSHEY_SIMPLEX, height / 32, 20, 2)
    return image


def split_of(texts: Sequence[str], images: Sequence[GrayImage]) -> LabelledImages:
    names = [f"{i}.png" for i in range(len(texts))]
    return LabelledImages(names, list(texts), PackedImages.pack(images))


def dataset_of(texts: Sequence[str], images: Sequence[GrayImage] | None = None) -> Dataset:
    part = split_of(texts, images or [draw(text) for text in texts])
    splits: Any = {"train": part, "val": part, "test": split_of([], [])}
    return Dataset("memory", splits, Charset.from_texts(texts), "memory", [])


def random_texts(n: int, lengths: Sequence[int], symbols: str = LETTERS) -> list[str]:
    rng = np.random.default_rng(0)
    return ["".join(rng.choice(list(symbols), rng.choice(lengths))) for _ in range(n)]


def first_of(suggested: SuggestedSpace) -> Config:
    return suggested.space.resolve(flatten(suggested.space.settings.try_first[0]))


CODES = random_texts(12, [5])
NUMBERS = random_texts(12, [2, 3, 4], "0123456789")
NOISE = np.random.default_rng(0).integers(-60, 60, (40, 164))


def changed(change: Callable[[GrayImage], GrayImage]) -> Dataset:
    return dataset_of(CODES, [change(draw(text)) for text in CODES])


def ruled(image: GrayImage) -> GrayImage:
    image = image.copy()
    image[36:38] = 60
    return image


DATASETS = {
    "codes": dataset_of(CODES),
    "digits": dataset_of(NUMBERS),
    "characters": dataset_of(list("0123456789")),
    "words": dataset_of(random_texts(12, [8, 9], LETTERS + LETTERS.upper())),
    "lines": dataset_of(random_texts(6, [40, 50])),
    "light": changed(lambda image: 255 - image),
    "mixed": dataset_of(
        CODES, [255 - draw(text) if i % 2 else draw(text) for i, text in enumerate(CODES)]
    ),
    "pale": changed(lambda image: image // 8 + 200),
    "small in the middle": changed(lambda image: np.pad(image, 60, constant_values=230)),
    "tight": dataset_of(CODES, [draw(text, pad=0)[:, 2:135] for text in CODES]),
    "noisy": changed(lambda image: np.clip(image - NOISE, 0, 255).astype(np.uint8)),
    "ruled": changed(ruled),
    "stacked": dataset_of(["12", "34", "56"], [np.vstack([draw("1"), draw("2")])] * 3),
    "crowded": dataset_of(["1111111111"] * 3, [draw("11")] * 3),
    "one image": dataset_of(["ab"]),
    "equal labels": dataset_of(["ab"] * 5),
    "one and 200 characters": dataset_of(["a", "b" * 200, "c"]),
    "one pixel high": dataset_of(["ab"] * 4, [draw("ab")[20:21]] * 4),
    "one pixel wide": dataset_of(["a"] * 4, [draw("a")[:, 20:21]] * 4),
    "10,000 characters": dataset_of(
        [chr(0x4E00 + i) + chr(0x4E01 + i) for i in range(0, 10_000, 2)],
        [draw("ab")] * 5000,
    ),
    "Cyrillic lines": dataset_of(random_texts(6, [40, 50], "абвгдежзиклмнопрст")),
    "Hebrew": dataset_of(["שלום", "עולם"], [draw("abcd"), draw("efgh")]),
}


@pytest.fixture(scope="module")
def suggested() -> dict[str, SuggestedSpace]:
    return {name: derive_space(dataset, 0.01) for name, dataset in DATASETS.items()}


@pytest.mark.parametrize("name", DATASETS)
def test_a_file_gives_the_same_space(name: str, suggested: dict[str, SuggestedSpace]) -> None:
    found = suggested[name]
    text = found.to_yaml(f"captcha:{name}\n\x1b[1m")
    assert parse_space(text, DERIVED) == found.space
    assert space_from_dict(found.content, DERIVED) == found.space
    assert all(len(line) <= 100 for line in text.splitlines())
    comments = " ".join(line.lstrip("# ") for line in text.splitlines() if line.startswith("#"))
    assert all(line in comments for line in found.describe())


@pytest.mark.parametrize("name", DATASETS)
def test_the_first_configurations_can_be_trained(
    name: str, suggested: dict[str, SuggestedSpace]
) -> None:
    space, train = suggested[name].space, DATASETS[name].splits["train"]
    for first in space.settings.try_first:
        given = flatten(first)
        config = space.resolve(given)
        assert space.complete(given).keys() == given.keys()  # nothing is left to the sampler
        assert check_feasible(config, train) == []


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("codes", "model.architecture", "crnn"),
        ("lines", "init", "latin"),
        ("words", "init", "latin"),
        ("Cyrillic lines", "init", "latin"),
        ("Hebrew", "init", "latin"),
        ("10,000 characters", "init", None),
        ("stacked", "init", None),
        ("characters", "init", None),
        ("characters", "model.architecture", "classifier"),
        ("lines", "model.encoder.rnn_batch_norm", True),
        ("stacked", "model.architecture", {"choice": ["crnn", "seq2seq"]}),
        ("digits", "training.augment.concat", {"choice": [0.0, 0.5]}),
        ("codes", "training.augment.concat", None),
        ("light", "images.preprocess.normalize_polarity", True),
        ("mixed", "images.preprocess.normalize_polarity", True),
        ("codes", "images.preprocess", None),
        ("pale", "images.preprocess.contrast", {"choice": ["none", "stretch", "clahe"]}),
        ("small in the middle", "images.preprocess.crop", {"choice": [False, True]}),
        ("tight", "images.preprocess.margin", {"choice": [0.0, 0.25]}),
        ("noisy", "images.preprocess.threshold", {"choice": [0.0, 0.5]}),
        ("ruled", "images.preprocess.remove_ruling", {"choice": [False, True]}),
    ],
)
def test_traits_decide(
    name: str, path: str, value: Any, suggested: dict[str, SuggestedSpace]
) -> None:
    content: Any = suggested[name].content
    for key in path.split("."):
        content = content.get(key, {})
    assert (content or None) == value


def test_what_is_detected_is_said(suggested: dict[str, SuggestedSpace]) -> None:
    def said(name: str) -> str:
        return "\n".join(suggested[name].describe())

    assert said("mixed").startswith("12 training images of 5 characters, ")
    assert "light ink on dark paper in 50% of the images: all become dark on light" in said("mixed")
    assert "4 to" not in said("characters")
    assert "of 1 character, 10 different characters (digits)" in said("characters")
    assert "right-to-left text in 100% of the labels" in said("Hebrew")
    assert "seq2seq is searched too" in said("stacked")


def test_narrow_characters_get_more_frames(suggested: dict[str, SuggestedSpace]) -> None:
    def scale(name: str) -> float:
        return first_of(suggested[name]).images.width_scale

    assert scale("crowded") > 2 * scale("codes")
    assert scale("one pixel high") == 0.25


def test_labels_that_fit_nowhere_are_an_error_in_one_line() -> None:
    with pytest.raises(InfeasibleError, match="no configuration of this space") as caught:
        derive_space(dataset_of(["1" * 200] * 5, [draw("1")] * 5), 0.01)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def traits() -> Traits:
    return measure_traits(DATASETS["codes"].splits["train"])


@pytest.mark.parametrize("n", [1, 10, 50, 100, 200, 800, 2000, 10_000, 60_000, 1_000_000])
@pytest.mark.parametrize("length", [1, 5, 10, 40])
def test_training_follows_the_number_of_images(n: int, length: int, traits: Traits) -> None:
    many = replace(
        traits, n_images=n, length_min=length, length_median=float(length), length_max=length
    )
    content = derive(many).content
    space = space_from_dict(content, DERIVED)
    config = space.resolve(flatten(space.settings.try_first[0]))
    epochs, batch = config.training.epochs, config.training.batch_size
    assert 2 <= epochs <= 240
    assert 4 <= batch <= 64
    if 100 <= n <= 50_000:
        assert 1500 <= epochs * n / batch <= 40_000
    rungs = content["search"]["pruner"]["rungs"]
    assert all(1 <= rung < epochs for rung in rungs)
    if n == 60_000 and length == 1:
        assert epochs <= 15
        assert batch == 64
