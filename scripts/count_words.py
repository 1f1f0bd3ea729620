"""Count words that make prose hard to read, in docstrings, messages, help texts and Markdown.

A passage is a docstring, a string in a message (an argument of an exception, ``echo``, a logger or
an observer's ``note``), a help text (``help=``, ``description=``, ``epilog=``) or a paragraph of a
Markdown file. Code in passages is not counted: fenced blocks, doctests, text in backticks and the
fields of f-strings. A code span still stands for a noun.

Counted per 1,000 words:

- ``what``: "what" or "whatever", unless its sentence ends with a question mark or "to" follows
  ("what to do").
- ``one``: "one" or "ones" in place of a noun. "one" is a pronoun if a function word (``FUNCTION``),
  a participle or the end of a clause follows. It is a number before any other word ("one line"),
  before "of", "or" and "by" ("one of five", "one or more", "one by one"), and after a word of
  counting (``COUNTING``: "at least one").
- ``of``, ``that``, ``if``: every occurrence.

``args of`` is the number of descriptions in ``Args:`` and ``Attributes:`` that begin with "of",
out of ``args``.

Usage: python scripts/count_words.py [FILE_OR_FOLDER ...] [--json] [--show what]
"""

from __future__ import annotations

import ast
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).resolve().parents[1]
DEFAULT = ("ocrsearch", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs")

TERMS = ("what", "one", "of", "that", "if")
MESSAGE_CALLS = ("echo", "secho", "note", "debug", "info", "warning", "error", "exception")
MESSAGE_ENDINGS = ("Error", "Refused", "error_class", "error_line", "_problem", "_fail")
HELP_KEYWORDS = ("help", "short_help", "epilog", "description")

CODE = "`"
"""Placeholder for code in a passage: not a word, but a noun for the rule about "one"."""

FUNCTION_WORDS = """
a about after again alone also although an and any are as at be because been before being below
beside beyond but can cannot could did do does during each either else even ever every except
first for from goes had has have he her here him his how if in instead into is it its itself
like lost made many may might more most must neither never no nor not on only otherwise ought
over per rather read said seen she should since so soon stands still than that the their them
then there these they this those though through till to together told too under unless until up
upon used very was we were when where whether which while who whom whose will with within
without would written yet you
"""
FUNCTION = frozenset(FUNCTION_WORDS.split())
"""Words that can follow the pronoun "one", but cannot begin a counted noun phrase."""

COUNTING = frozenset(("least", "most", "than", "exactly", "only", "just", "by"))
"""Words after which "one" is a number."""

NOT_PARTICIPLES = frozenset(("string", "setting", "thing", "drawing", "training", "speed", "seed"))

TOKEN = re.compile(r"[A-Za-z]+(?:['’][a-z]+)?|[`.,;:!?()|/-]")
ARGUMENT = re.compile(r" *\*{0,2}\w+(?: \([^)]*\))?: *(.*)")


@dataclass(frozen=True)
class Passage:
    """A piece of prose.

    Attributes:
        package: Package of the file, or "docs" for Markdown.
        place: File and line.
        text: The prose, with ``CODE`` in place of code.
        args: Descriptions of arguments, if the passage is a docstring.
    """

    package: str
    place: str
    text: str
    args: tuple[str, ...] = ()


def count_terms(sentence: str) -> Counter[str]:
    """Return how often each term occurs in a sentence, and the number of its ``words``."""
    words = [word.lower() for word in TOKEN.findall(sentence)]
    counts = Counter(words=sum(word[0].isalpha() for word in words))
    counts.update(word for word in words if word in ("of", "that", "if"))
    is_question = sentence.rstrip("\"') ").endswith("?")
    for before, word, after in zip(["", *words], words, [*words[1:], "."], strict=False):
        if word in ("what", "whatever") and not is_question and after != "to":
            counts["what"] += 1
        if word == "ones" or (word == "one" and _is_pronoun(before, after)):
            counts["one"] += 1
    return counts


def _is_pronoun(before: str, after: str) -> bool:
    """Whether "one" between these words is a pronoun."""
    if after in ("of", "or", "by", CODE, "-", "/") or before in COUNTING or before == "-":
        return False
    if not after[0].isalpha() or after in FUNCTION:
        return True
    return re.fullmatch(r"\w{2,}(ed|ing)", after) is not None and after not in NOT_PARTICIPLES


def sentences(text: str) -> list[str]:
    """Split prose at full stops, question and exclamation marks, empty lines and table cells."""
    parts = re.split(r"(?<=[.!?])[\"')]?\s+|\n\s*\n|\n\s*[-*] |\s\|\s", text)
    return [" ".join(part.split()) for part in parts if part.strip()]


def read_passages(path: Path, root: Path = ROOT) -> Iterator[Passage]:
    """Return the passages of a Python or Markdown file."""
    inside = path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        yield from _markdown_passages(text, str(inside))
    else:
        parts = inside.parts
        package = parts[1] if len(parts) > 2 and parts[0] == "ocrsearch" else parts[0]
        yield from _python_passages(ast.parse(text), package, str(inside))


def _markdown_passages(text: str, name: str) -> Iterator[Passage]:
    blank = re.sub(r"^```.*?^```", lambda m: "\n" * m[0].count("\n"), text, flags=re.S | re.M)
    line = 1
    for paragraph in re.split(r"(\n\s*\n)", blank):
        if paragraph.strip():
            yield Passage("docs", f"{name}:{line}", _without_code(paragraph))
        line += paragraph.count("\n")


def _python_passages(tree: ast.Module, package: str, name: str) -> Iterator[Passage]:
    raised = {id(node.exc) for node in ast.walk(tree) if isinstance(node, ast.Raise)}
    seen: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            found = [node.value]
        elif isinstance(node, ast.Call):
            found = _prose_arguments(node, is_message=id(node) in raised or _is_message(node))
        else:
            continue
        for literal in found:
            text = _literal_text(literal)
            if text is not None and id(literal) not in seen:
                seen.add(id(literal))
                args = argument_descriptions(text) if isinstance(node, ast.Expr) else ()
                yield Passage(package, f"{name}:{literal.lineno}", _without_code(text), args)


def _is_message(call: ast.Call) -> bool:
    called = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    called = call.func.id if isinstance(call.func, ast.Name) else called
    return called in MESSAGE_CALLS or called.endswith(MESSAGE_ENDINGS)


def _prose_arguments(call: ast.Call, is_message: bool) -> list[ast.expr]:
    """Return the help texts of a call and, if it is a message, all its strings with a space."""
    values = [keyword.value for keyword in call.keywords if keyword.arg in HELP_KEYWORDS]
    if not is_message:
        return [value for value in values if isinstance(value, ast.Constant | ast.JoinedStr)]
    found: list[ast.expr] = []
    waiting: list[ast.AST] = [*call.args, *(keyword.value for keyword in call.keywords)]
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.Constant | ast.JoinedStr):
            found.append(node)
        else:
            waiting.extend(ast.iter_child_nodes(node))
    return [node for node in found if " " in (_literal_text(node) or "")]


