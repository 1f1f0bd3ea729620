"""The web service: images in over HTTP, texts out as JSON.

``Service`` receives a request in the event loop, decodes its images in a few threads, and lets the
``Batcher`` recognise them together with those of other requests. Every answer that is no success
is ``{"error": REASON}`` with one line. ``Guard`` refuses requests that the scripts of other web
pages send to this machine.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ocrsearch.core import ImageError, n_cores, program_version
from ocrsearch.data import GrayImage
from ocrsearch.deployment.batching import Batcher, BusyError, Outcome, ReadingError
from ocrsearch.deployment.service_description import PREDICT_OPENAPI, front_page
from ocrsearch.deployment.service_options import ServiceOptions
from ocrsearch.deployment.uploads import (
    RefusedError,
    check_content_type,
    decode_images,
    one_line,
    split_form,
)
from ocrsearch.inference import Prediction, Predictor

RETRY_AFTER_S = 1
"""Time after which a client should repeat a request that was refused because of the load."""

BODIES_AT_ONCE = 8
"""Total size of the bodies that are held in memory, in multiples of the largest body."""


class BodyBudget:
    """Bytes of request bodies that may be in memory at a time, over all requests."""

    def __init__(self, n_bytes: int) -> None:
        self._n_left = n_bytes

    @contextmanager
    def share(self) -> Iterator[list[int]]:
        """Return the share of a request, a list; the bytes in it are given back at the end."""
        taken: list[int] = []
        try:
            yield taken
        finally:
            self._n_left += sum(taken)

    def take(self, taken: list[int], n: int) -> None:
        """Add bytes to the share of a request.

        Raises:
            RefusedError: all bytes are in use (503).
        """
        if n > self._n_left:
            raise RefusedError(503, "too many requests at once; send it again later")
        self._n_left -= n
        taken.append(n)


class Service:
    """Answers requests for predictions; all methods run in the event loop."""

    def __init__(self, predictor: Predictor, options: ServiceOptions) -> None:
        """Start the threads.

        Args:
            predictor: recogniser; only one thread uses it.
            options: limits.
        """
        self.options = options
        self._max_bytes = int(options.max_request_mb * 1e6)
        self._budget = BodyBudget(BODIES_AT_ONCE * self._max_bytes)
        self._n_open = 0
        self._threads = ThreadPoolExecutor(n_cores(), "decoder")
        read = partial(_read, predictor)
        self._batcher = Batcher(read, options.max_batch, options.max_waiting)

    @property
    def n_waiting(self) -> int:
        """Number of images that wait for the model."""
        return self._batcher.n_waiting

    def close(self) -> None:
        """Recognise the images that wait, and end the threads."""
        self._batcher.close()
        self._threads.shutdown()

    async def predict(self, request: Request) -> JSONResponse:
        """Answer a request with the predictions for its images, in order.

        Raises:
            RefusedError: the request exceeds a limit, or no image in it can be read.
        """
        if self._n_open >= self.options.max_waiting:
            raise RefusedError(503, "too many requests at once; send it again later")
        self._n_open += 1
        deadline = asyncio.get_running_loop().time() + self.options.request_timeout
        try:
            decoded = await self._images(request, deadline)
            async with asyncio.timeout_at(deadline):
                return _answer(await self._recognise(decoded))
        except TimeoutError:
            problem = f"not recognised within {self.options.request_timeout:g} s"
            raise RefusedError(504, f"{problem}; send fewer or smaller images") from None
        except ClientDisconnect:
            raise RefusedError(400, "the connection was closed before the end") from None
        finally:
            self._n_open -= 1

    async def _images(self, request: Request, deadline: float) -> list[GrayImage | ImageError]:
        """Receive and decode the images of a request; its body is dropped at the end.

        Raises:
            RefusedError: the request exceeds a limit, or does not arrive in time (408).
            TimeoutError: the images are not decoded in time.
        """
        content_type = request.headers.get("content-type", "")
        is_form = check_content_type(content_type)
        loop = asyncio.get_running_loop()
        with self._budget.share() as taken:
            try:
                async with asyncio.timeout_at(deadline):
                    body = await self._receive(request, taken)
            except TimeoutError:
                limit = f"{self.options.request_timeout:g} s"
                raise RefusedError(408, f"the request did not arrive within {limit}") from None
            async with asyncio.timeout_at(deadline):
                form = content_type if is_form else ""
                ends = time.monotonic() + deadline - loop.time()
                return await loop.run_in_executor(self._threads, self._decode, form, body, ends)

    async def _receive(self, request: Request, taken: list[int]) -> bytes:
        """Return the body of a request.

        Raises:
            RefusedError: it is too large (413), or there are too many at once (503).
        """
        problem = f"more than {self.options.max_request_mb:g} MB; send fewer or smaller images"
        if int(request.headers.get("content-length", 0)) > self._max_bytes:  # h11 has checked it
            raise RefusedError(413, problem)
        body = bytearray()
        async for chunk in request.stream():
            self._budget.take(taken, len(chunk))
            body += chunk
            if len(body) > self._max_bytes:
                raise RefusedError(413, problem)
        return bytes(body)

    def _decode(
        self, content_type: str, body: bytes, deadline: float
    ) -> list[GrayImage | ImageError]:
        """Return the images of a body, in a thread; without a type it is one image."""
        options = self.options
        contents = split_form(content_type, body, options.max_images) if content_type else [body]
        return decode_images(contents, 1e6 * options.max_megapixels, deadline)

    async def _recognise(
        self, decoded: Sequence[GrayImage | ImageError]
    ) -> list[Outcome | ImageError]:
        """Return the outcome for each image.

        Raises:
            RefusedError: too many images wait (503).
        """
        images = [image for image in decoded if not isinstance(image, ImageError)]
        if not images:
            return [image for image in decoded if isinstance(image, ImageError)]
        try:
            outcomes: list[Outcome] = await asyncio.wrap_future(self._batcher.submit(images))
        except BusyError as error:
            raise RefusedError(503, f"{error}; send the request again later") from None
        read = iter(outcomes)
        return [image if isinstance(image, ImageError) else next(read) for image in decoded]


def _read(predictor: Predictor, images: Sequence[GrayImage]) -> list[Prediction]:
    return predictor.predict(list(images))


def _answer(outcomes: Sequence[Outcome | ImageError]) -> JSONResponse:
    """Return the answer: 200 if an image was recognised, else 422, or 500 if it is our fault."""
    content: dict[str, Any] = {"results": [_result(outcome) for outcome in outcomes]}
    if any(isinstance(outcome, Prediction) for outcome in outcomes):
        return JSONResponse(content)
    is_ours = any(isinstance(outcome, ReadingError) for outcome in outcomes)
    problem = one_line(str(outcomes[0]))
    reason = problem if len(outcomes) == 1 else f"no image can be read; the first: {problem}"
    return JSONResponse({"error": reason, **content}, 500 if is_ours else 422)


def _result(outcome: Outcome | ImageError) -> dict[str, Any]:
    if not isinstance(outcome, Prediction):
        return {"error": one_line(str(outcome))}
    return {
        "text": outcome.text,
        "confidence": _finite(outcome.confidence),
        "symbol_confidences": [_finite(value) for value in outcome.symbol_confidences],
        "blank": outcome.blank,
        "familiarity": _finite(outcome.familiarity),
        "check": outcome.check,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


class Guard:
    """Middleware that refuses requests of foreign web pages (403).

    A page may send forms to any address that its reader's browser reaches, and by DNS rebinding
    read the answers. So an Origin must be that of the service itself or allowed, and a service for
    this machine alone must be called by a name of this machine.
    """

    def __init__(
        self, app: ASGIApp, hosts: frozenset[str] | None, origins: tuple[str, ...]
    ) -> None:
        """Wrap an application.

        Args:
            app: application.
            hosts: names by which the service may be called; None for any.
            origins: allowed origins beside its own; "*" for all.
        """
        self._app, self._hosts, self._origins = app, hosts, origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        app = self._app
        if scope["type"] == "http" and (reason := self._problem(Headers(scope=scope))):
            app = _refusal(RefusedError(403, reason))
        await app(scope, receive, send)

    def _problem(self, headers: Headers) -> str | None:
        host, origin = headers.get("host", ""), headers.get("origin", "")
        name = _host_of(f"//{host}")
        if self._hosts is not None and host and name not in self._hosts:
            return f"called as {name!r}, but it is for this machine alone; use localhost"
        if not origin or origin in self._origins or "*" in self._origins:
            return None
        if origin.partition("://")[2] == host:
            return None
        return f"called by a web page of {origin!r}, which is not allowed"


def _host_of(url: str) -> str:
    """Return the name in a URL, in lower case, without port and brackets; empty if damaged."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _refusal(error: RefusedError) -> Response:
    """Return the answer to a refused request. The connection ends: its body may be unread."""
    headers = {"Connection": "close"}
    if error.status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    return JSONResponse({"error": error.reason}, error.status, headers)


