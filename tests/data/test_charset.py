"""The charset: ids there and back, and labels that it does not cover."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrsearch.data.charset import Charset
from ocrsearch.errors import DataError


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