def _literal_text(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else CODE for part in node.values]
        return "".join(map(str, parts))
    return None


def argument_descriptions(docstring: str) -> tuple[str, ...]:
    """Return the first line of each description in ``Args:`` and ``Attributes:``."""
    found, indent = [], None
    for line in docstring.splitlines():
        width = len(line) - len(line.lstrip())
        if line.strip() in ("Args:", "Attributes:"):
            indent = width + 4
        elif indent is not None and line.strip() and width < indent:
            indent = None
        elif width == indent and (match := ARGUMENT.fullmatch(line)):
            found.append(match[1])
    return tuple(found)


def _without_code(text: str) -> str:
    text = re.sub(r"^\s*(>>>|\.\.\.).*$", "", text, flags=re.M)
    text = re.sub(r"\]\([^)]*\)|https?://\S+", "]", text)
    return re.sub(r"``[^`]+``|`[^`\n]+`", CODE, text)


def find_files(names: tuple[str, ...], root: Path = ROOT) -> list[Path]:
    """Return the Python and Markdown files of some files and folders; missing names are skipped."""
    files = []
    for path in (root / name for name in names):
        inside = [path] if path.is_file() else sorted(path.rglob("*"))
        files += [file for file in inside if file.suffix in (".py", ".md")]
    return files


def tabulate(passages: list[Passage]) -> dict[str, dict[str, float]]:
    """Return word counts, rates per 1,000 words and args of each package and of ``all``."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for passage in passages:
        found: Counter[str] = Counter(args=len(passage.args))
        found["args of"] = sum(text.lower().startswith("of ") for text in passage.args)
        for sentence in sentences(passage.text):
            found.update(count_terms(sentence))
        counts[passage.package].update(found)
        counts["all"].update(found)
    names = sorted(counts, key=lambda name: (name == "all", name))
    return {name: _rates(counts[name]) for name in names}


def _rates(counts: Counter[str]) -> dict[str, float]:
    per_1000 = {t: round(1000 * counts[t] / max(counts["words"], 1), 1) for t in TERMS}
    return {"words": counts["words"], **per_1000, **{k: counts[k] for k in ("args", "args of")}}


def worst_sentences(passages: list[Passage], term: str, n: int) -> list[tuple[int, str, str]]:
    """Return the sentences with the most occurrences of a term: count, place and text."""
    if term == "args":
        return [(1, p.place, a) for p in passages for a in p.args if a.lower().startswith("of ")][
            :n
        ]
    counted = [(count_terms(s)[term], p.place, s) for p in passages for s in sentences(p.text)]
    return sorted((found for found in counted if found[0]), key=lambda f: (-f[0], len(f[2])))[:n]


def main(
    names: Annotated[list[str] | None, typer.Argument(help="Files and folders to read.")] = None,
    root: Annotated[Path, typer.Option(help="Checkout to read.")] = ROOT,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    show: Annotated[str, typer.Option(help="Term, or args: print its worst sentences.")] = "",
    n: Annotated[int, typer.Option("-n", min=1, help="Number of sentences to print.")] = 20,
) -> None:
    """Print a table by package, or the worst sentences for a term."""
    if show and show not in (*TERMS, "args"):
        raise typer.BadParameter(f"found {show}, must be one of {', '.join(TERMS)}, args")
    files = find_files(tuple(names or DEFAULT), root.resolve())
    passages = [p for file in files for p in read_passages(file, root.resolve())]
    if show:
        for count, place, text in worst_sentences(passages, show, n):
            typer.echo(f"{count} {place}: {text}")
        return
    table = tabulate(passages)
    if as_json:
        typer.echo(json.dumps(table))
        return
    columns = ("words", *TERMS, "args", "args of")
    typer.echo(f"{'':<12}" + "".join(f"{column:>9}" for column in columns))
    for name, row in table.items():
        typer.echo(f"{name:<12}" + "".join(f"{row[column]:>9}" for column in columns))


if __name__ == "__main__":
    typer.run(main)
