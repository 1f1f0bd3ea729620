"""Lines of text: what they say, with which font, and how they are drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

from ocrsearch.core.errors import DataError
from ocrsearch.data.samples import SPLITS
from ocrsearch.data.synthesis.recipe import Counts, TextRecipe
from ocrsearch.data.synthesis.text import TextArtist, draw_word, read_fonts

COUNTS = Counts(train=80, val=40, test=40)
STILL: dict[str, Any] = {
    "margin": (0, 0),
    "scale": (1, 1),
    "stretch": (1, 1),
    "stroke": (0, 0),
    "slant": (0, 0),
    "wave": (0, 0),
    "warp": (0, 0),
    "word_space": (0.3, 0.3),
    "word_shift": 0,
    "brightness": (1, 1),
}


def artist(fonts: Path, corpus: Path, **changes: Any) -> TextArtist:
    values = {"counts": COUNTS, "fonts": str(fonts), "corpus": str(corpus), **changes}
    return TextArtist(TextRecipe(**values))


def lines(writer: TextArtist, split: Any) -> list[str]:
    rngs = [writer.recipe.rng_of(split, i) for i in range(COUNTS.of(split))]
    return [writer.choose(split, i, rng)[0] for i, rng in enumerate(rngs)]


def write_corpus(folder: Path, *entries: str) -> Path:
    path = folder / "own.txt"
    path.write_text("\n".join(entries), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"max_entries": 3},
        {"max_entries": 2, "joiners": (" ",), "cases": ("kept", "title", "upper")},
    ],
)
def test_no_line_of_a_split_is_in_another(
    changes: dict[str, Any], fonts: Path, corpus: Path
) -> None:
    writer = artist(fonts, corpus, **changes)

    found = [set(lines(writer, split)) for split in SPLITS]

    assert len(set.union(*found)) == sum(map(len, found))
    assert all(len(part) > 5 for part in found)


def test_a_line_that_joins_to_one_of_another_split_is_not_drawn(
    fonts: Path, tmp_path: Path
) -> None:
    """Of these few words nearly all pairs are entries too."""
    words = [f"{a}{b}" for a in "abc" for b in "de"]
    entries = words + [f"{v} {w}" for v in words for w in words]
    writer = artist(
        fonts, write_corpus(tmp_path, *entries), max_entries=2, joiners=(" ",), max_length=5
    )

    found = [set(lines(writer, split)) for split in SPLITS]

    assert len(set.union(*found)) == sum(map(len, found))


def test_lines_keep_the_limits(fonts: Path, corpus: Path) -> None:
    writer = artist(fonts, corpus, min_length=9, max_length=16, max_entries=4)

    found = lines(writer, "train")

    assert {len(text) for text in found} <= set(range(9, 17))
    assert any(", " in text for text in found)
    assert any(", " not in text for text in found)


def test_train_has_all_symbols(fonts: Path, corpus: Path) -> None:
    writer = artist(fonts, corpus)

    train = set("".join(lines(writer, "train")))

    assert train >= set("".join(lines(writer, "val") + lines(writer, "test")))
    assert train == set("".join(writer.texts["train"]))


@pytest.mark.parametrize("seed", range(8))
def test_the_first_lines_of_train_show_each_joiner(seed: int, fonts: Path, corpus: Path) -> None:
    """Or a later epoch would have symbols that the network cannot write."""
    writer = artist(fonts, corpus, seed=seed, max_entries=2, joiners=(" ", "; ", "-"))

    n_first = len(writer.covering) + 2
    rngs = [writer.recipe.rng_of("train", i) for i in range(n_first)]
    first = [writer.choose("train", i, rng)[0] for i, rng in enumerate(rngs)]

    assert {";", "-"} <= set("".join(first))
    assert not {";", "-"} & set("".join(writer.texts["train"]))


def test_a_joiner_for_which_lines_are_too_short_is_said(fonts: Path, tmp_path: Path) -> None:
    entries = [f"{a}{b}" for a in "abcde" for b in "abcde"]
    changes: dict[str, Any] = {"max_entries": 2, "joiners": ("", "; "), "max_length": 5}
    with pytest.raises(
        DataError, match=r"no line of 1 to 5 characters with the joiner '; '; remove"
    ):
        lines(artist(fonts, write_corpus(tmp_path, *entries), **changes), "train")


def test_font_that_lacks_a_symbol_is_not_used_for_the_line(fonts: Path, tmp_path: Path) -> None:
    entries = [a + b + c for a in "abc" for b in "abc" for c in "abcd"]
    writer = artist(fonts, write_corpus(tmp_path, *entries))

    used: dict[bool, set[str]] = {True: set(), False: set()}
    for i in range(200):
        text, line = writer.choose("train", i, np.random.default_rng(i))
        used["d" in text].add(line.font.path.name)

    assert used == {True: {"Latin.ttf"}, False: {"ABC.ttf", "Latin.ttf"}}
    assert writer.notes == [
        "ABC.ttf lacks d and is not used for the 9 of 36 texts of the corpus with these characters"
    ]


def test_entries_that_no_font_has_are_left_out_and_said(fonts: Path, tmp_path: Path) -> None:
    entries = [f"{a}{b}" for a in "abc" for b in "defghij"]
    writer = artist(fonts, write_corpus(tmp_path, "漢字", *entries))

    assert not any("漢" in text for split in SPLITS for text in writer.texts[split])
    assert any("1 of 22 entries of the corpus are skipped" in note for note in writer.notes)
    assert any(note.startswith("Latin.ttf lacks 字 漢 ") for note in writer.notes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min_length": 30}, "no entry is left for the train split"),
        ({"min_length": 60, "max_entries": 2}, "finds no test line of 60 to 80 characters"),
        ({"counts": Counts(train=2)}, "2 lines of train cannot show all its characters"),
        ({"max_entries": 2, "joiners": ("漢",)}, "no font has the joiners"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    changes: dict[str, Any], message: str, fonts: Path, corpus: Path
) -> None:
    with pytest.raises(DataError, match=message):
        artist(fonts, corpus, **changes)


def test_fonts_must_be_fonts(tmp_path: Path, corpus: Path) -> None:
    with pytest.raises(DataError, match=r"no fonts here \(looked for .otf .ttf\)"):
        artist(tmp_path / "none", corpus)
    (tmp_path / "broken.ttf").write_bytes(b"not a font")
    with pytest.raises(DataError, match=r"broken\.ttf: not a font that can be used"):
        artist(tmp_path / "broken.ttf", corpus)


def draw(writer: TextArtist, text: str, seed: int = 0) -> np.ndarray:
    line = writer.choose("train", 10**6, np.random.default_rng(0))[1]._replace(text=text)
    return writer.draw("train", line, np.random.default_rng(seed))


@pytest.mark.parametrize("height", [16, 48, 128])
def test_ink_is_that_of_the_words(height: int, fonts: Path, corpus: Path) -> None:
    writer = artist(fonts / "Latin.ttf", corpus, height=height, **STILL)

    ink = draw(writer, "ag")

    word = draw_word(fonts / "Latin.ttf", height, "ag")
    assert ink.shape == (height, np.ptp(np.flatnonzero(word.ink.max(0))) + 1)
    rows = np.flatnonzero(ink.max(1) > 0.5)
    assert abs(rows[0] - word.top) <= 1 + height // 40
    assert abs(rows[-1] - (word.top + word.ink.shape[0] - 1)) <= 1 + height // 40


def test_ascender_and_descender_are_the_height_apart(fonts: Path) -> None:
    (font, *_) = [f for f in read_fonts(fonts) if f.path.name == "Latin.ttf"]
    for height in (16, 48, 128):
        word = draw_word(font.path, height, "Áqj")
        assert 0.6 * height <= word.ink.shape[0] <= height + 1
        assert 0 <= word.top < height / 2


@pytest.mark.parametrize(
    ("change", "compare"),
    [
        ({"scale": (0.5, 0.5)}, lambda a, b: b.shape[1] < 0.6 * a.shape[1]),
        ({"stretch": (1.5, 1.5)}, lambda a, b: b.shape[1] > 1.4 * a.shape[1]),
        ({"stroke": (1, 1)}, lambda a, b: b.mean() > 1.1 * a.mean()),
        ({"stroke": (-1, -1)}, lambda a, b: b.mean() < 0.9 * a.mean()),
        ({"slant": (0.5, 0.5)}, lambda a, b: b.shape[1] > a.shape[1] + 5),
        ({"wave": (0.2, 0.2)}, lambda a, b: np.abs(a[:, :80] - b[:, :80]).max() > 0.9),
        ({"warp": (0.05, 0.05)}, lambda a, b: np.abs(a[:, :80] - b[:, :80]).max() > 0.5),
        ({"word_space": (1, 1)}, lambda a, b: b.shape[1] > a.shape[1] + 20),
        ({"margin": (1, 1)}, lambda a, b: b.shape[1] == a.shape[1] + 96),
        ({"brightness": (0.5, 0.5)}, lambda a, b: np.allclose(b, a / 2)),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_each_setting_does_what_it_says(
    change: dict[str, Any], compare: Any, fonts: Path, corpus: Path
) -> None:
    before = draw(artist(fonts / "Latin.ttf", corpus, **STILL), "abc deno")
    after = draw(artist(fonts / "Latin.ttf", corpus, **{**STILL, **change}), "abc deno")

    assert 0 <= after.min() <= after.max() <= 1
    assert compare(before, after)


def write_boxes(path: Path, boxes: dict[str, list[tuple[int, int]]]) -> None:
    """Write a font whose glyphs are boxes from one height to another, in thousandths."""
    names = {symbol: f"u{ord(symbol)}" for symbol in boxes}
    builder = FontBuilder(1000)
    builder.setupGlyphOrder([".notdef", *names.values()])
    builder.setupCharacterMap({ord(symbol): name for symbol, name in names.items()})
    glyphs = {".notdef": TTGlyphPen(None).glyph()}
    for symbol, parts in boxes.items():
        pen = TTGlyphPen(None)
        for low, high in parts:
            for move, at in zip(
                ("moveTo", "lineTo", "lineTo", "lineTo"),
                ((50, low), (50, high), (450, high), (450, low)),
                strict=True,
            ):
                getattr(pen, move)(at)
            pen.closePath()
        glyphs[names[symbol]] = pen.glyph()
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (500, 50)))
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": "Boxes", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)


def test_accents_are_drawn_whatever_the_normal_form(tmp_path: Path) -> None:
    boxes = {" ": [], "e": [(0, 400)], "\u00e9": [(0, 400), (600, 800)]}
    write_boxes(tmp_path / "Boxes.ttf", boxes)
    decomposed = write_corpus(tmp_path, "e\u0301", *("e" * n for n in range(2, 12)))
    writer = artist(tmp_path / "Boxes.ttf", decomposed, height=100, **STILL)

    assert "\u00e9" in writer.texts["train"]
    plain, accented = (draw(writer, text)[:, 20] > 0.5 for text in ("e", "\u00e9"))

    np.testing.assert_array_equal(np.flatnonzero(plain), range(50, 90))
    np.testing.assert_array_equal(np.flatnonzero(accented), [*range(10, 30), *range(50, 90)])


def test_line_too_wide_to_draw_is_told(fonts: Path, tmp_path: Path) -> None:
    entries = [f"{a * 999}{b}" for a in "abc" for b in "abcdefghij"]
    limits = {"height": 128, "max_length": 1000, "stretch": (2, 2)}
    writer = artist(fonts, write_corpus(tmp_path, *entries), **limits)
    _, line = writer.choose("train", 0, np.random.default_rng(0))
    with pytest.raises(DataError, match="reduce max_length or height"):
        writer.draw("train", line, np.random.default_rng(0))


def test_whatever_a_damaged_font_raises_is_told(
    fonts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ocrsearch.data.synthesis.text.TTFont", lambda *_, **__: [][0])
    with pytest.raises(DataError, match="not a font that can be used"):
        read_fonts(fonts)
