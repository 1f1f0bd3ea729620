"""Measure 'data check' with planted errors, and 'data next' against a random choice.

``check`` changes 5 % of the labels of a dataset by one edit each (a character substituted or
dropped, or two swapped), ranks all labels, and measures the fraction of the changed labels within
the first 5 %. With ``--planted 0`` it lists the most doubtful labels of the data as it is.

``next`` trains a network on a few images, chooses more by that network or at random, trains again
on both, and measures the CER on images that neither has seen.

Each result is a line of a file, and existing results are not measured again.
"""

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import cv2
import numpy as np
import torch
import typer

from ocrsearch.core import OcrSearchError, flatten
from ocrsearch.data import DataOptions, Sample, list_samples
from ocrsearch.inference import Predictor
from ocrsearch.spaces import derive_space
from ocrsearch.training import (
    Bundle,
    Provenance,
    Trainer,
    TrainerOptions,
    faster_precision,
    read_start_weights,
    save_bundle,
)
from ocrsearch.workflows import (
    CheckOptions,
    check_labels,
    choose_images,
    read_labelled,
    with_epochs,
)

Result = dict[str, Any]

app = typer.Typer(add_completion=False, help=__doc__)
Specs = Annotated[list[str], typer.Argument(metavar="SPEC...", help="Datasets.")]
Seeds = Annotated[int, typer.Option(min=1, help="Number of seeds, from 0.")]
Epochs = Annotated[int, typer.Option(min=1, help="Number of epochs of each training.")]
Out = Annotated[Path, typer.Option(help="File for the results.")]
Work = Annotated[Path, typer.Option(help="Folder for images and checkpoints.")]

FIRST = 0.05
"""Fraction of the ranking within which planted errors are counted, and twice this fraction."""

N_LISTED = 40
"""Number of doubtful labels in a result."""


