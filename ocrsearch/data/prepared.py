"""Prepared datasets: files that worker processes map, the list of skipped samples, and folds.

A search prepares a dataset once and its workers open it without decoding. A validation split of a
few images cannot distinguish configurations; in k-fold cross-validation (Stone, 1974) each of k
networks is trained without one of k parts and validated on that part.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from ocrsearch.core import DataError, SpaceError, printable, replacing_folder, write_text_file
from ocrsearch.data.charset import Charset
from ocrsearch.data.checks import BadSample
from ocrsearch.data.dataset import Dataset
from ocrsearch.data.samples import SPLITS, LabelledImages, PackedImages, Sample, Split
from ocrsearch.data.splits import draw_folds

INDEX = "index.json"

MAX_SAMPLES = 300
"""Maximum number of training and validation samples for which folds are used by default."""

N_FOLDS = 5
MIN_FOLDS = 3
MIN_VALIDATED = 8
"""Default minimum number of validation images per fold."""


def save_dataset(dataset: Dataset, folder: Path) -> None:
    """Write a dataset to a folder for memory mapping; see ``open_dataset``.

    The folder appears completely or not at all. An existing folder is replaced.
    """
    index = {
        "spec": dataset.spec,
        **dataset.charset.content(),
        "fingerprint": dataset.fingerprint,
        "bad": [asdict(b) for b in dataset.bad],
        "fresh": dataset.fresh,
        "n_added": dataset.splits["train"].n_added,
        "splits": {
            split: {
                "names": part.names,
                "texts": part.texts,
                "shapes": part.images.shapes,
                "groups": list(part.groups),
            }
            for split, part in dataset.splits.items()
        },
    }
    with replacing_folder(folder) as temporary:
        for split, part in dataset.splits.items():
            np.save(temporary / f"{split}.npy", part.images.pixels)
        (temporary / INDEX).write_text(json.dumps(index), encoding="utf-8")


def open_dataset(folder: Path) -> Dataset:
    """Open a dataset written by ``save_dataset``. Its pixels are mapped, not copied.

    Raises:
        DataError: The files are damaged.
    """
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        splits: dict[Split, LabelledImages] = {}
        for split in SPLITS:
            part = index["splits"][split]
            pixels = np.load(folder / f"{split}.npy", mmap_mode="r" if part["names"] else None)
            images = PackedImages(pixels, [(h, w) for h, w in part["shapes"]])
            groups = part["groups"]
            splits[split] = LabelledImages(part["names"], part["texts"], images, groups=groups)
        splits["train"] = replace(splits["train"], n_added=index["n_added"])
        return Dataset(
            index["spec"],
            splits,
            Charset.from_content(index),
            index["fingerprint"],
            [BadSample(**b) for b in index["bad"]],
            index["fresh"],
        )
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(
            f"{folder}: images of the study cannot be read ({type(error).__name__}); "
            "rerun the command"
        ) from None


def write_left_out(dataset: Dataset, path: Path) -> Path | None:
    """Write the skipped samples and reasons to a file. Return its path, or None if empty."""
    path.unlink(missing_ok=True)
    if not dataset.bad:
        return None
    lines = [f"{printable(b.name)}\t{printable(b.reason)}\n" for b in dataset.bad]
    write_text_file(path, "".join(lines))
    return path


def left_out_line(dataset: Dataset, path: Path) -> str:
    """Return a line with the number of skipped samples and the file that lists them."""
    names = {bad.name for bad in dataset.bad}
    for part in dataset.splits.values():
        names.update(part.names)
    counts = f"{len(dataset.bad)} of {len(names)} samples"
    return f"{counts} cannot be used and are skipped; reasons: {path}"


def count_folds(dataset: Dataset, wanted: int | None) -> int:
    """Return the number of folds for validation, 1 for the dataset's own splits.

    Args:
        dataset: Dataset with its own splits.
        wanted: Requested number of folds, or None to decide by the number of samples.

    Raises:
        SpaceError: The dataset cannot be divided into the requested number of folds.
    """

    def smallest(n_folds: int) -> int:
        sizes = Counter(_folds(dataset, n_folds))
        return min(sizes[fold] for fold in range(1, n_folds + 1))

    if wanted == 1:
        return 1
    train, val = dataset.splits["train"], dataset.splits["val"]
    n = len(train.own()) + len(val)
    if wanted is not None:
        if dataset.fresh is not None and not train.n_added:
            raise SpaceError("search.folds: new images in each epoch have no folds; set it to 1")
        if not smallest(wanted):
            raise SpaceError(
                f"search.folds: found {wanted}, but {n} training and validation samples are too "
                "few (groups and rare characters stay together); use fewer folds"
            )
        return wanted
    if n > MAX_SAMPLES or dataset.fresh is not None:
        return 1
    numbers = range(N_FOLDS, MIN_FOLDS - 1, -1)
    return next((k for k in numbers if smallest(k) >= MIN_VALIDATED), 1)


def _folds(dataset: Dataset, n_folds: int) -> list[int]:
    """Return the fold of each training sample, except additional ones, and validation sample."""
    train, val = dataset.splits["train"], dataset.splits["val"]
    samples = [
        Sample(name, Path(name), text, group=group)  # folds depend on labels and groups only
        for part in (train.own(), val)
        for name, text, group in zip(
            part.names, part.texts, part.groups or [None] * len(part), strict=True
        )
    ]
    return draw_folds(samples, n_folds)


def fold_dataset(dataset: Dataset, n_folds: int, fold: int) -> Dataset:
    """Return a dataset that is validated on one fold and trained on all others.

    Args:
        dataset: Dataset with its own splits. The test split is kept.
        n_folds: Number of folds. With 1 the dataset is returned unchanged.
        fold: Fold number, from 1.
    """
    if n_folds == 1:
        return dataset
    own = dataset.splits["train"].own().joined(dataset.splits["val"])
    folds = _folds(dataset, n_folds)
    validated = [i for i, number in enumerate(folds) if number == fold]
    trained = [i for i, number in enumerate(folds) if number != fold]
    added = dataset.splits["train"].added()
    train = replace(own.take(trained).joined(added), n_added=len(added))
    return replace(dataset, splits={**dataset.splits, "train": train, "val": own.take(validated)})


def without_validation(dataset: Dataset) -> Dataset:
    """Return a dataset whose validation samples are moved to the training split."""
    own = dataset.splits["train"].own().joined(dataset.splits["val"])
    added = dataset.splits["train"].added()
    train = replace(own.joined(added), n_added=len(added))
    nothing = LabelledImages([], [], PackedImages.pack([]))
    return replace(dataset, splits={**dataset.splits, "train": train, "val": nothing})
