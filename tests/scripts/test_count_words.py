"""The script that counts words: its rules on small samples, and where it finds prose."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest
import typer

from tests.conftest import load_script

SAMPLE = '''"""Seeds of one run: what is trained.

Args:
    not_here: Above the section.
"""

LIMIT = 3
"""One that stands below a constant."""


def draw(seed: int, size: int) -> None:
    """Draw ``what`` it is told.

    Args:
        seed: of the weights,
            of all of them.
        size (int): Number of lines.

    Returns:
        other: of nothing.
    """
    # what a comment says is not counted
    names = {"what one": 1}
    echo(f"{size} lines: {names['what one']} if one")
    raise DrawError(f"seed: what was found: {seed}" + " of that")
'''


@pytest.fixture(scope="module")
def counter() -> ModuleType:
    return load_script("count_words")


@pytest.mark.parametrize(
    ("sentence", "what", "one"),
    [
        ("", 0, 0),
        ("Choose the next configuration to train.", 0, 0),
        ("What is trained next.", 1, 0),
        ("What is trained next?", 0, 0),
        ("Return what was read and whatever follows.", 2, 0),
        ("The message says what to do.", 0, 0),
        ("Print one line.", 0, 0),
        ("One that cannot be read is told.", 0, 1),
        ("The best one.", 0, 1),
        ("If there is one, use it.", 0, 1),
        ("New ones are drawn.", 0, 1),
        ("One trained before is kept.", 0, 1),
        ("One of five, one or more, at least one.", 0, 0),
        ("They are read one by one.", 0, 0),
        ("Take one `trial` or one string.", 0, 0),
    ],
)
def test_relative_what_and_pronoun_one(
    counter: ModuleType, sentence: str, what: int, one: int
) -> None:
    counts = counter.count_terms(sentence)
    assert (counts["what"], counts["one"]) == (what, one)


def test_words_and_plain_terms(counter: ModuleType) -> None:
    counts = counter.count_terms("If that is one of 12 lines of that file, ` ...")
    assert counts == {"words": 9, "of": 2, "that": 2, "if": 1}


def test_sentences_end_at_stops_cells_and_empty_lines(counter: ModuleType) -> None:
    text = "One. Two? (Three!) Four\nfive\n\nsix | seven"
    assert counter.sentences(text) == ["One.", "Two?", "(Three!", "Four five", "six", "seven"]


def test_descriptions_of_arguments(counter: ModuleType) -> None:
    docstring = "T.\n\n  Attributes:\n      a: of x.\n        b: no.\n  Returns:\n      c: of y."
    assert counter.argument_descriptions(docstring) == ("of x.",)
    assert counter.argument_descriptions("Without any.") == ()


def test_prose_of_a_python_file(counter: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "ocrsearch" / "data").mkdir(parents=True)
    path = tmp_path / "ocrsearch" / "data" / "draw.py"
    path.write_text(SAMPLE, encoding="utf-8")
    passages = list(counter.read_passages(path, tmp_path))
    assert {passage.package for passage in passages} == {"data"}
    assert [passage.place.rpartition(":")[2] for passage in passages] == [
        *("1", "8", "12", "24", "25", "25"),
    ]
    table = counter.tabulate(passages)
    assert table["data"] == table["all"]
    assert (table["all"]["args"], table["all"]["args of"]) == (3, 1)
    sentences = counter.worst_sentences(passages, "what", 5)
    assert [text for _, _, text in sentences] == [
        "seed: what was found: `",
        "Seeds of one run: what is trained.",
    ]
    assert counter.worst_sentences(passages, "args", 5)[0][2] == "of the weights,"


def test_prose_of_markdown(counter: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "note.md"
    path.write_text("# What\n\n```\nwhat\n```\n\n`what` [that](what.md)\n", encoding="utf-8")
    passages = list(counter.read_passages(path, tmp_path))
    row = counter.tabulate(passages)["docs"]
    assert row["words"] == 2
    assert [(p.package, p.place) for p in passages] == [
        ("docs", "note.md:1"),
        ("docs", "note.md:7"),
    ]


def test_table_json_and_worst_sentences(
    counter: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.md").write_text("What is trained next.", encoding="utf-8")
    counter.main(["a.md", "missing"], tmp_path, as_json=True, show="", n=1)
    figures = json.loads(capsys.readouterr().out)
    assert figures["docs"] == figures["all"]
    assert figures["all"]["words"] == 4
    assert figures["all"]["what"] == 250
    counter.main(["a.md"], tmp_path, as_json=False, show="", n=1)
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == ["words", "docs", "all"]
    counter.main(["a.md"], tmp_path, as_json=False, show="what", n=1)
    assert capsys.readouterr().out == "1 a.md:1: What is trained next.\n"
    with pytest.raises(typer.BadParameter, match="found who"):
        counter.main(["a.md"], tmp_path, as_json=False, show="who", n=1)


def test_no_files_give_zeros(counter: ModuleType) -> None:
    assert counter.tabulate([]) == {}
