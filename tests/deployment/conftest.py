"""A service in a process of its own."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

DEADLINE_S = 120


@dataclass
class Service:
    """``ocrsearch serve`` in a process."""

    process: subprocess.Popen[str]
    url: str
    errors: Path
    port: int = field(init=False)

    def __post_init__(self) -> None:
        self.port = int(self.url.rstrip("/").rpartition(":")[2])

    def send(self, raw: bytes, *, end: bool = False) -> bytes:
        """Send bytes on a new connection, and return all that comes back until it is closed."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S) as connection:
            try:
                connection.sendall(raw)
                if end:
                    connection.shutdown(socket.SHUT_WR)
            except OSError:  # it may answer and close before all is sent
                pass
            received = b""
            try:
                while part := connection.recv(65536):
                    received += part
            except ConnectionError:
                pass
            return received

    def post(self, body: bytes, content_type: str = "image/png") -> tuple[int, dict[str, Any]]:
        """Send a body, and return the status and the content of the answer."""
        head = (
            f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        answer = self.send(head.encode("latin-1") + body)
        status, _, rest = answer.partition(b"\r\n")
        return int(status.split()[1]), json.loads(rest.partition(b"\r\n\r\n")[2])

    def memory_mb(self) -> float:
        """Return the highest resident memory so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found
        return int(found[1]) / 1024

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_S)


@pytest.fixture
def start_service(tmp_path: Path, model_file: Path) -> Iterator[Callable[..., Service]]:
    """Start a service with options; it is killed at the end of the test if it still runs."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> Service:
        command = [sys.executable, "-m", "ocrsearch", "serve", str(model_file), "--port", "0"]
        errors = tmp_path / f"errors-{len(started)}.txt"
        with errors.open("w") as file:
            process = subprocess.Popen(
                [*command, *options], stdout=subprocess.PIPE, stderr=file, text=True
            )
        started.append(process)
        assert process.stdout
        line = process.stdout.readline()
        assert line, errors.read_text()
        return Service(process, line.split()[0], errors)

    yield start
    for process in started:
        process.kill()
        process.communicate()
