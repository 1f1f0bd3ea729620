"""All makers of hostile input, as endless streams of commands to run."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator
from pathlib import Path

import cv2

from tests.conftest import draw_text, untrained_bundle
from tests.hostile import EXECUTED, Case, Maker
from tests.hostile_databases import hostile_databases
from tests.hostile_documents import hostile_documents
from tests.hostile_models import hostile_language_models, hostile_models
from tests.hostile_texts import hostile_texts

IMAGES = "--data captcha:images"
MODEL_COMMANDS = (
    "predict bad.pt 42.png",
    "predict bad.pt 42.png --json",
    "predict bad.pt 42.png --tta 2 --beam-size 3",
    "inspect bad.pt",
    "inspect bad.pt --json --svg out.svg",
    f"evaluate bad.pt {IMAGES} --split all",
    f"evaluate bad.pt {IMAGES} --split all --json",
    f"evaluate bad.pt {IMAGES} --split all --html out.html",
    f"train --config bad.pt {IMAGES} --output out.pt --epochs 1",
    f"train --config good.pt --init bad.pt {IMAGES} --output out.pt --epochs 1",
    f"language-model --model bad.pt {IMAGES} --output lm.npz",
)
LANGUAGE_MODEL_COMMANDS = (
    "predict good.pt 42.png --beam-size 3 --language-model bad.npz",
    f"evaluate good.pt {IMAGES} --split all --beam-size 2 --language-model bad.npz --json",
)


def make_models(seed: int, folder: Path) -> Iterator[Case]:
    """Yield commands on hostile model files."""
    good = _good_model(folder)
    trace, rng = folder / EXECUTED, random.Random(seed)
    for i in itertools.count():
        for hostile in hostile_models(good, seed + i, trace):
            place = _place(folder, f"{i} {hostile.kind} {hostile.name}", good)
            hostile.write(place / "bad.pt")
            command = tuple(rng.choice(MODEL_COMMANDS).split())
            yield Case(f"model: {hostile.kind}", hostile.name, command, place)


def make_language_models(seed: int, folder: Path) -> Iterator[Case]:
    """Yield commands on hostile language models."""
    from ocrsearch.data.charset import Charset
    from ocrsearch.models.decoding.ngrams import count_ngrams, save_ngrams

    good, counts = _good_model(folder), folder / "lm.npz"
    save_ngrams(count_ngrams(["42", "17", "305"], Charset("0123456789"), 3)[0], counts)
    rng = random.Random(seed)
    for i in itertools.count():
        for hostile in hostile_language_models(counts, seed + i):
            place = _place(folder, f"lm {i} {hostile.kind} {hostile.name}", good)
            hostile.write(place / "bad.npz")
            command = tuple(rng.choice(LANGUAGE_MODEL_COMMANDS).split())
            yield Case(f"language model: {hostile.kind}", hostile.name, command, place)


def make_texts(seed: int, folder: Path) -> Iterator[Case]:
    """Yield commands on hostile labels, spaces, names and arguments."""
    for case in hostile_texts(seed, folder, _good_model(folder), n=10**9):
        yield Case(f"text: {case.kind}", case.name, tuple(case.arguments), case.folder)


def make_databases(seed: int, folder: Path) -> Iterator[Case]:
    """Yield commands on damaged study databases."""
    for case in hostile_databases(folder, range(seed * 10_000, (seed + 1) * 10_000)):
        yield Case(f"database: {case.kind}", case.name, tuple(case.arguments), folder)


def make_documents(seed: int, folder: Path) -> Iterator[Case]:
    """Yield commands on hostile images, TIFF and PDF files."""
    for case in hostile_documents(seed, folder, _good_model(folder), n=10**9):
        yield Case(f"document: {case.kind}", case.name, case.arguments, case.folder)


def _good_model(folder: Path) -> Path:
    from ocrsearch.inference.bundle import save_bundle

    path = folder / "good.pt"
    save_bundle(untrained_bundle(), path)
    return path


def _place(folder: Path, name: str, good: Path) -> Path:
    """Make a folder with a good model, an image and a few labelled images."""
    place = folder / "".join(c if c.isalnum() else "-" for c in name)
    (place / "images").mkdir(parents=True)
    os.link(good, place / "good.pt")
    for text in ("42", *map(str, range(10, 30))):
        inside = place if text == "42" else place / "images"
        cv2.imwrite(str(inside / f"{text}.png"), draw_text(text))
    return place


MAKERS: tuple[Maker, ...] = (
    make_models,
    make_texts,
    make_databases,
    make_language_models,
    make_documents,
)
