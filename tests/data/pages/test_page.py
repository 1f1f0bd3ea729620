"""Pages set upright: polarity, ink, skew and rules."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ocrsearch.data.pages.ink import Mask, estimate_skew, find_rules, typical_height, upright_page
from ocrsearch.data.samples import GrayImage

PAPER, INK = 235, 40
TEXTS = (
    "reading a page 1987",
    "of several lines",
    "that are level",
    "12 345 6789",
    "the end of it",
)


def page_of_text(height: int = 700, width: int = 600) -> GrayImage:
    page = np.full((height, width), PAPER, np.uint8)
    for i, text in enumerate(TEXTS * 2):
        cv2.putText(page, text, (60, 80 + 62 * i), cv2.FONT_HERSHEY_SIMPLEX, 1.0, INK, 2)
    return page


def turned(page: GrayImage, degrees: float) -> GrayImage:
    """Return a page whose text rises to the right by so much."""
    height, width = page.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    return np.asarray(cv2.warpAffine(page, matrix, (width, height), borderValue=PAPER), np.uint8)


def mask(page: GrayImage) -> Mask:
    return (page < (PAPER + INK) // 2).astype(np.uint8)


# --- skew -------------------------------------------------------------------------------------


@pytest.mark.parametrize("degrees", [-18.0, -9.0, -5.5, -0.7, 0.0, 2.0, 5.5, 12.0, 16.0])
def test_skew_of_text(degrees: float) -> None:
    page = turned(page_of_text(), degrees)
    assert estimate_skew(mask(page)) == pytest.approx(degrees, abs=0.15)
    assert upright_page(page).skew_degrees == pytest.approx(degrees, abs=0.15)


def test_an_upright_page_is_level() -> None:
    page = upright_page(turned(page_of_text(), 4.0))
    assert estimate_skew(page.ink) == pytest.approx(0.0, abs=0.15)


@pytest.mark.parametrize("shape", [(40, 40), (1, 300), (300, 1), (6, 6)])
def test_skew_of_no_ink(shape: tuple[int, int]) -> None:
    assert estimate_skew(np.zeros(shape, np.uint8)) == 0.0


def test_one_word_says_nothing_of_the_skew() -> None:
    page = np.full((400, 400), PAPER, np.uint8)
    cv2.putText(page, "hello", (60, 200), cv2.FONT_HERSHEY_SIMPLEX, 1.0, INK, 2)
    assert estimate_skew(mask(turned(page, 4.0))) == 0.0


def test_points_of_an_upright_page_map_to_the_source() -> None:
    source = page_of_text()
    cv2.circle(source, (500, 640), 9, 0, -1)
    source = turned(source, 3.0)
    page = upright_page(source)
    y, x = np.unravel_index(cv2.GaussianBlur(page.gray, (9, 9), 0).argmin(), page.gray.shape)
    there = page.to_source @ (x, y, 1)
    y, x = np.unravel_index(cv2.GaussianBlur(source, (9, 9), 0).argmin(), source.shape)
    assert there == pytest.approx((x, y), abs=2)


# --- ink --------------------------------------------------------------------------------------


def shares(found: Mask, true: Mask) -> tuple[float, float]:
    """Return how much of the true ink is found, and how much of the found is near true ink."""
    near = cv2.dilate(true, np.ones((5, 5), np.uint8))
    return float(found[true > 0].mean()), float(near[found > 0].mean())


def test_ink_in_uneven_light() -> None:
    page = page_of_text()
    light = np.linspace(0.3, 1.0, page.shape[1]) * np.linspace(1.0, 0.6, page.shape[0])[:, None]
    found = upright_page((page * light).astype(np.uint8)).ink
    assert min(shares(found, mask(page))) > 0.9


def test_light_ink_on_dark_paper() -> None:
    page = page_of_text()
    upright = upright_page(255 - page)
    assert min(shares(upright.ink, mask(page))) > 0.9
    assert np.array_equal(upright.gray, page)
    assert upright.paper.mean() == pytest.approx(PAPER, abs=5)
    assert upright.light.all()
    assert not upright_page(page).light.any()


def test_noise_is_not_ink() -> None:
    rng = np.random.default_rng(0)
    noise = np.clip(rng.normal(200, 10, (500, 400)), 0, 255).astype(np.uint8)
    assert upright_page(noise).ink.mean() < 0.001
    text = np.clip(page_of_text() + rng.normal(0, 10, (700, 600)), 0, 255).astype(np.uint8)
    assert min(shares(upright_page(text).ink, mask(page_of_text()))) > 0.9


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_page_has_no_ink(level: int) -> None:
    page = upright_page(np.full((300, 200), level, np.uint8))
    assert not page.ink.any()
    assert not page.rules.any()


def test_height_of_most_ink() -> None:
    ink = np.zeros((1000, 1000), np.uint8)
    for i in range(10):
        ink[50:80, 60 * i : 60 * i + 20] = 1  # characters 30 px high
        ink[100:103, 60 * i : 60 * i + 3] = 1  # dots
    ink[500, :] = 1  # a rule
    ink[600:900, 600:900] = 1  # a picture
    _, _, stats, _ = cv2.connectedComponentsWithStats(ink)
    assert typical_height(stats) == 30
    _, _, stats, _ = cv2.connectedComponentsWithStats(np.zeros((9, 9), np.uint8))
    assert typical_height(stats) == 6


# --- rules ------------------------------------------------------------------------------------


def test_rules_go_and_strokes_that_cross_them_stay() -> None:
    page = page_of_text()
    text = mask(page)
    for i in range(10):
        y = 88 + 62 * i  # through the descenders
        page[y : y + 2, 20:580] = 90
    upright = upright_page(page)
    found, true = shares(upright.ink, text)
    assert found > 0.9
    assert true > 0.97
    assert upright.rules.sum() > 0.7 * 10 * 2 * 560


def test_no_rules_in_text() -> None:
    ink = mask(page_of_text())
    assert not find_rules(ink, ink).any()


def test_frames_of_fields_are_rules() -> None:
    page = page_of_text()
    page[:] = PAPER
    for i in range(6):
        cv2.putText(page, "4711", (80, 84 + 100 * i), cv2.FONT_HERSHEY_SIMPLEX, 1.0, INK, 2)
        cv2.rectangle(page, (60, 50 + 100 * i), (400, 95 + 100 * i), 80, 2)
    text = page_of_text()
    text[:] = PAPER
    for i in range(6):
        cv2.putText(text, "4711", (80, 84 + 100 * i), cv2.FONT_HERSHEY_SIMPLEX, 1.0, INK, 2)
    found, true = shares(upright_page(page).ink, mask(text))
    assert found > 0.95
    assert true > 0.95
