"""Measure how well lines are found and read on pages whose lines are known.

Makes pages with handwritten digit strings at scattered places and with text lines, some ruled,
some skewed, saves each as JPEG and as PDF, and looks for the lines. Found is a true line with
which a found box has an intersection over union of at least 0.5; each box counts once.
"""

import gzip
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import cv2
import numpy as np
import typer
from PIL import Image, ImageDraw, ImageFont
from rapidfuzz.distance import Levenshtein

from ocrsearch.data.digits import SourceDigits, split_sources
from ocrsearch.data.documents import read_pages
from ocrsearch.data.layout import MARGIN, find_lines
from ocrsearch.deploy.predictor import Predictor, load
from ocrsearch.errors import OcrSearchError

WIDTH, HEIGHT = 1654, 2339
"""A4 at 200 dpi."""

MAX_SKEW_DEGREES = 3.0
JPEG_QUALITY = 80
MIN_IOU = 0.5
WORDS = "the quick brown fox jumps over a lazy dog while seven wizards pack my box of jugs".split()


@dataclass
class TrueLine:
    """A line on a made page: kind of text, its picture before the page was skewed, its box."""

    kind: str
    text: str
    picture: np.ndarray
    box: np.ndarray


@dataclass
class Tally:
    """Counts over pages, and by kind of line the edits and symbols on pages and on cut lines."""

    n_true: int = 0
    n_found: int = 0
    n_false: int = 0
    seconds: float = 0.0
    n_pages: int = 0
    read: dict[str, np.ndarray] = field(default_factory=dict)