@app.callback()
def main() -> None:
    """Measure the search for wrong labels and the choice of images to label."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)


def one_edit(text: str, symbols: Sequence[str], rng: np.random.Generator) -> str:
    """Return a text with one character substituted or dropped, or two neighbours swapped."""
    kinds = ["substitute"]
    swaps = [i for i in range(len(text) - 1) if text[i] != text[i + 1]]
    kinds += ["drop"] * (len(text) > 1) + ["swap"] * bool(swaps)
    kind, i = kinds[rng.integers(len(kinds))], int(rng.integers(len(text)))
    if kind == "drop":
        return text[:i] + text[i + 1 :]
    if kind == "swap":
        i = swaps[rng.integers(len(swaps))]
        return text[:i] + text[i + 1] + text[i] + text[i + 2 :]
    others = [symbol for symbol in symbols if symbol not in (text[i], " ")]
    return text[:i] + others[rng.integers(len(others))] + text[i + 1 :]


def plant_errors(texts: Sequence[str], share: float, seed: int) -> dict[int, str]:
    """Return wrong labels for a fraction of the texts, by their positions."""
    rng = np.random.default_rng(seed)
    symbols = sorted(set().union(*texts))
    chosen = rng.permutation(len(texts))[: round(share * len(texts))].tolist()
    return {i: one_edit(texts[i], symbols, rng) for i in chosen}


def copied(samples: Sequence[Sample], texts: Sequence[str], folder: Path, name: str) -> Path:
    """Copy the images of samples to a folder, once, and write a table with other labels."""
    table = folder / f"{name}.csv"
    (folder / "images").mkdir(parents=True, exist_ok=True)
    with table.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("image", "text", "group"))
        for i, (sample, text) in enumerate(zip(samples, texts, strict=True)):
            assert isinstance(sample.image, Path)
            place = Path("images") / f"{i:05d}{sample.image.suffix}"
            if not (folder / place).exists():
                shutil.copyfile(sample.image, folder / place)
            rows.writerow((place, text, sample.group or ""))
    return table


@app.command("check")
def check(
    specs: Specs,
    planted: Annotated[float, typer.Option(min=0, max=0.5, help="Fraction to change.")] = FIRST,
    seeds: Seeds = 3,
    epochs: Epochs = 8,
    folds: Annotated[int, typer.Option(min=2, help="Number of parts.")] = 3,
    repeats: Annotated[int, typer.Option(min=1, help="Number of networks for each part.")] = 1,
    out: Out = Path("bench_labels.jsonl"),
    work: Work = Path("bench_labels"),
) -> None:
    """Rank labels of which some are wrong on purpose."""
    for spec in specs:
        for seed in range(seeds):
            key = {"what": "check", "data": spec, "planted": planted, "seed": seed}
            key |= {"epochs": epochs, "folds": folds, "repeats": repeats}
            measure(key, out, lambda key=key: checked(key, work))
    found = [r for r in read(out) if r["what"] == "check" and r["planted"]]
    for spec in dict.fromkeys(r["data"] for r in found):
        same = {"data": spec, "epochs": epochs, "repeats": repeats}
        recalls = [r["recall"] for r in found if r | same == r]
        if recalls:
            seen = ", ".join(f"{recall:.3f}" for recall in recalls)
            typer.echo(f"{spec}: recall {fmean(recalls):.3f} ({seen})")


def checked(key: Result, work: Path) -> Result:
    """Return the recall of planted errors, and the first labels of the ranking."""
    samples = list_samples(key["data"], DataOptions())
    wrong = plant_errors([s.text for s in samples], key["planted"], key["seed"])
    texts = [wrong.get(i, s.text) for i, s in enumerate(samples)]
    place = work / "".join(c if c.isalnum() else "-" for c in key["data"])
    table = copied(samples, texts, place, f"labels-{key['planted']}-{key['seed']}")
    options = CheckOptions(
        epochs=key["epochs"], folds=key["folds"], repeats=key["repeats"], seed=key["seed"]
    )
    result = check_labels(f"csv:{table}", place / "check", options)
    order = [int(Path(label.sample.name).stem) for label in result.labels]

    def recall(share: float) -> float:
        return sum(i in wrong for i in order[: round(share * len(order))]) / len(wrong)

    listed = [
        {
            "image": str(samples[i].image),
            "label": texts[i],
            "reading": label.found.reading,
            "margin": label.found.margin,
            "planted": i in wrong,
        }
        for i, label in zip(order[:N_LISTED], result.labels, strict=False)
    ]
    return {
        "n": len(order),
        "n_planted": len(wrong),
        "recall": recall(FIRST) if wrong else None,
        "recall_twice": recall(2 * FIRST) if wrong else None,
        "n_contradicted": result.n_contradicted,
        "cer": result.cer,
        "labels": listed,
    }


@app.command("next")
def next_(
    specs: Specs,
    first: Annotated[int, typer.Option(min=10, help="Number of images labelled first.")] = 100,
    n: Annotated[int, typer.Option("--n", min=1, help="Number of images to add.")] = 100,
    n_test: Annotated[int, typer.Option(min=1, help="Number of images to measure on.")] = 250,
    seeds: Seeds = 3,
    epochs: Epochs = 30,
    out: Out = Path("bench_labels.jsonl"),
    work: Work = Path("bench_labels"),
) -> None:
    """Compare images chosen by a network with random ones."""
    for spec in specs:
        for seed in range(seeds):
            key = {"what": "next", "data": spec, "seed": seed, "first": first, "n": n}
            key |= {"n_test": n_test, "epochs": epochs}
            measure(key, out, lambda key=key: chosen(key, work))
    for spec in specs:
        found = [r for r in read(out) if r["what"] == "next" and r["data"] == spec]
        for name in ("before", "chosen", "random"):
            values = [r[name] for r in found if r["first"] == first and r["n"] == n]
            seen = ", ".join(f"{value:.4f}" for value in values)
            typer.echo(f"{spec}: CER {name} {fmean(values):.4f} ({seen})")


def chosen(key: Result, work: Path) -> Result:
    """Return the CER before, with images chosen by the network, and with random images."""
    labelled = read_labelled(key["data"], DataOptions())
    order = np.random.default_rng(key["seed"]).permutation(len(labelled.samples)).tolist()
    test = order[: key["n_test"]]
    begin = order[key["n_test"] :][: key["first"]]
    pool = order[key["n_test"] + key["first"] :]
    space = derive_space(labelled.dataset(begin, []), 0.01).space
    config = with_epochs(space.resolve(flatten(space.settings.try_first[0])), key["epochs"])
    start = read_start_weights(space.init) if space.init else None

    def trained(ids: list[int]) -> tuple[Bundle, float]:
        options = TrainerOptions(faster_precision(torch.device("cpu")), start)
        dataset = labelled.dataset(ids, [])
        trainer = Trainer(config, dataset, key["seed"], torch.device("cpu"), options)
        while not trainer.finished:
            trainer.run_epoch()
        bundle = Bundle(config, labelled.charset, trainer.weights(), {}, Provenance())
        return bundle, Predictor(bundle).evaluate(labelled.images.take(test)).metrics.cer

    bundle, before = trained(begin)
    model = work / "next.pt"
    work.mkdir(parents=True, exist_ok=True)
    save_bundle(bundle, model)
    places = {labelled.samples[i].image: i for i in pool}
    result = choose_images(list(places), model, key["n"], seed=key["seed"])
    added = [places[image.path] for image in result.images]
    return {
        "n_pool": len(pool),
        "before": before,
        "chosen": trained([*begin, *added])[1],
        "random": trained([*begin, *pool[: key["n"]]])[1],
    }


def measure(key: Result, out: Path, run: Any) -> None:
    """Add a result to the file unless it is there."""
    if any(result | key == result for result in read(out)):
        return
    try:
        result = key | run()
    except OcrSearchError as error:
        raise SystemExit(str(error)) from None
    with out.open("a", encoding="utf-8") as file:
        file.write(json.dumps(result) + "\n")
    typer.echo(json.dumps({k: v for k, v in result.items() if k != "labels"}), err=True)


def read(path: Path) -> list[Result]:
    """Return the results of a file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    app()
