"""Hostile texts of all kinds: each command ends at once, in plain lines, and is not surprised."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.hostile_texts import KINDS, hostile_texts

if TYPE_CHECKING:
    from tests.conftest import CommandResult

ACTIVE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Characters that a terminal acts upon."""

SEED = 1
N_OF_A_KIND = 3


def test_a_seed_gives_the_same_inputs(tmp_path: Path) -> None:
    first, second = (
        [
            [word.replace(str(tmp_path / name), "") for word in text.arguments]
            for text in hostile_texts(7, tmp_path / name, Path("m.pt"), len(KINDS))
        ]
        for name in "ab"
    )
    assert first == second
    assert len(KINDS) >= 15


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_texts_end_in_plain_lines(
    kind: str,
    command: Callable[..., CommandResult],
    model_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    made = hostile_texts(SEED, tmp_path, model_file, N_OF_A_KIND, [kind])
    for text in made:
        start = time.process_time()
        result = command(*text.arguments)
        assert time.process_time() - start < 20, text
        assert result.code in (0, 1, 2), (text, result.err)
        assert "internal error" not in result.err, text
        assert "Traceback" not in result.err, text
        assert ACTIVE.search(result.out + result.err) is None, text
        assert len(result.err) < 4000, text
