"""Images to label next: those a model is least sure of, and different from each other.

Diverse mini-batch active learning (Zhdanov, 2019, arXiv:1901.05954): of the most uncertain images,
weighted k-means on features of the network chooses one for each cluster. The uncertainty is the
negative log probability of the text for each character (Shen et al., 2018, arXiv:1707.05928). In an
ensemble it is that of the mean probability, so it is high where the networks disagree.
"""

from __future__ import annotations

import csv
import io
import math
import shutil
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ocrsearch.core import (
    BundleError,
    DataError,
    ImageError,
    OptionError,
    printable,
    replacing_folder,
)
from ocrsearch.data import (
    MAX_BATCH_SIZE,
    GrayImage,
    Progress,
    collate,
    width_sorted_batches,
)
from ocrsearch.data.images import prepare_image, read_image, shrink_line
from ocrsearch.inference import Predictor
from ocrsearch.models import Recogniser, image_features
from ocrsearch.training import Bundle, load_bundle, select_device

CHUNK = 256
"""Number of images that are read from files at a time."""

CANDIDATES = 5
"""Number of uncertain images among which one is chosen."""

MIN_PROBABILITY = 1e-30

LABELS = "labels.csv"


@dataclass(frozen=True)
class UnlabelledImage:
    """An image without a label.

    Attributes:
        path: file.
        text: text that the model reads.
        confidence: probability of the text, 0 to 1.
    """

    path: Path
    text: str
    confidence: float

    @property
    def uncertainty(self) -> float:
        """Negative log probability for each character and the end, in nats."""
        return -math.log(max(MIN_PROBABILITY, self.confidence)) / (len(self.text) + 1)


@dataclass(frozen=True)
class NextImages:
    """Images to label next.

    Attributes:
        images: chosen images, the most uncertain first.
        n: number of images that could be read.
        failures: files that were skipped, with the reasons.
    """

    images: list[UnlabelledImage]
    n: int
    failures: list[tuple[Path, str]]


def choose_images(
    paths: Sequence[Path],
    model: Path,
    n: int,
    *,
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
) -> NextImages:
    """Choose the images whose labels are likely to improve a model most.

    Args:
        paths: image files without labels.
        model: model file of PyTorch.
        n: number of images to choose.
        seed: random seed for the clusters.
        device: "auto", "cpu" or "cuda".
        progress: called with the number of images read and the total.

    Raises:
        OptionError: the model is not a file of PyTorch.
        BundleError: the model cannot be read, or has no convolutions.
        DataError: none of the images can be read.
    """
    if model.suffix.lower() == ".onnx":
        problem = f"{model}: features of images need a model file of PyTorch, such as model.pt"
        raise OptionError(problem, "model")
    bundle = load_bundle(model)
    predictor = Predictor(bundle, device)
    network = bundle.build_network().to(select_device(device))
    found: list[UnlabelledImage] = []
    features: list[np.ndarray] = []
    failures: list[tuple[Path, str]] = []
    for start in range(0, len(paths), CHUNK):
        images: dict[Path, GrayImage] = {}
        for path in paths[start : start + CHUNK]:
            try:
                images[path] = shrink_line(read_image(path))
            except ImageError as error:
                failures.append((path, str(error)))
        predictions = predictor.predict_many(list(images.values()))
        read = dict(zip(images, predictions, strict=True))
        failures += [(path, f"{path}: blank") for path in images if read[path].blank]
        kept = [path for path in images if not read[path].blank]
        found += [UnlabelledImage(p, read[p].text, read[p].confidence) for p in kept]
        if kept:
            features.append(_features(network, bundle, [images[path] for path in kept]))
        if progress:
            progress(min(start + CHUNK, len(paths)), len(paths))
    if not found:
        why = f": {failures[0][1]}" if failures else ""
        raise DataError(f"none of {len(paths)} images can be read{why}")
    weights = np.array([image.uncertainty for image in found])
    chosen = choose_diverse(np.concatenate(features), weights, n, seed)
    chosen.sort(key=lambda i: -weights[i])
    return NextImages([found[i] for i in chosen], len(found), failures)


@torch.inference_mode()
def _features(network: Recogniser, bundle: Bundle, images: Sequence[GrayImage]) -> np.ndarray:
    """Return (N, D) features of images."""
    device = next(network.parameters()).device
    prepared = [prepare_image(image, bundle.config.images) for image in images]
    rows: dict[int, np.ndarray] = {}
    for ids in width_sorted_batches([image.shape[1] for image in prepared], MAX_BATCH_SIZE):
        batch = collate([prepared[i] for i in ids], [()] * len(ids)).to(device)
        features = image_features(network, batch.images, batch.widths)
        if features is None:
            architecture = bundle.config.model.architecture
            raise BundleError(f"a network of kind {architecture} has no features to compare images")
        rows |= dict(zip(ids, features.cpu().numpy(), strict=True))
    return np.stack([rows[i] for i in range(len(images))])


def choose_diverse(features: np.ndarray, weights: np.ndarray, n: int, seed: int) -> list[int]:
    """Choose uncertain images that differ, by weighted k-means.

    Args:
        features: (N, D) features of the images.
        weights: (N,) uncertainties, at least 0.
        n: number of images to choose.
        seed: random seed for the clusters.

    Returns:
        Up to n positions, without repeats.
    """
    from sklearn.cluster import KMeans  # importing it takes a second
    from sklearn.exceptions import ConvergenceWarning

    n = min(n, len(features))
    candidates = np.argsort(-weights, kind="stable")[: CANDIDATES * n]
    if len(candidates) == n:
        return [int(i) for i in candidates]
    points = features[candidates]
    points = (points - points.mean(0)) / np.maximum(points.std(0), 1e-6)
    clusters = KMeans(n, n_init=1, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different images than clusters
        distances = clusters.fit_transform(
            points, sample_weight=np.maximum(weights[candidates], 1e-6)
        )
    own = distances[np.arange(len(points)), clusters.labels_]
    nearest = {
        int(members[own[members].argmin()])
        for cluster in range(n)
        if len(members := np.flatnonzero(clusters.labels_ == cluster))
    }
    others = (i for i in range(len(candidates)) if i not in nearest)
    positions = [*sorted(nearest), *others][:n]
    return [int(candidates[i]) for i in positions]


def copy_for_labels(images: Sequence[UnlabelledImage], root: Path, folder: Path) -> Path:
    """Copy images to a new folder, with a table that has the texts of the model to correct.

    Args:
        images: images to copy.
        root: folder of the images; their places below it are kept.
        folder: new or empty folder.

    Returns:
        Path of the table.

    Raises:
        OptionError: the folder is not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        problem = f"{folder}: folder is not empty; give a new or empty folder"
        raise OptionError(problem, "output")
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("image", "text"))
    with replacing_folder(folder) as temporary:
        for image, name in zip(images, _names(images, root), strict=True):
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(image.path, temporary / name)
            table.writerow((name, image.text))
        (temporary / LABELS).write_text(text.getvalue(), encoding="utf-8")
    return folder / LABELS


def _names(images: Sequence[UnlabelledImage], root: Path) -> Iterator[str]:
    """Yield the name of each copy; names that a table cannot hold are replaced."""
    for i, image in enumerate(images):
        name = image.path.relative_to(root).as_posix()
        yield name if printable(name) == name else f"image-{i}{image.path.suffix}"
