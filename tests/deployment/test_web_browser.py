"""The page in a browser, opened from its file: it reads as Python does."""

from __future__ import annotations

import base64
import io
import math
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from PIL import Image

from ocrsearch.core import ImageConfig
from ocrsearch.data.images import open_image, prepare_image, to_gray
from ocrsearch.evaluation import Threshold, fit_trust, image_profiles
from ocrsearch.inference import load
from ocrsearch.inference.inputs import read_input
from ocrsearch.training import save_bundle
from ocrsearch.workflows import export_page
from tests.conftest import draw_text

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

    from ocrsearch.training import Bundle

pytestmark = pytest.mark.slow

DEADLINE_S = 120.0

RESULTS = """
return [...document.querySelectorAll(".result")].reverse().map((result) => ({
  text: result.querySelector(".text")?.firstChild.data ?? null,
  confidence: Number(result.querySelector(".confidence")?.value),
  symbols: [...result.querySelectorAll("li data")].map((data) => Number(data.value)),
  shown: result.textContent,
}));
"""

PREPARE = """
const [text, configs, done] = arguments;
const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
readPng(bytes).then((picture) => {
  const gray = toGray(picture);
  done([gray, ...configs.map((config) => prepareImage(gray, config))].map((image) =>
    [image.height, image.width, btoa(String.fromCharCode(...image.pixels))]));
}).catch((error) => done(String(error)));
"""

CONFIGS = [
    ImageConfig.model_validate(values)
    for values in (
        {"height": 32},
        {"height": 24, "width_scale": 1.5, "preprocess": {"crop": True}},
        {"height": 40, "width_scale": 0.75, "preprocess": {"contrast": "stretch", "margin": 0.25}},
        {"height": 16, "preprocess": {"normalize_polarity": True, "threshold": 0.5}},
    )
]


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    return pytest.fail(f"no {what} within {DEADLINE_S:.0f} s")


def open_page(browser: Chrome, page: Path) -> None:
    browser.get(page.as_uri())
    wait_for(lambda: browser.find_element("id", "status").text == "Ready.", "model")


def results(browser: Chrome, n: int) -> list[dict[str, Any]]:
    wait_for(lambda: len(browser.find_elements("class name", "result")) >= n, f"{n} results")
    found = browser.execute_script(RESULTS)
    assert len(found) == n
    return list(found)


def complaints(browser: Chrome) -> list[str]:
    return [entry["message"] for entry in browser.get_log("browser")]


