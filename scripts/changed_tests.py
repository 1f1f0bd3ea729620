"""Print the tests for the files changed since a commit; ``make check`` runs them.

Tests mirror the package: a change in ``ocrsearch/data/splits.py`` selects ``tests/data``, and a
changed test file selects itself. If no Python file has changed, nothing is printed.
"""

import subprocess
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).parents[1]


def main(since: Annotated[str, typer.Argument(help="Commit to compare with.")] = "HEAD") -> None:
    """Print the paths of the tests, one per line."""
    for path in sorted({str(test) for name in changed(since) if (test := mirrored_tests(name))}):
        typer.echo(path)


def changed(since: str) -> list[str]:
    """Return the paths of changed and of new files since a commit."""
    commands = (
        ["git", "diff", "--name-only", since],
        ["git", "ls-files", "--others", "--exclude-standard"],
    )
    outputs = [subprocess.check_output(c, cwd=ROOT, text=True) for c in commands]  # noqa: S603
    return [line for output in outputs for line in output.splitlines()]


def mirrored_tests(name: str, root: Path = ROOT) -> Path | None:
    """Return the tests of a changed file: the nearest test folder that mirrors its folder."""
    path = Path(name)
    if path.suffix != ".py" or path.parts[0] not in ("ocrsearch", "scripts", "tests"):
        return None
    if path.parts[0] == "tests":
        is_test = path.name.startswith("test_") and (root / path).is_file()
        return path if is_test else None
    inner = path.parent.parts[1:] if path.parts[0] == "ocrsearch" else path.parent.parts
    while inner and not (root / "tests").joinpath(*inner).is_dir():
        inner = inner[:-1]
    return Path("tests", *inner) if inner else Path("tests/test_layers.py")


if __name__ == "__main__":
    typer.run(main)
