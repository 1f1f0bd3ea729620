"""``ocrsearch export``, and ``best --export`` with an ONNX file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ocrsearch.inference import load

if TYPE_CHECKING:
    from tests.conftest import CommandResult

Command = Callable[..., "CommandResult"]


def test_a_model_is_exported_and_used(
    command: Command, model_file: Path, number_folder: Path, tmp_path: Path
) -> None:
    path, data = tmp_path / "model.onnx", f"captcha:{number_folder}"
    done = command("export", model_file, "-o", path, "--data", data)
    assert done.code == 0, done.err
    assert "all texts equal" in done.out
    assert f"validation split of {data}" in done.out
    assert f"model written to {path} (float32" in done.out
    for split in ("all", "val"):
        rates = []
        for model in (model_file, path):
            found = command("evaluate", model, "--data", data, "--split", split, "--json")
            content = found.json()
            rates.append({k: content[k] for k in ("n", "cer", "wer", "exact")})
        assert rates[0] == rates[1]
    shown = [command("inspect", model).out.splitlines()[1:] for model in (model_file, path)]
    assert shown[0] == shown[1]


def test_json(command: Command, model_file: Path, tmp_path: Path) -> None:
    done = command("export", model_file, "-o", tmp_path / "m.onnx", "--json")
    content = done.json()
    assert content["images"] == "random images"
    assert content["n_images"] == content["n_random"] == 32
    assert content["cer_before"] is None
    assert content["path"] == str(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--int8"], "--int8 needs labelled images"),
        (["--max-cer-increase", "0.1"], "needs --int8"),
        (["--data", "captcha:nowhere"], "nowhere"),
        (["-o", "model.pt"], "must end in .onnx"),
    ],
)
def test_wrong_arguments(
    command: Command, model_file: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    output = [] if "-o" in arguments else ["-o", tmp_path / "m.onnx"]
    done = command("export", model_file, *output, *arguments)
    assert done.code != 0
    assert message in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_8_bits_that_read_worse_are_not_written(
    command: Command, model_file: Path, number_folder: Path, tmp_path: Path
) -> None:
    data = ("--data", f"captcha:{number_folder}")
    allowed = command(
        *("export", model_file, "-o", tmp_path / "m.onnx", *data),
        *("--int8", "--max-cer-increase", "1"),
    )
    assert allowed.code == 0, allowed.err
    assert "(int8, " in allowed.out


def test_data_of_the_model_that_is_gone(
    command: Command, make_bundle: Callable[..., object], tmp_path: Path
) -> None:
    from dataclasses import replace

    from ocrsearch.training import Bundle, Provenance, save_bundle

    bundle = make_bundle()
    assert isinstance(bundle, Bundle)
    about = Provenance(data=f"captcha:{tmp_path / 'gone'}")
    save_bundle(replace(bundle, provenance=about), tmp_path / "m.pt")
    done = command("export", tmp_path / "m.pt", "-o", tmp_path / "m.onnx")
    assert done.code == 0
    assert "is not at hand; random images are compared instead. Give --data" in done.err


def test_the_best_of_a_study(command: Command, searched_url: str, tmp_path: Path) -> None:
    path = tmp_path / "best.onnx"
    storage = ("--study", "s", "--storage", searched_url)
    done = command("best", *storage, "--export", path, "--force")
    assert done.code == 0, done.err
    assert "validation split of digits" in done.out
    assert "all texts equal" in done.out
    assert load(path, "cpu").bundle.provenance.study == "s"
    refused = command("best", *storage, "--export", path, "--force", "--fp16-weights")
    assert "--fp16-weights: not for ONNX" in refused.err
    small = tmp_path / "small.onnx"
    done = command("best", *storage, "--export", small, "--force", "--int8")
    assert done.code == 0, done.err
    assert small.stat().st_size < path.stat().st_size
    refused = command("best", *storage, "--export", tmp_path / "m.pt", "--force", "--int8")
    assert "--int8: only for ONNX" in refused.err
    refused = command("best", *storage, "--export", path, "--int8", "--max-error", "0.01")
    assert "--int8: cannot be combined with --max-error" in refused.err
