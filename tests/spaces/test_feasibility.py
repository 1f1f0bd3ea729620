"""What is known of a configuration before it is trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ocrsearch.core.config import (
    AugmentConfig,
    ClassifierConfig,
    Config,
    CrnnConfig,
    ImageConfig,
    PreprocessConfig,
    Seq2SeqConfig,
    TrainingConfig,
)
from ocrsearch.core.errors import InfeasibleError
from ocrsearch.data.images.lines import preprocessed_shape
from ocrsearch.data.samples import LabelledImages, PackedImages
from ocrsearch.spaces import feasibility
from ocrsearch.spaces.feasibility import check_feasible, network_figures


def split_of(texts: list[str], width: int) -> LabelledImages:
    """Return a split of blank pictures, 16 px high."""
    images = PackedImages.pack([np.zeros((16, width), np.uint8) for _ in texts])
    return LabelledImages([str(i) for i in range(len(texts))], texts, images)


def test_nothing_is_infeasible_among_nothing() -> None:
    check_feasible(Config(), split_of([], 16))


@pytest.mark.parametrize(("n_long", "feasible"), [(0, True), (1, True), (2, False), (100, False)])
def test_one_in_a_hundred_labels_may_be_too_long(n_long: int, feasible: bool) -> None:
    config = Config(images=ImageConfig(height=16), model=CrnnConfig())
    train = split_of(["abcdefgh"] * n_long + ["ab"] * (100 - n_long), width=16)
    if feasible:
        check_feasible(config, train)
        return
    with pytest.raises(InfeasibleError) as caught:
        check_feasible(config, train)
    assert "\n" not in str(caught.value)
    assert f"{n_long} of 100 labels" in str(caught.value)
    assert "height 16 and width_scale 1" in str(caught.value)


def test_seq2seq_needs_a_frame_for_each_symbol_but_none_for_repeats() -> None:
    config = Config(images=ImageConfig(height=16), model=Seq2SeqConfig())
    check_feasible(config, split_of(["aaaa"] * 10, width=16))
    with pytest.raises(InfeasibleError):
        check_feasible(config, split_of(["abcde"] * 10, width=16))


@pytest.mark.parametrize(
    ("n_long", "n", "feasible"),
    [(0, 0, True), (0, 1, True), (1, 100, True), (2, 100, False), (1, 1, False)],
)
def test_a_classifier_reads_one_symbol(n_long: int, n: int, feasible: bool) -> None:
    config = Config(images=ImageConfig(height=16), model=ClassifierConfig())
    train = split_of(["a"] * (n - n_long) + ["ab"] * n_long, width=8)
    if feasible:
        check_feasible(config, train)
        return
    with pytest.raises(InfeasibleError) as caught:
        check_feasible(config, train)
    first = n - n_long
    reasons = "; ".join(
        f"{i}: 'ab' has 2 characters, a classifier reads one" for i in range(first, n)
    )
    assert str(caught.value) == (
        f"{n_long} of {n} labels have more than one character, and a classifier reads one "
        f"({reasons}); search crnn or seq2seq"
    )


def test_frames_are_counted_in_what_preprocessing_leaves() -> None:
    image = np.full((16, 64), 220, np.uint8)
    image[4:12, 4:16] = 40  # three frames of ink in a picture of sixteen
    images = PackedImages.pack([image] * 10)

    def is_feasible(n_symbols: int, **steps: Any) -> bool:
        data = LabelledImages(
            [str(i) for i in range(10)], ["abcdefghijklmnop"[:n_symbols]] * 10, images
        )
        config = ImageConfig(height=16, preprocess=PreprocessConfig(**steps))
        try:
            check_feasible(Config(images=config), data)
        except InfeasibleError:
            return False
        return True

    def most(**steps: Any) -> int:
        return max(n for n in range(1, 17) if is_feasible(n, **steps))

    assert most() == 16
    assert most(contrast="stretch", threshold=1.0) == 16
    assert most(crop=True) == 6  # 14 px, of 10, at 16
    assert most(crop=True, margin=0.5) == 10
    assert most(crop=True, threshold=1.0, contrast="clahe") == 6


def test_margin_does_not_crop_every_picture_again(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []

    def shape(image: np.ndarray, config: PreprocessConfig) -> tuple[int, int]:
        looked.append(1)
        return preprocessed_shape(image, config)

    monkeypatch.setattr(feasibility, "preprocessed_shape", shape)
    train = split_of(["a"] * 5, width=16)
    for margin in (0.0, 0.1, 0.2):
        steps = PreprocessConfig(crop=True, margin=margin)
        check_feasible(Config(images=ImageConfig(preprocess=steps)), train)

    assert len(looked) == 5


def test_joined_pictures_take_the_memory_of_those_twice_as_wide() -> None:
    def memory_mb(join: float, width: int, text: str) -> float:
        training = TrainingConfig(augment=AugmentConfig(concat=join))
        config = Config(images=ImageConfig(height=16), model=CrnnConfig(), training=training)
        return network_figures(config, split_of([text] * 4, width))["memory_mb"]

    assert memory_mb(0.5, 64, "abab") == memory_mb(0.0, 128, "abababab")
    assert memory_mb(0.5, 4000, "abab") == memory_mb(0.0, 4096, "abababab")


@pytest.mark.parametrize(
    ("n_long", "n", "max_invalid", "feasible"),
    [
        (1, 32, 0.01, True),  # one of few
        (2, 32, 0.01, False),
        (2, 32, 0.1, True),
        (1, 32, 0.0, False),
        (1, 1, 1.0, False),
        (31, 32, 1.0, True),
    ],
)
def test_the_share_of_labels_that_need_not_fit(
    n_long: int, n: int, max_invalid: float, feasible: bool
) -> None:
    config = Config(images=ImageConfig(height=16), model=CrnnConfig())
    train = split_of(["ab"] * (n - n_long) + ["abcdefgh"] * n_long, width=16)
    if not feasible:
        with pytest.raises(InfeasibleError, match=f"{n_long} of {n} labels"):
            check_feasible(config, train, max_invalid)
        return
    unfit = check_feasible(config, train, max_invalid)
    assert [bad.name for bad in unfit] == [str(i) for i in range(n - n_long, n)]
    assert unfit[0].reason == "'abcdefgh' needs 8 frames, its image gives 4"


def test_what_does_not_fit_is_named_with_the_way_out() -> None:
    config = Config(images=ImageConfig(height=16), model=CrnnConfig())
    with pytest.raises(InfeasibleError) as caught:
        check_feasible(config, split_of(["abcdefgh"] * 5, width=16))
    assert str(caught.value) == (
        "5 of 5 labels need more frames than their images give at height 16 and width_scale 1 "
        "(0: 'abcdefgh' needs 8 frames, its image gives 4; 1: 'abcdefgh' needs 8 frames, its image "
        "gives 4; 2: 'abcdefgh' needs 8 frames, its image gives 4; and 2 more); allow a larger "
        "images.height or images.width_scale, or more unfit samples"
    )


def test_characters_under_each_other() -> None:
    config = Config(images=ImageConfig(height=16), model=CrnnConfig())
    with pytest.raises(InfeasibleError, match="characters may be stacked vertically"):
        check_feasible(config, split_of(["abcdefgh"] * 5, width=8))
