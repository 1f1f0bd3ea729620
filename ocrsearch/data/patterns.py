"""Regular expressions of users and files, applied with a limit on time and memory.

Python's own engine can take years for a short pattern. It runs in a process of its own, which is
ended when the time is over; the meaning of patterns stays that of Python.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from collections.abc import Sequence

from ocrsearch.errors import OptionError
from ocrsearch.printable import quoted

MAX_PATTERN = 500
"""Longest pattern, in characters."""

SECONDS = 5.0
SECONDS_PER_NAME = 2e-5
"""Time that a pattern may take, in all and more for each name."""

MAX_MEMORY_BYTES = 1_000_000_000

_PROGRAM = f"""
import json, re, sys, warnings
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, ({MAX_MEMORY_BYTES}, {MAX_MEMORY_BYTES}))
except (ImportError, OSError, ValueError):
    pass
warnings.simplefilter("ignore")
pattern, names = json.load(sys.stdin)
regex = re.compile(pattern)
found = [match and match.group(1 if regex.groups else 0) for match in map(regex.search, names)]
json.dump(found, sys.stdout)
"""


def pattern_problem(pattern: str) -> str | None:
    """Return why a text cannot be used as a regular expression, or None if it can."""
    if len(pattern) > MAX_PATTERN:
        return f"longer than {MAX_PATTERN} characters"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(pattern)
    except re.error as error:
        return str(error)
    except (RecursionError, OverflowError):
        return "nested too deeply, or a number too large"
    return None


def search_names(pattern: str, names: Sequence[str]) -> list[str | None]:
    """Return what a pattern finds in each name: its first parenthesis, or else all of the match.

    Args:
        pattern: a regular expression without a ``pattern_problem``.
        names: searched in their order.

    Raises:
        OptionError: it takes too long, or too much memory.
    """
    seconds = SECONDS + SECONDS_PER_NAME * len(names)
    try:
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-I", "-S", "-c", _PROGRAM],
            input=json.dumps([pattern, list(names)]),
            capture_output=True,
            timeout=seconds,
            check=True,
            encoding="ascii",
        )
    except subprocess.TimeoutExpired:
        raise OptionError(
            f"{quoted(pattern)} takes over {seconds:.0f} s for {len(names)} names; write it "
            "without a repetition within a repetition, as in (a+)+",
            "group",
        ) from None
    except subprocess.CalledProcessError:
        problem = f"{quoted(pattern)} cannot be applied; write a simpler one"
        raise OptionError(problem, "group") from None
    found: list[str | None] = json.loads(done.stdout)
    return found
