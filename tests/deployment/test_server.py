"""The service as users start it: a process that listens, and how it ends."""

from __future__ import annotations

import http.client
import signal
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ocrsearch.core import OptionError
from ocrsearch.deployment.server import address_of, is_loopback, listen
from ocrsearch.inference.predictor import load

if TYPE_CHECKING:
    from tests.conftest import CommandResult
    from tests.deployment.conftest import Service

Start = Callable[..., "Service"]
Command = Callable[..., "CommandResult"]


@pytest.mark.slow
def test_it_recognises_images_and_ends_cleanly(
    start_service: Start, model_file: Path, number_folder: Path
) -> None:
    service = start_service()
    paths = sorted(number_folder.glob("*.png"))
    expected = [p.text for p in load(model_file).predict(paths)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda path: service.post(path.read_bytes()), paths * 3))
    assert [status for status, _ in answers] == [200] * len(answers)
    assert [content["results"][0]["text"] for _, content in answers] == expected * 3
    assert service.end(signal.SIGTERM) == 0
    assert service.errors.read_text() == ""


@pytest.mark.slow
def test_a_connection_is_kept_for_further_requests(
    start_service: Start, number_folder: Path
) -> None:
    service = start_service()
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    content = (number_folder / "42.png").read_bytes()
    for _ in range(5):
        connection.request("POST", "/predict", content, {"Content-Type": "image/png"})
        response = connection.getresponse()
        assert (response.status, len(response.read()) > 0) == (200, True)
    used = connection.sock
    connection.request("GET", "/health")
    assert connection.getresponse().read()
    assert connection.sock is used
    connection.close()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_accepted_requests_are_answered_at_the_end(
    start_service: Start, number_folder: Path, number: int, code: int
) -> None:
    service = start_service()
    body = (number_folder / "42.png").read_bytes()
    head = (
        "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
        connection.sendall(head.encode() + body[:50])
        time.sleep(0.5)
        service.process.send_signal(number)
        time.sleep(0.5)
        connection.sendall(body[50:])
        answer = b""
        while part := connection.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert service.process.wait(60) == code
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", service.port), timeout=5).close()


@pytest.mark.slow
def test_a_request_that_does_not_arrive_ends(start_service: Start) -> None:
    service = start_service("--request-timeout", "0.5")
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
    answer = service.send(head + b"x")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answer.lower()
    assert b'{"error":"the request did not arrive within 0.5 s"}' in answer


@pytest.mark.slow
def test_a_large_request_is_refused_before_it_is_sent(start_service: Start) -> None:
    service = start_service("--max-request-mb", "1")
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n"
    answer = service.send(head)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"more than 1 MB" in answer


@pytest.mark.slow
def test_a_closed_connection_is_no_error(start_service: Start, number_folder: Path) -> None:
    service = start_service()
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nx"
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
            connection.sendall(head)
    assert service.post((number_folder / "42.png").read_bytes())[0] == 200
    assert service.end() == 0
    assert service.errors.read_text() == ""


@pytest.mark.slow
def test_only_this_machine_is_served_by_default(start_service: Start) -> None:
    service = start_service()
    assert service.url == f"http://127.0.0.1:{service.port}/"
    others = {str(info[4][0]) for info in socket.getaddrinfo(socket.gethostname(), None)}
    for address in {"127.0.0.2", *others} - {"127.0.0.1", "::1"}:
        with pytest.raises(OSError):  # noqa: PT011 - refused or unreachable
            socket.create_connection((address, service.port), timeout=1).close()
    foreign = service.send(b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
    assert foreign.startswith(b"HTTP/1.1 403 ")


@pytest.mark.slow
def test_another_address_has_a_warning(start_service: Start) -> None:
    service = start_service("--host", "0.0.0.0")  # noqa: S104
    answer = service.send(b"GET /health HTTP/1.1\r\nHost: any.name\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    (line,) = service.errors.read_text().splitlines()
    assert line.startswith("warning: every machine that can reach 0.0.0.0 can use the service")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        *(("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("localhost", True)),
        *(("0.0.0.0", False), ("::", False), ("192.0.2.1", False), ("example.org", False)),  # noqa: S104
    ],
)
def test_addresses_of_this_machine(host: str, loopback: bool) -> None:
    assert is_loopback(host) == loopback


def test_connections_do_not_delay_the_end_of_an_answer() -> None:
    with listen("127.0.0.1", 0) as listening:
        assert address_of(listening) == f"http://127.0.0.1:{listening.getsockname()[1]}/"
        with socket.create_connection(listening.getsockname()) as client:
            connection, _ = listening.accept()
            with connection:
                assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            client.close()


def test_a_port_in_use_is_named() -> None:
    with listen("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(OptionError) as caught:
            listen("127.0.0.1", port)
    assert str(caught.value).startswith(f"port: cannot listen on 127.0.0.1:{port} (Address already")


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a" * 300, "é" * 80])
def test_a_host_without_an_address_is_named(host: str) -> None:
    with pytest.raises(OptionError) as caught:
        listen(host, 0)
    assert caught.value.option == "host"


def test_without_the_extra_installed(
    command: Command, model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("server", "service"):
        monkeypatch.delitem(sys.modules, f"ocrsearch.deployment.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = command("serve", model_file)
    assert result.code == 2
    assert result.err == (
        "ocrsearch: the web service is not installed; install it with: "
        "pip install 'ocrsearch[serve]'\n"
    )


def test_wrong_options_are_named_before_the_model_is_loaded(
    command: Command, tmp_path: Path
) -> None:
    result = command("serve", tmp_path / "none.pt", "--max-images", "500")
    assert result.code == 2
    assert result.err.splitlines()[-1] == (
        "ocrsearch: --max-images: must be at most --max-waiting, 256, got 500"
    )
