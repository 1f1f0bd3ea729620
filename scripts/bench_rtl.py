"""Compare error rates on right-to-left and left-to-right lines drawn in the same fonts.

Lines consist of random words, with some numbers and brackets. Both directions have the same number
of letters, words and lines. For each seed and direction a network is trained from scratch.
"""

import tempfile
from pathlib import Path
from typing import Annotated, Literal

import cv2
import numpy as np
import torch
import typer

from ocrsearch.core import (
    Config,
    CrnnConfig,
    EncoderConfig,
    ImageConfig,
    OcrSearchError,
    TrainingConfig,
)
from ocrsearch.data import load_dataset
from ocrsearch.data.images import scaled_lines
from ocrsearch.data.synthesis import Counts, TextRecipe, save_recipe
from ocrsearch.evaluation import Metrics, compute_metrics, read_lines
from ocrsearch.training import Trainer, TrainerOptions, faster_precision

LETTERS = {
    "hebrew": "אבגדהוזחטיךכלםמןנסעףפץצקרשת",
    "arabic": "ابتثجحخدذرزسشصضطظعغفقكلمنهوي",
}
LATIN = "abcdefghijklmnopqrstuvwxyzéñ"

DEJAVU = Path("/usr/share/fonts/truetype/dejavu")
FONTS = {
    "hebrew": [DEJAVU / "DejaVuSans.ttf", DEJAVU / "DejaVuSans-Bold.ttf"],
    "arabic": [DEJAVU / "DejaVuSans.ttf", DEJAVU / "DejaVuSansMono.ttf"],
}
"""Fonts from Debian's package fonts-dejavu."""

ENCODER = EncoderConfig(conv_depth=5, conv_base=24, linear_width=64, hidden_size=128)


def main(
    script: Annotated[
        Literal["hebrew", "arabic"], typer.Option(help="Right-to-left script.")
    ] = "hebrew",
    font: Annotated[list[Path] | None, typer.Option(help="Font file; may be repeated.")] = None,
    lines: Annotated[
        int, typer.Option(min=50, help="Total number of lines; a tenth for testing.")
    ] = 1200,
    epochs: Annotated[int, typer.Option(min=1, help="Number of epochs per training.")] = 12,
    seeds: Annotated[int, typer.Option(min=1, help="Number of trainings per direction.")] = 3,
) -> None:
    """Print the CER on test lines for each direction, and their ratio."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    letters = LETTERS[script]
    sums = dict.fromkeys(("left to right", "right to left"), 0.0)
    for seed in range(seeds):
        alphabets = dict(zip(sums, (LATIN[: len(letters)], letters), strict=True))
        for direction, alphabet in alphabets.items():
            try:
                metrics = train(alphabet, font or FONTS[script], lines, epochs, seed)
            except OcrSearchError as error:
                typer.echo(f"bench_rtl: {error}", err=True)
                raise typer.Exit(error.exit_code) from None
            sums[direction] += metrics.cer
            typer.echo(
                f"seed {seed}, {direction}: CER {metrics.cer:.4f}, "
                f"exact match {metrics.exact:.3f}, n {metrics.n}"
            )
    left, right = (value / seeds for value in sums.values())
    ratio = right / left if left else float("nan")
    typer.echo(
        f"mean CER {left:.4f} (left to right), {right:.4f} (right to left), ratio {ratio:.2f}"
    )


def train(letters: str, fonts: list[Path], n_lines: int, epochs: int, seed: int) -> Metrics:
    """Draw lines, train a network, and return its metrics on the test lines."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "fonts").mkdir()
        for font in fonts:
            (folder / "fonts" / font.name).write_bytes(font.read_bytes())
        corpus = "\n".join(make_texts(letters, 2 * n_lines, seed))
        (folder / "corpus.txt").write_text(corpus, encoding="utf-8")
        recipe = TextRecipe(
            fonts=str(folder / "fonts"),
            corpus=str(folder / "corpus.txt"),
            counts=Counts.of_total(n_lines),
            seed=seed,
            fresh=False,
        )
        save_recipe(recipe, folder / "recipe.yaml")
        dataset = load_dataset(f"synth:{folder / 'recipe.yaml'}")
    config = Config(
        images=ImageConfig(height=32),
        model=CrnnConfig(encoder=ENCODER),
        training=TrainingConfig(epochs=epochs),
    )
    device = torch.device("cpu")
    trainer = Trainer(config, dataset, seed, device, TrainerOptions(faster_precision(device)))
    while not trainer.finished:
        trainer.run_epoch()
    test = dataset.splits["test"]
    lines = scaled_lines(test, dataset.charset, config.images)
    reading = read_lines(trainer.network, lines, device)
    texts = [dataset.charset.decode(hypothesis.ids) for hypothesis in reading.hypotheses]
    return compute_metrics(test.texts, texts)


def make_texts(letters: str, n: int, seed: int) -> list[str]:
    """Return lines of 2 or 3 random words, some with a number or brackets."""
    rng = np.random.default_rng(seed)

    def word() -> str:
        drawn = "".join(rng.choice(list(letters), rng.integers(2, 7)))
        return f"({drawn})" if rng.random() < 0.1 else drawn

    texts = []
    for _ in range(n):
        parts = [word() for _ in range(rng.integers(2, 4))]
        if rng.random() < 0.3:
            parts.insert(int(rng.integers(1, len(parts) + 1)), str(rng.integers(1, 10_000)))
        texts.append(" ".join(parts))
    return texts


if __name__ == "__main__":
    typer.run(main)
