"""One hostile document of each kind through a command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.hostile_documents import KINDS, hostile_documents

if TYPE_CHECKING:
    from tests.conftest import CommandResult


def test_the_same_seed_gives_the_same_inputs(tmp_path: Path, model_file: Path) -> None:
    def made(folder: Path) -> list[tuple[str, bytes]]:
        return [
            (i.kind, path.read_bytes())
            for i in hostile_documents(1, folder, model_file, 8)
            for path in i.folder.iterdir()
        ]

    assert made(tmp_path / "a") == made(tmp_path / "b")
    assert len(KINDS) >= 8


@pytest.mark.parametrize("seed", range(2))
def test_each_kind_ends_in_a_line(
    tmp_path: Path, model_file: Path, command: Callable[..., CommandResult], seed: int
) -> None:
    for document in hostile_documents(seed, tmp_path, model_file, len(KINDS)):
        result = command(*document.arguments)
        assert result.code in (0, 1, 2), document
        for text in (result.out, result.err):
            assert "Traceback" not in text, document
            assert "internal error" not in text, document
            assert "\x1b" not in text, document
