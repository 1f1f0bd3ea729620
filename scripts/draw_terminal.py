"""Draw the terminal of the README: real commands on the built-in digits, as an SVG image.

Lines that do not fit are cut, and of long outputs the beginning and the end are drawn.

    python scripts/draw_terminal.py docs/images/terminal.svg
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

COMMANDS = (
    "ocrsearch run --data digits --timeout {seconds}s",
    "ocrsearch best --export model.pt",
    "ocrsearch evaluate model.pt --data digits",
)
COLUMNS = 116


def main(
    output: Annotated[Path, typer.Argument(help="SVG file to write.")],
    seconds: Annotated[int, typer.Option(help="Time of the search in seconds.")] = 60,
    lines: Annotated[int, typer.Option(help="Largest number of lines of a command.")] = 12,
) -> None:
    """Run the commands and draw what they print."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    with tempfile.TemporaryDirectory() as folder:
        for command in (text.format(seconds=seconds) for text in COMMANDS):
            console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
            for line in shortened(printed(command, Path(folder)), lines):
                console.print(Text(line), no_wrap=True, overflow="ellipsis")
            console.print()
    svg = console.export_svg(title="ocrsearch")
    output.write_text(without_fonts(svg), encoding="utf-8")


def printed(command: str, folder: Path) -> list[str]:
    """Return the lines that a command prints when it is not in a terminal."""
    environment = {**os.environ, "COLUMNS": str(COLUMNS)}
    words = [sys.executable, "-m", "ocrsearch", *command.split()[1:]]
    done = subprocess.run(  # noqa: S603 - the commands above
        words, cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return (done.stderr + done.stdout).splitlines()


def shortened(lines: list[str], most: int) -> list[str]:
    """Return the first and last lines, with a mark between them if there are too many."""
    if len(lines) <= most:
        return lines
    return [*lines[: most // 2], "...", *lines[-(most - most // 2 - 1) :]]


def without_fonts(svg: str) -> str:
    """Return an SVG image that loads no font from the network."""
    return re.sub(r"@font-face\s*{[^}]*}", "", svg)


if __name__ == "__main__":
    typer.run(main)
