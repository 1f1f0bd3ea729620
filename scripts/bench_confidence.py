"""Measure the confidence of models: calibration, promised errors, and images of other kinds.

For each dataset a short search finds a model. Its network reads all images that it was not trained
on, and stays the same. These images are parted at random, as many times as wanted. Confidence and
thresholds are fitted on one part as ``ocrsearch best`` fits them, and judged on the other part.

A promise bounds the true error of accepted texts, and the other part is a sample of it. So a
promise counts as broken if the sample contradicts it: if the lower 95 % bound (Clopper and Pearson)
of the error among its accepted texts is above the promise. The table also shows in how many parts
the error itself is larger, and the error over all of them.

Foreign images are blank sheets, noise, textures, photographs that come with scikit-learn, and
images of other datasets. They are accepted if their confidence reaches the lowest threshold for a
promise, or MIN_CONFIDENCE if there is none. Each result is a line of a file, and existing results
are not measured again.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from scipy.stats import beta
from sklearn.datasets import load_sample_images

import ocrsearch
from ocrsearch.core import OcrSearchError
from ocrsearch.data import DataOptions, GrayImage, LabelledImages, list_samples, load_dataset
from ocrsearch.data.images import shrink_line
from ocrsearch.data.splits import write_splits
from ocrsearch.evaluation import (
    MAX_IMAGES,
    UNCALIBRATED,
    Trust,
    accept,
    calibration_error,
    confidence_bins,
    fit_trust,
    image_profiles,
)
from ocrsearch.inference import Prediction, Predictor, load

PROMISES = (0.005, 0.02)
MIN_CONFIDENCE = 0.9
"""Threshold for foreign images if no threshold keeps a promise."""

MAX_PART = 2000
"""Largest number of images that confidence is fitted on."""

N_FOREIGN = 100
TURNED = "own images turned by 180 degrees"

Result = dict[str, Any]


@dataclass(frozen=True)
class Reads:
    """What a network reads in images.

    Attributes:
        profiles: (N, N_VALUES) profiles of the images.
        probabilities: (N,) probability that the network gives each text; 0 for an empty text.
        right: (N,) whether each text has no error.
    """

    profiles: np.ndarray
    probabilities: np.ndarray
    right: np.ndarray

    def take(self, ids: np.ndarray) -> "Reads":
        """Return what was read in some of the images."""
        return Reads(self.profiles[ids], self.probabilities[ids], self.right[ids])

    def confidences(self, trust: Trust) -> np.ndarray:
        """Return the confidence of each text."""
        assert trust.familiarity is not None, "there are enough training images"
        return self.calibrated(trust) * trust.familiarity.of_profiles(self.profiles)

    def calibrated(self, trust: Trust) -> np.ndarray:
        """Return the calibrated probability of each text, without the familiarity of its image."""
        return np.array([trust.calibrated(p) if p else 0.0 for p in self.probabilities.tolist()])


def main(
    specs: Annotated[list[str], typer.Argument(metavar="SPEC...", help="Datasets.")],
    train: Annotated[int, typer.Option(min=50, help="Number of training images.")] = 600,
    val: Annotated[int, typer.Option(min=20, help="Images that choose the network.")] = 150,
    test: Annotated[int, typer.Option(min=50, help="Largest number of other images.")] = 10_000,
    timeout: Annotated[str, typer.Option(help="Time of each search.")] = "150s",
    foreign: Annotated[
        list[str] | None, typer.Option(help="Further datasets with foreign images.")
    ] = None,
    parts: Annotated[int, typer.Option(min=1, help="Number of random parts.")] = 20,
    seed: Annotated[int, typer.Option(help="Seed of samples, search and parts.")] = 0,
    out: Annotated[Path, typer.Option(help="File for the results.")] = Path(
        "bench_confidence.jsonl"
    ),
) -> None:
    """Measure the confidence of a model for each dataset."""
    known = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    for spec in specs:
        if any(result["data"] == spec for result in known):
            continue
        others = [s for s in dict.fromkeys([*specs, *(foreign or [])]) if s != spec]
        result = measure(spec, (train, val, test), timeout, others, parts, seed)
        with out.open("a") as file:
            file.write(json.dumps(result) + "\n")
        known.append(result)
    for line in table([result for result in known if result["data"] in specs]):
        print(line)


def measure(
    spec: str,
    sizes: tuple[int, int, int],
    timeout: str,
    others: Sequence[str],
    n_parts: int,
    seed: int,
) -> Result:
    """Return the result for a dataset."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        splits = drawn_splits(spec, sizes, rng, folder / "splits.csv")
        storage, model = f"sqlite:///{folder / 'studies.db'}", folder / "model.pt"
        found = ocrsearch.search(
            data=spec, timeout=timeout, seed=seed, workers=1, storage=storage, splits=str(splits)
        )
        ocrsearch.load_study(found.study, storage).export(model)
        predictor = load(model)
        plain = Predictor(replace(predictor.bundle, trust=UNCALIBRATED))
        dataset = load_dataset(spec, DataOptions(splits=str(splits)))
    training = dataset.splits["train"]
    profiles = image_profiles(training.images, MAX_IMAGES)
    pool = read(plain, dataset.splits["val"].joined(dataset.splits["test"]))
    strange = dict(foreign_reads(plain, training, others, rng))
    rows = [part(pool, profiles, strange, rng) for _ in range(n_parts)]
    print(f"{spec}: {len(training)} training and {len(pool.right)} other images", flush=True)
    return {
        "data": spec,
        "architecture": predictor.bundle.config.model.architecture,
        "n_train": len(training),
        "n": len(pool.right),
        "exact": float(pool.right.mean()),
        "foreign": {kind: len(reads.right) for kind, reads in strange.items()},
        "parts": rows,
    }


