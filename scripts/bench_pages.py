"""Measure line detection and recognition on synthetic pages with known lines.

The pages have digit strings at random places and, if fonts and a corpus are given, text lines.
Every second page is ruled, and half of the pages are skewed. Each page is saved as JPEG and as PDF.

A true line counts as found if the intersection over union with a found box is at least ``MIN_IOU``.
Each box counts once. The lines are recognised twice: from the boxes found on the page, and cut out
at their true places before the page is skewed.
"""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, NamedTuple

import cv2
import numpy as np
import typer
from PIL import Image
from rapidfuzz.distance import Levenshtein

from ocrsearch.core import OcrSearchError
from ocrsearch.data.images import PDF_DPI, read_pages
from ocrsearch.data.pages import MARGIN, Box, FoundLine, find_lines
from ocrsearch.data.synthesis import RECIPE, Artist, Counts, TextRecipe, open_synthesizer
from ocrsearch.inference import Predictor, load

WIDTH, HEIGHT = 1654, 2339
"""A4 at 200 dpi."""

EDGE = 100
"""Width of the empty border of a page, in pixels."""

APART = 130
"""Horizontal distance between strings, in pixels: twice the height of the largest string."""

MAX_SKEW_DEGREES = 3.0
JPEG_QUALITY = 80
MIN_IOU = 0.5
INK = 0.25
"""Minimum fraction of full ink for a pixel of a true box."""


class TrueLine(NamedTuple):
    """A line: kind, text, image cut out of the page before skewing, and box on the page."""

    kind: str
    text: str
    image: np.ndarray
    box: np.ndarray


class Drawn(NamedTuple):
    """A line in the ink of a page before skewing; points are (N, 2), x and y."""

    kind: str
    text: str
    points: np.ndarray


@dataclass
class Tally:
    """Counts over pages; ``read`` has edits on pages, edits on cut lines and characters by kind."""

    n_pages: int = 0
    n_true: int = 0
    n_found: int = 0
    n_false: int = 0
    seconds: float = 0.0
    read: dict[str, np.ndarray] = field(default_factory=dict)


