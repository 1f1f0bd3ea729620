"""Right-to-left text: to visual order and back, marks and brackets, lines of both directions."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from bidi import get_display
from hypothesis import assume, given
from hypothesis import strategies as st

from ocrsearch.data.charset import (
    Bidi,
    has_rtl,
    is_mixed,
    remove_controls,
    resolve_bidi,
    to_logical,
    to_visual,
)
from ocrsearch.data.samples import Sample, without_controls

HEBREW = st.text("אבגדהושםץ", min_size=1, max_size=5)
POINTED = st.lists(st.sampled_from(["שָׁ", "לוֹ", "ם", "בְּ", "א"]), min_size=1, max_size=3).map("".join)
ARABIC = st.text("ابتمدهلي\u200c", min_size=1, max_size=5).map(lambda t: f"ا{t}ب")
MARKED = st.lists(st.sampled_from(["مَ", "رْ", "بًّ", "ا"]), min_size=1, max_size=3).map("".join)
NUMBERS = st.sampled_from(["7", "12.5", "1,000", "7-8", "5%", "$9", "12:30", "1/2"])
ARABIC_NUMBERS = st.sampled_from(["١٢", "٣٫٥", "٧-٨", "٥٪", "۱۲", "۳/۴"])
BRACKETS = st.sampled_from(["{}", "({})", "[{}]", "«{}»", '"{}"', "{}.", "{}!", "{}:"])


def lines(*words: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Lines of words, some of them in brackets or with punctuation."""
    word = st.builds(str.format, BRACKETS, st.one_of(words)) | st.one_of(words)
    texts = st.lists(word, min_size=1, max_size=5).map(" ".join)
    return texts.map(lambda text: unicodedata.normalize("NFC", text))


@pytest.mark.parametrize(
    ("logical", "visual"),
    [
        ("", ""),
        ("abc 12.5 (x)", "abc 12.5 (x)"),
        ("שלום", "םולש"),
        ("שלום 123", "123 םולש"),
        ("123 שלום", "םולש 123"),
        ("שלום, עולם!", "!םלוע ,םולש"),
        ("שלום (abc) 12.5", "12.5 (abc) םולש"),
        ("א(ב)ג", "ג(ב)א"),
        ("מחיר [12-13] ב", "ב [12-13] ריחמ"),
        ("abc שלום 12", "abc 12 םולש"),
        ("שָׁלוֹם", "םוֹלשָׁ"),
        ("(שָׁ)", "(שָׁ)"),
        ("العدد ١٢٣", "١٢٣ ددعلا"),
        ("العدد 7-8", "8-7 ددعلا"),
        ("مَرْحَبًا", "ابًحَرْمَ"),
        ("می‌خواهم", "مهاوخ‌یم"),
        ("۱۲ می", "یم ۱۲"),
        ("ܫܠܡ", "ܡܠܫ"),
        ("ދިވެހި", "ހިވެދި"),
    ],
)
def test_visual_order_and_back(logical: str, visual: str) -> None:
    logical, visual = (unicodedata.normalize("NFC", text) for text in (logical, visual))

    assert to_visual(logical, "auto-rtl") == visual
    assert to_logical(visual, "auto-rtl").text == logical or is_mixed(logical)
    assert to_visual(to_logical(visual, "auto-rtl").text, "auto-rtl") == visual


@given(lines(HEBREW, POINTED, NUMBERS), st.sampled_from(["auto-rtl", "rtl"]))
def test_hebrew_lines_come_back(text: str, bidi: Bidi) -> None:
    assert to_logical(to_visual(text, bidi), bidi).text == text


@given(lines(ARABIC, MARKED, NUMBERS, ARABIC_NUMBERS), st.sampled_from(["auto-rtl", "rtl"]))
def test_arabic_lines_come_back(text: str, bidi: Bidi) -> None:
    assume(bidi == "rtl" or any(unicodedata.bidirectional(c) == "AL" for c in text))
    assert to_logical(to_visual(text, bidi), bidi).text == text


@given(lines(HEBREW, st.just("word"), st.just("A")), st.sampled_from(["auto-rtl", "auto-ltr"]))
def test_what_is_read_looks_like_the_picture(text: str, bidi: Bidi) -> None:
    visual = to_visual(text, bidi)

    assert to_visual(to_logical(visual, bidi).text, bidi) == visual


