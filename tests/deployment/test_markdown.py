"""Texts that are not trusted stay texts in Markdown and YAML."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from ocrsearch.core import printable
from ocrsearch.deployment.markdown import (
    MAX_CHARACTERS,
    MAX_TEXT,
    characters,
    code,
    code_block,
    table,
    yaml_header,
)

HOSTILE = (
    *("`", "``", "` `", "```\n# heading\n```", "|", "\\", "<script>alert(1)</script>", "&lt;"),
    *("[a](http://b)", "![a](b)", "---", "# a", "a\r\n\r\nb", "\x1b[31m", "\u202eabc", "\ud800"),
    *("", " ", " a ", "`a", "a`", "a" * 5000, "`" * 5000, "${{ a }}", "www.example.org"),
)


def parsed(text: str) -> list[Token]:
    """Return all tokens of Markdown, those of lines too."""
    blocks = MarkdownIt("commonmark").enable("table").parse(text)
    return [token for block in blocks for token in (block, *(block.children or ()))]


@pytest.mark.parametrize("text", HOSTILE)
def test_code_stays_in_its_line(text: str) -> None:
    tokens = parsed(f"- before {code(text)} after\n- next")
    kinds = [token.type for token in tokens if token.type.endswith(("code_inline", "text"))]
    assert kinds == ["text", "code_inline", "text", "text"]


@given(st.text())
@example("``` ` ```")
def test_code_shows_the_text(text: str) -> None:
    (span,) = [token for token in parsed(f"a {code(text)} b") if token.type == "code_inline"]
    words = " ".join(text.split())
    if words.isprintable() and 0 < len(words) <= MAX_TEXT:
        assert span.content == words
    assert len(span.content) < 12 * MAX_TEXT
    assert span.content == printable(span.content)


@pytest.mark.parametrize("text", HOSTILE)
def test_code_blocks_end_where_they_should(text: str) -> None:
    tokens = parsed(f"{code_block(text)}\n\nafter")
    kinds = [token.type for token in tokens if token.nesting >= 0]
    assert kinds == ["fence", "paragraph_open", "inline", "text"]


@given(st.lists(st.characters(exclude_categories=["Cs"]), unique=True, max_size=80))
def test_characters_are_all_listed(symbols: list[str]) -> None:
    (fence,) = parsed(characters(symbols))
    assert fence.type == "fence"
    shown = fence.content.split()
    assert len(shown) == len(symbols)
    pairs = zip(shown, symbols, strict=True)
    assert all(a in (b, f"U+{ord(b):04X}") for a, b in pairs)


def test_characters_that_cannot_be_seen_have_their_code() -> None:
    text = characters(list("a \u0301\u202e\n`"))
    assert text == "```\na U+0020 U+0301 U+202E U+000A `\n```"


def test_long_lists_are_cut() -> None:
    text = characters([chr(0x4E00 + i) for i in range(MAX_CHARACTERS + 1234)])
    assert text.endswith("and 1,234 more.")


def test_tables() -> None:
    kinds = [token.type for token in parsed(table(("a", "b"), [("1", "2"), ("3", "4")]))]
    assert kinds.count("tr_open") == 3


VALUES: Any = st.recursive(
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp"]), max_size=MAX_TEXT)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["a", "b-c", "d_e"]), inner),
)


@given(st.dictionaries(st.sampled_from(["name", "model-index"]), VALUES, min_size=1))
@example({"name": "no"})
@example({"name": "1e3"})
@example({"name": "- a: b # c"})
def test_the_header_is_read_as_it_was_meant(content: dict[str, Any]) -> None:
    text = yaml_header(content)
    assert text.isascii()
    begin, body, end = text.split("---\n") if text.count("---\n") == 2 else ("x", "", "")
    assert (begin, end) == ("", "")
    assert yaml.safe_load(body) == content


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_do_not_leave_their_line(text: str) -> None:
    lines = yaml_header({"name": text, "next": 1}).splitlines()
    assert len(lines) == 4
    assert lines[1].startswith('name: "')
    assert lines[2:] == ["next: 1", "---"]
