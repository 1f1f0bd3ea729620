"""The command line: options, one call, output."""

from __future__ import annotations

import signal
import sys
from types import FrameType

from ocrsearch.core import is_light


class Interrupt(KeyboardInterrupt):
    """Ctrl-C. Python kills itself at its end if it has seen the plain exception in some places."""


def main() -> None:
    """Run the command line. Ctrl-C ends it with one line, even while it starts."""

    def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        raise Interrupt

    before = signal.getsignal(signal.SIGINT)
    try:
        if before is signal.default_int_handler:  # not where Ctrl-C is ignored
            signal.signal(signal.SIGINT, interrupt)
        if is_light():
            from ocrsearch.cli.light import main as run
        else:
            from ocrsearch.cli.app import main as run

        run()
    except KeyboardInterrupt:
        from ocrsearch.cli.output import error_line

        error_line("interrupted")
        sys.exit(130)
    finally:
        signal.signal(signal.SIGINT, before)
