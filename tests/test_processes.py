"""Processes start however the caller was started."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ocrsearch.core.machine import (
    HAS_FORK_SERVER,
    caller_hidden,
    load_fork_server,
)

METHODS = [m for m in ("spawn", "forkserver") if m in multiprocessing.get_all_start_methods()]

STARTS = """
import multiprocessing, os, sys
from ocrsearch.core.machine import caller_hidden
process = multiprocessing.get_context(sys.argv[-1]).Process(target=os._exit, args=(7,))
with caller_hidden():
    process.start()
process.join()
print("exit code", process.exitcode)
"""


def run(place: Path, *arguments: str, stdin: str = "") -> str:
    """Return what Python prints, on both streams."""
    done = subprocess.run(
        [sys.executable, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        cwd=place,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    return (done.stdout + done.stderr).strip()


@pytest.mark.parametrize("method", METHODS)
def test_a_caller_that_cannot_be_run_again(tmp_path: Path, method: str) -> None:
    script = tmp_path / "no_guard.py"
    script.write_text(STARTS, encoding="utf-8")
    deletes = tmp_path / "deletes.py"
    deletes.write_text("import os\nos.unlink(__file__)\n" + STARTS, encoding="utf-8")
    with zipfile.ZipFile(tmp_path / "app.pyz", "w") as archive:
        archive.writestr("__main__.py", STARTS)
    calls = {
        "standard input": run(tmp_path, "-", method, stdin=STARTS),
        "-c": run(tmp_path, "-c", STARTS, method),
        "no guard": run(tmp_path, "no_guard.py", method),
        "-m": run(tmp_path, "-m", "no_guard", method),
        "deleted": run(tmp_path, "deletes.py", method),
        "zipapp": run(tmp_path, "app.pyz", method),
    }
    assert calls == dict.fromkeys(calls, "exit code 7")


def test_the_callers_script_and_flags_are_as_before() -> None:
    script = sys.modules["__main__"]
    with caller_hidden():
        assert not hasattr(sys.modules["__main__"], "__file__")
    assert sys.modules["__main__"] is script
    with pytest.raises(ZeroDivisionError), caller_hidden():
        raise ZeroDivisionError
    assert sys.modules["__main__"] is script


def exit_code_of_a_child(method: str) -> int | None:
    process = multiprocessing.get_context(method).Process(target=os._exit, args=(7,))
    with caller_hidden():
        process.start()
    process.join()
    return process.exitcode


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_from_a_daemonic_fork_of_a_process_with_a_fork_server(method: str) -> None:
    """As a worker of a pool, which may have no children of its own otherwise."""
    if HAS_FORK_SERVER:
        load_fork_server([])
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(exit_code_of_a_child, (method,)) == 7
    assert exit_code_of_a_child(method) == 7