class PageMaker:
    """Makes pages by seed."""

    def __init__(self, digits: SourceDigits, fonts: list[Path], texts: list[str]) -> None:
        self.digits, self.fonts, self.texts = digits, fonts, texts

    def make(self, seed: int) -> tuple[np.ndarray, list[TrueLine], str]:
        """Return a page (H, W) uint8, its lines, and what is special about it."""
        rng = np.random.default_rng(seed)
        ruled, skewed, kind = bool(seed % 2), bool(seed // 2 % 2), ("form", "text", "both")[seed % 3]
        ink = np.zeros((HEIGHT, WIDTH), np.float32)
        pitch = int(rng.integers(64, 100))
        drawn: list[tuple[str, str, np.ndarray]] = []
        if kind != "form":
            first = 150 if kind == "text" else 1200
            drawn += list(self._text_lines(ink, first, pitch, rng))
        if kind != "text":
            last = HEIGHT - 150 if kind == "form" else 1150
            drawn += list(self._digit_strings(ink, last, rng))
        if ruled:
            rules = np.zeros_like(ink)
            for y in range(150 + pitch, HEIGHT - 100, pitch):
                rules[y : y + int(rng.integers(1, 4)), 80:-80] = rng.uniform(0.3, 0.6)
            np.maximum(ink, rules, out=ink)
        page = _paper(ink, rng)
        degrees = rng.uniform(-MAX_SKEW_DEGREES, MAX_SKEW_DEGREES) if skewed else 0.0
        matrix = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), degrees, 1.0)
        turned = cv2.warpAffine(page, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
        lines = []
        for line_kind, text, points in drawn:
            there = points @ matrix[:, :2].T + matrix[:, 2]
            box = np.concatenate([there.min(0), there.max(0) + 1])
            lines.append(TrueLine(line_kind, text, _cut(page, points), box))
        return turned, lines, f"{kind}{' ruled' * ruled}{f' skewed {degrees:.1f}' * skewed}"

    def _text_lines(
        self, ink: np.ndarray, top: int, pitch: int, rng: np.random.Generator
    ) -> Iterator[tuple[str, str, np.ndarray]]:
        if not self.fonts:
            font = ImageFont.load_default(size=pitch * 0.55)
        else:
            path = self.fonts[rng.integers(len(self.fonts))]
            font = ImageFont.truetype(path, round(pitch * rng.uniform(0.5, 0.62)))
        for y in range(top, HEIGHT - 200, pitch):
            if rng.random() < 0.1:
                continue
            text, room = "", rng.uniform(0.3, 1.0) * (WIDTH - 320)
            while True:
                longer = f"{text} {self.texts[rng.integers(len(self.texts))]}".strip()
                if text and font.getlength(longer) > room:
                    break
                text = longer
                if font.getlength(text) > room:
                    break
            while font.getlength(text) > WIDTH - 300:
                text = text.rpartition(" ")[0]
            layer = Image.new("L", (WIDTH, 3 * pitch))
            x = int(rng.integers(120, 180))
            ImageDraw.Draw(layer).text(
                (x, 2 * pitch - 6), text, fill=int(rng.integers(170, 256)), font=font, anchor="ls"
            )
            layer_ink = np.asarray(layer, np.float32) / 255
            start = y - pitch
            part = ink[start : start + 3 * pitch]
            np.maximum(part, layer_ink[: len(part)], out=part)
            yield "text", text, _points(layer_ink, 0, start)

    def _digit_strings(
        self, ink: np.ndarray, last: int, rng: np.random.Generator
    ) -> Iterator[tuple[str, str, np.ndarray]]:
        taken = np.zeros(ink.shape, bool)
        for _ in range(int(rng.integers(8, 20))):
            picture, text = self._digit_string(rng)
            height, width = picture.shape
            for _ in range(50):
                x = int(rng.integers(100, WIDTH - width - 100))
                y = int(rng.integers(120, last - height))
                space = 3 * height // 2
                around = taken[max(0, y - height // 2) : y + space, max(0, x - 2 * height) : x + width + 2 * height]
                if not around.any():
                    break
            else:
                continue
            taken[y : y + height, x : x + width] = True
            part = ink[y : y + height, x : x + width]
            np.maximum(part, picture, out=part)
            yield "digits", text, _points(picture, x, y)

    def _digit_string(self, rng: np.random.Generator) -> tuple[np.ndarray, str]:
        side, spacing = rng.uniform(30, 60), rng.uniform(-0.05, 0.2)
        ids = rng.integers(len(self.digits.symbols), size=rng.integers(1, 9))
        canvas = np.zeros((round(1.3 * side), round(1.5 * side * len(ids)) + 9), np.float32)
        x = 2.0
        for i in ids:
            size = round(side * rng.uniform(0.92, 1.08))
            glyph = np.clip(cv2.resize(self.digits.ink[i], (size, size), interpolation=cv2.INTER_CUBIC), 0, 1)
            columns = np.flatnonzero(glyph.max(0) > 0.2)
            glyph = glyph[:, columns[0] : columns[-1] + 1]
            y = round((canvas.shape[0] - size) / 2 + rng.uniform(-0.06, 0.06) * side)
            part = canvas[y : y + size, round(x) : round(x) + glyph.shape[1]]
            np.maximum(part, glyph, out=part)
            x += glyph.shape[1] + spacing * side
        strength = rng.uniform(0.7, 1.0)
        return canvas[:, : round(x) + 2] * strength, "".join(self.digits.symbols[i] for i in ids)


def _points(ink: np.ndarray, x: int, y: int) -> np.ndarray:
    rows, columns = np.nonzero(ink > 0.25)
    return np.stack([columns + x, rows + y], axis=1).astype(np.float64)


def _paper(ink: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    light = rng.uniform(190, 250) + np.linspace(-1, 1, WIDTH) * rng.uniform(-20, 20)
    light = light + np.linspace(-1, 1, HEIGHT)[:, None] * rng.uniform(-20, 20)
    noise = rng.standard_normal(ink.shape, dtype=np.float32) * rng.uniform(0, 8)
    return np.clip(light - rng.uniform(100, 180) * ink + noise, 0, 255).astype(np.uint8)


def _cut(page: np.ndarray, points: np.ndarray) -> np.ndarray:
    (left, top), (right, bottom) = points.min(0).astype(int), points.max(0).astype(int) + 1
    margin = round(MARGIN * (bottom - top))
    return page[max(0, top - margin) : bottom + margin, max(0, left - margin) : right + margin]


def _overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the intersection over union of (N, 4) and (M, 4) boxes as (N, M)."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(2)
    areas = [(b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]) for b in (boxes, others)]
    return common / (areas[0][:, None] + areas[1][None] - common)


def _match(found: np.ndarray, true: np.ndarray) -> dict[int, int]:
    """Return true lines to found ones, best overlap first, each at most once."""
    iou = _overlaps(true.reshape(-1, 4), found.reshape(-1, 4))
    pairs: dict[int, int] = {}
    for flat in np.argsort(-iou, axis=None):
        t, f = divmod(int(flat), iou.shape[1])
        if iou[t, f] >= MIN_IOU and t not in pairs and f not in pairs.values():
            pairs[t] = f
    return pairs


def _measure(page: np.ndarray, lines: list[TrueLine], models: dict[str, Predictor], tally: Tally) -> tuple[int, int]:
    start = time.perf_counter()
    found = find_lines(page).lines
    tally.seconds += time.perf_counter() - start
    pairs = _match(np.array([line.box for line in found]), np.array([line.box for line in lines]))
    missed, false = len(lines) - len(pairs), len(found) - len(pairs)
    tally.n_pages += 1
    tally.n_true += len(lines)
    tally.n_found += len(pairs)
    tally.n_false += false
    for kind, model in models.items():
        true = [i for i, line in enumerate(lines) if line.kind == kind]
        extra = [i for i in range(len(found)) if i not in pairs.values()]
        on_page = {f: p.text for f, p in zip(pairs.values(), model.predict_many([found[f].image for f in pairs.values()]), strict=True)}
        cut = [p.text for p in model.predict_many([lines[i].picture for i in true])]
        edits = [Levenshtein.distance(lines[i].text, on_page.get(pairs.get(i, -1), "")) for i in true]
        cut_edits = [Levenshtein.distance(lines[i].text, text) for i, text in zip(true, cut, strict=True)]
        added = sum(len(p.text) for p in model.predict_many([found[i].image for i in extra])) if true else 0
        counts = np.array([sum(edits) + added, sum(cut_edits), sum(len(lines[i].text) for i in true)])
        tally.read[kind] = tally.read.get(kind, np.zeros(3, int)) + counts
    return missed, false


def _mnist(folder: Path) -> SourceDigits:
    """Read the last sixth of an MNIST training set (IDX, gzip)."""
    with gzip.open(next(folder.glob("*images-idx3*.gz"))) as file:
        images = np.frombuffer(file.read()[16:], np.uint8).reshape(-1, 28, 28)
    with gzip.open(next(folder.glob("*labels-idx1*.gz"))) as file:
        labels = np.frombuffer(file.read()[8:], np.uint8)
    start = len(labels) * 5 // 6
    return SourceDigits(images[start:].astype(np.float32) / 255, [str(d) for d in labels[start:]])


def main(
    pages: Annotated[int, typer.Option(help="How many pages.")] = 50,
    mnist: Annotated[Path | None, typer.Option(help="Folder of IDX files of digits; default: scikit-learn's.")] = None,
    fonts: Annotated[Path | None, typer.Option(help="Folder of .ttf files; default: Pillow's font.")] = None,
    corpus: Annotated[Path | None, typer.Option(help="File with a text per line.")] = None,
    digit_model: Annotated[Path | None, typer.Option(help="Model that reads the digit strings.")] = None,
    text_model: Annotated[Path | None, typer.Option(help="Model that reads the text lines.")] = None,
    keep: Annotated[Path | None, typer.Option(help="Folder in which the pages are kept.")] = None,
    seed: int = 0,
) -> None:
    """Make pages, look for their lines, and say how many were found and how well they read."""
    texts = WORDS if corpus is None else [t.strip() for t in corpus.read_text("utf-8").replace("\t", "\n").replace("|", "\n").splitlines() if t.strip()]
    digits = split_sources()["test"] if mnist is None else _mnist(mnist)
    maker = PageMaker(digits, sorted(fonts.glob("*.ttf")) if fonts else [], texts)
    models = {k: load(p) for k, p in (("digits", digit_model), ("text", text_model)) if p}
    tallies = {"jpg": Tally(), "pdf": Tally()}
    with TemporaryDirectory() as temporary:
        folder = keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(seed, seed + pages):
            page, lines, about = maker.make(i)
            for ending, tally in tallies.items():
                path = folder / f"{i:03d}.{ending}"
                Image.fromarray(page).save(path, quality=JPEG_QUALITY, **({"resolution": 200} if ending == "pdf" else {}))
                (image,) = read_pages(path)
                missed, false = _measure(image, lines, models, tally)
                if missed or false:
                    typer.echo(f"{path.name} ({about}): {len(lines)} lines, {missed} missed, {false} false", err=True)
    for ending, tally in tallies.items():
        typer.echo(
            f"{ending}: {tally.n_true} lines, found {tally.n_found / tally.n_true:.4f}, "
            f"false {tally.n_false / max(1, tally.n_found + tally.n_false):.4f}, {tally.seconds / tally.n_pages:.3f} s a page"
        )
        for kind, (page_edits, cut_edits, n) in tally.read.items():
            typer.echo(f"  {kind}: CER on the page {page_edits / n:.4f}, on cut lines {cut_edits / n:.4f}, ratio {page_edits / max(cut_edits, 1):.2f}")


if __name__ == "__main__":
    try:
        typer.run(main)
    except OcrSearchError as error:
        typer.echo(f"bench_pages: {error}", err=True)
        sys.exit(error.exit_code)
