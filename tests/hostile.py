"""Runs commands on hostile input and judges how they end.

A process that has loaded the program forks for each command: a thousand of them take minutes. By
hand: ``python -m tests.hostile --n 1000 --seed 0``; ``make test`` runs a sample.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

MAX_SECONDS = 20.0
MAX_MB = 2000.0
MAX_LINES = 12
"""Lines on standard error of a command that fails; a command may warn before it ends."""

POLL_S = 0.02
EXECUTED = "EXECUTED"
"""A file in the working folder that appears if a hostile file has run code."""

FORBIDDEN = ("\x1b", "\x9b", "\x07", "Traceback (most recent", "internal error", "Warning: ")


@dataclass(frozen=True)
class Case:
    """A command on hostile input.

    Attributes:
        kind: group of similar inputs, such as "zip bomb".
        name: of the input within its kind.
        arguments: of ``ocrsearch``.
        folder: working folder, with the files that the arguments name.
    """

    kind: str
    name: str
    arguments: tuple[str, ...]
    folder: Path


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    seconds: float
    mb: float
    out: bytes
    err: bytes
    killed: str = ""


def run_case(case: Case, max_s: float = MAX_SECONDS, max_mb: float = MAX_MB) -> Outcome:
    """Run a command in a fork of this process, which should have imported the program."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.monotonic()
        pid = os.fork()
        if pid == 0:
            _become_command(case, out.fileno(), err.fileno())
        code, peak_mb, killed = _watch(pid, start + max_s, max_mb)
        seconds = time.monotonic() - start
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read(5_000_000))
    return Outcome(code, seconds, peak_mb, texts[0], texts[1], killed)


def faults_of(case: Case, outcome: Outcome) -> list[str]:
    """Return what is wrong with the end of a command; nothing for a good one."""
    faults = [outcome.killed] if outcome.killed else []
    if not outcome.killed and outcome.code not in (0, 1, 2):
        faults.append(f"exit code {outcome.code}")
    both = (outcome.out + outcome.err).decode("utf-8", "replace")
    faults += [repr(sign) for sign in FORBIDDEN if sign in both]
    if any((folder / EXECUTED).exists() for folder in (case.folder, case.folder.parent)):
        faults.append("code was executed")
    lines = [line for line in outcome.err.splitlines() if line.strip()]
    if outcome.code == 1 and not lines:
        faults.append("no message")
    if len(lines) > MAX_LINES:
        faults.append(f"{len(lines)} lines of errors")
    if max(map(len, lines), default=0) > 5000:
        faults.append("a very long line")
    if outcome.code == 0 and "--json" in case.arguments:
        faults += _faults_of_json(outcome.out)
    return faults


def _faults_of_json(out: bytes) -> list[str]:
    def refuse(text: str) -> None:
        raise ValueError(text)

    try:
        json.loads(out, parse_constant=refuse)
    except ValueError as error:
        return [f"not JSON ({error})"]
    return []


def _become_command(case: Case, out: int, err: int) -> None:
    try:
        os.setsid()
        for source, target in ((os.open(os.devnull, os.O_RDONLY), 0), (out, 1), (err, 2)):
            os.dup2(source, target)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        os.chdir(case.folder)
        sys.argv = ["ocrsearch", *case.arguments]
        code = _call_main()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    finally:
        os._exit(99)


def _call_main() -> int:
    from ocrsearch.cli.app import main

    try:
        main()
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    return 0


def _watch(pid: int, deadline: float, max_mb: float) -> tuple[int, float, str]:
    """Wait for a process; kill it and its children if it takes too much."""
    peak, killed = 0.0, ""
    while True:
        found, status, usage = os.wait4(pid, os.WNOHANG)
        if found:
            peak = max(peak, usage.ru_maxrss / 1024)
            return os.waitstatus_to_exitcode(status), peak, killed
        family = [pid, *_children(pid)]
        peak = max(peak, sum(map(_resident_mb, family)))
        if not killed and peak > max_mb:
            killed = f"more than {max_mb:.0f} MB"
        if not killed and time.monotonic() > deadline:
            killed = "too long"
        if killed:
            for process in reversed(family):
                _kill(process)
        time.sleep(POLL_S)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _children(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        direct = [int(c) for task in tasks for c in (task / "children").read_text().split()]
    except OSError:
        return []
    return [process for child in direct for process in (child, *_children(child))]


def _resident_mb(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * resource.getpagesize() / 1e6


def load_program() -> None:
    """Import all that a command may need, so that forks start at once."""
    import importlib

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for name in (
        "ocrsearch.cli.app",
        "ocrsearch.inference.predictor",
        "ocrsearch.inference.decoding",
        "ocrsearch.workflows.training",
        "ocrsearch.reports.evaluation",
        "ocrsearch.data.images.documents",
        "ocrsearch.data.measurements",
        "ocrsearch.studies.results",
        "rich.console",
        "rich.table",
        "pypdfium2",
    ):
        importlib.import_module(name)


Maker = Callable[[int, Path], Iterator[Case]]
"""Makes an endless stream of cases from a seed, in a folder."""


def take(makers: Sequence[Maker], n: int, seed: int, folder: Path) -> Iterator[Case]:
    """Yield cases, one from each maker in turn."""
    streams = []
    for i, maker in enumerate(makers):
        own = folder / f"maker-{i}"
        own.mkdir(parents=True)
        streams.append(maker(seed, own))
    for i in range(n):
        yield next(streams[i % len(streams)])


def main() -> None:
    """Run many cases and print those that end badly."""
    from tests.hostile_makers import MAKERS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path, help="one JSON object a line for each case")
    options = parser.parse_args()
    load_program()
    n_bad, slowest, largest, kinds = 0, 0.0, 0.0, Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        for number, case in enumerate(take(MAKERS, options.n, options.seed, Path(folder)), 1):
            outcome = run_case(case)
            faults = faults_of(case, outcome)
            kinds[case.kind] += 1
            slowest, largest = max(slowest, outcome.seconds), max(largest, outcome.mb)
            if faults:
                n_bad += 1
                last = outcome.err.decode(errors="replace").strip().splitlines()[-1:]
                where = f"{number} {case.kind} / {case.name} {case.arguments}"
                sys.stdout.write(f"{where}: {faults} {last}\n")
            if options.log:
                with options.log.open("a", encoding="utf-8") as file:
                    row = {**asdict(case), **asdict(outcome), "faults": faults}
                    file.write(json.dumps(row, default=str) + "\n")
    sys.stdout.write(
        f"{options.n} inputs of {len(kinds)} kinds: {n_bad} ended badly; at most "
        f"{slowest:.1f} s and {largest:.0f} MB\n"
    )
    sys.exit(n_bad > 0)


if __name__ == "__main__":
    main()
