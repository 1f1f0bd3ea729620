"""``ocrsearch space``: suggest, list, copy and check search spaces; print their schema."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrsearch.cli.options import SPACE, Json, Spec, output_option, takes_training_data_options
from ocrsearch.cli.output import echo, print_json, reading_bar, shell, show_table
from ocrsearch.core import OptionError
from ocrsearch.data import DataArguments

if TYPE_CHECKING:
    from ocrsearch.spaces import Condition

app = typer.Typer(help="Suggest, list, copy and check search spaces; print their JSON schema.")


@app.command("suggest")
@takes_training_data_options
def suggest(
    spec: Spec,
    output: Annotated[
        Path | None, output_option("YAML file to write. Default: standard output.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    from_nothing: Annotated[
        bool,
        typer.Option(
            "--from-nothing",
            help="Search the network too, not starting from the model that comes with the program.",
        ),
    ] = False,
    as_json: Json = False,
    *,
    given: DataArguments,
) -> None:
    """Derive a search space from labelled images, as 'run' does without --space.

    Comments in the file describe the images and explain the choices.

    Examples:
      ocrsearch space suggest FOLDER
      ocrsearch space suggest labels.csv -o mine.yaml
      ocrsearch space suggest labels.csv --from-nothing -o mine.yaml
    """
    from ocrsearch.core import write_text_file
    from ocrsearch.data import DataOptions, given_options, load_dataset
    from ocrsearch.spaces import derive_space

    _refuse_existing(output, force=force)
    options = DataOptions(**given_options(given))
    with reading_bar() as progress:
        dataset = load_dataset(spec, options, progress)
    suggested = derive_space(dataset, options.max_invalid, starts=not from_nothing)
    text = suggested.to_yaml(spec)
    if output:
        write_text_file(output, text)
    if as_json:
        print_json({"data": spec, "file": output, **suggested.to_dict()})
    elif output:
        echo("\n".join([*suggested.describe(), _written(output)]))
    else:
        echo(text.removesuffix("\n"))


def _refuse_existing(output: Path | None, *, force: bool) -> None:
    """Refuse to replace a file without ``--force``.

    Raises:
        OptionError: the file exists, and force is false.
    """
    if output and output.exists() and not force:
        raise OptionError(f"{output}: exists already; give --force to replace it", "output")


def _written(output: Path) -> str:
    """Return a line with the option that names a written space."""
    path = str(output)
    if output.name == path and output.suffix not in (".yaml", ".yml"):
        path = f"./{output}"  # or it would be taken for the name of a ready space
    return f"{output} written; use it as: {shell('--space', path)}"


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the ready search spaces, which 'run --space' takes by name.

    Examples:
      ocrsearch space list
    """
    from ocrsearch.spaces import describe_space, ready_spaces

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
    from ocrsearch.core import write_text_file
    from ocrsearch.spaces import find_ready_space

    source = find_ready_space(name)
    output = output or Path(f"{name}.yaml")
    _refuse_existing(output, force=force)
    write_text_file(output, source.read_text(encoding="utf-8"))
    echo(_written(output))


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
    from ocrsearch.spaces import find_space, load_space

    file = find_space(space)
    checked = load_space(file)
    parameters, fixed, init = checked.parameters, checked.fixed, checked.init
    searched = [(p.path, p.distribution.describe(), _when(p.condition)) for p in parameters]
    if as_json:
        content: dict[str, object] = {
            "name": checked.name,
            "n_parameters": len(parameters),
            "parameters": [dict(zip(("name", "values", "when"), p, strict=True)) for p in searched],
            "fixed": {f.path: f.value for f in fixed},
            "init": str(init) if init else None,
        }
        print_json(content)
        return
    rows: list[tuple[object, ...] | None] = [*searched]
    if fixed:
        rows += [None, *((f.path, f"{f.value} (fixed)", _when(f.condition)) for f in fixed)]
    if init:
        rows.append(("init", init, ""))
    show_table(("parameter", "values", "when"), rows, title=str(file), optional=("when",))
    echo(f"{len(parameters)} parameters are searched, {len(fixed)} are fixed")


def _when(condition: Condition) -> str:
    """Return the condition of a parameter in words; empty if it always applies."""
    parts = [
        f"{path.rpartition('.')[2]} is {' or '.join(map(str, values))}"
        for path, values in condition.items()
    ]
    return ", ".join(parts)


@app.command("schema")
def schema() -> None:
    """Print the JSON schema of search spaces, for completion and checks in editors.

    Examples:
      ocrsearch space schema
    """
    from ocrsearch.spaces import space_schema

    print_json(space_schema())
