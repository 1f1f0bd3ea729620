"""Model files from anybody: each is refused in one harmless line, at once and in little memory."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from ocrsearch.core.errors import (
    BundleError,
    LanguageModelError,
    OcrSearchError,
)
from ocrsearch.data.charset import Charset
from ocrsearch.inference.bundle import load_bundle
from ocrsearch.models.decoding.ngrams import (
    count_ngrams,
    load_ngrams,
    save_ngrams,
)
from ocrsearch.training.checkpoint import load_tensors
from ocrsearch.training.pretrained import read_start_weights
from tests.hostile_models import Hostile, hostile_language_models, hostile_models

if TYPE_CHECKING:
    from tests.conftest import CommandResult, StudyDb

pytestmark = pytest.mark.slow

MAX_SECONDS = 8.0
"""Far more than any takes, as other tests run at the same time."""

Command = Callable[..., "CommandResult"]


@pytest.fixture(scope="module")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lm") / "lm.npz"
    save_ngrams(count_ngrams(["0123", "456789"], Charset("0123456789"), 3)[0], path)
    return path


def names_of(kinds: list[Hostile]) -> list[str]:
    return [f"{hostile.kind}: {hostile.name}" for hostile in kinds]


def is_harmless(message: str) -> bool:
    return message.isprintable() and len(message) < 1000


@pytest.mark.parametrize("seed", [0, 1])
def test_hostile_models_are_refused(model_file: Path, tmp_path: Path, seed: int) -> None:
    files = list(hostile_models(model_file, seed, tmp_path / "trace"))
    assert len({hostile.kind for hostile in files}) >= 12
    assert len(set(names_of(files))) == len(files)
    for i, hostile in enumerate(files):
        path = tmp_path / f"{i}.pt"
        hostile.write(path)
        start = time.process_time()
        with pytest.raises(BundleError) as caught:
            load_bundle(path)
        assert time.process_time() - start < MAX_SECONDS, hostile
        assert str(caught.value).startswith(f"{path}: "), hostile
        assert is_harmless(str(caught.value)), hostile
        with pytest.raises(BundleError):
            read_start_weights(path)
        path.rmdir() if path.is_dir() else path.unlink()
    assert not (tmp_path / "trace").exists()


def test_hostile_models_take_little_memory(model_file: Path, tmp_path: Path) -> None:
    sizes = ("bomb", "members", "storage", "special", "config")
    for i, hostile in enumerate(hostile_models(model_file, 2)):
        if hostile.kind not in sizes:
            continue
        path = tmp_path / f"{i}.pt"
        hostile.write(path)
        tracemalloc.start()
        with pytest.raises(BundleError):
            load_bundle(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 100_000_000, hostile


@pytest.mark.parametrize("seed", [0, 1])
def test_hostile_language_models_are_refused(
    language_model: Path, tmp_path: Path, seed: int
) -> None:
    for i, hostile in enumerate(hostile_language_models(language_model, seed)):
        path = tmp_path / f"{i}.npz"
        hostile.write(path)
        with pytest.raises(LanguageModelError) as caught:
            load_ngrams(path)
        assert str(caught.value).startswith(f"{path}: "), hostile
        assert is_harmless(str(caught.value)), hostile


@pytest.mark.parametrize(
    "name", ["weights: NaN", "symbols: escape", "config: 12 GB", "pickle: bytearray", "code: part"]
)
def test_every_command_refuses_in_one_line(
    command: Command, model_file: Path, number_folder: Path, tmp_path: Path, name: str
) -> None:
    files = hostile_models(model_file, 0, tmp_path / "trace")
    hostile = next(h for h in files if f"{h.kind}: {h.name}" == name)
    path = tmp_path / "bad.pt"
    hostile.write(path)
    image, data = number_folder / "10.png", ("--data", number_folder)
    out = tmp_path / "new.pt"
    space = tmp_path / "space.yaml"
    space.write_text("model: {architecture: crnn, encoder: {conv_depth: {int: [2, 3]}}}\n")
    for arguments in (
        ("predict", path, image, "--json"),
        ("evaluate", path, *data, "--html", tmp_path / "page.html"),
        ("inspect", path),
        ("train", "--config", path, *data, "--output", out),
        ("train", "--config", model_file, "--init", path, *data, "--output", out),
        ("language-model", "--model", path, *data, "--output", tmp_path / "lm.npz"),
        ("run", "--space", space, *data, "--init", path, "--storage", f"sqlite:///{tmp_path}/s.db"),
    ):
        result = command(*arguments)
        assert result.code == 1, (arguments, result)
        assert result.err.count("\n") == 1, (arguments, result)
        assert "internal error" not in result.err
        assert "\x1b" not in result.err + result.out
        assert not result.out
    assert not (tmp_path / "trace").exists()
    assert not out.exists()


def test_best_refuses_hostile_weights_of_a_trial(
    command: Command, model_file: Path, study_db: StudyDb, tmp_path: Path
) -> None:
    weights = study_db.folder / "trial-00002" / "best.pt"
    good = weights.read_bytes()
    kept = ("bomb", "pickle", "code", "storage", "special", "weights", "config", "symbols")
    try:
        for hostile in hostile_models(model_file, 3, tmp_path / "trace"):
            if hostile.kind in kept and hostile.name != "folder":
                weights.unlink()
                hostile.write(weights)
                result = command(
                    *("best", "--storage", study_db.url, "--export", tmp_path / "m.pt")
                )
                errors = [line for line in result.err.splitlines() if "ocrsearch: " in line]
                assert (result.code, len(errors)) == (1, 1), (hostile, result)
                assert "internal error" not in result.err
                assert "\x1b" not in result.err
    finally:
        weights.unlink()
        weights.write_bytes(good)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("value", [float("-1"), float("3e38")])
@pytest.mark.parametrize("beam", [0, 3])
@pytest.mark.parametrize("architecture", ["crnn", "seq2seq", "classifier"])
def test_a_network_that_computes_no_numbers(
    command: Command,
    make_bundle: Callable[..., Any],
    number_folder: Path,
    tmp_path: Path,
    architecture: str,
    beam: int,
    value: float,
) -> None:
    """Its weights are finite, what it makes of a picture is not."""
    from ocrsearch.inference.bundle import save_bundle

    if architecture == "classifier" and beam:
        pytest.skip("it has no beam search")
    bundle = make_bundle(architecture)
    changed = {
        name: torch.full_like(w, value)
        if "running_var" in name or (value > 0 and w.is_floating_point())
        else w
        for name, w in bundle.weights.items()
    }
    path = tmp_path / "m.pt"
    save_bundle(type(bundle)(**{**vars(bundle), "weights": changed}), path)
    arguments = [*("--beam-size", beam)] if beam else []
    result = command("predict", path, number_folder / "10.png", "--json", *arguments)
    assert "NaN" not in result.out
    assert "internal error" not in result.err
    if value < 0:
        assert result.code == 1
        assert "outputs NaN for an image" in result.err


# --- options that a model brings --------------------------------------------------------------


def model_with(model_file: Path, path: Path, data: str, **options: object) -> Path:
    content = torch.load(model_file, weights_only=True)
    provenance = {**content["provenance"], "data": data, "data_options": options}
    torch.save({**content, "provenance": provenance}, path)
    return path


def test_a_model_for_other_data_brings_no_pattern_and_no_file(
    command: Command,
    model_file: Path,
    number_folder: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    options = {"group": "^(([0-9]+)+)+x", "splits": "/etc/passwd", "split_seed": 3}
    model = model_with(model_file, tmp_path / "m.pt", "captcha:elsewhere", **options)
    result = command("evaluate", model, "--data", number_folder, "--json")
    assert result.code == 0
    assert "its `group` and `splits` are not used" in caplog.text
    assert result.json()["n"] == 4
    assert "root:" not in result.err


@pytest.mark.parametrize("kind", ["missing", "pipe", "device", "text", "folder"])
@pytest.mark.parametrize("what", ["evaluate", "language-model", "train"])
def test_a_file_of_splits_that_is_none_is_not_quoted(
    command: Command, model_file: Path, number_folder: Path, tmp_path: Path, kind: str, what: str
) -> None:
    import os

    splits = tmp_path / "splits"
    if kind == "pipe":
        os.mkfifo(splits)
    elif kind == "device":
        splits.symlink_to("/dev/zero")
    elif kind == "text":
        splits.write_text("secret,line\nmore,of it\n")
    elif kind == "folder":
        splits.mkdir()
    data = f"captcha:{number_folder}"
    model = model_with(model_file, tmp_path / "m.pt", data, splits=str(splits))
    arguments: dict[str, list[object]] = {
        "evaluate": ["evaluate", model],
        "language-model": ["language-model", "--model", model, "--output", tmp_path / "lm.npz"],
        "train": ["train", "--config", model, "--init", model, "--output", tmp_path / "new.pt"],
    }
    result = command(*arguments[what], "--data", data)
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert f"its --splits {splits}: " in result.err
    assert "secret" not in result.err


def test_added_data_that_is_none_is_not_quoted(
    command: Command, model_file: Path, number_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "file.csv").write_text("secret,line\nmore,of it\n")
    data = f"captcha:{number_folder}"
    model = model_with(
        model_file, tmp_path / "m.pt", data, extra_train_data=f"csv:{tmp_path / 'file.csv'}"
    )
    out = tmp_path / "new.pt"
    result = command("train", "--config", model, "--init", model, "--data", data, "--output", out)
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "secret" not in result.err


# --- checkpoints ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(2, 3, 4, 5).to(memory_format=torch.channels_last),
        torch.arange(6).view(2, 3).t(),
        torch.arange(9, dtype=torch.uint8)[3:],
        torch.zeros(0),
        torch.zeros(()),
        torch.ones(2, 0, 3),
        torch.nn.Parameter(torch.ones(2)).detach(),
    ],
)
def test_tensors_in_all_layouts_come_back(tmp_path: Path, tensor: torch.Tensor) -> None:
    torch.save({"a": tensor, "b": [1, -(2**40), 1.5, "é", True, None, (1, 2)]}, tmp_path / "a.pt")
    found = load_tensors(tmp_path / "a.pt")
    assert torch.equal(found["a"], tensor)
    assert found["a"].dtype == tensor.dtype
    assert found["b"] == [1, -(2**40), 1.5, "é", True, None, (1, 2)]


def test_views_of_one_storage_come_back(tmp_path: Path) -> None:
    """As the layers of a recurrent network on a GPU are."""
    flat = torch.arange(10.0)
    torch.save({"a": flat[:4], "b": flat[4:].view(2, 3)}, tmp_path / "a.pt")
    found = load_tensors(tmp_path / "a.pt")
    assert torch.equal(found["a"], flat[:4])
    assert torch.equal(found["b"], flat[4:].view(2, 3))


@pytest.mark.parametrize("optimizer", ["AdamW", "NAdam", "RAdam", "RMSprop", "SGD"])
def test_states_of_optimizers_come_back(tmp_path: Path, optimizer: str) -> None:
    layer = torch.nn.Linear(3, 2)
    used: Any = getattr(torch.optim, optimizer)(layer.parameters(), lr=0.1)
    layer(torch.ones(1, 3)).sum().backward()
    used.step()
    torch.save({"state": used.state_dict(), "rng": torch.get_rng_state()}, tmp_path / "a.pt")
    found = load_tensors(tmp_path / "a.pt")
    assert torch.equal(found["rng"], torch.get_rng_state())
    used.load_state_dict(found["state"])
    state = used.state_dict()["state"]
    for number, values in torch.load(tmp_path / "a.pt")["state"]["state"].items():
        for name, value in values.items():
            assert np.array_equal(state[number][name], value)


def test_a_missing_checkpoint_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OcrSearchError, match="no such file"):
        load_tensors(tmp_path / "none.pt")
