"""Exported networks against PyTorch: equal texts, and nearly equal probabilities."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import pytest

from ocrsearch.data import PackedImages
from ocrsearch.data.samples import LabelledImages
from ocrsearch.deployment.parity import ComparisonImages, compare, random_images
from ocrsearch.inference import DecodingOptions, Predictor
from ocrsearch.models.decoding import count_ngrams, save_ngrams
from ocrsearch.training import Bundle
from tests.deployment.onnx_makers import (
    SYMBOLS,
    exported,
    noisy_images,
    random_bundle,
    random_config,
)

TOLERANCE = 1e-4
N_FAST, N_ALL = 12, int(os.environ.get("OCRSEARCH_TEST_NETWORKS", "36"))
"""Numbers of random networks. Set the variable to 240 after a change of the export."""


def labelled(seed: int, n: int) -> LabelledImages:
    images = noisy_images(seed, n)
    names = [str(i) for i in range(n)]
    return LabelledImages(names, ["a"] * n, PackedImages.pack(images))


def check(seed: int, folder: Path) -> None:
    n_symbols = 2 + seed % (len(SYMBOLS) - 1)
    bundle = random_bundle(random_config(seed), n_symbols, seed)
    model = exported(bundle, folder / "model.onnx")
    found = compare(bundle, model, ComparisonImages(labelled(seed, 10), "noise"))
    assert found.n_different == 0, found
    assert found.max_difference < TOLERANCE
    assert found.cer_before == found.cer_after
    if not bundle.config.model.has_beam_search:
        return
    images = noisy_images(seed + 1, 4)
    read = [Predictor(m, "cpu", DecodingOptions(3)).predict_many(images) for m in (bundle, model)]
    for before, after in zip(*read, strict=True):
        assert before.text == after.text
        assert before.confidence == pytest.approx(after.confidence, rel=1e-2, abs=1e-6)


@pytest.mark.parametrize("seed", range(N_FAST))
def test_random_networks_read_alike(seed: int, tmp_path: Path) -> None:
    check(seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_many_random_networks_read_alike(part: int, tmp_path: Path) -> None:
    for seed in range(N_FAST + part, N_ALL, 4):
        check(seed, tmp_path)


@pytest.fixture(scope="module")
def ensemble() -> Bundle:
    """A CRNN and two encoder-decoders with one charset."""
    seeds = [1, 2, 9]
    members = [random_bundle(random_config(seed), 6, seed) for seed in seeds]
    architectures = [m.config.model.architecture for m in members]
    assert len(set(architectures)) == 2, architectures
    return replace(members[0], others=tuple(members[1:]))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tta": 3},
        {"beam_size": 4},
        {"beam_size": 4, "language_model": "lm.npz", "lexicon": "words.txt", "tta": 2},
    ],
)
def test_an_ensemble_decodes_alike(
    ensemble: Bundle, options: dict[str, object], tmp_path: Path
) -> None:
    counts, _ = count_ngrams(["abc", "cab fed".replace(" ", ""), "bad"], ensemble.charset, 3)
    save_ngrams(counts, tmp_path / "lm.npz")
    (tmp_path / "words.txt").write_text("abc\nfed\n")
    files = {k: tmp_path / str(v) for k, v in options.items() if k in ("language_model", "lexicon")}
    decoding = DecodingOptions(**{**options, **files})
    model = exported(ensemble, tmp_path / "model.onnx")
    assert len(model.members) == 3
    images = noisy_images(3, 12)
    before, after = (Predictor(m, "cpu", decoding).predict_many(images) for m in (ensemble, model))
    assert [p.text for p in before] == [p.text for p in after]
    for a, b in zip(before, after, strict=True):
        assert a.confidence == pytest.approx(b.confidence, rel=1e-2, abs=1e-6)
        assert a.symbol_confidences == pytest.approx(b.symbol_confidences, abs=1e-3)


def test_a_difference_is_found(tmp_path: Path) -> None:
    config = random_config(0)
    first, second = (random_bundle(config, 5, seed) for seed in (0, 1))
    found = compare(first, exported(second, tmp_path / "m.onnx"), ComparisonImages(None, "random"))
    assert found.n_different > 0
    assert " became " in found.example
    assert found.max_difference > TOLERANCE
    assert found.n_images == found.n_random == 32
    assert found.cer_before is None


def test_progress_of_a_comparison_rises_to_its_end(tmp_path: Path) -> None:
    bundle = random_bundle(random_config(0), 5, 0)
    seen: list[tuple[int, int]] = []
    images = ComparisonImages(labelled(0, 40), "noise")
    compare(bundle, exported(bundle, tmp_path / "m.onnx"), images, lambda *s: seen.append(s))
    done = [n for n, _ in seen]
    assert done == sorted(done)
    assert seen[-1] == (160, 160)


def test_random_images_suit_a_network() -> None:
    images = random_images(24, 5)
    assert len(images) == 5
    assert all(i.shape[0] == 24 and i.shape[1] % 4 == 0 and i.std() > 0 for i in images)
    assert len({i.shape for i in images}) > 1
    assert math.isfinite(sum(float(i.mean()) for i in images))
