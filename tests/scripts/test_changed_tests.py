"""Which tests belong to a changed file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))  # as for a script run from there

from changed_tests import mirrored_tests


@pytest.mark.parametrize(
    ("changed", "tests"),
    [
        ("ocrsearch/data/splits.py", "tests/data"),
        ("ocrsearch/data/formats/tables.py", "tests/data/formats"),
        ("ocrsearch/__init__.py", "tests/test_layers.py"),
        ("scripts/bench_rtl.py", "tests/scripts"),
        ("scripts/bench_search/record.py", "tests/scripts"),
        ("tests/data/test_splits.py", "tests/data/test_splits.py"),
        ("tests/data/test_gone.py", None),
        ("tests/conftest.py", None),
        ("README.md", None),
        ("docs/recipes.md", None),
    ],
)
def test_a_changed_file_selects_the_tests_that_mirror_it(changed: str, tests: str | None) -> None:
    assert mirrored_tests(changed) == (Path(tests) if tests else None)
