"""How much can be left to a model: the content, and the part of a page."""

from __future__ import annotations

import html
import json
import re

import numpy as np
import pytest

from ocrsearch.evaluation import upper_error_bound
from ocrsearch.reports.coverage import (
    MAX_POINTS,
    PROMISES,
    CoverageContent,
    coverage_content,
    coverage_part,
    coverage_section,
)


def content(n: int, n_wrong: int) -> CoverageContent:
    """Return content of n texts, of which the least confident are wrong."""
    confidences = np.linspace(0.99, 0.5, n).tolist()
    found = coverage_content(confidences, [i < n - n_wrong for i in range(n)])
    assert found is not None
    return found


def test_points_by_descending_confidence() -> None:
    found = coverage_content([0.5, 0.9, 0.9, 0.7], [False, True, True, True])
    assert found is not None
    counts = [(p.confidence, p.n_accepted, p.n_wrong) for p in found.points]
    assert counts == [(0.9, 2, 0), (0.7, 3, 0), (0.5, 4, 1)]
    assert [p.upper_bound for p in found.points] == [
        upper_error_bound(n_wrong, n) for _, n, n_wrong in counts
    ]
    assert coverage_content([], []) is None
    assert coverage_section([]) == ""


def test_many_texts_have_few_points() -> None:
    found = content(5000, 100)
    assert len(found.points) == MAX_POINTS
    assert (found.points[-1].n_accepted, found.points[-1].n_wrong) == (5000, 100)


def test_promises() -> None:
    found = content(1000, 30)
    assert [p.max_error for p in found.promises] == list(PROMISES)
    assert found.promise(0.005).coverage == pytest.approx(0.97, abs=0.01)
    assert found.promise(0.05).coverage == 1.0
    few = content(100, 3).promise(0.02)
    assert (few.confidence, few.n_needed) == (None, 154)  # 149 texts, of which 97 in 100 are right
    assert content(10, 10).promise(0.02).n_needed is None


def test_a_part_has_the_numbers_for_its_slider() -> None:
    part = coverage_part(content(300, 30))
    data = json.loads(html.unescape(re.findall(r'data-points="([^"]*)"', part)[0]))
    assert data["n"] == 300
    assert len(data["rows"]) == MAX_POINTS
    confidence, accepted, wrong, bound, x, y = data["rows"][-1]
    assert (confidence, accepted, wrong) == (0.5, 300, 30)
    assert 0.1 < bound < 0.15
    assert 400 < x < 460
    assert 0 < y < 290
    assert "needs about" in part
    assert "too few images" in coverage_part(content(20, 0))
    assert "too many of the most confident texts" in coverage_part(content(20, 20))
