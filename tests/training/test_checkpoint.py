"""Checkpoints: whole or not at all, and read without running anything."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch

from ocrsearch.core.errors import BundleError
from ocrsearch.training.checkpoint import load_tensors, save_tensors


class Harmful:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


def test_what_was_saved_is_read_again(tmp_path: Path) -> None:
    content = {
        "weights": {"a": torch.randn(2, 3), "half": torch.ones(2, dtype=torch.bfloat16)},
        "epochs": [{"epoch": 1, "cer": 0.5, "is_best": True}],
        "best": (0.5, float("inf")),
        "nothing": None,
        "name": "Zoë",
    }
    save_tensors(content, tmp_path / "a.pt")
    found = load_tensors(tmp_path / "a.pt")
    weights, expected = found.pop("weights"), content.pop("weights")
    assert found == content
    torch.testing.assert_close(weights, expected, rtol=0, atol=0)


def test_saving_again_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    save_tensors({"n": 1}, path)
    save_tensors({"n": 2}, path)
    assert load_tensors(path) == {"n": 2}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    path = tmp_path / "a.pt"
    save_tensors({"n": 1}, path)

    def fail(content: dict[str, Any], file: BinaryIO) -> None:
        file.write(b"half of ")
        raise error

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(type(error)):
        save_tensors({"n": 2}, path)
    assert list(tmp_path.iterdir()) == [path]
    assert load_tensors(path) == {"n": 1}


def test_a_first_failure_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_tensors({"n": 1}, tmp_path / "a.pt")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_error_of_the_system(
    tmp_path: Path, full_disk: Callable[[], AbstractContextManager[None]]
) -> None:
    path = tmp_path / "a.pt"
    save_tensors({"n": 1}, path)
    with full_disk(), pytest.raises(OSError, match="too large"):
        save_tensors({"weights": torch.zeros(100_000)}, path)
    assert list(tmp_path.iterdir()) == [path]
    assert load_tensors(path) == {"n": 1}


def test_a_folder_that_is_missing_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        save_tensors({}, tmp_path / "missing" / "a.pt")


@pytest.mark.parametrize("is_plain_pickle", [True, False])
def test_reading_runs_no_code(tmp_path: Path, is_plain_pickle: bool) -> None:
    path, made = tmp_path / "a.pt", tmp_path / "made"
    if is_plain_pickle:
        path.write_bytes(pickle.dumps({"weights": Harmful(made)}, protocol=2))
    else:
        torch.save({"weights": Harmful(made)}, path)
    with pytest.raises(BundleError, match="cut off" if is_plain_pickle else "refused"):
        load_tensors(path)
    assert not made.exists()


def test_the_harmful_file_does_harm_when_it_is_trusted(tmp_path: Path) -> None:
    torch.save({"weights": Harmful(tmp_path / "made")}, tmp_path / "a.pt")
    torch.load(tmp_path / "a.pt", weights_only=False)
    assert (tmp_path / "made").exists()


@pytest.mark.parametrize("content", [[1, 2], "text", torch.zeros(3), None])
def test_only_dictionaries_are_read(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(BundleError, match="not an ocrsearch model"):
        load_tensors(tmp_path / "a.pt")


@pytest.mark.parametrize("n_bytes", [0, 1, 200, -1])
def test_a_damaged_file_is_refused(tmp_path: Path, n_bytes: int) -> None:
    path = tmp_path / "a.pt"
    save_tensors({"weights": torch.zeros(100)}, path)
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(BundleError, match="cut off"):
        load_tensors(path)
