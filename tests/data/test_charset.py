"""The charset: ids there and back, and labels that it does not cover."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrsearch.core.errors import DataError
from ocrsearch.data.charset import MAX_SYMBOLS, Bidi, Charset


@given(st.lists(st.text()))
def test_decode_undoes_encode(texts: list[str]) -> None:
    charset = Charset.from_texts(texts)

    assert [charset.decode(charset.encode(text)) for text in texts] == texts


@given(st.lists(st.text(), min_size=1))
def test_order_of_the_texts_does_not_matter(texts: list[str]) -> None:
    assert Charset.from_texts(texts) == Charset.from_texts(reversed(texts))


@pytest.mark.parametrize(
    ("texts", "symbols"),
    [
        ([], ()),
        ([""], ()),
        (["a"], ("a",)),
        (["aaa", "a"], ("a",)),
        (["ba", "Ab"], ("A", "a", "b")),
        (["é", "e\u0301"], ("e", "é", "\u0301")),
        (["a b"], (" ", "a", "b")),
        (["𝄞"], ("𝄞",)),
    ],
)
def test_symbols_are_code_points_in_order(texts: list[str], symbols: tuple[str, ...]) -> None:
    charset = Charset.from_texts(texts)

    assert charset.symbols == symbols
    assert len(charset) == len(symbols)
    assert charset.encode("".join(symbols)) == list(range(len(symbols)))


@pytest.mark.parametrize(
    ("known", "text", "missing"),
    [
        ("", "a", ["a"]),
        ("abc", "", []),
        ("abc", "cab", []),
        ("abc", "zax", ["x", "z"]),
        ("abc", "zz", ["z"]),
        ("e", "é", ["é"]),
    ],
)
def test_missing_symbols_are_listed(known: str, text: str, missing: list[str]) -> None:
    charset = Charset(known)

    assert charset.missing([text]) == missing
    if not missing:
        assert charset.decode(charset.encode(text)) == text
        return
    with pytest.raises(DataError) as caught:
        charset.encode(text)
    assert repr(text) in str(caught.value)
    assert str(missing) in str(caught.value)


def test_symbol_given_twice_is_refused() -> None:
    with pytest.raises(DataError, match="twice"):
        Charset("aba")


def test_equality_is_by_symbols_and_order() -> None:
    assert Charset("ab") == Charset(["a", "b"])
    assert hash(Charset("ab")) == hash(Charset(["a", "b"]))
    assert Charset("ab") != Charset("ba")
    assert Charset("ab") != ("a", "b")


def test_too_many_symbols_are_one_line() -> None:
    texts = [chr(0x20000 + i) for i in range(MAX_SYMBOLS + 1)]
    assert len(Charset.from_texts(texts[1:])) == MAX_SYMBOLS
    with pytest.raises(DataError, match="50,001 different characters, at most 50,000"):
        Charset.from_texts(texts)


@pytest.mark.parametrize(
    "text",
    [
        "x\u0304y\u0304",  # combining marks without a composed form
        "\u0301a",  # a mark without a letter
        "ก\u0e49า",
        "𠀀𠀁😀",
        "👩\u200d🚀",
        "𞤀𞤁𞤂 12",  # right to left, outside the basic plane
        "שָׁלוֹם",
        "مَرحَبًا 𞤀",
    ],
)
@pytest.mark.parametrize("bidi", ["off", "auto-rtl", "auto-ltr", "rtl"])
def test_marks_and_characters_outside_the_basic_plane(text: str, bidi: Bidi) -> None:
    charset = Charset.from_texts([text], bidi)
    assert charset.visual(charset.decode(charset.encode(text))) == charset.visual(text)
    assert Charset.from_content(charset.content()) == charset
