"""Synthesizer of a recipe: its images by split, epoch and index, as samples or as files.

An artist chooses texts and renders their ink (``digits.py``, ``text.py``). The ink is put on paper
here, as a scanner or camera sees it. All sources are read and split before any image is rendered.
"""

from __future__ import annotations

import csv
import io
import logging
import multiprocessing
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ocrsearch.core import DataError, OptionError, caller_hidden, real_path, replacing_folder
from ocrsearch.data.samples import SPLITS, GrayImage, Sample, Split
from ocrsearch.data.synthesis.digits import (
    RECIPE,
    DigitArtist,
    Glyphs,
    cut_glyphs,
    sklearn_glyphs,
)
from ocrsearch.data.synthesis.recipe import (
    SKLEARN_DIGITS,
    AnyRecipe,
    DigitsRecipe,
    Ink,
    Paper,
    TextRecipe,
    load_recipe,
    save_recipe,
)
from ocrsearch.data.synthesis.text import TextArtist

logger = logging.getLogger(__name__)

_being_read: ContextVar[frozenset[Path]] = ContextVar("recipes being read", default=frozenset())
"""Recipes being read, to detect cycles: the source of a recipe may be another recipe."""

TEXTURE_SEED = 7
N_TEXTURES = 24
TEXTURE_SIZE = (160, 1024)

IMAGES_PER_FOLDER = 1000
IMAGES_PER_TASK = 50

Row = tuple[str, str, Split]
"""Path of an image relative to the folder, its text and its split."""

_job: tuple[Synthesizer, Path]
"""Synthesizer and folder of this process, sent once instead of with each task."""


class Artist(Protocol):
    """Chooses a text and renders it. All randomness comes from the generator."""

    def choose(self, split: Split, index: int, rng: np.random.Generator) -> tuple[str, Any]: ...  # noqa: D102
    def draw(self, split: Split, chosen: Any, rng: np.random.Generator) -> Ink: ...  # noqa: D102


@dataclass(frozen=True)
class Synthesizer:
    """Renders images. Equal split, index and epoch give equal images in any process.

    Attributes:
        recipe: Recipe of the dataset.
        artist: Renderer of the recipe's kind.
        notes: Warnings about unusable parts of the sources.
    """

    recipe: AnyRecipe
    artist: Artist
    notes: tuple[str, ...] = ()

    def text(self, split: Split, index: int) -> str:
        """Return the text of an image without rendering it."""
        return self.artist.choose(split, index, self.recipe.rng_of(split, index))[0]

    def image(self, split: Split, index: int, epoch: int = 0) -> tuple[GrayImage, str]:
        """Render an image and return it with its text.

        Args:
            split: Split whose characters or entries are used.
            index: Index in the split, from 0.
            epoch: Epoch number. Other epochs give other images with the same splits.
        """
        rng = self.recipe.rng_of(split, index, epoch)
        text, chosen = self.artist.choose(split, index, rng)
        return to_paper(self.artist.draw(split, chosen, rng), self.recipe.paper, rng), text

    def samples(self) -> list[Sample]:
        """Return all images of the recipe as samples that are rendered when they are read."""
        return [
            Sample(f"{split}/{i:06d}", Drawing(self, split, i), self.text(split, i), split)
            for split in SPLITS
            for i in range(self.recipe.counts.of(split))
        ]


@dataclass(frozen=True)
class Drawing:
    """Image of a recipe that is rendered on demand."""

    synthesizer: Synthesizer
    split: Split
    index: int

    def draw(self) -> GrayImage:
        """Render the image."""
        return self.synthesizer.image(self.split, self.index)[0]

    @property
    def recipe(self) -> dict[str, object]:
        """The recipe as plain data. If ``fresh`` is true, each training epoch has new images."""
        return self.synthesizer.recipe.model_dump(mode="json")


def open_synthesizer(recipe: AnyRecipe) -> Synthesizer:
    """Read all sources of a recipe.

    Raises:
        DataError: A source cannot be read or used.
    """
    if isinstance(recipe, TextRecipe):
        artist = TextArtist(recipe)
        return Synthesizer(recipe, artist, tuple(artist.notes))
    return Synthesizer(recipe, DigitArtist(recipe, read_glyphs(recipe)))


def read_glyphs(recipe: DigitsRecipe) -> dict[Split, Glyphs]:
    """Read the single characters for each split that has strings.

    The splits are those of the source, or drawn with the seed of the recipe.
    """
    # imported here because the images of a dataset may themselves be synthetic
    from ocrsearch.data.data_options import DataOptions
    from ocrsearch.data.dataset import load_dataset

    if recipe.source == SKLEARN_DIGITS:
        glyphs = sklearn_glyphs(recipe.seed)
    else:
        splits = load_dataset(recipe.source, DataOptions(split_seed=recipe.seed)).splits
        glyphs = {split: cut_glyphs(part.images, part.texts) for split, part in splits.items()}
    return {split: glyphs[split] for split in SPLITS if recipe.counts.of(split)}


