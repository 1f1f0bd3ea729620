"""Synthetic datasets: open the sources of a recipe, and provide its images as samples or files.

All sources are read and split before any image is rendered. A written dataset is a folder of
images with ``labels.csv``, rendered by worker processes.
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
from pathlib import Path

import cv2

from ocrsearch.core import DataError, OptionError, caller_hidden, real_path, replacing_folder
from ocrsearch.data.data_options import DataOptions
from ocrsearch.data.dataset import load_dataset
from ocrsearch.data.samples import SPLITS, Sample, Split
from ocrsearch.data.synthesis.digits import DigitArtist, Glyphs, cut_glyphs, sklearn_glyphs
from ocrsearch.data.synthesis.recipe import (
    SKLEARN_DIGITS,
    AnyRecipe,
    DigitsRecipe,
    TextRecipe,
    load_recipe,
    save_recipe,
)
from ocrsearch.data.synthesis.synthesizer import Synthesizer
from ocrsearch.data.synthesis.text import TextArtist

logger = logging.getLogger(__name__)

_being_read: ContextVar[frozenset[Path]] = ContextVar("recipes being read", default=frozenset())
"""Recipes being read, to detect cycles: the source of a recipe may be another recipe."""


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
    if recipe.source == SKLEARN_DIGITS:
        glyphs = sklearn_glyphs(recipe.seed)
    else:
        splits = load_dataset(recipe.source, DataOptions(split_seed=recipe.seed)).splits
        glyphs = {split: cut_glyphs(part.images, part.texts) for split, part in splits.items()}
    return {split: glyphs[split] for split in SPLITS if recipe.counts.of(split)}


IMAGES_PER_FOLDER = 1000


IMAGES_PER_TASK = 50

Row = tuple[str, str, Split]
"""Path of an image relative to the folder, its text and its split."""


@dataclass(frozen=True)
class _Task:
    split: Split
    indices: range


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
            image_folder = (temporary / _name(task.split, task.indices.start)).parent
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


def _name(split: Split, index: int) -> str:
    return f"{split}/{index // IMAGES_PER_FOLDER:03d}/{index:06d}.png"


@contextmanager
def _writers(
    synthesizer: Synthesizer, folder: Path, n_workers: int
) -> Iterator[Callable[[list[_Task]], Iterator[list[Row]]]]:
    """Provide a function that runs tasks, in several processes if requested."""
    if n_workers == 1:
        yield lambda tasks: (_write(task, synthesizer, folder) for task in tasks)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(n_workers, context, _start_worker, (synthesizer, folder))

    def run(tasks: list[_Task]) -> Iterator[list[Row]]:
        with caller_hidden():  # the pool starts its processes on the first task
            return pool.map(_write_in_worker, tasks)

    try:
        yield run
    except BrokenProcessPool:
        raise DataError(
            f"{folder}: a worker process was killed, perhaps for lack of memory; use fewer workers"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


_job: tuple[Synthesizer, Path]
"""Synthesizer and folder of this process, sent once instead of with each task."""


def _start_worker(synthesizer: Synthesizer, folder: Path) -> None:
    global _job
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    cv2.setNumThreads(0)
    _job = (synthesizer, folder)


def _write_in_worker(task: _Task) -> list[Row]:
    return _write(task, *_job)


def _write(task: _Task, synthesizer: Synthesizer, folder: Path) -> list[Row]:
    rows: list[Row] = []
    for i in task.indices:
        image, text = synthesizer.image(task.split, i)
        _, encoded = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        name = _name(task.split, i)
        (folder / name).write_bytes(encoded.tobytes())
        rows.append((name, text, task.split))
    return rows
