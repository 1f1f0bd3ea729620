"""The private MPS daemon, with a script in place of NVIDIA's control program."""

from __future__ import annotations

import os
import signal
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ocrsearch.tuning import SearchResult, search
from ocrsearch.tuning.engines import WorkerSetup, mps
from ocrsearch.tuning.engines.worker import worker_main

SCRIPT = """#!/bin/sh
commands=$(cat)
printf '%s\\n' "$* $commands $CUDA_MPS_PIPE_DIRECTORY" >> "{log}"
{body}
"""


class FakeControl:
    """A control program that records its calls."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "calls"

    def install(self, body: str = "exit 0") -> None:
        path = self.folder / mps.CONTROL
        path.write_text(SCRIPT.format(log=self.log, body=body), encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    @property
    def calls(self) -> list[list[str]]:
        return [line.split() for line in self.log.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeControl:
    """Return a fake control program on the PATH of a machine with a GPU."""
    (tmp_path / "gpus" / "0000:01:00.0").mkdir(parents=True)
    (tmp_path / "programs").mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(mps, "GPUS", tmp_path / "gpus")
    monkeypatch.setattr(mps, "DEFAULT_PIPES", tmp_path / "none")
    monkeypatch.setattr(mps, "FOLDERS", ())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'programs'}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.delenv(mps.PIPES, raising=False)
    return FakeControl(tmp_path / "programs")


def test_a_daemon_of_its_own_is_started_and_stopped(control: FakeControl) -> None:
    control.install()
    with mps.shared_gpu() as shared:
        folder = Path(shared.environment[mps.PIPES])
        assert folder.is_dir()
        assert folder.stat().st_mode & 0o077 == 0
        assert [call[:-1] for call in control.calls] == [["-d"], ["get_server_list"]]
        assert {call[-1] for call in control.calls} == {str(folder)}
        assert shared.note is not None
        assert "at the same time" in shared.note
        assert mps.PIPES not in os.environ
    assert control.calls[-1] == ["quit", "-t", "5", str(folder)]
    assert not folder.exists()


def test_the_daemon_is_stopped_after_an_error(control: FakeControl) -> None:
    control.install()
    with pytest.raises(KeyboardInterrupt), mps.shared_gpu():
        raise KeyboardInterrupt
    assert control.calls[-1][0] == "quit"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("echo 'cannot open /dev/nvidiactl' >&2; exit 1", "cannot open /dev/nvidiactl"),
        ("exit 3", "exit code 3"),
        ('test "$commands" = get_server_list && exit 1; exit 0', "exit code 1"),
        ("exec sleep 60", "did not answer within 0.2 s"),
    ],
)
def test_workers_take_turns_if_the_daemon_fails(
    control: FakeControl, monkeypatch: pytest.MonkeyPatch, body: str, reason: str
) -> None:
    monkeypatch.setattr(mps, "TIMEOUT_S", 0.2 if "sleep" in body else 20.0)
    control.install(body)
    with mps.shared_gpu() as shared:
        assert shared.environment == {}
        assert shared.note is not None
        assert "take turns" in shared.note
        assert reason in shared.note
    assert list(Path(tempfile.gettempdir()).iterdir()) == []


def test_a_missing_control_program_is_reported(control: FakeControl) -> None:
    with mps.shared_gpu() as shared:
        assert shared.environment == {}
        assert shared.note is not None
        assert "was not found" in shared.note
    assert not control.log.exists()


def test_the_control_program_is_found_in_the_folder_of_the_driver(
    control: FakeControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    control.install()
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(mps, "FOLDERS", (str(control.folder),))
    with mps.shared_gpu() as shared:
        assert mps.PIPES in shared.environment


def test_nothing_is_started_without_a_gpu(
    control: FakeControl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    control.install()
    monkeypatch.setattr(mps, "GPUS", tmp_path / "no-driver")
    with mps.shared_gpu() as shared:
        assert shared == mps.SharedGpu()
    assert not control.log.exists()


@pytest.mark.parametrize("where", ["variable", "default folder"])
def test_a_running_daemon_is_left_alone(
    control: FakeControl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str
) -> None:
    control.install()
    if where == "variable":
        monkeypatch.setenv(mps.PIPES, str(tmp_path))
    else:
        (tmp_path / "none").mkdir()
        (tmp_path / "none" / "control").touch()
    with mps.shared_gpu() as shared:
        assert shared == mps.SharedGpu()
    assert not control.log.exists()


def test_daemons_of_killed_coordinators_are_stopped(control: FakeControl) -> None:
    control.install()
    running = Path(tempfile.mkdtemp(prefix=f"{mps.PREFIX}{os.getpid()}-"))
    orphan = Path(tempfile.mkdtemp(prefix=f"{mps.PREFIX}{2**22 + 1}-"))
    mps.stop_orphans(str(control.folder / mps.CONTROL))
    assert [call[-1] for call in control.calls] == [str(orphan)]
    assert running.is_dir()
    assert not orphan.exists()


class OneAnswerChannel:
    """A coordinator that closes the channel after the first event."""

    def __init__(self) -> None:
        self.events: list[object] = []

    def send(self, event: object, /) -> None:
        self.events.append(event)

    def recv(self) -> object:
        raise EOFError


def test_workers_get_the_variables_of_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(mps.PIPES, "another folder")
    handler = signal.getsignal(signal.SIGINT)
    try:
        setup = WorkerSetup(tmp_path, "cpu", {mps.PIPES: str(tmp_path)})
        worker_main(OneAnswerChannel(), setup)  # type: ignore[arg-type]
    finally:
        signal.signal(signal.SIGINT, handler)
    assert os.environ[mps.PIPES] == str(tmp_path)


def a_search(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> tuple[SearchResult, list[str], list[str]]:
    """Return the result of a search of one trial, its lines, and the calls of the daemon."""
    calls: list[str] = []

    @contextmanager
    def daemon() -> Iterator[mps.SharedGpu]:
        calls.append("start")
        yield mps.SharedGpu({mps.PIPES: str(tmp_path)}, "MPS: a line about it")
        calls.append("stop")

    monkeypatch.setattr("ocrsearch.tuning.api.shared_gpu", daemon)
    lines: list[str] = []
    result = search(
        SPACE, folder, trials=1, storage=f"sqlite:///{tmp_path}/s.db", **options,
        observer=lambda status, line: lines.append(line) if line else None,
    )  # fmt: skip
    return result, lines, calls


SPACE = {
    "images": {"height": 16},
    "model": {
        "architecture": "crnn",
        "encoder": {"conv_depth": 3, "conv_base": 8, "linear_width": 16, "hidden_size": 16},
    },
    "training": {"learning_rate": {"float": [1e-3, 1e-2], "log": True}, "epochs": 1},
    "search": {"pruner": {"name": "none"}},
}


def test_a_search_takes_turns_if_the_workers_find_no_gpu_with_the_daemon(
    number_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, lines, calls = a_search(number_folder, tmp_path, monkeypatch, workers=2)
    assert result.status.n_complete == 1
    assert "MPS: a line about it" in lines
    assert any("MPS does not work here (the workers found no GPU)" in line for line in lines)
    assert calls == ["start", "stop"]


@pytest.mark.parametrize("options", [{"no_mps": True}, {"workers": 1}, {"device": "cpu"}])
def test_no_daemon_is_started_where_it_is_not_needed(
    number_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    result, lines, calls = a_search(
        number_folder, tmp_path, monkeypatch, **{"workers": 2, **options}
    )
    assert result.status.n_complete == 1
    assert not any("MPS" in line for line in lines)
    assert calls == []
