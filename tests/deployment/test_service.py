"""The web service: answers, limits, refusals, and what web pages may do."""

from __future__ import annotations

import gc
import re
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from starlette.testclient import TestClient

from ocrsearch.core import BundleError, OptionError
from ocrsearch.deployment import ServiceOptions, build_app, service
from ocrsearch.deployment.server import LOOPBACK_NAMES
from ocrsearch.deployment.uploads import decode_images
from ocrsearch.inference.inputs import read_input
from ocrsearch.inference.predictor import Prediction, Predictor, load

PNG = {"Content-Type": "image/png"}
Files = list[tuple[str, tuple[str, bytes]]]


@pytest.fixture(scope="module")
def predictor(model_file: Path) -> Predictor:
    return load(model_file)


@pytest.fixture(scope="module")
def images(number_folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(number_folder.glob("*.png"))]


@pytest.fixture(scope="module")
def client(predictor: Predictor) -> Iterator[TestClient]:
    with connected(predictor) as client:
        yield client


def connected(
    predictor: Any, options: ServiceOptions | None = None, hosts: frozenset[str] | None = None
) -> TestClient:
    app = build_app(predictor, "a<b>.pt", options, hosts)
    return TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)


def files(*contents: bytes) -> Files:
    return [("image", ("a.png", content)) for content in contents]


def result(prediction: Prediction) -> dict[str, Any]:
    return {
        "text": prediction.text,
        "confidence": pytest.approx(prediction.confidence, rel=1e-4),
        "symbol_confidences": pytest.approx(prediction.symbol_confidences, rel=1e-4),
        "blank": prediction.blank,
        "familiarity": prediction.familiarity,
        "check": prediction.check,
    }


class Slow:
    """A recogniser that waits at a gate, and then reads the width of an image."""

    def __init__(self) -> None:
        self.gate, self.entered = threading.Event(), threading.Event()

    def predict(self, pictures: Sequence[np.ndarray]) -> list[Prediction]:
        self.entered.set()
        assert self.gate.wait(30)
        return [Prediction(str(picture.shape[1]), 1.0, (1.0,)) for picture in pictures]


@pytest.fixture
def slow() -> Iterator[Slow]:
    model = Slow()
    yield model
    model.gate.set()


class Broken:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def predict(self, pictures: Sequence[np.ndarray]) -> list[Prediction]:
        raise self.error


def test_a_form_is_answered_in_order(
    client: TestClient, predictor: Predictor, images: list[bytes]
) -> None:
    response = client.post("/predict", files=files(*images))
    assert response.status_code == 200
    predictions = [predictor.predict(image) for image in images]
    assert response.json() == {"results": [result(prediction) for prediction in predictions]}
    assert len({prediction.symbol_confidences for prediction in predictions}) > 20


@pytest.mark.parametrize(
    "headers", [PNG, {"Content-Type": "application/octet-stream"}, {"Content-Type": ""}]
)
def test_a_body_is_one_image(
    client: TestClient, predictor: Predictor, images: list[bytes], headers: dict[str, str]
) -> None:
    response = client.post("/predict", content=images[3], headers=headers)
    assert response.status_code == 200
    assert response.json() == {"results": [result(predictor.predict(images[3]))]}


def test_bad_images_do_not_spoil_the_others(
    client: TestClient, predictor: Predictor, images: list[bytes]
) -> None:
    sent = [images[0], b"", images[1][:60], b"/etc/passwd", images[2]]
    response = client.post("/predict", files=files(*sent))
    assert response.status_code == 200
    results = response.json()["results"]
    assert results[0] == result(predictor.predict(images[0]))
    assert results[4] == result(predictor.predict(images[2]))
    assert [list(r) for r in results[1:4]] == [["error"]] * 3
    assert results[1]["error"] == "image 2 of 5: empty"


class Checksum:
    """Reads a checksum of the pixels, which differs for each image."""

    def predict(self, pictures: Sequence[np.ndarray]) -> list[Prediction]:
        return [Prediction(str(crc32(picture.tobytes())), 1.0, (1.0,)) for picture in pictures]


def test_clients_at_the_same_time_get_their_own_texts(images: list[bytes]) -> None:
    texts = [str(crc32(read_input(image).tobytes())) for image in images]
    assert len(set(texts)) == len(texts)

    with connected(Checksum()) as client, ThreadPoolExecutor(8) as threads:

        def send(i: int) -> bool:
            wanted = [(i + k) % len(images) for k in range(1 + i % 3)]
            answer = client.post("/predict", files=files(*(images[k] for k in wanted)))
            return [r["text"] for r in answer.json()["results"]] == [texts[k] for k in wanted]

        assert all(threads.map(send, range(200)))


def test_without_a_readable_image_the_status_is_422(client: TestClient) -> None:
    one = client.post("/predict", content=b"nothing", headers=PNG)
    two = client.post("/predict", files=files(b"nothing", b""))
    assert (one.status_code, two.status_code) == (422, 422)
    assert one.json()["error"].startswith("image: not a supported image")
    assert two.json()["error"].startswith("no image can be read; the first: image 1 of 2: ")
    assert len(two.json()["results"]) == 2


