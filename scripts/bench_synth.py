"""Measure how many digit strings and text lines are synthesised a second."""

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
    digits: Annotated[int, typer.Option(help="Digit strings to make.")] = 6000,
    lines: Annotated[int, typer.Option(help="Text lines to make.")] = 2000,
    source: Annotated[str, typer.Option(help="Single digits, or the built-in ones.")] = "digits",
    fonts: Annotated[Path | None, typer.Option(help="Default: the one in Pillow.")] = None,
    corpus: Annotated[Path | None, typer.Option(help="Default: made-up words.")] = None,
    workers: Annotated[int, typer.Option(help="Processes.")] = 2,
) -> None:
    """Make digit strings and text lines, drawn in this process and as files by processes."""
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
    (first_s, first), (last_s, last) = marks[0], marks[-1]  # without the start of the processes
    typer.echo(f"{recipe.kind}, mean length {np.mean(lengths):.1f}:")
    typer.echo(f"  drawn: {drawn:.0f} a second of one core's time")
    typer.echo(
        f"  as files: {last / used_s:.0f} a second of one core's time with the start of "
        f"{workers} processes; {(last - first) / (last_s - first_s):.0f} a second by the clock"
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
