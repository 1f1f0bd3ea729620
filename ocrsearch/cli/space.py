"""``ocrsearch space``: check a search space, and print the schema for editors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrsearch.cli.options import Json
from ocrsearch.cli.output import echo, print_json, show_table

if TYPE_CHECKING:
    from ocrsearch.search.space import Condition, Space

app = typer.Typer(help="Check search spaces and print their JSON schema.")


@app.command("check")
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Search space, a YAML file.")],
    as_json: Json = False,
) -> None:
    """Check a search space and show its parameters.

    Examples:
      ocrsearch space check search_spaces/crnn.yaml
    """
    from ocrsearch.search.space import load_space

    space = load_space(file)
    if as_json:
        print_json(_content(space))
    else:
        _print(space, file)


@app.command("schema")
def schema() -> None:
    """Print the JSON schema of search spaces, for completion and checks in editors.

    Examples:
      ocrsearch space schema
    """
    from ocrsearch.search.schema import space_schema

    print_json(space_schema())


def _content(space: Space) -> dict[str, Any]:
    return {
        "name": space.name,
        "n_parameters": len(space.parameters),
        "parameters": [
            {"name": p.path, "values": p.distribution.describe(), "when": _when(p.condition)}
            for p in space.parameters
        ],
        "fixed": {f.path: f.value for f in space.fixed},
        "init": str(space.init) if space.init else None,
    }


def _print(space: Space, file: Path) -> None:
    searched = [(p.path, p.distribution.describe(), _when(p.condition)) for p in space.parameters]
    fixed = [(f.path, f"{f.value} (fixed)", _when(f.condition)) for f in space.fixed]
    init = [("init", space.init, "")] if space.init else []
    rows = [*searched, *([None] if fixed else []), *fixed, *init]
    show_table(("parameter", "values", "when"), rows, title=str(file), optional=("when",))
    echo(f"{len(space.parameters)} parameters are searched, {len(space.fixed)} are fixed")


def _when(condition: Condition) -> str:
    parts = [
        f"{path.rpartition('.')[2]} is {' or '.join(map(str, values))}"
        for path, values in condition.items()
    ]
    return ", ".join(parts)