def read_synth(path: Path) -> list[Sample]:
    """Return the samples of a recipe file.

    Missing glyphs and skipped parts of a corpus are logged as warnings.

    Raises:
        DataError: The file is not a recipe, or a source cannot be used.
    """
    outer = _being_read.get()
    if real_path(path) in outer:
        raise DataError(
            f"synth:{path}: its source leads back to this recipe; name a dataset of digits"
        )
    token = _being_read.set(outer | {real_path(path)})
    try:
        synthesizer = open_synthesizer(load_recipe(path))
    finally:
        _being_read.reset(token)
    for note in synthesizer.notes:
        logger.warning("%s: %s", path, note)
    return synthesizer.samples()


def make_digits() -> list[Sample]:
    """Return the built-in dataset with its splits. It is always the same."""
    return open_synthesizer(RECIPE).samples()


def to_paper(ink: Ink, paper: Paper, rng: np.random.Generator) -> GrayImage:
    """Put ink on paper and simulate a scan or photo of it.

    Args:
        ink: (H, W) float32 from 0 to 1. Modified in place.
        paper: Ranges for paper, lighting and noise.
        rng: Source of randomness.

    Returns:
        (H, W) uint8.
    """
    if rng.random() < paper.rules:
        _rule(ink, rng)
    ink *= np.float32(-rng.uniform(*paper.contrast))
    ink += np.float32(rng.uniform(*paper.level))
    _add_background(ink, paper, rng)
    sigma = rng.uniform(*paper.blur)
    seen: Ink = ink if sigma < 0.2 else cv2.GaussianBlur(ink, (0, 0), sigma)  # type: ignore[assignment]
    noise = rng.standard_normal(ink.shape, dtype=np.float32)
    noise *= np.float32(rng.uniform(*paper.noise))
    seen += noise
    # dark and light specks of one to four pixels
    height, width = seen.shape
    n = rng.poisson(rng.uniform(*paper.speckles) * height * width)
    rows, columns = rng.integers(height, size=n), rng.integers(width, size=n)
    levels = rng.uniform(0, 255, n).astype(np.float32)
    kinds = rng.integers(3, size=n)
    seen[rows, columns] = levels
    wide, high = kinds > 0, kinds > 1
    seen[rows[wide], np.minimum(columns[wide] + 1, width - 1)] = levels[wide]
    seen[np.minimum(rows[high] + 1, height - 1), columns[high]] = levels[high]
    image = np.clip(seen, 0, 255).astype(np.uint8)
    return 255 - image if rng.random() < paper.light_on_dark else image


def _rule(ink: Ink, rng: np.random.Generator) -> None:
    """Draw the baseline, and sometimes the line above and the side of a box."""
    height, width = ink.shape
    thickness, darkness = int(rng.integers(1, 3)), np.float32(rng.uniform(0.3, 1.0))
    below = int(height * rng.uniform(0.8, 0.98))
    rows = [below] if rng.random() < 0.6 else [below, int(height * rng.uniform(0, 0.12))]
    for row in rows:
        np.maximum(ink[row : row + thickness], darkness, out=ink[row : row + thickness])
    if rng.random() < 0.25:
        column = 0 if rng.random() < 0.5 else width - thickness
        side = ink[:, column : column + thickness]
        np.maximum(side, darkness, out=side)


def _add_background(ink: Ink, paper: Paper, rng: np.random.Generator) -> None:
    kind = paper.backgrounds[rng.integers(len(paper.backgrounds))]
    height, width = ink.shape
    if kind != "plain":
        across, down = rng.uniform(-0.5, 0.5, 2) * rng.uniform(*paper.gradient)
        ink += np.linspace(-across, across, width, dtype=np.float32)
        ink += np.linspace(-down, down, height, dtype=np.float32)[:, None]
    if kind == "texture":
        texture = _textures()[rng.integers(N_TEXTURES)]
        top = rng.integers(texture.shape[0] - height + 1)
        n = texture.shape[1]
        there_and_back = np.abs((rng.integers(n) + np.arange(width)) % (2 * n - 2) - (n - 1))
        part = texture[top : top + height].take(there_and_back, axis=1)
        ink += part * np.float32(rng.uniform(*paper.texture))


@cache
def _textures() -> NDArray[np.float16]:
    """Return background textures, (N_TEXTURES, H, W), each of mean 0 and deviation 1."""
    rng = np.random.default_rng(TEXTURE_SEED)
    makers = (_grain, _waves, _hatching)
    textures = np.stack([makers[i % len(makers)](rng) for i in range(N_TEXTURES)])
    textures -= textures.mean((1, 2), keepdims=True)
    textures /= textures.std((1, 2), keepdims=True)
    return textures.astype(np.float16)


