"""Datasets as files: prepared once by a search, opened by its workers; and the samples left out."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from ocrsearch.data.charset import Charset
from ocrsearch.data.dataset import Dataset, LabelledImages, PackedImages
from ocrsearch.data.samples import SPLITS, Split
from ocrsearch.data.usable import (
    BadSample,
)
from ocrsearch.errors import DataError
from ocrsearch.files import replacing_folder, write_text_file
from ocrsearch.printable import printable

INDEX = "index.json"


def save_dataset(dataset: Dataset, folder: Path) -> None:
    """Write a data set as bytes that other processes map; see ``open_dataset``.

    The folder appears whole or not at all; one that is there is replaced.
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
    """Map a data set that ``save_dataset`` wrote; its pixels are shared, not copied.

    Raises:
        DataError: it is damaged.
    """
    try:
        return _open_dataset(folder, json.loads((folder / INDEX).read_text(encoding="utf-8")))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(
            f"{folder}: images of the study cannot be read ({type(error).__name__}); "
            "start the command again"
        ) from None


def _open_dataset(folder: Path, index: dict[str, Any]) -> Dataset:
    splits: dict[Split, LabelledImages] = {}
    for split in SPLITS:
        part = index["splits"][split]
        pixels = np.load(folder / f"{split}.npy", mmap_mode="r" if part["names"] else None)
        images = PackedImages(pixels, [(h, w) for h, w in part["shapes"]])
        groups = part["groups"]
        splits[split] = LabelledImages(part["names"], part["texts"], images, groups=groups)
    splits["train"] = replace(splits["train"], n_added=index["n_added"])
    bad = [BadSample(**b) for b in index["bad"]]
    return Dataset(
        index["spec"],
        splits,
        Charset.from_content(index),
        index["fingerprint"],
        bad,
        index["fresh"],
    )


def write_left_out(dataset: Dataset, path: Path) -> Path | None:
    """List the samples that were left out and why; return the file, None if there are none."""
    path.unlink(missing_ok=True)
    if not dataset.bad:
        return None
    lines = [f"{printable(b.name)}\t{printable(b.reason)}\n" for b in dataset.bad]
    write_text_file(path, "".join(lines))
    return path


def left_out_line(dataset: Dataset, path: Path) -> str:
    """Return how many samples were left out, and where they are listed."""
    names = {bad.name for bad in dataset.bad}
    for part in dataset.splits.values():
        names.update(part.names)
    counts = f"{len(dataset.bad)} of {len(names)} samples"
    return f"{counts} cannot be used and are left out; why: {path}"
