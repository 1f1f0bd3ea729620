"""Measure how many digit strings and text lines are synthesised per second."""

import os
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import ImageFont

from ocrsearch.data.synthesis import (
    AnyRecipe,
    Counts,
    DigitsRecipe,
    TextRecipe,
    open_synthesizer,
    write_set,
)


def main(
    digits: Annotated[int, typer.Option(help="Number of digit strings.")] = 6000,
    lines: Annotated[int, typer.Option(help="Number of text lines.")] = 2000,
    source: Annotated[str, typer.Option(help="Dataset of single digits.")] = "digits",
    fonts: Annotated[
        Path | None, typer.Option(help="Folder of fonts. Default: Pillow's font.")
    ] = None,
    corpus: Annotated[Path | None, typer.Option(help="Text file. Default: random words.")] = None,
    workers: Annotated[int, typer.Option(help="Number of processes.")] = 2,
) -> None:
    """Measure drawing in this process, and writing files with several processes."""
    with tempfile.TemporaryDirectory() as folder:
        fonts = fonts or _default_font(Path(folder))
        corpus = corpus or _made_up_corpus(Path(folder))
        text = TextRecipe(fonts=str(fonts), corpus=str(corpus), counts=Counts.of_total(lines))
        _measure(DigitsRecipe(source=source, counts=Counts.of_total(digits)), workers)
        _measure(text, workers)
    typer.echo(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


def _measure(recipe: AnyRecipe, workers: int) -> None:
    synthesizer = open_synthesizer(recipe)
    n = min(1000, recipe.counts.train)
    synthesizer.image("train", 0)
    start = time.process_time()
    lengths = [len(synthesizer.image("train", i)[1]) for i in range(n)]
    drawn = n / (time.process_time() - start)
    marks: list[tuple[float, int]] = []
    before = os.times()
    with tempfile.TemporaryDirectory() as folder:
        write_set(
            synthesizer,
            Path(folder) / "set",
            workers,
            lambda done, _: marks.append((time.perf_counter(), done)),
        )
    used_s = sum(os.times()[:4]) - sum(before[:4])
    (first_s, first), (last_s, last) = marks[0], marks[-1]  # excludes the start of the processes
    typer.echo(f"{recipe.kind}, mean length {np.mean(lengths):.1f}:")
    typer.echo(f"  drawn: {drawn:.0f} per second of processor time")
    typer.echo(
        f"  written: {last / used_s:.0f} per second of processor time, including the start of "
        f"{workers} processes; {(last - first) / (last_s - first_s):.0f} per second of real time"
    )


def _default_font(folder: Path) -> Path:
    path = folder / "default.ttf"
    path.write_bytes(ImageFont.load_default(20).path.getvalue())
    return path


def _made_up_corpus(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    letters = np.array(list("aeioubcdghklmnrstvpyfw"))
    words = ["".join(rng.choice(letters, rng.integers(2, 8))) for _ in range(800)]
    entries = [" ".join(rng.choice(words, rng.integers(3, 9))) for _ in range(3000)]
    path = folder / "corpus.txt"
    path.write_text("\n".join(entries), encoding="utf-8")
    return path


if __name__ == "__main__":
    typer.run(main)
