"""Load test of ``ocrsearch serve``: requests per second, latency and refusals, over real sockets.

The server is a process of its own. The clients share this process: each keeps a connection open,
sends an image, waits for the answer and sends the next. After 503 a client waits as long as
Retry-After says. Each text is compared with that of a request without load: answers that were
exchanged between clients would be found. A request without an answer counts as lost. On Linux, the
processor time of both sides is reported. Other work on the machine hardly changes it.

Usage: python scripts/bench_serve.py model.pt FOLDER --clients 32 --seconds 10
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from ocrsearch.data.formats import find_images
from ocrsearch.data.images import is_image_file

MAX_IMAGES = 500


@dataclass
class Tally:
    """Results of all clients.

    Attributes:
        latencies: seconds of each successful request.
        statuses: number of answers by HTTP status.
        n_sent: number of requests that were sent.
        n_wrong: number of texts that differ from those without load.
    """

    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    n_sent: int = 0
    n_wrong: int = 0

    @property
    def n_lost(self) -> int:
        """Number of requests without an answer."""
        return self.n_sent - self.statuses.total()


def request_of(image: bytes, host: str) -> bytes:
    """Return an HTTP request with an image as its body."""
    head = f"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/octet-stream\r\n"
    return f"{head}Content-Length: {len(image)}\r\n\r\n".encode() + image


@dataclass(frozen=True)
class Answer:
    """Answer to a request; ``retry_after`` is 0 unless the server names a time in seconds."""

    status: int
    body: bytes
    retry_after: float
    closes: bool


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """Read an answer from a connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
    headers = dict(line.split(": ", 1) for line in head[1:] if ": " in line)
    body = await reader.readexactly(int(headers["content-length"]))
    retry_after = float(headers.get("retry-after", "0"))
    return Answer(
        int(head[0].split()[1]), body, retry_after, headers.get("connection", "") == "close"
    )


async def run_client(
    url: str, requests: Sequence[bytes], texts: Sequence[str], first: int, end: float, tally: Tally
) -> None:
    """Send requests one after the other until the time is up.

    Args:
        url: URL of the server.
        requests: request for each image.
        texts: text of each image; empty to compare nothing.
        first: index of the first request.
        end: time to end, as ``time.perf_counter`` has it.
        tally: results, to be extended.
    """
    parts = urlsplit(url)
    writer: asyncio.StreamWriter | None = None
    i = first
    while time.perf_counter() < end:
        if writer is None:
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        i = (i + 1) % len(requests)
        start = time.perf_counter()
        tally.n_sent += 1
        try:
            writer.write(requests[i])
            answer = await read_answer(reader)
        except (OSError, asyncio.IncompleteReadError):
            writer.close()
            writer = None
            continue
        tally.statuses[answer.status] += 1
        if answer.status == 200:
            tally.latencies.append(time.perf_counter() - start)
            tally.n_wrong += bool(texts) and text_of(answer) != texts[i]
        if answer.closes:
            writer.close()
            writer = None
        await asyncio.sleep(answer.retry_after)
    if writer is not None:
        writer.close()


def text_of(answer: Answer) -> str:
    """Return the text of the only image of an answer."""
    return str(json.loads(answer.body)["results"][0]["text"])


async def read_one_by_one(url: str, requests: Sequence[bytes]) -> list[str]:
    """Return the text of each image, without load."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    texts = []
    for request in requests:
        writer.write(request)
        texts.append(text_of(await read_answer(reader)))
    writer.close()
    return texts


async def run_clients(
    url: str, requests: Sequence[bytes], texts: Sequence[str], n_clients: int, seconds: float
) -> Tally:
    """Return the results of clients that send requests at the same time; see ``run_client``."""
    tally = Tally()
    end = time.perf_counter() + seconds
    step = len(requests) / n_clients
    clients = (
        run_client(url, requests, texts, int(i * step), end, tally) for i in range(n_clients)
    )
    await asyncio.gather(*clients)
    return tally


@contextmanager
def server(model: Path, options: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Run ``ocrsearch serve`` on a free port, and return its URL and the id of its process."""
    command = [sys.executable, "-m", "ocrsearch", "serve", str(model), "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[0], process.pid
        finally:
            process.terminate()


def processor_seconds(pid: int) -> float:
    """Return the processor time of a process in seconds; NaN where there is no ``/proc``."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return math.nan
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def report(tally: Tally, seconds: float) -> str:
    """Return the results in some lines."""
    n = len(tally.latencies)
    lines = [f"{n / seconds:.0f} requests a second ({n} in {seconds:.0f} s)"]
    if n > 1:
        cuts = statistics.quantiles(tally.latencies, n=100)
        lines.append(f"latency: median {1000 * cuts[49]:.0f} ms, 95 % {1000 * cuts[94]:.0f} ms")
    statuses = ", ".join(f"{status}: {count}" for status, count in sorted(tally.statuses.items()))
    lines.append(f"answers: {statuses}; lost: {tally.n_lost}; wrong texts: {tally.n_wrong}")
    return "\n".join(lines)


def main(
    model: Annotated[Path, typer.Argument(help="Model file.")],
    folder: Annotated[Path, typer.Argument(help="Folder with images.")],
    clients: Annotated[int, typer.Option(min=1, help="Number of clients.")] = 32,
    seconds: Annotated[float, typer.Option(min=1, help="Duration of the test.")] = 10.0,
    max_waiting: Annotated[int, typer.Option(min=64, help="Option of the server.")] = 256,
    max_batch: Annotated[int, typer.Option(min=1, help="Option of the server.")] = 32,
) -> None:
    """Start the server, run the clients and print the results."""
    paths = sorted(find_images(folder, is_image_file).images)[:MAX_IMAGES]
    if not paths:
        raise typer.BadParameter(f"{folder}: no images")
    options = ["--max-waiting", str(max_waiting), "--max-batch", str(max_batch)]
    with server(model, options) as (url, pid):
        requests = [request_of(path.read_bytes(), urlsplit(url).netloc) for path in paths]
        texts = asyncio.run(read_one_by_one(url, requests))
        before = (processor_seconds(pid), time.process_time())
        tally = asyncio.run(run_clients(url, requests, texts, clients, seconds))
        after = (processor_seconds(pid), time.process_time())
    typer.echo(f"{clients} clients, load of the machine {os.getloadavg()[0]:.1f}")
    typer.echo(report(tally, seconds))
    per_request = [1000 * (b - a) / tally.n_sent for a, b in zip(before, after, strict=True)]
    typer.echo(
        "processor time per request: server {:.1f} ms, client {:.1f} ms".format(*per_request)
    )


if __name__ == "__main__":
    typer.run(main)
