"""Measure how fast kraken trains the network of ``bench_training.py`` on the same images.

kraken is not a dependency: give the path of its ``ketos``, installed in a separate environment. It
trains for 1 epoch, and then for several epochs from the start. The difference is the time of the
epochs without start-up. All cores are in use. Compare the result with ``bench_training.py``.
"""

import os
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Annotated

import cv2
import typer
from bench_training import CONFIG

from ocrsearch.core import OcrSearchError
from ocrsearch.data import load_dataset
from ocrsearch.data.images import scaled_lines
from ocrsearch.models import conv_channels, pool_sizes


def main(
    ketos: Annotated[
        Path, typer.Option(help="Path of kraken's ketos.", exists=True, dir_okay=False)
    ],
    data: Annotated[str, typer.Option(help="Dataset, as for 'ocrsearch run'.")] = "digits",
    rounds: Annotated[int, typer.Option(min=1, help="Number of measurements.")] = 3,
    epochs: Annotated[
        int, typer.Option(min=2, help="Number of epochs of the longer training.")
    ] = 4,
    precision: Annotated[
        str, typer.Option(help="Precision: bf16-mixed or 32-true.")
    ] = "bf16-mixed",
) -> None:
    """Print the images per second."""
    try:
        dataset = load_dataset(data)
    except OcrSearchError as error:
        typer.echo(f"bench_kraken: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    split = dataset.splits["train"]
    lines = scaled_lines(split, dataset.charset, CONFIG.images)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = []
        for i, (line, text) in enumerate(zip(lines, split.texts, strict=True)):
            path = folder / f"{i}.png"
            cv2.imwrite(str(path), line.image)
            path.with_suffix(".gt.txt").write_text(text, encoding="utf-8")
            paths.append(str(path))
        (folder / "train.txt").write_text("\n".join(paths), encoding="utf-8")
        (folder / "val.txt").write_text("\n".join(paths[:8]), encoding="utf-8")
        rates = []
        for _ in range(rounds):
            once, often = (seconds(ketos, folder, precision, n) for n in (1, epochs))
            rates.append(len(lines) * (epochs - 1) / (often - once))
    typer.echo(
        f"kraken {median(rates):.0f} images per second ({min(rates):.0f} to {max(rates):.0f}), "
        f"{len(lines)} images, {precision}, {network()}"
    )


def network() -> str:
    """Return the layers of ``CONFIG`` as a VGSL specification for kraken, without batch norm."""
    encoder = CONFIG.model.encoder
    channels = conv_channels(encoder)
    pools = pool_sizes(encoder, CONFIG.images.height)
    layers = []
    for n_channels, pool in zip(channels, pools, strict=True):
        layers.append(f"Cr3,3,{n_channels}")
        layers += [f"Mp{pool[0]},{pool[1]}"] if pool != (1, 1) else []
    size = f"{CONFIG.training.batch_size},{CONFIG.images.height},0,1"
    return f"[{size} {' '.join(layers)} S1(1x0)1,3 Lbx{encoder.hidden_size}]"


def seconds(ketos: Path, folder: Path, precision: str, epochs: int) -> float:
    """Return the seconds of a training, including start-up."""
    command = [
        *(str(ketos), "--device", "cpu", "--threads", str(len(os.sched_getaffinity(0)))),
        *("--precision", precision, "train", "-f", "path", "-s", network(), "--pad", "0"),
        *("-B", str(CONFIG.training.batch_size), "-q", "fixed", "-N", str(epochs)),
        *("-t", str(folder / "train.txt"), "-e", str(folder / "val.txt")),
        *("-o", str(folder / "model")),
    ]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        typer.echo(
            f"bench_kraken: {ketos} failed:\n{done.stdout[-500:]}{done.stderr[-1500:]}", err=True
        )
        raise typer.Exit(1)
    return time.perf_counter() - start


if __name__ == "__main__":
    typer.run(main)