def test_a_blank_image_is_read_as_nothing(client: TestClient) -> None:
    import cv2

    content = cv2.imencode(".png", np.full((20, 60), 255, np.uint8))[1].tobytes()
    read = {"text": "", "confidence": 0.0, "symbol_confidences": [], "blank": True}
    read |= {"familiarity": 1.0, "check": None}
    answer = client.post("/predict", content=content, headers=PNG)
    assert answer.json() == {"results": [read]}


def small() -> ServiceOptions:
    return ServiceOptions(max_request_mb=0.01, max_images=2, max_megapixels=0.0001)


@pytest.mark.parametrize(
    ("request_", "status", "reason"),
    [
        ({"content": b"x" * 10_001, "headers": PNG}, 413, "more than 0.01 MB"),
        ({"content": iter([b"x" * 6000] * 2), "headers": PNG}, 413, "more than 0.01 MB"),
        ({"files": files(b"x", b"y", b"z")}, 413, "more than 2 images"),
        ({"json": {"path": "/etc/passwd"}}, 415, "is not supported; send multipart/form-data"),
        ({"data": {"url": "http://x"}}, 415, "is not supported"),
        ({"content": b"", "headers": PNG}, 422, "image: empty"),
        (
            {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}},
            *(400, "lacks its boundary"),
        ),
        (
            {"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=b"}},
            *(400, "damaged form"),
        ),
    ],
)
def test_requests_that_are_refused(
    predictor: Predictor, request_: dict[str, Any], status: int, reason: str
) -> None:
    with connected(predictor, small()) as client:
        response = client.post("/predict", **request_)
    assert response.status_code == status
    assert reason in response.json()["error"]
    assert response.json()["error"].isprintable()


def test_large_images_are_refused(predictor: Predictor, images: list[bytes]) -> None:
    with connected(predictor, small()) as client:
        response = client.post("/predict", content=images[0], headers=PNG)
    assert response.status_code == 422
    assert "image too large: 26 x 20 pixels, at most 0.0001 mega" in response.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/predict", 405), ("GET", "/docs", 404), ("GET", "/redoc", 404), ("GET", "/x", 404)],
)
def test_other_requests_have_a_reason_in_json(
    client: TestClient, method: str, path: str, status: int
) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    assert list(response.json()) == ["error"]


def test_overload_is_refused_and_nothing_is_lost(slow: Slow, images: list[bytes]) -> None:
    options = ServiceOptions(max_images=2, max_waiting=2, max_batch=1)
    with connected(slow, options) as client, ThreadPoolExecutor(2) as threads:
        sent = [threads.submit(client.post, "/predict", content=i, headers=PNG) for i in images[:2]]
        assert slow.entered.wait(30)
        while client.get("/health").json()["n_waiting"] < 1:
            time.sleep(0.01)
        refused = client.post("/predict", content=images[2], headers=PNG)
        slow.gate.set()
        accepted = [future.result(30) for future in sent]
        later = client.post("/predict", content=images[2], headers=PNG)
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    assert refused.json() == {"error": "too many requests at once; send it again later"}
    assert [response.status_code for response in [*accepted, later]] == [200] * 3


def test_images_that_wait_are_bounded_too(slow: Slow, images: list[bytes]) -> None:
    options = ServiceOptions(max_images=3, max_waiting=3, max_batch=1)
    with connected(slow, options) as client, ThreadPoolExecutor(2) as threads:
        first = threads.submit(client.post, "/predict", files=files(*images[:3]))
        assert slow.entered.wait(30)
        refused = client.post("/predict", files=files(*images[:2]))
        slow.gate.set()
        assert first.result(30).status_code == 200
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    assert refused.json() == {"error": "2 images are waiting; send the request again later"}


def test_bodies_in_memory_are_bounded(images: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()

    def decode_later(*arguments: Any) -> Any:
        assert gate.wait(30)
        return decode_images(*arguments)

    monkeypatch.setattr(service, "decode_images", decode_later)
    options = ServiceOptions(max_request_mb=len(images[0]) / 1e6)
    with connected(Checksum(), options) as client, ThreadPoolExecutor(16) as threads:
        sent = [
            threads.submit(client.post, "/predict", content=images[0], headers=PNG)
            for _ in range(16)
        ]
        while sum(future.done() for future in sent) < 8:
            time.sleep(0.01)
        gate.set()
        statuses = sorted(future.result(30).status_code for future in sent)
        assert client.post("/predict", content=images[0], headers=PNG).status_code == 200
    assert statuses == [200] * 8 + [503] * 8


def test_bodies_are_dropped_before_images_wait(
    slow: Slow, images: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies: list[weakref.ref[Any]] = []

    class Body(bytearray):
        def __init__(self, content: bytes) -> None:
            super().__init__(content)
            bodies.append(weakref.ref(self))

    monkeypatch.setattr(service, "bytes", Body, raising=False)
    with connected(slow) as client, ThreadPoolExecutor(1) as threads:
        sent = threads.submit(client.post, "/predict", content=images[0], headers=PNG)
        assert slow.entered.wait(30)
        gc.collect()
        assert [body() for body in bodies] == [None]
        slow.gate.set()
        assert sent.result(30).status_code == 200


def test_a_request_that_takes_too_long(slow: Slow, images: list[bytes]) -> None:
    with connected(slow, ServiceOptions(request_timeout=0.3)) as client:
        late = client.post("/predict", content=images[0], headers=PNG)
        slow.gate.set()
        after = client.post("/predict", content=images[1], headers=PNG)
    assert late.status_code == 504
    assert late.json()["error"].startswith("not recognised within 0.3 s")
    assert after.status_code == 200


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (BundleError("the model outputs NaN"), "the model outputs NaN"),
        (RuntimeError("secret"), "internal error; see the log of the service"),
    ],
)
def test_a_broken_model_is_not_the_fault_of_the_client(
    images: list[bytes], error: Exception, reason: str
) -> None:
    with connected(Broken(error)) as client:
        response = client.post("/predict", content=images[0], headers=PNG)
    assert response.status_code == 500
    assert response.json() == {"error": reason, "results": [{"error": reason}]}