@given(
    st.text("אבש١٢12.,-()[] abם\u05b8", max_size=12), st.sampled_from(["rtl", "ltr", "auto-rtl"])
)
def test_each_symbol_is_kept_once(text: str, bidi: Bidi) -> None:
    read = to_logical(text, bidi)

    assert sorted(read.order) == list(range(len(text)))
    for character, i in zip(read.text, read.order, strict=True):
        assert character == text[i] or unicodedata.mirrored(character)


@given(lines(HEBREW, ARABIC, NUMBERS, st.just("word")))
def test_the_order_is_that_of_the_library(text: str) -> None:
    assume(not any(unicodedata.mirrored(c) for c in text))

    assert to_visual(text, "auto-rtl") == get_display(text)
    assert to_visual(text, "rtl") == get_display(text, base_dir="R")


def test_marks_stay_behind_their_letter() -> None:
    visual = to_visual("מַיִם", "auto-rtl")

    assert [unicodedata.category(c) for c in visual] == ["Lo", "Lo", "Mn", "Lo", "Mn"]


def test_the_order_says_where_each_symbol_was_read() -> None:
    read = to_logical("12 בא", "auto-rtl")

    assert read.text == "אב 12"
    assert list(read.order) == [4, 3, 2, 0, 1]


@pytest.mark.parametrize(
    "text", ["Level(7)", 'א levels: [ "Level(\n 9)" ]', "א\\nב", "א\tב", "א\u2029ב"]
)
def test_texts_that_look_like_the_librarys_own(text: str) -> None:
    assert sorted(to_visual(text, "ltr")) == sorted(text)
    assert to_visual(text, "auto-rtl").count("א") == text.count("א")


def test_a_line_that_is_ambiguous_is_read_as_most_lines_are() -> None:
    assert to_logical("abc בא", "auto-rtl").text == "אב abc"
    assert to_logical("abc בא", "auto-ltr").text == "abc אב"
    assert to_logical("abc בא", "rtl").text == "אב abc"


def test_a_base_direction_holds_for_all_lines() -> None:
    assert to_visual("iPhone הוא", "auto-rtl") == "iPhone אוה"
    assert to_visual("iPhone הוא", "rtl") == "אוה iPhone"
    assert to_visual("abc.", "rtl") == ".abc"
    assert to_visual("שלום abc", "ltr") == "םולש abc"
    assert to_visual("שלום", "off") == "שלום"


@pytest.mark.parametrize(
    ("setting", "texts", "bidi"),
    [
        ("auto", [], "off"),
        ("auto", ["abc", "12"], "off"),
        ("rtl", ["abc"], "off"),
        ("off", ["שלום"], "off"),
        ("auto", ["abc", "שלום"], "auto-rtl"),
        ("auto", ["word שלום", "other", "x ש", "ש"], "auto-ltr"),
        ("auto", ["١٢"], "auto-ltr"),
        ("rtl", ["word שלום"], "rtl"),
        ("ltr", ["שלום"], "ltr"),
    ],
)
def test_what_a_setting_means_for_some_labels(setting: str, texts: list[str], bidi: Bidi) -> None:
    assert resolve_bidi(setting, texts) == bidi


def test_direction_marks_are_heeded_and_removed() -> None:
    assert remove_controls("\u200fשלום\u200f", "auto-rtl") == "שלום"
    assert remove_controls("abc\u200e", "off") == "abc"
    marked = "אב \u202dגד\u202c"  # shown from left to right, against their own direction
    assert to_visual(remove_controls(marked, "auto-rtl"), "auto-rtl") == "גד בא"


@pytest.mark.parametrize(
    ("text", "rtl", "mixed"),
    [
        ("", False, False),
        ("é", False, False),
        ("ש", True, False),
        ("ش 12", True, False),
        ("١", True, False),
        ("a ש", True, True),
    ],
)
def test_kinds_of_texts(text: str, *, rtl: bool, mixed: bool) -> None:
    assert (has_rtl(text), is_mixed(text)) == (rtl, mixed)


def test_labels_that_are_no_text_are_left_as_they_are() -> None:
    texts = ["\u05d0\udcff\u200f", "\u05d0\u05d1\u200f", "ab"]
    samples = [Sample(f"{i}", Path("x.png"), text) for i, text in enumerate(texts)]
    found = [sample.text for sample in without_controls(samples, "auto")]
    assert found == [texts[0], "\u05d0\u05d1", "ab"]
