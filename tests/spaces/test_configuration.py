"""One configuration picked from a space, and single values set."""

from __future__ import annotations

import pytest

from ocrsearch.core.config import Config
from ocrsearch.core.errors import OptionError
from ocrsearch.spaces.reading import parse_space
from ocrsearch.spaces.space import random_config, with_values

SPACE = """
images: {height: {choice: [16, 24, 32, 40, 48]}, preprocess: {crop: {choice: [true, false]}}}
training: {augment: {strength: {float: [0, 1]}}}
"""


def test_random_point_is_in_the_space_and_of_the_seed() -> None:
    space = parse_space(SPACE, "small")

    configs = [random_config(space, seed) for seed in range(20)]

    assert configs == [random_config(space, seed) for seed in range(20)]
    assert {c.images.height for c in configs} <= {16, 24, 32, 40, 48}
    assert len({c.images.height for c in configs}) > 2
    assert {c.images.preprocess.crop for c in configs} == {True, False}
    assert len({c.training.augment.strength for c in configs}) == 20


def test_a_configuration_is_a_space_with_nothing_to_search() -> None:
    config = random_config(parse_space("images: {height: 48}", "fixed"), 3)

    assert config == Config.model_validate({"images": {"height": 48}})


def test_values_are_set_and_the_others_kept() -> None:
    start = Config.model_validate({"images": {"height": 48, "preprocess": {"margin": 0.1}}})

    config = with_values(
        start,
        [
            "training.augment.elastic=0.5",
            "images.preprocess.crop=true",
            " training.learning_rate =7e-4",
            "images.preprocess.contrast=clahe",
        ],
    )

    assert config.training.augment.elastic == 0.5
    assert config.training.learning_rate == 7e-4
    assert config.images.preprocess.model_dump(exclude_defaults=True) == {
        "crop": True,
        "contrast": "clahe",
        "margin": 0.1,
    }
    assert config.images.height == 48
    assert with_values(start, []) == start


@pytest.mark.parametrize(
    ("assignment", "parts"),
    [
        ("", ["write it as"]),
        ("training.augment.elastic", ["write it as"]),
        ("=1", ["unknown key"]),
        ("training.augment.elastic=", ["training.augment.elastic", "found null"]),
        ("training.batch_size=true", ["training.batch_size", "found true, must be a number"]),
        ("training.augment.elastic=yes", ["found true, must be a number"]),
        ("training.batch_size=nan", ["found 'nan', must be an integer"]),
        ("training.batch_size=" + 5000 * "1", ["not a value"]),
        ("training.batch_size=0x" + 5000 * "f", ["not a value"]),
        (
            "training.augment={a: &a [x, x], b: &b [" + "*a," * 5000 + "], c: [*b, *b]}",
            ["not a value"],
        ),
        ("training." + "x" * 5000 + "=1", ["xxx...: unknown key"]),
        ("training.augment.elastic=7", ["found 7", "at most 1"]),
        ("training.augment.elastik=1", ["did you mean 'training.augment.elastic'"]),
        ("training.augment=1", ["must be a section with", "elastic"]),
        ("images.height.px=1", ["'height' is a value"]),
        ("images.height=[", ["not a value"]),
        ("images.height={a: !!python/object:os.system b}", ["not a value"]),
    ],
)
def test_what_cannot_be_set_is_one_line(assignment: str, parts: list[str]) -> None:
    with pytest.raises(OptionError) as caught:
        with_values(Config(), [assignment])

    message = str(caught.value)
    assert message.startswith("`set`")
    assert "\n" not in message
    for part in parts:
        assert part in message
