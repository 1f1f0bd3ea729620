"""The page of an evaluation: what it says, that nothing in it is run, and how it looks."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrsearch.data.samples import LabelledImages, PackedImages
from ocrsearch.evaluation.metrics import (
    bootstrap_intervals,
    build_confusion_matrix,
    compute_metrics,
    count_confusions,
)
from ocrsearch.inference.predictor import (
    Evaluation,
    Prediction,
    Predictor,
)
from ocrsearch.reports.evaluation import (
    MAX_ERRORS,
    MAX_RIGHT_MAPS,
    MAX_WRONG_MAPS,
    Subject,
    evaluation_page,
)
from ocrsearch.reports.html import png_url, save_page
from ocrsearch.reports.texts import marked
from ocrsearch.training.provenance import Provenance
from ocrsearch.training.records import EpochRecord, Epochs
from tests.conftest import draw_text

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

    from ocrsearch.training.model_file import Bundle

MakeBundle = Callable[..., "Bundle"]

EVIL = "<script>alert(1)</script>"
SUBJECT = Subject("model.pt", "captcha:numbers", "test", "greedy decoding", 0, [])
EPOCHS = [
    EpochRecord(epoch=i, cer=1 / i, train_loss=2 / i, val_loss=3 / i, exact=0.5) for i in (1, 2, 3)
]
ENDS = ("\u0129", "a\u0301\u0323", "\u05d0\u05d1", "\U0001f600")


def data_of(texts: list[str]) -> LabelledImages:
    names = [f"{i}.png" for i in range(len(texts))]
    return LabelledImages(names, texts, PackedImages.pack([draw_text("1") for _ in texts]))


def evaluated(
    data: LabelledImages, texts: list[str], *, single: bool = False, confidence: float = 0.5
) -> Evaluation:
    """Return the evaluation of readings that are made up."""
    return Evaluation(
        compute_metrics(data.texts, texts),
        bootstrap_intervals(data.texts, texts),
        count_confusions(data.texts, texts),
        build_confusion_matrix(data.texts, texts) if single else None,
        data.names,
        data.texts,
        [Prediction(text, confidence, (confidence,) * len(text)) for text in texts],
    )


def page_of(
    bundle: Bundle,
    pairs: list[tuple[str, str]],
    subject: Subject = SUBJECT,
    *,
    single: bool = False,
) -> str:
    data = data_of([reference for reference, _ in pairs])
    evaluation = evaluated(data, [read for _, read in pairs], single=single)
    return without_plotly(evaluation_page(subject, bundle, data, evaluation))


def without_plotly(page: str) -> str:
    """Return a page without the library, whose first script it is."""
    start, end = page.index("<script>"), page.index("</script>")
    return page[:start] + page[end:]


# --- its parts --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("", "", ("", "")),
        ("ab", "ab", ("ab", "ab")),
        ("ab", "xb", ("<mark>a</mark>b", "<mark>x</mark>b")),
        ("ab", "", ("<mark>ab</mark>", "")),
        ("a", "ab", ("a", "a<mark>b</mark>")),
        ("a<b", "a&b", ("a<mark>&lt;</mark>b", "a<mark>&amp;</mark>b")),
    ],
)
def test_marks(reference: str, hypothesis: str, expected: tuple[str, str]) -> None:
    assert marked(reference, hypothesis) == expected


@given(st.text("ab<&'", max_size=8), st.text("ab<&'", max_size=8))
def test_marks_leave_the_texts_as_they_are(reference: str, hypothesis: str) -> None:
    for found, text in zip(marked(reference, hypothesis), (reference, hypothesis), strict=True):
        assert html.unescape(re.sub(r"</?mark>", "", found)) == text
        assert ("<mark>" in found) <= (reference != hypothesis)


@pytest.mark.parametrize("shape", [(1, 1), (20, 33), (64, 400)])
def test_pictures_come_back(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    head, _, encoded = png_url(image).partition(",")
    assert head == "data:image/png;base64"
    decoded = cv2.imdecode(np.frombuffer(base64.b64decode(encoded), np.uint8), -1)
    np.testing.assert_array_equal(decoded, image)


# --- the page ---------------------------------------------------------------------------------


def test_page_shows_figures_with_intervals(make_bundle: MakeBundle) -> None:
    page = page_of(make_bundle(), [("12", "12"), ("34", "35"), ("56", "56"), ("78", "78")])
    for figure in ("75.00 %", "12.50 %", "25.00 %"):
        assert f"<b>{figure}</b>" in page
    assert page.count("95 % interval") == 4
    assert "the test split of captcha:numbers: 4 images, greedy decoding" in page
    assert "Most frequent confusions" in page


def test_page_of_single_symbols_has_the_matrix_and_the_report(make_bundle: MakeBundle) -> None:
    page = page_of(make_bundle("classifier"), [("1", "1"), ("7", "1")], single=True)
    assert "Confusion matrix" in page
    assert "Most frequent confusions" not in page
    assert "precision" in page
    assert "macro avg" in page


def test_many_symbols_have_a_report_and_no_matrix(make_bundle: MakeBundle) -> None:
    symbols = [chr(0x4E00 + i) for i in range(50)]
    pairs = list(zip(symbols, [*symbols[:-1], symbols[0]], strict=True))
    page = page_of(make_bundle("classifier"), pairs, single=True)
    assert "Confusion matrix" not in page
    assert "Most frequent confusions" in page
    assert "macro avg" in page


def test_worst_errors_come_first(make_bundle: MakeBundle) -> None:
    pairs = [("1234", "1235"), ("12", "12"), ("1234", ""), ("1234", "9")]
    data = data_of([reference for reference, _ in pairs])
    evaluation = evaluated(data, [read for _, read in pairs])
    sure = replace(evaluation.predictions[3], confidence=0.9)
    evaluation.predictions[3] = sure
    assert evaluation.worst() == [3, 2, 0]
    page = without_plotly(evaluation_page(SUBJECT, make_bundle(), data, evaluation))
    assert re.findall(r"confidence [\d.]+, (\d\.png)", page) == ["3.png", "2.png", "0.png"]
    assert "(nothing)" in page


@pytest.mark.parametrize(("n", "shown"), [(1, 1), (MAX_ERRORS, MAX_ERRORS), (80, MAX_ERRORS)])
def test_only_so_many_errors_are_shown(make_bundle: MakeBundle, n: int, shown: int) -> None:
    page = page_of(make_bundle(), [("1", "2")] * n)
    assert page.count("<img ") == shown
    assert f"{n} image{'s' * (n != 1)} with errors" in page


def test_page_without_errors(make_bundle: MakeBundle) -> None:
    for single in (True, False):
        page = page_of(make_bundle(), [("1", "1")], single=single)
        assert "All images were recognised correctly." in page
        assert "<img " not in page


@pytest.mark.parametrize("epochs", [None, [], EPOCHS])
def test_learning_curves_where_the_model_has_them(
    make_bundle: MakeBundle, epochs: Epochs | None
) -> None:
    bundle = make_bundle()
    changes = {} if epochs is None else {"epochs": epochs}
    provenance = bundle.provenance.model_copy(update=changes)
    page = page_of(replace(bundle, provenance=provenance), [("12", "13")])
    assert ("Learning curves" in page) == bool(epochs)


def test_page_tells_what_was_left_out_and_is_not_known(make_bundle: MakeBundle) -> None:
    subject = replace(SUBJECT, n_bad=3, unknown_symbols=["x", "<"], split="all")
    page = page_of(make_bundle(), [("12", "12")], subject)
    assert "3 skipped as unusable" in page
    assert "charset count as errors: x &lt;<" in page


def test_every_text_is_escaped(make_bundle: MakeBundle) -> None:
    bundle = make_bundle()
    charset = type(bundle.charset)(EVIL[:3])
    provenance = Provenance.from_plain({"study": EVIL, "params": {EVIL: EVIL}, EVIL: 1})
    evil = replace(bundle, charset=charset, provenance=provenance, metrics={EVIL: 1.0})
    subject = Subject(EVIL, EVIL, EVIL, EVIL, 1, [EVIL])
    data = data_of([EVIL, "<"])
    data = replace(data, names=[EVIL, f"'{EVIL}"])
    for texts in ([f"{EVIL}2", "&"], ["", ">"]):
        for single in (True, False):
            evaluation = evaluated(data, texts, single=single)
            page = without_plotly(evaluation_page(subject, evil, data, evaluation))
            assert EVIL not in page
            assert html.escape(EVIL) in page
            assert not re.findall(r"alt='[^']*'[^ ]", page)


@pytest.mark.parametrize("attention", ["additive", "location_aware"])
def test_attention_of_errors_and_of_what_was_read_right(
    make_bundle: MakeBundle, attention: str
) -> None:
    wrong, right = [("12", "1")] * 3 + [("1", "")], [("34", "34")] * 6
    page = page_of(make_bundle("seq2seq", attention), [*right, *wrong])
    assert "<h2>Attention</h2>" in page
    assert page.count("map'><svg ") == len(wrong) + MAX_RIGHT_MAPS
    names = re.findall(r"map'><svg.*?confidence [\d.]+, (\d)\.png", page)
    assert names[-MAX_RIGHT_MAPS:] == list("0123")
    assert set(names[:-MAX_RIGHT_MAPS]) == set("6789")
    urls = re.findall(r"href='([^']*)'", page)
    assert len(urls) == 2 * len(names)
    assert all(url.startswith("data:image/png;") for url in urls)


def test_only_so_many_maps_are_shown(make_bundle: MakeBundle) -> None:
    page = page_of(make_bundle("seq2seq"), [("12", "1")] * 20)
    assert page.count("map'><svg ") == MAX_WRONG_MAPS


@pytest.mark.parametrize("kind", ["crnn", "classifier", "none"])
def test_no_maps_without_attention(make_bundle: MakeBundle, kind: str) -> None:
    bundle = make_bundle("seq2seq", "none") if kind == "none" else make_bundle(kind)
    assert "Attention" not in page_of(bundle, [("1", "2")], single=kind == "classifier")


def test_page_needs_no_network(make_bundle: MakeBundle) -> None:
    page = page_of(make_bundle(), [("12", "13")])
    assert not re.findall(r"<(?:script|link|iframe)[^>]*(?:src|href)\s*=", page)
    assert all(url.startswith("data:image/png;") for url in re.findall(r"src='([^']*)'", page))


def test_a_name_that_is_no_text_can_be_written(make_bundle: MakeBundle, tmp_path: Path) -> None:
    data = replace(data_of(["1"]), names=["\udcff.png"])
    page = evaluation_page(SUBJECT, make_bundle(), data, evaluated(data, ["2"]))
    save_page(page, tmp_path / "new" / "page.html")
    assert "\\udcff.png" in (tmp_path / "new" / "page.html").read_text(encoding="utf-8")


# --- in a browser -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["lines", "symbols", "attention"])
def test_page_in_a_browser(
    make_bundle: MakeBundle, browser: Chrome, tmp_path: Path, kind: str
) -> None:
    architectures = {"lines": "crnn", "symbols": "classifier", "attention": "seq2seq"}
    bundle = make_bundle(architectures[kind])
    bundle = replace(bundle, provenance=bundle.provenance.model_copy(update={"epochs": EPOCHS}))
    texts = [str(i % 10) if kind == "symbols" else str(i) for i in range(10, 50)]
    texts += [] if kind == "symbols" else ["W" * 300, *ENDS]
    pictures = [draw_text(text) for text in texts]
    data = LabelledImages([f"{t}.png" for t in texts], texts, PackedImages.pack(pictures))
    evaluation = Predictor(bundle, "cpu").evaluate(data)
    assert evaluation.worst()
    save_page(evaluation_page(SUBJECT, bundle, data, evaluation), tmp_path / "page.html")

    def ask(script: str) -> Any:
        return browser.execute_script(f"return {script}")

    for width in (1400, 390):
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        browser.get((tmp_path / "page.html").as_uri())
        assert "model.pt" in browser.title
        pictures_shown = ask("[...document.images].map(i => i.complete && i.naturalWidth > 0)")
        assert pictures_shown == [True] * len(evaluation.worst())
        drawn = ask("[...document.querySelectorAll('.main-svg')].map(d => d.clientHeight)")
        assert len(drawn) >= 5
        assert min(drawn) > 200
        sizes = ask("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert sizes[0] <= sizes[1], width
    assert browser.get_log("browser") == []
