"""The server: it listens on an address and runs the web service until it is told to end.

Ctrl-C and SIGTERM end it cleanly: no new connections, and each request that was accepted is
answered.
"""

from __future__ import annotations

import ipaddress
import logging
import math
import socket

import uvicorn
from fastapi import FastAPI

from ocrsearch.core import OptionError

BACKLOG = 2048
"""Number of connections that may wait to be accepted."""

SECONDS_TO_END = 5
"""Time beyond that of the longest request until an open connection is cut at the end."""

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
"""Names of this machine in a browser's address bar."""


def is_loopback(host: str) -> bool:
    """Return whether an address can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Args:
        host: name or address to listen on.
        port: number of the port; 0 for any that is free.

    Raises:
        OptionError: the name is unknown, or the port is in use.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.create_server(address[:2], family=family, backlog=BACKLOG)
        # connections inherit it; without it the second packet of an answer is delayed by 40 ms
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except (OSError, UnicodeError) as error:
        option = "port" if not isinstance(error, socket.gaierror | UnicodeError) else "host"
        reason = getattr(error, "strerror", None) or error
        problem = f"cannot listen on {host}:{port} ({reason}); give another host or port"
        raise OptionError(problem, option) from None


def address_of(listening: socket.socket) -> str:
    """Return the URL of a socket that listens."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def run_server(app: FastAPI, listening: socket.socket, request_timeout: float) -> None:
    """Serve until Ctrl-C or SIGTERM, then answer the requests that were accepted.

    Afterwards the signal is raised again, so that the handlers of the caller see it.

    Args:
        app: application, from ``build_app``.
        listening: socket, from ``listen``; it is closed at the end.
        request_timeout: maximum duration of a request in seconds.
    """
    # damaged forms are reported to their senders, not to the log
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
    config = uvicorn.Config(
        app,
        http="h11",  # httptools puts no limit on the size of headers
        ws="none",
        lifespan="on",
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=math.ceil(request_timeout) + SECONDS_TO_END,
    )
    uvicorn.Server(config).run(sockets=[listening])
