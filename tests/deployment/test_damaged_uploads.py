"""A thousand damaged uploads: none stops the service, and its memory is bounded."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.hostile_documents import KINDS

if TYPE_CHECKING:
    from tests.deployment.conftest import Service

pytestmark = pytest.mark.slow

N_UPLOADS = 1000

MAX_GROWTH_MB = 500
"""Two images of 16 megapixels at 64 bits each while they are converted, and some bodies."""

IMAGE_KINDS = [make for name, make in KINDS.items() if name != "special file"]

Upload = tuple[str, bytes]
"""Content-Type and body."""

FORM = "multipart/form-data; boundary=b"


@cache
def hostile_image(kind: int, number: int) -> bytes:
    return IMAGE_KINDS[kind](random.Random(f"{kind} {number}"))[1]


def any_image(rng: random.Random) -> bytes:
    """Return a hostile image: truncated, changed, of a huge declared size, a bomb, noise ..."""
    return hostile_image(rng.randrange(len(IMAGE_KINDS)), rng.randrange(6))


def part(body: bytes, headers: bytes = b"") -> bytes:
    head = b'--b\r\nContent-Disposition: form-data; name="a"; filename="../../etc/passwd"\r\n'
    return head + headers + b"\r\n" + body + b"\r\n"


def raw_image(rng: random.Random) -> Upload:
    return rng.choice(["image/png", "image/jpeg", "application/octet-stream"]), any_image(rng)


def form_of_images(rng: random.Random) -> Upload:
    parts = [part(any_image(rng)) for _ in range(rng.randint(1, 4))]
    return FORM, b"".join(parts) + b"--b--\r\n"


def noise(rng: random.Random) -> Upload:
    return rng.choice(["image/png", FORM]), rng.randbytes(rng.choice([1, 100, 100_000]))


def wrong_type(rng: random.Random) -> Upload:
    kinds = ["text/html", "application/json", "multipart/mixed; boundary=b", "a" * 5000, ";", "é"]
    return rng.choice(kinds), any_image(rng)


def empty(rng: random.Random) -> Upload:
    return rng.choice(
        [("image/png", b""), (FORM, b""), (FORM, b"--b--"), (FORM, part(b"")), ("", b"")]
    )


def deep_form(rng: random.Random) -> Upload:
    body = b"x"
    for i in range(rng.randint(2, 200)):
        inner = b"Content-Type: multipart/mixed; boundary=c%d\r\n" % i
        body = b"--c%d\r\n" % i + inner + b"\r\n" + body + b"\r\n--c%d--\r\n" % i
    return FORM, part(body, b"Content-Type: multipart/mixed; boundary=c1\r\n") + b"--b--\r\n"


def odd_form(rng: random.Random) -> Upload:
    image = any_image(rng)[:1000]
    return FORM, rng.choice(
        [
            part(image) * rng.randint(65, 5000) + b"--b--\r\n",
            part(image)[: rng.randint(1, 200)],
            part(image, b"A: " + b"b" * 1_000_000 + b"\r\n") + b"--b--\r\n",
            part(image, b"A: b\r\n" * 1000) + b"--b--\r\n",
            part(image, b"\0: \xff\r\n") + b"--b--\r\n",
            b"\r\n--b" * rng.randint(1, 100_000),
            part(b"\r\n-" * 500_000) + b"--b--\r\n",
        ]
    )


def large(rng: random.Random) -> Upload:
    return "image/png", bytes(rng.choice([16_000_001, 20_000_000]))


MAKERS: list[Callable[[random.Random], Upload]] = [
    *[raw_image] * 4,
    *[form_of_images] * 3,
    *(noise, wrong_type, empty, deep_form, odd_form),
]


def upload(seed: int) -> Upload:
    rng = random.Random(seed)
    return large(rng) if seed % 100 == 7 else MAKERS[seed % len(MAKERS)](rng)


def test_a_thousand_damaged_uploads(
    start_service: Callable[..., Service], number_folder: Path
) -> None:
    service = start_service()
    good = (number_folder / "42.png").read_bytes()
    before = service.post(good)
    assert before[0] == 200
    start_mb = service.memory_mb()

    def send(seed: int) -> int:
        content_type, body = upload(seed)
        try:
            status, content = service.post(body, content_type)
        except (IndexError, ValueError):  # closed while more was sent than is allowed
            assert len(body) > 16_000_000
            return 0
        assert {*content} & {"error", "results"}, content
        assert str(content.get("error", "")).isprintable()
        return status

    with ThreadPoolExecutor(4) as threads:
        statuses = Counter(threads.map(send, range(N_UPLOADS)))
        assert service.post(good) == before
    assert set(statuses) <= {0, 200, 400, 413, 415, 422, 503}, statuses
    assert statuses[422] > 200
    assert min(statuses[status] for status in (200, 400, 413, 415)) > 5, statuses
    assert service.memory_mb() - start_mb < MAX_GROWTH_MB
    assert service.end() == 0
    assert "Traceback" not in service.errors.read_text()  # decoders in C may print lines there


DAMAGED_REQUESTS = [
    b"",
    b"\r\n" * 1000,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/9.9\r\n\r\n",
    b"POST /predict HTTP/1.1\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab",
    b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /predict HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: \xff\xfe\r\n\r\n",
    b"GET /%00%ff%zz?\x7f HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: localhost\r\nOrigin: http://[\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"GET / HTTP/1.1\r\nA: " + b"a" * 10_000_000,
    b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 1_000_000,
]


def test_damaged_requests(start_service: Callable[..., Service], number_folder: Path) -> None:
    service = start_service()
    good = (number_folder / "42.png").read_bytes()
    for raw in DAMAGED_REQUESTS:
        answer = service.send(raw, end=True)
        assert not answer or answer.startswith(b"HTTP/1.1 "), raw[:100]
        assert not answer.startswith(b"HTTP/1.1 500"), raw[:100]
        assert service.post(good)[0] == 200, raw[:100]
    assert service.memory_mb() < 1500
    assert "Traceback" not in service.errors.read_text()
