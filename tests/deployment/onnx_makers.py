"""Recognisers for tests of ONNX: any architecture, with weights and norms that matter."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch

from ocrsearch.core import Config
from ocrsearch.data import Charset, GrayImage
from ocrsearch.deployment import build_graphs, file_content
from ocrsearch.inference import OnnxModel, load_onnx
from ocrsearch.models import build_network
from ocrsearch.training import Bundle, Provenance

SYMBOLS = "abcdefghij"


def random_config(seed: int) -> Config:
    """Draw a small configuration over all that changes a graph."""
    rng = random.Random(seed)
    architecture = rng.choice(["crnn", "crnn", "seq2seq", "seq2seq", "classifier"])
    encoder: dict[str, object] = {
        "conv_depth": rng.randint(2, 6),
        "conv_base": 8,
        "conv_growth": rng.choice([1.0, 1.3, 2.0]),
        "conv_pooling": rng.choice(["early", "spread"]),
        "linear_width": rng.choice([8, 16, 24]),
    }
    if architecture != "classifier":
        encoder |= {
            "rnn_cell": rng.choice(["lstm", "gru"]),
            "rnn_layers": rng.randint(1, 3),
            "hidden_size": rng.choice([8, 12]),
            "rnn_batch_norm": rng.random() < 0.5,
        }
    model: dict[str, object] = {"architecture": architecture, "encoder": encoder}
    if architecture == "seq2seq":
        attention = rng.choice(["additive", "location_aware", "none"])
        model["decoder"] = {"attention": attention, "ctc_weight": rng.choice([0.0, 0.2])}
    preprocess = {
        "normalize_polarity": rng.random() < 0.5,
        "crop": rng.random() < 0.3,
        "contrast": rng.choice(["none", "stretch", "clahe"]),
        "threshold": rng.choice([0.0, 0.5]),
        "margin": rng.choice([0.0, 0.3]),
    }
    images = {
        "height": rng.choice([16, 20, 24, 32, 40]),
        "width_scale": rng.choice([0.5, 1.0, 1.5]),
        "preprocess": preprocess,
    }
    return Config.model_validate({"model": model, "images": images})


def random_bundle(config: Config, n_symbols: int, seed: int) -> Bundle:
    """Return a recogniser with random weights and random statistics of its norms.

    Half of the scales of the norms are negative, so that they cannot move before a pooling.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = build_network(config, n_symbols, seed).state_dict()
    for name, tensor in weights.items():
        if name.endswith("running_mean"):
            tensor.copy_(0.3 * torch.randn(tensor.shape, generator=generator))
        elif name.endswith("running_var"):
            tensor.copy_(0.3 + torch.rand(tensor.shape, generator=generator))
        elif "norm" in name and tensor.is_floating_point():
            tensor.copy_(torch.randn(tensor.shape, generator=generator))
        elif tensor.is_floating_point():
            tensor.mul_(1.5)
    provenance = Provenance(study="made", trial=0, data_options={})
    return Bundle(config, Charset(SYMBOLS[:n_symbols]), weights, {"cer": 0.5}, provenance)


def exported(bundle: Bundle, path: Path) -> OnnxModel:
    """Write a recogniser without a comparison, and read it."""
    path.write_bytes(file_content(bundle, build_graphs(bundle), {}))
    return load_onnx(path)


def noisy_images(seed: int, n: int) -> list[GrayImage]:
    """Return images of noise of unequal sizes."""
    rng = np.random.default_rng(seed)
    return [
        rng.integers(0, 256, (int(rng.integers(10, 50)), int(width)), dtype=np.uint8)
        for width in rng.integers(10, 120, n)
    ]
