"""``data inspect`` as a user gives it: the report, the JSON object and the sheet."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from ocrsearch.data.images.reading import read_image

if TYPE_CHECKING:
    from tests.conftest import CommandResult

Command = Callable[..., "CommandResult"]


@pytest.fixture
def folder(number_folder: Path, tmp_path: Path) -> Path:
    """Forty good pictures, one copy under another label, one damaged."""
    folder = tmp_path / "numbers"
    shutil.copytree(number_folder, folder)
    shutil.copy(folder / "10.png", folder / "77.png")
    (folder / "99.png").write_bytes(b"no picture")
    return folder


def write_table(path: Path, rows: Sequence[tuple[str, str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image", "text", "split"), *rows])
    return path


def test_json_has_what_the_report_has(folder: Path, command: Command) -> None:
    result = command("data", "inspect", folder, "--json")

    assert (result.code, result.err) == (0, "")
    content = result.json()
    assert (content["n"], content["n_bad"], content["refused"]) == (41, 1, True)
    assert content["symbols"] == list("0123456789")
    assert sum(content["symbol_counts"].values()) == 82
    assert sum(part["n"] for part in content["splits"].values()) == 41
    assert content["label_lengths"] == {"2": 41}
    assert content["height"] == {"min": 20, "median": 20, "max": 20}
    assert content["unfit"] == dict.fromkeys(("24", "32", "40", "48", "64"), 0)
    assert content["modes"] == {"L": 41}
    assert content["problems"] == {"not a supported image": 1}
    assert [b["name"] for b in content["bad"]] == ["99.png"]
    duplicates = content["duplicates"]
    assert (duplicates["n_pictures"], duplicates["n_with_different_labels"]) == (1, 1)
    [group] = duplicates["groups_with_different_labels"]
    assert (group["names"], group["texts"]) == (["10.png", "77.png"], ["10", "77"])


def test_report_on_a_terminal(folder: Path, command: Command) -> None:
    result = command("data", "inspect", folder)

    assert (result.code, result.err) == (0, "")
    for part in (
        "41 samples can be used, 1 cannot",
        "10 characters: ",
        "pixel formats: L 100 %",
        "10.png '10', 77.png '77'",
        "not a supported image",
        "99.png",
        "'run' refuses this data: 1 of 42 samples cannot be used, at most 1 % may",
    ):
        assert part in result.out


@pytest.mark.parametrize(("max_invalid", "refused"), [("0", True), ("0.03", False), ("1", False)])
def test_max_invalid_is_reported_and_refuses_nothing(
    folder: Path, max_invalid: str, refused: bool, command: Command
) -> None:
    result = command("data", "inspect", folder, "--max-invalid", max_invalid, "--json")

    assert (result.code, result.json()["refused"]) == (0, refused)


def test_nothing_that_can_be_used(tmp_path: Path, command: Command) -> None:
    (tmp_path / "1.png").write_bytes(b"")
    result = command("data", "inspect", tmp_path)
    content = command("data", "inspect", tmp_path, "--json").json()

    assert result.code == 0
    assert "0 samples can be used, 1 cannot" in result.out
    assert (content["n"], content["n_bad"], content["symbols"]) == (0, 1, [])
    assert content["width"] is None


def test_splits_names_and_invisible_symbols(tmp_path: Path, command: Command) -> None:
    names = {"[bold]x.png": "a b", "line\nend.png": "a\u00a0b", "c.png": "e\u0301"}
    for name in names:
        image = np.full((20, 40), len(name), np.uint8)
        image[:, 5:9] = 200
        cv2.imwrite(str(tmp_path / name), image)
    rows = [(name, text, "train") for name, text in names.items()]
    rows += [(name, "ab", "val") for name in names] + [("no\n[red].png", "a", "test")]
    path = write_table(tmp_path / "labels.csv", rows)

    result = command("data", "inspect", path)

    assert (result.code, result.err) == (0, "")
    assert "␣" in result.out
    assert "U+00A0" in result.out
    assert "é" in result.out
    assert "no?[red].png" in result.out
    assert "line?end.png 'a\\xa0b'" in result.out


def test_long_labels_share_bars(tmp_path: Path, command: Command) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.eye(20, 400, dtype=np.uint8) * 255)
    rows = [("a.png", "x" * n, "train") for n in (1, 30, 31, 60)]

    out = command("data", "inspect", write_table(tmp_path / "labels.csv", rows)).out

    bars = [line.split() for line in out.splitlines() if "█" in line]
    assert [(name, n) for name, n, _ in bars] == [("1-5", "1"), ("26-30", "1"), *BARS]


BARS = [("31-35", "1"), ("56-60", "1")]


def test_sheet_is_drawn_by_seed(folder: Path, tmp_path: Path, command: Command) -> None:
    def sheet(name: str, *more: object) -> np.ndarray:
        path = tmp_path / "sheets" / name
        result = command("data", "inspect", folder, "--sheet", path, "--sheet-size", 5, *more)
        assert result.code == 0
        assert f"5 images drawn to {path}" in result.err
        return read_image(path)

    first = sheet("a.png")
    np.testing.assert_array_equal(first, sheet("b.png"))
    assert not np.array_equal(first, sheet("c.png", "--seed", 1))


def test_json_and_sheet_together(folder: Path, tmp_path: Path, command: Command) -> None:
    result = command("data", "inspect", folder, "--json", "--sheet", tmp_path / "sheet.png")

    assert result.json()["n"] == 41
    assert (tmp_path / "sheet.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["numbers", "--sheet", "sheet.jpg"], 2, "--sheet sheet.jpg: must end in .png"),
        (["missing"], 1, "missing: no such file, folder or built-in set"),
        (["broken", "--sheet", "sheet.png"], 1, "--sheet sheet.png: no image can be used"),
        (["numbers", "--max-invalid", "2"], 2, "max-invalid"),
        (["numbers", "--sheet-size", "0"], 2, "sheet-size"),
    ],
)
def test_wrong_use_is_one_line(
    arguments: list[str],
    code: int,
    message: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: Command,
) -> None:
    monkeypatch.chdir(folder.parent)
    Path("broken").mkdir()
    Path("broken/1.png").write_bytes(b"")

    result = command("data", "inspect", *arguments)

    assert result.code == code
    assert message in result.err
    assert "Traceback" not in result.err