def _grain(rng: np.random.Generator) -> Ink:
    noise = rng.standard_normal(TEXTURE_SIZE, dtype=np.float32)
    sigma_x, sigma_y = rng.uniform(0.7, 6, 2)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), sigma_x, sigmaY=sigma_y), np.float32)


def _waves(rng: np.random.Generator) -> Ink:
    """Return two crossing sets of thin curved lines, as on cheques."""
    y, x = np.mgrid[: TEXTURE_SIZE[0], : TEXTURE_SIZE[1]].astype(np.float32)
    total = np.zeros(TEXTURE_SIZE, np.float32)
    for direction in (1, -1):
        bend = rng.uniform(2, 10) * np.sin(x / rng.uniform(10, 60) + rng.uniform(0, 6))
        bend += rng.uniform(5, 30) * np.sin((x + y) / rng.uniform(40, 150) + rng.uniform(0, 6))
        phase = (y + direction * bend) / rng.uniform(3, 8)
        total -= np.maximum(np.cos(2 * np.pi * phase), 0) ** 2
    return total


def _hatching(rng: np.random.Generator) -> Ink:
    """Return thin parallel lines at an angle, with grain."""
    y, x = np.mgrid[: TEXTURE_SIZE[0], : TEXTURE_SIZE[1]].astype(np.float32)
    angle, period = rng.uniform(0, np.pi), rng.uniform(3, 9)
    lines = np.cos(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period)
    return np.asarray(0.15 * _grain(rng) - np.maximum(lines, 0) ** 2, dtype=np.float32)


@dataclass(frozen=True)
class _Task:
    split: Split
    indices: range

    def name(self, index: int) -> str:
        """Return the path of an image relative to the folder."""
        return f"{self.split}/{index // IMAGES_PER_FOLDER:03d}/{index:06d}.png"


def write_set(
    synthesizer: Synthesizer,
    folder: Path,
    n_workers: int,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write all images of a recipe, ``labels.csv`` and ``recipe.yaml``.

    The folder appears completely or not at all. Its content does not depend on ``n_workers``.

    Args:
        synthesizer: Source of the images.
        folder: New or empty folder.
        n_workers: Number of processes.
        progress: Called with the number of written images and the total.

    Raises:
        OptionError: The folder is not empty.
        OSError: The folder cannot be written; see ``replacing_folder``.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OptionError(f"{folder}: folder is not empty; give a new or empty folder")
    counts = synthesizer.recipe.counts
    tasks = [
        _Task(split, range(start, min(start + IMAGES_PER_TASK, counts.of(split))))
        for split in SPLITS
        for start in range(0, counts.of(split), IMAGES_PER_TASK)
    ]
    n = sum(len(task.indices) for task in tasks)
    rows: list[Row] = []
    with replacing_folder(folder) as temporary:
        for task in tasks:
            image_folder = (temporary / task.name(task.indices.start)).parent
            image_folder.mkdir(parents=True, exist_ok=True)
        with _writers(synthesizer, temporary, n_workers) as write:
            for written in write(tasks):
                rows += written
                if progress:
                    progress(len(rows), n)
        table = io.StringIO()
        csv.writer(table, lineterminator="\n").writerows([("image", "text", "split"), *rows])
        (temporary / "labels.csv").write_text(table.getvalue(), encoding="utf-8", newline="")
        save_recipe(synthesizer.recipe, temporary / "recipe.yaml")
        if folder.exists():
            folder.rmdir()  # fails if files were added meanwhile


@contextmanager
def _writers(
    synthesizer: Synthesizer, folder: Path, n_workers: int
) -> Iterator[Callable[[list[_Task]], Iterator[list[Row]]]]:
    """Provide a function that runs tasks, in several processes if requested."""
    if n_workers == 1:
        yield lambda tasks: (_write(task, (synthesizer, folder)) for task in tasks)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(n_workers, context, _start_worker, (synthesizer, folder))

    def run(tasks: list[_Task]) -> Iterator[list[Row]]:
        with caller_hidden():  # the pool starts its processes on the first task
            return pool.map(_write, tasks)

    try:
        yield run
    except BrokenProcessPool:
        raise DataError(
            f"{folder}: a worker process was killed, perhaps for lack of memory; use fewer workers"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker(synthesizer: Synthesizer, folder: Path) -> None:
    global _job
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    cv2.setNumThreads(0)
    _job = (synthesizer, folder)


def _write(task: _Task, job: tuple[Synthesizer, Path] | None = None) -> list[Row]:
    synthesizer, folder = job or _job
    rows: list[Row] = []
    for i in task.indices:
        image, text = synthesizer.image(task.split, i)
        _, encoded = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        name = task.name(i)
        (folder / name).write_bytes(encoded.tobytes())
        rows.append((name, text, task.split))
    return rows