def test_health(client: TestClient) -> None:
    content = client.get("/health").json()
    assert content == {
        "status": "ok",
        "model": "a<b>.pt",
        "version": content["version"],
        "n_waiting": 0,
    }


def test_the_page_needs_no_other_server(client: TestClient) -> None:
    response = client.get("/")
    assert response.status_code == 200
    text = response.text
    assert "a&lt;b&gt;.pt" in text
    assert "<script" not in text
    targets = re.findall(r"(?:href|src|action)=\"([^\"]*)\"", text)
    assert set(targets) == {"/predict", "/openapi.json", "/health"}
    assert "url(" not in text
    assert response.headers["content-security-policy"].startswith("default-src 'none'")


def test_the_description_in_openapi(client: TestClient) -> None:
    content = client.get("/openapi.json").json()
    operation = content["paths"]["/predict"]["post"]
    assert "multipart/form-data" in operation["requestBody"]["content"]
    assert {"200", "400", "413", "415", "422", "503", "504"} <= set(operation["responses"])
    assert "parameters" not in operation


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *(("127.0.0.1:8000", 200), ("localhost", 200), ("LOCALHOST:99", 200), ("[::1]:8000", 200)),
        *(("evil.example", 403), ("127.0.0.1.evil.example:8000", 403), ("[::1", 403)),
        *(("a@localhost.evil.example", 403), ("127.0.0.2", 403)),
    ],
)
def test_a_service_for_this_machine_is_called_by_its_names(
    predictor: Predictor, host: str, status: int
) -> None:
    with connected(predictor, hosts=LOOPBACK_NAMES) as client:
        response = client.get("/health", headers={"Host": host})
    assert response.status_code == status
    assert status == 200 or "for this machine alone" in response.json()["error"]


@pytest.mark.parametrize(
    ("origin", "allowed", "status"),
    [
        (None, "", 200),
        ("http://127.0.0.1:8000", "", 200),
        ("http://127.0.0.1:9000", "", 403),
        ("http://evil.example", "", 403),
        ("null", "", 403),
        ("https://good.example", "https://good.example/, http://b", 200),
        ("http://good.example", "https://good.example", 403),
        ("http://any.example", "*", 200),
    ],
)
def test_other_web_pages_may_not_send_requests(
    predictor: Predictor, images: list[bytes], origin: str | None, allowed: str, status: int
) -> None:
    headers = PNG | ({"Origin": origin} if origin else {})
    with connected(predictor, ServiceOptions(allow_origin=allowed)) as client:
        response = client.post("/predict", content=images[0], headers=headers)
    assert response.status_code == status
    allows = "access-control-allow-origin" in response.headers
    assert allows == bool(allowed and status == 200)


@pytest.mark.parametrize(("allowed", "status"), [("https://good.example", 200), ("", 403)])
def test_scripts_ask_whether_they_may_send(predictor: Predictor, allowed: str, status: int) -> None:
    headers = {
        "Origin": "https://good.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    with connected(predictor, ServiceOptions(allow_origin=allowed)) as client:
        response = client.options("/predict", headers=headers)
    assert response.status_code == status
    assert response.headers.get("access-control-allow-origin", "") == allowed


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"max_images": 0}, "max_images: must be at least 1, got 0"),
        ({"max_images": 65, "max_waiting": 64}, "max_images: must be at most `max_waiting`, 64"),
        ({"request_timeout": float("nan")}, "request_timeout: must be"),
        ({"max_request_mb": -1}, "max_request_mb: must be more than 0"),
        ({"allow_origin": "evil.example"}, "allow_origin: must begin with http:// or https://"),
    ],
)
def test_wrong_options(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(OptionError) as caught:
        ServiceOptions(**options)
    assert str(caught.value).startswith(problem)


def test_a_page_may_show_any_name(predictor: Predictor) -> None:
    name = "{x}<script>\x1b[31m‮.pt"
    app = build_app(predictor, name)
    with TestClient(app, base_url="http://localhost") as client:
        assert client.get("/health").json()["model"] == name
        text = client.get("/").text
    assert "<script" not in text
    assert "\x1b" not in text
