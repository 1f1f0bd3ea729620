"""The script that measures large charsets: it runs, and draws the same lines for each size."""

from __future__ import annotations

from types import ModuleType

import pytest

from tests.conftest import load_script

pytestmark = pytest.mark.slow


@pytest.fixture
def bench() -> ModuleType:
    return load_script("bench_charset")


def test_each_part_is_measured(
    bench: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "faster_precision", lambda _: "fp32")
    bench.main("20,600", lines=16, rounds=1, beam_lines=1)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[:2] for row in rows] == [
        ["crnn", "20"],
        ["crnn", "600"],
        ["seq2seq", "20"],
        ["seq2seq", "600"],
    ]
    assert all(len(row) == 8 for row in rows)
    assert [row[-1] for row in rows[::2]] == ["1.00", "1.00"]


def test_lines_are_drawn_by_seed(bench: ModuleType) -> None:
    first, again = (bench.draw_dataset(50, 20).splits["train"] for _ in range(2))
    assert first.texts == again.texts
    assert (first.images.pixels == again.images.pixels).all()
    other = bench.draw_dataset(50, 20, seed=1).splits["train"]
    assert other.texts != first.texts
    assert {len(text) for text in first.texts} <= set(range(8, 13))