@pytest.fixture(scope="module")
def pages(
    make_bundle: Callable[..., Bundle],
    pictures: list[Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., Path]:
    """Make the page of an untrained network with trust, and its model beside it."""
    profiles = image_profiles([read_input(path, "picture") for path in pictures])
    trust = fit_trust([0.9] * 4, [True] * 3 + [False], profiles, profiles)
    assert trust.familiarity is not None
    narrow = trust.familiarity.model_copy(update={"limit": 2.0})  # some pictures are beyond it
    threshold = Threshold(confidence=1e-6, max_error=0.5, n=9, n_accepted=9, n_wrong=0)
    trust = trust.model_copy(update={"familiarity": narrow, "threshold": threshold})

    def make(*kind: str) -> Path:
        folder = tmp_path_factory.mktemp("-".join(kind))
        save_bundle(replace(make_bundle(*kind), trust=trust), folder / "m.pt")
        return export_page(folder / "m.pt", folder / "page", folder / "m.onnx").path

    return make


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Ten images: digit strings, captchas in colour, and single digits on transparency."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    paths = [folder / f"{i}.png" for i in range(10)]
    for i, path in enumerate(paths):
        gray = draw_text(str(rng.integers(10) if i % 3 == 2 else rng.integers(10**6)))
        noisy = np.clip(gray[..., None] + rng.normal(0, 20, (*gray.shape, 3)), 0, 255).astype(
            np.uint8
        )
        clear = np.dstack([gray // 2, gray // 3, gray, 255 - gray])
        assert cv2.imwrite(str(path), [gray, noisy, clear][i % 3])
    return paths


@pytest.mark.parametrize(
    "kind", [("crnn",), ("classifier",), ("seq2seq",), ("seq2seq", "location_aware")], ids=" ".join
)
def test_the_page_reads_as_python_does(
    browser: Chrome, pages: Callable[..., Path], pictures: list[Path], kind: tuple[str, ...]
) -> None:
    page = pages(*kind)
    open_page(browser, page)
    browser.find_element("id", "files").send_keys("\n".join(map(str, pictures)))
    found = results(browser, len(pictures))
    expected = load(page.parents[1] / "m.onnx").predict(pictures)
    assert [result["text"] for result in found] == [prediction.text for prediction in expected]
    assert len({round(prediction.confidence, 20) for prediction in expected}) > 5
    assert len({prediction.familiarity < 0.5 for prediction in expected}) == 2
    for result, prediction in zip(found, expected, strict=True):
        assert math.isclose(result["confidence"], prediction.confidence, rel_tol=1e-3)
        assert np.allclose(result["symbols"], prediction.symbol_confidences, atol=1e-3)
        assert len(result["symbols"]) == len(prediction.text)
        assert ("Check this text" in result["shown"]) == prediction.check
        assert ("unlike those" in result["shown"]) == (prediction.familiarity < 0.5)
    assert complaints(browser) == []


def chunk(kind: bytes, content: bytes) -> bytes:
    checked = kind + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


def png(samples: np.ndarray, depth: int, colours: int, *, interlaced: bool = False) -> bytes:
    """Return a PNG file of (H, W, C) samples, which few programs can write."""
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4)]
        passes += [(1, 0, 2, 2), (0, 1, 1, 2)]
    lines = [row for x, y, dx, dy in passes for row in samples[y::dy, x::dx] if row.size]
    bits = [np.unpackbits(row.astype(">u2").view(np.uint8)).reshape(-1, 16) for row in lines]
    data = b"".join(b"\0" + np.packbits(row[:, 16 - depth :]).tobytes() for row in bits)
    size = struct.pack(">IIBBBBB", *samples.shape[1::-1], depth, colours, 0, 0, interlaced)
    packed = zlib.compress(data)
    parts = [(b"IHDR", size), (b"IDAT", packed[:9]), (b"IDAT", packed[9:]), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def saved(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


def kinds_of_png() -> Iterator[bytes]:
    """Yield images of all modes, sizes and orientations that are converted differently."""
    rng = np.random.default_rng(1)
    for height in (14, 40, 150):
        gray = cv2.resize(draw_text("2718281"), (3 * height + 7, height))
        noise = rng.integers(0, 256, gray.shape).astype(np.uint8)
        colour = Image.fromarray(np.dstack([gray, np.roll(gray, 2, 0), 255 - gray // 3]))
        flat = np.where(gray[..., None] < 128, (200, 60, 60), (40, 134, 60)).astype(np.uint8)
        light = Image.merge("LA", [Image.new("L", colour.size, 250), Image.fromarray(255 - gray)])
        images = [
            *(Image.fromarray(gray), Image.fromarray(255 - gray), colour, Image.fromarray(flat)),
            *(Image.fromarray(gray).convert("1"), colour.quantize(9), colour.quantize(2), light),
            Image.fromarray(np.dstack([np.asarray(colour), noise])),
            Image.fromarray(np.dstack([np.asarray(colour), 0 * noise])),
            Image.fromarray(gray.astype(np.uint16) * 16),
        ]
        yield from map(saved, images)
        yield saved(colour.quantize(9), transparency=0)
        yield saved(Image.fromarray(gray), transparency=255)
    for orientation in range(2, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield saved(Image.fromarray(draw_text("31")), exif=exif)
    for depth, colours, n in ((1, 0, 1), (2, 0, 1), (4, 0, 1), (16, 2, 3), (16, 4, 2), (8, 6, 4)):
        samples = rng.integers(0, 2**depth, (19, 45, n))
        yield png(samples, depth, colours, interlaced=True)
        yield png(samples, depth, colours)


def test_images_are_prepared_as_python_prepares_them(
    browser: Chrome, pages: Callable[..., Path]
) -> None:
    open_page(browser, pages("crnn"))
    configs = [config.model_dump(mode="json") for config in CONFIGS]
    n = 0
    for file in kinds_of_png():
        found = browser.execute_async_script(PREPARE, base64.b64encode(file).decode(), configs)
        assert isinstance(found, list), found
        with open_image(io.BytesIO(file), "image") as image:
            gray = to_gray(image)
        expected = [gray, *(prepare_image(gray, config) for config in CONFIGS)]
        for (height, width, text), pixels in zip(found, expected, strict=True):
            assert (height, width) == pixels.shape
            assert base64.b64decode(text) == pixels.tobytes()
            n += 1
    assert n == 58 * 5


TRANSFER = """
const [kind, text] = arguments;
const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const data = new DataTransfer();
data.items.add(new File([bytes], `${kind}.png`, { type: "image/png" }));
const event = kind === "paste"
  ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true })
  : new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
document.body.dispatchEvent(event);
"""

FALSE_CAMERA = """
const canvas = document.createElement("canvas");
[canvas.width, canvas.height] = [320, 240];
const context = canvas.getContext("2d");
const draw = () => {
  context.fillStyle = "white";
  context.fillRect(0, 0, 320, 240);
  context.fillStyle = "black";
  context.fillRect(155, 110, 10, 20);
};
setInterval(draw, 20);
draw();
navigator.mediaDevices.getUserMedia = async () => canvas.captureStream(30);
"""

INK = """
const image = document.querySelector(".result img");
const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
const context = canvas.getContext("2d");
context.drawImage(image, 0, 0);
const { data, width, height } = context.getImageData(0, 0, canvas.width, canvas.height);
const dark = [...Array(width * height).keys()].filter((i) => data[4 * i] < 128);
const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
return [mean(dark.map((i) => i % width)) / width,
        mean(dark.map((i) => Math.floor(i / width))) / height, width / height];
"""


def test_ways_to_give_an_image(browser: Chrome, pages: Callable[..., Path], tmp_path: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    page = pages("crnn")
    open_page(browser, page)
    number, blank = saved(Image.fromarray(draw_text("42"))), saved(Image.new("L", (40, 20), 200))
    expected = load(page.parents[1] / "m.onnx").predict(number).text
    for kind in ("paste", "drop"):
        browser.execute_script(TRANSFER, kind, base64.b64encode(number).decode())
    assert [result["text"] for result in results(browser, 2)] == [expected, expected]
    browser.execute_script(TRANSFER, "drop", base64.b64encode(blank).decode())
    assert "No text: the image has no contrast" in results(browser, 3)[2]["shown"]
    (tmp_path / "<b>.txt").write_text("no image")
    browser.find_element("id", "files").send_keys(str(tmp_path / "<b>.txt"))
    assert results(browser, 4)[3]["shown"].startswith("<b>.txt: this browser cannot read it")
    cut = number[: len(number) // 2]
    browser.execute_script(TRANSFER, "paste", base64.b64encode(cut).decode())
    assert results(browser, 5)[4]["shown"] == "paste.png: damaged, or cut off"
    browser.execute_script(FALSE_CAMERA)
    browser.find_element("id", "camera").send_keys(Keys.ENTER)
    wait_for(lambda: browser.execute_script("return video.videoWidth > 0"), "camera")
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert "camera" in results(browser, 6)[5]["shown"]
    assert browser.execute_script(INK) == pytest.approx([0.5, 0.5, 4.0], abs=0.05)
    browser.find_element("tag name", "body").send_keys(Keys.ESCAPE)
    assert not browser.find_element("id", "viewer").is_displayed()
    assert complaints(browser) == []


def test_the_page_fits_and_asks_no_network(browser: Chrome, pages: Callable[..., Path]) -> None:
    open_page(browser, pages("crnn"))
    for width in (390, 1400):
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    loaded = browser.execute_script(
        "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    )
    assert [name for name in loaded if not name.startswith(("blob:", "data:"))] == []
    assert complaints(browser) == []
    refused = browser.execute_async_script(
        "const done = arguments[0]; fetch('http://127.0.0.1:9/').then(done, (e) => done(String(e)))"
    )
    assert "Failed to fetch" in refused
    assert any("Content Security Policy" in text for text in complaints(browser))
