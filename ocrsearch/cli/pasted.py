"""Command lines that are printed: they work when they are pasted into a shell."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

from ocrsearch.cli.options import DEFAULT_STORAGE, STORAGE_VARIABLE
from ocrsearch.cli.output import shell

PROGRAM = "ocrsearch"

_PASSWORD = re.compile(r"://[^/@]*:[^/@]*@")


def our_command(*words: object, storage: str | None = None) -> str:
    """Return a command line of this program.

    Args:
        words: command and arguments.
        storage: URL of the study database that the command is about. It is left out if the command
            finds the database without it. If it holds a password, the variable is named instead.
    """
    line = shell(_program(), *words)
    if storage is None or storage == os.environ.get(STORAGE_VARIABLE, DEFAULT_STORAGE):
        return line
    if _PASSWORD.search(storage):
        return f"{line} (with {STORAGE_VARIABLE} set to the URL of the database)"
    return f"{line} {shell('--storage', storage)}"


def _program() -> str:
    """Return what was called, if it is not what the shell finds by name."""
    called = sys.argv[0]
    found = shutil.which(PROGRAM)
    if Path(called).name != PROGRAM or not Path(called).is_file():
        return PROGRAM
    return PROGRAM if found and Path(found).samefile(called) else called
