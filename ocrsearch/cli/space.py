"""``ocrsearch space``: list, copy and check search spaces; print the schema for editors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrsearch.cli.options import SPACE, Json, output_option
from ocrsearch.cli.output import echo, print_json, shell, show_table
from ocrsearch.errors import OptionError

if TYPE_CHECKING:
    from ocrsearch.search.space import Condition, Space

app = typer.Typer(help="List, copy and check search spaces; print their JSON schema.")


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the ready search spaces, which 'run --space' takes by name.

    Examples:
      ocrsearch space list
    """
    from ocrsearch.search.ready import describe_space, ready_spaces

    ready = ready_spaces()
    if as_json:
        spaces = [
            {"name": name, "description": describe_space(path), "file": str(path)}
            for name, path in ready.items()
        ]
        print_json({"spaces": spaces})
        return
    show_table(("space", "for"), [(name, describe_space(path)) for name, path in ready.items()])


@app.command("copy")
def copy(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a ready search space.")],
    output: Annotated[
        Path | None,
        output_option("YAML file to write. Default: NAME.yaml."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Copy a ready search space to a file, to change it.

    Examples:
      ocrsearch space copy captcha
      ocrsearch space copy captcha -o mine.yaml
    """
    from ocrsearch.files import write_text_file
    from ocrsearch.search.ready import find_ready_space

    source = find_ready_space(name)
    output = output or Path(f"{name}.yaml")
    if output.exists() and not force:
        raise OptionError(f"{output}: exists already; give --force to replace it", "output")
    write_text_file(output, source.read_text(encoding="utf-8"))
    echo(f"{output} written; use it as: {shell('--space', _as_path(output))}")


@app.command("check")
def check(
    space: Annotated[str, typer.Argument(metavar="SPACE", help=SPACE)],
    as_json: Json = False,
) -> None:
    """Check a search space and show its parameters.

    Examples:
      ocrsearch space check captcha
      ocrsearch space check mine.yaml
    """
    from ocrsearch.search.ready import find_space
    from ocrsearch.search.space_reading import load_space

    file = find_space(space)
    checked = load_space(file)
    if as_json:
        print_json(_content(checked))
    else:
        _print(checked, file)


@app.command("schema")
def schema() -> None:
    """Print the JSON schema of search spaces, for completion and checks in editors.

    Examples:
      ocrsearch space schema
    """
    from ocrsearch.search.schema import space_schema

    print_json(space_schema())


def _as_path(output: Path) -> str:
    """Return a path that is not taken for the name of a ready space."""
    has_folder = output.name != str(output)
    return str(output) if has_folder or output.suffix in (".yaml", ".yml") else f"./{output}"


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
