"""``ocrsearch data preview``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

if TYPE_CHECKING:
    from tests.conftest import CommandResult

Command = Callable[..., "CommandResult"]


def test_a_sheet_is_written(command: Command, number_folder: Path, tmp_path: Path) -> None:
    spec, path = f"captcha:{number_folder}", tmp_path / "preview.png"

    result = command("data", "preview", spec, "-o", path, "--n", 5, "--seed", 3)

    assert (result.code, result.err) == (0, "")
    assert result.out == f"5 images written to {path}, with the defaults\n"
    first = path.read_bytes()
    assert cv2.imread(str(path)) is not None
    command("data", "preview", spec, "-o", path, "--n", 5, "--seed", 3)
    assert path.read_bytes() == first
    command("data", "preview", spec, "-o", path, "--n", 5, "--seed", 4)
    assert path.read_bytes() != first


def test_space_and_values_are_shown(command: Command, number_folder: Path, tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text("images: {height: {choice: [40]}}\ntraining: {augment: {concat: 0.5}}\n")

    result = command(
        *("data", "preview", number_folder, "-o", tmp_path / "preview.png", "--space", space),
        *("--set", "training.augment.elastic=1", "--set", "images.preprocess.crop=yes"),
    )

    assert (result.code, result.err) == (0, "")
    for shown in (
        "images.height=40",
        "images.preprocess.crop=True",
        "training.augment.elastic=1.0",
        "training.augment.concat=0.5",
    ):
        assert shown in result.out


def test_what_cannot_be_read_is_passed_over(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "1.png").write_text("no picture")

    bad = command("data", "preview", f"captcha:{folder}", "-o", tmp_path / "preview.png")
    cv2.imwrite(str(folder / "2.png"), np.eye(20, 30, dtype=np.uint8) * 255)
    good = command("data", "preview", f"captcha:{folder}", "-o", tmp_path / "preview.png")

    assert bad.code == 1
    assert "no usable samples (of 1)" in bad.err
    assert "1.png" in bad.err
    assert (good.code, good.out.split()[0]) == (0, "1")


@pytest.mark.parametrize(
    ("options", "code", "part"),
    [
        (["--set", "training.augment.elastik=1"], 2, "did you mean"),
        (["--space", "missing.yaml"], 1, "missing.yaml: no such file"),
        (["--n", "0"], 2, "--n"),
        (["--seed", str(2**31)], 2, "--seed"),
        (["--output", "/dev/null/preview.png"], 1, "/dev/null"),
    ],
)
def test_wrong_input_is_told(
    command: Command, number_folder: Path, tmp_path: Path, options: list[str], code: int, part: str
) -> None:
    result = command("data", "preview", number_folder, "-o", tmp_path / "p.png", *options)

    assert result.code == code
    assert part in result.err
    assert "Traceback" not in result.err
