"""Measure the time of training, decoding and evaluation for charsets of different sizes.

Each character is drawn as a few random strokes, so no fonts are needed. Its strokes do not depend
on the size of the charset. For each architecture the charsets alternate after every epoch. The
figures are seconds of processor time on one thread, the fastest of several rounds.
"""

import time
from collections.abc import Callable, Sequence
from typing import Annotated

import cv2
import numpy as np
import torch
import typer

from ocrsearch.core import Config, CrnnConfig, EncoderConfig, ImageConfig, Seq2SeqConfig
from ocrsearch.data import Charset, Dataset, GrayImage, LabelledImages, PackedImages, Split
from ocrsearch.evaluation import count_confusions
from ocrsearch.models import encode_lines
from ocrsearch.models.decoding import BeamSearch, Readout
from ocrsearch.training import Trainer, TrainerOptions, faster_precision

FIRST_CHARACTER = 0x4E00
"""First of more than 20,000 ideographs."""

HEIGHT = 32

ENCODER = EncoderConfig(conv_depth=5, conv_base=24, linear_width=64, hidden_size=128)
MODELS = {"crnn": CrnnConfig(encoder=ENCODER), "seq2seq": Seq2SeqConfig(encoder=ENCODER)}
COLUMNS = ("training", "validation", "greedy", "beam 10", "confusions")


def main(
    characters: Annotated[
        str, typer.Option(help="Charset sizes, separated by commas.")
    ] = "100,1000,3000",
    lines: Annotated[int, typer.Option(min=16, help="Number of training lines.")] = 640,
    rounds: Annotated[int, typer.Option(min=1, help="Number of epochs per charset.")] = 3,
    beam_lines: Annotated[int, typer.Option(min=1, help="Number of lines for beam search.")] = 64,
) -> None:
    """Print the seconds of each part, and the time of an epoch relative to the first charset.

    The time of an epoch is training plus validation.
    """
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    precision = faster_precision(torch.device("cpu"))
    sizes = [int(size) for size in characters.split(",")]
    typer.echo(f"{lines} lines of 8 to 12 characters, {precision}; seconds")
    heads = (f"{name:>12}" for name in ("characters", *COLUMNS, "ratio"))
    typer.echo(f"{'':<8}{''.join(heads)}")
    for name, model in MODELS.items():
        config = Config(images=ImageConfig(height=HEIGHT), model=model)
        trainers = [
            Trainer(
                config, draw_dataset(size, lines), 0, torch.device("cpu"), TrainerOptions(precision)
            )
            for size in sizes
        ]
        seconds = _fastest([_parts(trainer, beam_lines) for trainer in trainers], rounds)
        for size, row in zip(sizes, seconds, strict=True):
            figures = "".join(f"{value:12.3f}" for value in row)
            ratio = sum(row[:2]) / sum(seconds[0][:2])
            typer.echo(f"{name:<8}{size:>12}{figures}{ratio:12.2f}")


def draw_dataset(n_characters: int, n_lines: int, seed: int = 0) -> Dataset:
    """Return a dataset of random characters; the validation split has a fifth of the lines."""
    rng = np.random.default_rng([seed, 1])
    glyphs = [_glyph(i) for i in range(n_characters)]
    splits: dict[Split, LabelledImages] = {
        "train": _draw_lines(glyphs, n_lines, rng),
        "val": _draw_lines(glyphs, max(1, n_lines // 5), rng),
        "test": _draw_lines(glyphs, 0, rng),
    }
    charset = Charset([chr(FIRST_CHARACTER + i) for i in range(n_characters)])
    return Dataset("glyphs", splits, charset, str(n_characters), [])


def _glyph(number: int) -> GrayImage:
    """Return the ink of a character: 3 to 6 random strokes."""
    rng = np.random.default_rng([number, 2])
    ink = np.zeros((HEIGHT - 6, int(rng.integers(20, 27))), np.uint8)
    for _ in range(rng.integers(3, 7)):
        ends = rng.integers(2, np.array(ink.shape[::-1]) - 2, (2, 2)).tolist()
        cv2.line(ink, ends[0], ends[1], 255, int(rng.integers(1, 3)), cv2.LINE_AA)
    return ink


def _draw_lines(glyphs: Sequence[GrayImage], n: int, rng: np.random.Generator) -> LabelledImages:
    images, texts = [], []
    for _ in range(n):
        ids = rng.integers(len(glyphs), size=rng.integers(8, 13)).tolist()
        ink = np.hstack([np.pad(glyphs[i], ((3, 3), (1, 1))) for i in ids])
        images.append(np.asarray(235 - 0.8 * ink + rng.normal(0, 6, ink.shape), np.uint8))
        texts.append("".join(chr(FIRST_CHARACTER + i) for i in ids))
    names = [f"{i}.png" for i in range(n)]
    return LabelledImages(names, texts, PackedImages.pack(images))


def _parts(trainer: Trainer, beam_lines: int) -> list[Callable[[], object]]:
    """Return the functions to time, in the order of ``COLUMNS``."""
    charset = trainer.charset
    outputs = _readouts(trainer, len(trainer.val_lines))
    some = _readouts(trainer, beam_lines)
    letters = np.array(charset.symbols)
    wrong = ["".join(np.random.default_rng(i).choice(letters, 10)) for i in range(2000)]

    return [
        trainer.train_epoch,
        trainer.validate,
        lambda: [output.greedy() for output in outputs],
        lambda: [output.beam_search(BeamSearch(10)) for output in some],
        lambda: count_confusions(wrong, wrong[::-1]),
    ]


@torch.inference_mode()
def _readouts(trainer: Trainer, n: int) -> list[Readout]:
    network, lines = trainer.network, trainer.val_lines[:n]
    encoded = encode_lines(network, lines, trainer.device)
    return [network.readout(output) for _, _, output in encoded]


def _fastest(jobs: Sequence[Sequence[Callable[[], object]]], rounds: int) -> list[list[float]]:
    """Return the shortest processor time of each part and charset; the charsets alternate."""
    best = [[float("inf")] * len(parts) for parts in jobs]
    for _ in range(rounds):
        for row, parts in zip(best, jobs, strict=True):
            for i, part in enumerate(parts):
                start = time.process_time()
                part()
                row[i] = min(row[i], time.process_time() - start)
    return best


if __name__ == "__main__":
    typer.run(main)