def drawn_splits(
    spec: str, sizes: tuple[int, int, int], rng: np.random.Generator, path: Path
) -> Path:
    """Draw splits of some sizes and write them to a file; other samples are left out."""
    samples = list_samples(spec, DataOptions())
    order = rng.permutation(len(samples))
    names = np.repeat(("train", "val", "test", ""), (*sizes, len(samples)))[: len(samples)]
    parted = [replace(samples[i], split=name) for i, name in zip(order, names, strict=True)]
    write_splits(parted, path)
    return path


def read(predictor: Predictor, data: LabelledImages) -> Reads:
    """Read labelled images."""
    return reads_of(list(data.images), data.texts, predictor.evaluate(data).predictions)


def reads_of(
    images: list[GrayImage], texts: Sequence[str | None], predictions: Sequence[Prediction]
) -> Reads:
    """Return images with the probabilities of their texts."""
    values = [p.network_confidence or 0.0 if p.text else 0.0 for p in predictions]
    right = [p.text == text for p, text in zip(predictions, texts, strict=True)]
    return Reads(image_profiles(images), np.array(values), np.array(right))


def part(
    pool: Reads,
    training: np.ndarray,
    strange: Mapping[str, Reads],
    rng: np.random.Generator,
) -> Result:
    """Fit confidence and thresholds on one half of the images, and judge them on the other."""
    order = rng.permutation(len(pool.right))
    n = min(len(order) // 2, MAX_PART)
    fitted, other = pool.take(order[:n]), pool.take(order[n:])
    trust = fit_trust(
        fitted.probabilities.tolist(), fitted.right.tolist(), training, fitted.profiles
    )
    own, seen = fitted.confidences(trust), other.confidences(trust)
    row: Result = {
        "n_fitted": n,
        "n_other": len(order) - n,
        "temperature": trust.temperature,
        "error_before": ece(other.probabilities, other.right),
        "error_after": ece(seen, other.right),
        "promises": {},
    }
    threshold = MIN_CONFIDENCE
    for promise in PROMISES:
        found = accept(own.tolist(), fitted.right.tolist(), promise)
        if found is None:
            continue
        threshold = found.threshold
        accepted = seen >= threshold
        row["promises"][str(promise)] = {
            "threshold": threshold,
            "n_accepted": int(accepted.sum()),
            "n_wrong": int((~other.right[accepted]).sum()),
        }
    row["foreign"] = {
        kind: {
            "plain": int((reads.calibrated(trust) >= threshold).sum()),
            "familiar": int((reads.confidences(trust) >= threshold).sum()),
        }
        for kind, reads in strange.items()
    }
    return row


def ece(confidences: np.ndarray, right: np.ndarray) -> float:
    """Return the expected calibration error."""
    return calibration_error(confidence_bins(confidences.tolist(), right.tolist()))


def foreign_reads(
    predictor: Predictor,
    training: LabelledImages,
    others: Sequence[str],
    rng: np.random.Generator,
) -> Iterator[tuple[str, Reads]]:
    """Yield kinds of foreign images with their reads, none of which is right."""
    shapes = [training.images[i].shape for i in rng.integers(len(training), size=N_FOREIGN)]
    kinds = {kind: [draw(shape, rng) for shape in shapes] for kind, draw in DRAWN.items()}
    for spec in others:
        samples = load_dataset(spec, DataOptions()).splits["train"]
        chosen = rng.permutation(len(samples))[:N_FOREIGN]
        kinds[spec] = [samples.images[i] for i in chosen]
    chosen = rng.permutation(len(training))[:N_FOREIGN]
    kinds[TURNED] = [np.ascontiguousarray(training.images[i][::-1, ::-1]) for i in chosen]
    for kind, images in kinds.items():
        shrunk = [shrink_line(image) for image in images]
        yield kind, reads_of(shrunk, [None] * len(shrunk), predictor.predict_many(shrunk))


Shape = tuple[int, ...]


def blank(shape: Shape, rng: np.random.Generator) -> GrayImage:
    """Return paper with weak noise and a shadow, in any grey."""
    x, y = (np.linspace(*rng.uniform(-30, 30, 2), n) for n in (shape[1], shape[0]))
    paper = rng.integers(0, 256) + x + y[:, None] + rng.normal(0, rng.uniform(1, 8), shape)
    return np.clip(paper, 0, 255).astype(np.uint8)


def noise(shape: Shape, rng: np.random.Generator) -> GrayImage:
    """Return even noise, normal noise or black dots."""
    kinds = (
        rng.integers(0, 256, shape),
        np.clip(rng.normal(128, 60, shape), 0, 255),
        255 * (rng.random(shape) > rng.uniform(0.02, 0.5)),
    )
    return np.asarray(kinds[rng.integers(3)], np.uint8)


def texture(shape: Shape, rng: np.random.Generator) -> GrayImage:
    """Return clouds, stripes in any direction, or blocks."""
    height, width = shape
    angle, (y, x) = rng.uniform(0, np.pi), np.mgrid[:height, :width]
    waves = (x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / rng.uniform(3, height / 2)
    blocks = np.kron(rng.random((height // 4 + 1, width // 4 + 1)), np.ones((4, 4)))
    clouds = cv2.GaussianBlur(rng.normal(0, 1, shape), (0, 0), rng.uniform(1, height / 3))
    values = (np.sin(waves), blocks[:height, :width], clouds)[rng.integers(3)]
    scaled = (values - values.min()) / max(float(np.ptp(values)), 1e-9)
    return (scaled * rng.uniform(60, 255)).astype(np.uint8)


PHOTOS = [cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY) for photo in load_sample_images().images]


def photo(shape: Shape, rng: np.random.Generator) -> GrayImage:
    """Return a part of a photograph."""
    image = PHOTOS[rng.integers(len(PHOTOS))]
    height = int(rng.integers(min(shape[0], 100), image.shape[0] // 2))
    width = min(image.shape[1], max(8, height * shape[1] // shape[0]))
    top, left = (
        int(rng.integers(n - m + 1)) for n, m in zip(image.shape, (height, width), strict=True)
    )
    cut = image[top : top + height, left : left + width]
    return np.asarray(cv2.resize(cut, shape[::-1], interpolation=cv2.INTER_AREA), np.uint8)


DRAWN = {"blank": blank, "noise": noise, "texture": texture, "photo": photo}


def lower_bound(n_wrong: int, n: int) -> float:
    """Return the lower 95 % bound of an error rate (Clopper and Pearson, 1934), one-sided."""
    return float(beta.ppf(0.05, n_wrong, n - n_wrong + 1)) if n_wrong else 0.0


def table(results: Sequence[Result]) -> Iterator[str]:
    """Yield the lines of the tables of all results, in Markdown."""
    yield "| data | trained on | others | exact | temperature | ECE before | ECE after |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for result in results:
        rows = result["parts"]
        means = [fmean(r[k] for r in rows) for k in ("temperature", "error_before", "error_after")]
        shown = f"{means[0]:.2f} | {means[1]:.4f} | {means[2]:.4f}"
        about = f"{result['n_train']} | {result['n']} | {result['exact']:.3f}"
        yield f"| {result['data']} | {about} | {shown} |"
    yield ""
    yield "| data | promise | made | accepted | error | larger | broken |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for result in results:
        for promise in PROMISES:
            yield promise_line(result, promise)
    yield ""
    yield "| data | images | n | accepted without familiarity | accepted |"
    yield "| --- | --- | --- | --- | --- |"
    for result in results:
        n_parts = len(result["parts"])
        for kind, n in result["foreign"].items():
            counts = [row["foreign"][kind] for row in result["parts"]]
            shares = [sum(c[k] for c in counts) / (n * n_parts) for k in ("plain", "familiar")]
            yield f"| {result['data']} | {kind} | {n} | {shares[0]:.2%} | {shares[1]:.2%} |"


def promise_line(result: Result, promise: float) -> str:
    """Return the line of a promise: in how many parts it was made, larger and broken."""
    found = [p for row in result["parts"] if (p := row["promises"].get(str(promise)))]
    n_accepted, n_wrong = (sum(p[key] for p in found) for key in ("n_accepted", "n_wrong"))
    n_others = sum(r["n_other"] for r in result["parts"] if str(promise) in r["promises"])
    larger = sum(p["n_wrong"] > promise * p["n_accepted"] for p in found)
    broken = sum(lower_bound(p["n_wrong"], p["n_accepted"]) > promise for p in found)
    shares = (
        f"{n_accepted / n_others:.1%} | {n_wrong / max(1, n_accepted):.3%}" if found else "- | -"
    )
    about = f"{promise:.1%} | {len(found)} of {len(result['parts'])}"
    return f"| {result['data']} | {about} | {shares} | {larger} | {broken} |"


def run() -> None:
    """Run the command, and print an error as one line."""
    try:
        typer.run(main)
    except OcrSearchError as error:
        raise SystemExit(f"bench_confidence: {error}") from None


if __name__ == "__main__":
    run()
