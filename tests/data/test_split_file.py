"""Splits written to a file and read back."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from ocrsearch.core.errors import DataError
from ocrsearch.data.samples import Sample, Split
from ocrsearch.data.splits import apply_splits, write_splits


def sample(name: str, split: Split | None = None, group: str | None = None) -> Sample:
    return Sample(name, Path("x.png"), "x", split, group)


NAMES = ("a.png", "b,c.png", 'd"e.png', "ü/漢.png", " f ", "\udcff.png")


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    splits: tuple[Split, ...] = ("train", "val", "test", "train", "val", "test")
    groups = ("w1", None, "w,2", None, "w1", "ü")
    samples = [sample(*row) for row in zip(NAMES, splits, groups, strict=True)]
    write_splits(samples, tmp_path / "below" / "splits.csv")

    found = apply_splits([sample(name) for name in NAMES], tmp_path / "below" / "splits.csv")

    assert found == samples
    assert [p.name for p in (tmp_path / "below").iterdir()] == ["splits.csv"]


FORMULAS = ("=cmd|'/c calc'!A1.png", "+1.png", "-1.png", "@x.png", "\t.png", "\r.png", "'=1.png",
            "''+1.png", "'plain.png", "a\rb.png")  # fmt: skip


def test_names_like_formulas_are_marked_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "splits.csv"
    samples = [sample(name, "train", f"={i}") for i, name in enumerate(FORMULAS)]
    write_splits(samples, path)

    assert apply_splits([sample(name) for name in FORMULAS], path) == samples
    with path.open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))] == []


def test_names_like_formulas_of_an_older_file_are_found(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("name,split,group\n=1.png,train,-g\n-2.png,val,\n")
    found = apply_splits([sample("=1.png"), sample("-2.png")], tmp_path / "s.csv")
    assert found == [sample("=1.png", "train", "-g"), sample("-2.png", "val")]


def test_group_that_is_not_unicode_stays_one(tmp_path: Path) -> None:
    samples = [sample(name, "train", "\udce9") for name in "ab"]
    write_splits(samples, tmp_path / "splits.csv")

    found = apply_splits(samples, tmp_path / "splits.csv")

    assert len({s.group for s in found}) == 1


def test_file_goes_before_what_the_data_says(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("split,name\nval,a\nTEST,b\n,c\ntrain,gone\n")
    samples = [sample("a", "train", "w1"), sample("b"), sample("c", "train")]

    found = apply_splits(samples, tmp_path / "s.csv")

    assert found == [sample("a", "val", "w1"), sample("b", "test")]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "no such file"),
        ("", "column name and split missing"),
        ("name,group\na,b\n", "column split missing"),
        ("name,split\n", "no rows"),
        ("name,split\n\na,other\n", "line 3: split is 'other'"),
        ("name,split\na,train\n", "does not name 1 of 2 samples, first 'b'"),
    ],
)
def test_wrong_file_is_refused_in_one_line(
    content: str | None, problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "splits.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError) as caught:
        apply_splits([sample("a"), sample("b")], path)

    assert problem in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "splits.csv").mkdir()
    with pytest.raises(DataError, match="cannot be written"):
        write_splits([sample("a", "train")], tmp_path / "splits.csv")

    assert [p.name for p in tmp_path.iterdir()] == ["splits.csv"]