class PageMaker:
    """Draws pages with the strings and lines of two artists."""

    def __init__(self, digits: Artist, text: Artist | None) -> None:
        self.digits, self.text = digits, text

    def make(self, seed: int) -> tuple[np.ndarray, list[TrueLine], str]:
        """Return a page (H, W) uint8, its lines, and a description of the page."""
        rng = np.random.default_rng(seed)
        kind = ("form", "letter", "both")[seed % 3] if self.text else "form"
        ruled, skewed = bool(seed % 2), bool(seed // 2 % 2)
        ink, pitch = np.zeros((HEIGHT, WIDTH), np.float32), int(rng.integers(64, 100))
        drawn: list[Drawn] = []
        if kind != "letter":
            drawn += self._scattered(ink, HEIGHT // 2 if kind == "both" else HEIGHT - EDGE, rng)
        if self.text and kind != "form":
            drawn += self._text_lines(ink, HEIGHT // 2 + 50 if kind == "both" else 150, pitch, rng)
        if ruled:
            _rule(ink, pitch, rng)
        page = _paper(ink, rng)
        degrees = rng.uniform(-MAX_SKEW_DEGREES, MAX_SKEW_DEGREES) if skewed else 0.0
        matrix = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), degrees, 1.0)
        turned = cv2.warpAffine(page, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
        lines = []
        for line in drawn:
            there = line.points @ matrix[:, :2].T + matrix[:, 2]
            box = np.concatenate([there.min(0), there.max(0) + 1])
            lines.append(TrueLine(line.kind, line.text, _cut(page, line.points), box))
        return turned, lines, f"{kind}{', ruled' * ruled}, skew {degrees:.1f}"

    def _text_lines(
        self, ink: np.ndarray, top: int, pitch: int, rng: np.random.Generator
    ) -> Iterator[Drawn]:
        assert self.text is not None
        scale = pitch * rng.uniform(0.7, 0.95)
        for y in range(top, HEIGHT - EDGE - pitch, pitch):
            text, image = _write(self.text, scale, rng)
            room = WIDTH - 2 * EDGE - image.shape[1]
            if room > 0 and rng.random() < 0.9:
                yield _put(ink, "text", text, image, EDGE + int(rng.integers(min(room, 80))), y)

    def _scattered(self, ink: np.ndarray, last: int, rng: np.random.Generator) -> Iterator[Drawn]:
        taken = np.zeros(ink.shape, bool)
        for _ in range(int(rng.integers(8, 20))):
            text, image = _write(self.digits, rng.uniform(40, 85), rng)
            height, width = image.shape
            for _ in range(50):
                x = int(rng.integers(EDGE, WIDTH - width - EDGE))
                y = int(rng.integers(EDGE, last - height))
                around = taken[
                    max(0, y - height // 2) : y + height + height // 2,
                    max(0, x - APART) : x + width + APART,
                ]
                if not around.any():
                    taken[y : y + height, x : x + width] = True
                    yield _put(ink, "digits", text, image, x, y)
                    break


def _write(artist: Artist, height: float, rng: np.random.Generator) -> tuple[str, np.ndarray]:
    text, chosen = artist.choose("test", int(rng.integers(1_000_000)), rng)
    drawn = artist.draw("test", chosen, rng)
    scale = height / drawn.shape[0]
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    image = np.clip(cv2.resize(drawn, None, fx=scale, fy=scale, interpolation=method), 0, 1)
    rows, columns = np.flatnonzero(image.max(1) > INK), np.flatnonzero(image.max(0) > INK)
    return text, image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _put(ink: np.ndarray, kind: str, text: str, image: np.ndarray, x: int, y: int) -> Drawn:
    part = ink[y : y + image.shape[0], x : x + image.shape[1]]
    np.maximum(part, image, out=part)
    rows, columns = np.nonzero(image > INK)
    return Drawn(kind, text, np.stack([columns + x, rows + y], axis=1).astype(np.float64))


def _rule(ink: np.ndarray, pitch: int, rng: np.random.Generator) -> None:
    for y in range(150 + pitch, HEIGHT - EDGE, pitch):
        part = ink[y : y + int(rng.integers(1, 4)), EDGE - 20 : 20 - EDGE]
        np.maximum(part, rng.uniform(0.3, 0.6), out=part)


def _paper(ink: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    x, y = np.linspace(-1, 1, WIDTH), np.linspace(-1, 1, HEIGHT)[:, None]
    light = rng.uniform(190, 250) + x * rng.uniform(-20, 20) + y * rng.uniform(-20, 20)
    noise = rng.standard_normal(ink.shape, dtype=np.float32) * rng.uniform(0, 8)
    return np.clip(light - rng.uniform(100, 180) * ink + noise, 0, 255).astype(np.uint8)


def _cut(page: np.ndarray, points: np.ndarray) -> np.ndarray:
    (left, top), (right, bottom) = points.min(0).astype(int), points.max(0).astype(int) + 1
    margin = round(MARGIN * (bottom - top))
    return page[top - margin : bottom + margin, left - margin : right + margin]


def _match(found: np.ndarray, true: np.ndarray) -> dict[int, int]:
    """Return the found line of each true line, assigned by decreasing overlap."""
    low = np.maximum(true[:, None, :2], found[None, :, :2])
    high = np.minimum(true[:, None, 2:], found[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(2)
    of_true, of_found = ((b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]) for b in (true, found))
    iou = common / (of_true[:, None] + of_found - common)
    pairs: dict[int, int] = {}
    for flat in np.argsort(-iou, axis=None):
        t, f = divmod(int(flat), iou.shape[1])
        if iou[t, f] >= MIN_IOU and t not in pairs and f not in pairs.values():
            pairs[t] = f
    return pairs


def _measure(
    page: np.ndarray, lines: list[TrueLine], models: dict[str, Predictor], tally: Tally
) -> tuple[int, int]:
    """Add a page to a tally; return the number of missed and of false lines."""
    start = time.process_time()
    found = find_lines(page).lines
    tally.seconds += time.process_time() - start
    boxes = (np.array([line.box for line in side]).reshape(-1, 4) for side in (found, lines))
    pairs = _match(*boxes)
    tally.n_pages += 1
    tally.n_true += len(lines)
    tally.n_found += len(pairs)
    tally.n_false += len(found) - len(pairs)
    false = [line for f, line in enumerate(found) if f not in pairs.values()]
    kinds = [_nearest(line.box, lines).kind for line in false]
    for kind, model in models.items():
        own = {t: line for t, line in enumerate(lines) if line.kind == kind}
        if own:
            there = {t: found[pairs[t]] for t in own if t in pairs}
            edits = _edits(
                model, own, there, [f for f, k in zip(false, kinds, strict=True) if k == kind]
            )
            tally.read[kind] = tally.read.get(kind, np.zeros(3, int)) + edits
    return len(lines) - len(pairs), len(false)


def _nearest(box: Box, lines: list[TrueLine]) -> TrueLine:
    """Return the true line nearest to a false box, the most likely origin of the box."""
    boxes = np.array([line.box for line in lines])
    apart = np.maximum(0, np.maximum(boxes[:, :2] - box[2:], np.array(box[:2]) - boxes[:, 2:]))
    return lines[int(apart.sum(1).argmin())]


def _edits(
    model: Predictor, true: dict[int, TrueLine], there: dict[int, FoundLine], false: list[FoundLine]
) -> np.ndarray:
    """Return the edits on the page, the edits on the cut lines, and the number of characters.

    A missed line counts as empty text. All characters of false lines count as insertions.
    """
    on_page = dict.fromkeys(true, "")
    read = model.predict_many([line.image for line in there.values()])
    on_page.update(zip(there, (p.text for p in read), strict=True))
    cut = model.predict_many([line.image for line in true.values()])
    added = sum(len(p.text) for p in model.predict_many([line.image for line in false]))
    return np.array(
        [
            added + sum(Levenshtein.distance(true[t].text, text) for t, text in on_page.items()),
            sum(
                Levenshtein.distance(t.text, p.text)
                for t, p in zip(true.values(), cut, strict=True)
            ),
            sum(len(line.text) for line in true.values()),
        ]
    )


def _open(digits: str, fonts: Path | None, corpus: Path | None) -> PageMaker:
    digit_artist = open_synthesizer(RECIPE.model_copy(update={"source": digits})).artist
    if fonts is None or corpus is None:
        return PageMaker(digit_artist, None)
    counts = Counts(train=1000, val=0, test=1)
    recipe = TextRecipe(fonts=str(fonts), corpus=str(corpus), counts=counts, max_length=60)
    return PageMaker(
        digit_artist, open_synthesizer(recipe.model_copy(update={"max_entries": 4})).artist
    )


def _report(name: str, tally: Tally) -> None:
    n_boxes = tally.n_found + tally.n_false
    typer.echo(
        f"{name}: {tally.n_true} lines, found {tally.n_found / tally.n_true:.4f}, "
        f"false {tally.n_false / max(1, n_boxes):.4f}, "
        f"{tally.seconds / tally.n_pages:.2f} s of processor time per page"
    )
    for kind, (on_page, on_cut, n) in tally.read.items():
        typer.echo(
            f"  {kind}: CER on the page {on_page / n:.4f}, on cut lines {on_cut / n:.4f}, "
            f"ratio {on_page / max(1, on_cut):.2f}"
        )


def main(
    pages: Annotated[int, typer.Option(min=1, help="Number of pages.")] = 50,
    digits: Annotated[str, typer.Option(help="Dataset of single digits.")] = "digits",
    fonts: Annotated[Path | None, typer.Option(help="Folder of fonts for text lines.")] = None,
    corpus: Annotated[Path | None, typer.Option(help="Texts for text lines, one per line.")] = None,
    digit_model: Annotated[Path | None, typer.Option(help="Model for digit strings.")] = None,
    text_model: Annotated[Path | None, typer.Option(help="Model for text lines.")] = None,
    keep: Annotated[Path | None, typer.Option(help="Folder to save the pages in.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first page.")] = 0,
) -> None:
    """Draw pages, find and recognise their lines, and print the error rates."""
    try:
        maker = _open(digits, fonts, corpus)
        models = {k: load(p) for k, p in (("digits", digit_model), ("text", text_model)) if p}
    except OcrSearchError as error:
        typer.echo(f"bench_pages: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    tallies = {".jpg": Tally(), ".pdf": Tally()}
    with tempfile.TemporaryDirectory() as temporary:
        folder = keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(seed, seed + pages):
            page, lines, about = maker.make(number)
            for suffix, tally in tallies.items():
                path = folder / f"{number:03d}{suffix}"
                Image.fromarray(page).save(path, quality=JPEG_QUALITY, resolution=PDF_DPI)
                (read,) = read_pages(path)
                missed, false = _measure(read, lines, models, tally)
                if missed or false:
                    typer.echo(f"{path.name} ({about}): {missed} missed, {false} false", err=True)
    for suffix, tally in tallies.items():
        _report(suffix[1:], tally)


if __name__ == "__main__":
    typer.run(main)
