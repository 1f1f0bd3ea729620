"""Write the pages of the reference that follow from the code: commands and spaces."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ocrsearch.core import Config, Seq2SeqConfig, flatten
from ocrsearch.spaces import space_schema

COMMANDS = "commands.md"
SPACES = "space.md"


def write_reference(folder: Path) -> None:
    """Write the generated pages into a folder; unchanged pages are not touched."""
    folder.mkdir(exist_ok=True)
    for name, text in ((COMMANDS, commands_page()), (SPACES, space_page())):
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def commands_page() -> str:
    """Return the help of all commands as Markdown; Typer writes it."""
    command = [sys.executable, "-m", "typer", "ocrsearch.cli.app", "utils", "docs"]
    done = subprocess.run(  # noqa: S603 - our own command
        [*command, "--name", "ocrsearch", "--title", "Commands"],
        capture_output=True,
        text=True,
        check=True,
    )
    blocks = re.sub(r"^Examples?:\n((?: +.*\n)+)", _example, done.stdout, flags=re.MULTILINE)
    return blocks.replace("**Usage**:\n\n```console\n$ ", "```text\n")


def _example(match: re.Match[str]) -> str:
    lines = [line.strip() for line in match[1].splitlines()]
    return "```text\n" + "\n".join(lines) + "\n```\n"


INTRODUCTION = """# Keys of a space

A space is a YAML file with the sections `images`, `model`, `training` and `search`. It may also
have `init`, the pretrained model. Each value of the first three sections is fixed or a
distribution:

| distribution | values |
| --- | --- |
| `{choice: [a, b, c]}` | one of the values |
| `{int: [2, 6], step: 2}` | integers, here 2, 4 and 6; `log: true` for a logarithmic scale |
| `{float: [0.001, 0.01], log: true}` | numbers; `step` for a grid |

The guide [Write a space](../guides/spaces.md) has an example.
`ocrsearch space schema` prints this page as a JSON schema, for completion in an editor.
"""


def space_page() -> str:
    """Return a table with the keys of each section of a space."""
    schema = space_schema()
    defaults = flatten(Config(model=Seq2SeqConfig()).model_dump()) | flatten(Config().model_dump())
    parts = [INTRODUCTION]
    for section in ("images", "model", "training", "search"):
        rows = ["| key | values | default | meaning |", "| --- | --- | --- | --- |"]
        for path, leaf in _leaves(schema["properties"][section], section, schema):
            default = f"`{str(defaults[path]).lower()}`" if path in defaults else ""
            if section == "search" and isinstance(leaf.get("default"), str | int):
                default = f"`{leaf['default']}`"
            meaning = leaf.get("description", "").replace("|", "\\|")
            rows.append(f"| `{path}` | {_values(leaf)} | {default} | {meaning} |")
        parts.append(f"## {section}\n\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _leaves(
    node: dict[str, Any], path: str, schema: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the path and the schema of each value below a section."""
    if "$ref" in node:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    for kind in node.get("oneOf", []):  # pruners: each has its own keys
        yield from _leaves(kind, path, schema)
    children = node.get("properties")
    if not children and "oneOf" in node:
        return
    if not children:
        yield path, node
        return
    for key, child in children.items():
        if key != "when":
            yield from _leaves(child, f"{path}.{key}", schema)


def _values(leaf: dict[str, Any]) -> str:
    """Return the allowed values of a key."""
    kinds = [kind for kind in leaf.get("anyOf", [leaf]) if "$ref" not in kind]
    kinds = [kind for kind in kinds if kind.get("type") != "null"]
    return " or ".join(dict.fromkeys(_kind(kind) for kind in kinds))


def _kind(kind: dict[str, Any]) -> str:
    if "enum" in kind or "const" in kind:
        return ", ".join(f"`{str(v).lower()}`" for v in kind.get("enum", [kind.get("const")]))
    name = {"boolean": "`true`, `false`", "integer": "integer", "number": "number"}.get(
        str(kind.get("type")), str(kind.get("type", "see the meaning"))
    )
    low = kind.get("minimum", kind.get("exclusiveMinimum"))
    high = kind.get("maximum", kind.get("exclusiveMaximum"))
    above = "above " if "exclusiveMinimum" in kind else ""
    below = "below " if "exclusiveMaximum" in kind else ""
    if low is not None and high is not None:
        return f"{name}, {above}{_number(low)} to {below}{_number(high)}"
    if low is not None:
        return f"{name}, {above or 'at least '}{_number(low)}"
    return name if high is None else f"{name}, {below or 'at most '}{_number(high)}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"
