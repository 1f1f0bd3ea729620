"""Names of studies: letters of all scripts, and nothing that a folder cannot be called."""

from __future__ import annotations

import unicodedata

import pytest

from ocrsearch.core.errors import OptionError
from ocrsearch.studies.facts import (
    MAX_BYTES,
    check_study_name,
    default_study_name,
)


@pytest.mark.parametrize(
    "name",
    ["s", "空间-数据", "Kühlhaus", "đường 1", "हिन्दी", "_x", "v1.0", "a b", "x" * MAX_BYTES, "5"],
)
def test_names_that_can_be(name: str) -> None:
    assert check_study_name(name) == unicodedata.normalize("NFC", name)
    assert check_study_name(unicodedata.normalize("NFD", name)) == unicodedata.normalize(
        "NFC", name
    )


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", ".", "..", "../x", "a/b", "a\\b", "-x", ".x", "x.", "x ", "a\nb", "a\0b", "a:b"),
        *("con", "NUL.txt", "COM1", "x" * (MAX_BYTES + 1), "数" * 86, "a\u202eb", "a\x1bb", "a*b"),
    ],
)
def test_names_that_cannot(name: str) -> None:
    with pytest.raises(OptionError, match="study: "):
        check_study_name(name)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("tiny", "caps"), "tiny-caps"),
        (("空间", "数据"), "空间-数据"),
        (("tiny", "数据"), "tiny-数据"),
        (("my space", "a/b:c"), "my-space-a-b-c"),
        (("!!!", "???"), "study"),
        (("", ""), "study"),
        (("con", ""), "study-con"),
    ],
)
def test_default_names(parts: tuple[str, str], expected: str) -> None:
    assert default_study_name(*parts) == expected
    assert check_study_name(expected) == expected


def test_default_names_of_two_data_sets_differ() -> None:
    assert default_study_name("tiny", "数据") != default_study_name("tiny", "图片")
    long = "数" * 200
    assert default_study_name(long, "a") != default_study_name(long, "b")
    assert check_study_name(default_study_name(long, "a"))
