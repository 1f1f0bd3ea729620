"""``ocrsearch inspect``: what it prints for people and for programs, and the drawing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from ocrsearch.core.config import Config
from ocrsearch.inference.bundle import load_bundle, save_bundle
from ocrsearch.models.architecture import n_parameters

if TYPE_CHECKING:
    from ocrsearch.inference.bundle import Bundle
    from tests.conftest import CommandResult

Command = Callable[..., "CommandResult"]


def test_as_json(command: Command, model_file: Path) -> None:
    result = command("inspect", model_file, "--json")
    assert (result.code, result.err) == (0, "")
    content = result.json()
    bundle = load_bundle(model_file)
    assert (content["height"], content["width"], content["frames"]) == (16, 64, 16)
    assert content["n_symbols"] == 10
    assert Config.model_validate(content["config"]) == bundle.config
    layers = content["layers"]
    assert layers[0]["name"] == "encoder.tower.convs.0"
    assert layers[0]["output"] == [8, 8, 32]
    used = [layer for layer in layers if not layer["training_only"]]
    assert [layer["name"] for layer in layers if layer not in used] == ["column_head.conv"]
    assert content["multiply_adds"] == sum(layer["n_multiply_adds"] for layer in used)
    assert content["n_parameters"] == sum(layer["n_parameters"] for layer in used)
    in_all = content["n_parameters"] + content["n_parameters_training_only"]
    assert in_all == n_parameters(bundle.build_network())
    assert content["file_mb"] == pytest.approx(model_file.stat().st_size / 1e6)


def test_the_width_decides_the_work(command: Command, model_file: Path) -> None:
    narrow, wide = (
        command("inspect", model_file, "--width", width, "--json").json() for width in (64, 128)
    )
    assert wide["frames"] == 2 * narrow["frames"]
    assert wide["multiply_adds"] == 2 * narrow["multiply_adds"]
    assert wide["n_parameters"] == narrow["n_parameters"]


def test_the_width_is_scaled_as_the_model_does(
    command: Command, make_bundle: Callable[..., Bundle], tmp_path: Path
) -> None:
    bundle = make_bundle()
    images = bundle.config.images.model_copy(update={"width_scale": 0.5})
    config = bundle.config.model_copy(update={"images": images})
    save_bundle(bundle.__class__(config, *list(vars(bundle).values())[1:]), tmp_path / "m.pt")
    result = command("inspect", tmp_path / "m.pt", "--width", 200, "--json").json()
    assert (result["width"], result["scaled_width"], result["frames"]) == (200, 100, 25)
    assert "scaled to a width of 100" in command("inspect", tmp_path / "m.pt", "--width", 200).out


def test_a_longer_text_is_more_work_for_a_decoder(
    command: Command, make_bundle: Callable[..., Bundle], tmp_path: Path
) -> None:
    save_bundle(make_bundle("seq2seq"), tmp_path / "m.pt")
    short, long = (
        command("inspect", tmp_path / "m.pt", "--length", n, "--json").json() for n in (0, 20)
    )
    assert long["multiply_adds"] > short["multiply_adds"]


def test_the_kind_of_attention_is_named(
    command: Command, make_bundle: Callable[..., Bundle], tmp_path: Path
) -> None:
    bundle = make_bundle("seq2seq", "location_aware")
    save_bundle(bundle, tmp_path / "m.pt")
    assert "location-aware attention" in command("inspect", tmp_path / "m.pt").out
    content = command("inspect", tmp_path / "m.pt", "--json").json()
    in_all = content["n_parameters"] + content["n_parameters_training_only"]
    assert in_all == n_parameters(bundle.build_network())


def test_for_people(command: Command, model_file: Path) -> None:
    result = command("inspect", model_file)
    assert (result.code, result.err) == (0, "")
    content = command("inspect", model_file, "--json").json()
    lines = result.out.splitlines()
    for layer in content["layers"]:
        name = layer["name"].removeprefix("encoder.")
        (line,) = [line for line in lines if line.split()[:1] == [name]]
        assert f"{layer['n_parameters']:,}" in line
    (total,) = [line for line in lines if "recognition" in line]
    assert f"{content['n_parameters']:,}" in total
    assert f"{content['multiply_adds'] / 1e6:.2f} M" in total
    assert "for an image of 16 x 64 pixels: 16 frames" in result.out


def test_a_drawing(command: Command, model_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "new" / "model.svg"
    result = command("inspect", model_file, "--svg", path)
    assert (result.code, result.err) == (0, "")
    assert f"drawing written to {path}" in result.out
    root = ElementTree.fromstring(path.read_text())  # noqa: S314
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "model.pt: crnn, 10 characters" in texts
    assert "1 x 16 x 64" in texts


def test_what_is_no_model(command: Command, number_folder: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "none.pt", number_folder / "10.png"):
        result = command("inspect", path)
        assert result.code == 1
        assert len(result.err.splitlines()) == 1
    assert command("inspect", tmp_path / "none.pt", "--width", 0).code == 2
