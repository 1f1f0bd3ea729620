"""The command line: options, one call, output."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line. Ctrl-C ends it with one line, even while it starts."""
    try:
        from ocrsearch.cli.app import main as run

        run()
    except KeyboardInterrupt:
        from ocrsearch.cli.output import error_line

        error_line("interrupted")
        sys.exit(130)
