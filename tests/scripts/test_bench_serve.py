"""The load test of the web service: it counts what it sends, and finds answers that are wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import load_script

if TYPE_CHECKING:
    from types import ModuleType


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    return load_script("bench_serve")


Reply = Callable[[int], bytes]


def answer(status: int, text: str = "", headers: str = "") -> bytes:
    body = b'{"results":[{"text":"%s"}]}' % text.encode()
    head = f"HTTP/1.1 {status} x\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


def run(bench: ModuleType, reply: Reply, texts: list[str]) -> Any:
    """Run two clients against a server that answers as a function of the request's number."""
    n_requests = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal n_requests
        while not reader.at_eof():
            try:
                await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(3)
            except asyncio.IncompleteReadError:
                break
            n_requests += 1
            content = reply(n_requests)
            writer.write(content)
            if not content:
                break
        writer.close()

    async def both() -> Any:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        requests = [bench.request_of(b"abc", "127.0.0.1")] * 2
        async with server:
            tally = await bench.run_clients(f"http://127.0.0.1:{port}", requests, texts, 2, 0.3)
        assert tally.n_sent == n_requests
        return tally

    return asyncio.run(both())


def test_answers_are_counted_and_compared(bench: ModuleType) -> None:
    tally = run(bench, lambda i: answer(200, "a" if i % 5 else "b"), ["a", "a"])
    assert tally.n_sent == tally.statuses[200] == len(tally.latencies) > 10
    assert tally.n_wrong == tally.n_sent // 5
    assert tally.n_lost == 0
    assert "lost: 0; wrong texts: " in bench.report(tally, 0.3)


def test_refusals_and_lost_requests_are_counted(bench: ModuleType) -> None:
    kinds = [answer(503, headers="retry-after: 0\r\nconnection: close\r\n"), b"", answer(200, "a")]
    tally = run(bench, lambda i: kinds[i % 3], ["a", "a"])
    assert set(tally.statuses) == {200, 503}
    assert tally.n_lost == tally.n_sent - tally.statuses.total() > 0
    assert len(tally.latencies) == tally.statuses[200]