def build_app(
    predictor: Predictor,
    name: str,
    options: ServiceOptions | None = None,
    hosts: frozenset[str] | None = None,
) -> FastAPI:
    """Return the web service as an ASGI application.

    Args:
        predictor: recogniser.
        name: name of the model, shown to clients.
        options: limits.
        hosts: names by which the service may be called; None for any.
    """
    options = options or ServiceOptions()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.service = Service(predictor, options)
        yield
        await asyncio.get_running_loop().run_in_executor(None, app.state.service.close)

    # the pages of FastAPI load their scripts from other servers
    app = FastAPI(
        title="ocrsearch",
        summary="Recognise text in images of lines.",
        version=program_version(),
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    page = front_page(name, options)

    @app.get("/", include_in_schema=False)
    async def root() -> Response:
        return HTMLResponse(page.content, headers=page.headers)

    @app.get("/health", summary="State of the service.")
    async def health() -> dict[str, Any]:
        n_waiting = app.state.service.n_waiting
        return {"status": "ok", "model": name, "version": app.version, "n_waiting": n_waiting}

    @app.post(
        "/predict", summary="Recognise the text in each image.", openapi_extra=PREDICT_OPENAPI
    )
    async def predict(request: Request) -> Response:
        service: Service = app.state.service
        return await service.predict(request)

    _add_error_answers(app)
    if options.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=options.origins,
            allow_methods=["POST"],
            expose_headers=["Retry-After"],
        )
    app.add_middleware(Guard, hosts=hosts, origins=options.origins)
    return app


def _add_error_answers(app: FastAPI) -> None:
    """Answer every error with one line of JSON."""

    @app.exception_handler(RefusedError)
    async def refused(request: Request, error: RefusedError) -> Response:  # noqa: ARG001
        return _refusal(error)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:  # noqa: ARG001
        return JSONResponse({"error": one_line(error.detail)}, error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:  # noqa: ARG001
        return JSONResponse({"error": "internal error; see the log of the service"}, 500)
