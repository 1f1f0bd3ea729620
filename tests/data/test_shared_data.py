"""Real data in its own formats, where the folder OCRSEARCH_SHARED_DATA or its default is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ocrsearch.data.data_options import DataOptions
from ocrsearch.data.dataset import split_samples
from ocrsearch.data.formats.specs import read_samples
from ocrsearch.data.samples import Sample
from ocrsearch.data.splits import by_split, group_key

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("OCRSEARCH_SHARED_DATA", ROOT / "../shared/data"))


def at_hand(name: str) -> str:
    """Return the path of a data set, or skip the test."""
    if not (DATA / name).exists():
        pytest.skip(f"no {name} in {DATA}; OCRSEARCH_SHARED_DATA names another folder")
    return str(DATA / name)


def symbols(samples: list[Sample]) -> set[str]:
    return set().union(*(sample.text for sample in samples))


@pytest.mark.parametrize(
    ("name", "n", "n_symbols"),
    [
        ("captcha", 880, 19),
        ("kalapa", 2160, 141),
        ("mnist", 60_000, 10),
        ("orand_car/labels.csv", 1080, 10),
        ("hooker/labels.json", 1800, None),
    ],
)
def test_counts(name: str, n: int, n_symbols: int | None) -> None:
    samples = read_samples(at_hand(name))

    assert len(samples) == len({s.name for s in samples}) == n
    assert n_symbols is None or len(symbols(samples)) == n_symbols
    assert all(s.image.exists() for s in samples if isinstance(s.image, Path))


def test_kalapa_is_split_by_writer() -> None:
    parts = by_split(split_samples(at_hand("kalapa"), DataOptions()))

    assert [len(part) for part in parts.values()] == [1728, 216, 216]
    writers = [{s.group for s in part} for part in parts.values()]
    assert [len(w) for w in writers] == [64, 8, 8]
    assert not writers[0] & (writers[1] | writers[2])
    assert symbols(parts["train"]) == symbols([s for part in parts.values() for s in part])


def test_hooker_letters_are_found_by_pattern() -> None:
    options = DataOptions(group=r"images/(.*)_\d+[^_]*__")
    parts = by_split(split_samples(at_hand("hooker/labels.json"), options))

    assert [len(part) for part in parts.values()] == [1500, 300, 0]
    assert len({group_key(s) for part in parts.values() for s in part}) < 300
