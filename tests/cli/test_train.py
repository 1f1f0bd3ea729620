"""``ocrsearch train``: what it prints, how it ends, and its display."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from ocrsearch.cli.train_display import LiveTrainDisplay, describe_epoch, describe_left
from ocrsearch.inference.bundle import load_bundle
from ocrsearch.training.records import EpochRecord, Epochs
from ocrsearch.training.trainer import EpochReport, Trainer

if TYPE_CHECKING:
    from tests.conftest import CommandResult

Command = Callable[..., "CommandResult"]

CONFIG = """
images: {height: 16}
model:
  architecture: crnn
  encoder: {conv_depth: 2, conv_base: 8, linear_width: 16, hidden_size: 16}
training: {batch_size: 8, epochs: 2, warmup_steps: 2}
"""


@pytest.fixture
def arguments(tmp_path: Path, number_folder: Path) -> list[Any]:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    export = tmp_path / "out" / "model.pt"
    return ["train", "--config", path, "--data", number_folder, "--output", export]


def test_plain_lines(command: Command, arguments: list[Any]) -> None:
    result = command(*arguments)
    assert result.code == 0
    export = arguments[-1]
    bundle = load_bundle(export)
    assert result.out.splitlines()[1].startswith(f"model written to {export} (")
    assert f"CER {bundle.metrics['cer']:.4f}" in result.out
    lines = result.err.splitlines()
    assert lines[0] == "40 images read"
    assert str(export.with_name("model.pt.training")) in lines[1]
    assert [line.split(":")[0] for line in lines[2:]] == ["epoch 1/2", "epoch 2/2"]
    assert all("left" in line and "exact" in line and "loss" in line for line in lines[2:])


def test_as_json(command: Command, arguments: list[Any]) -> None:
    result = command(*arguments, "--json")
    assert (result.code, result.err) == (0, "")
    content = result.json()
    metrics = load_bundle(arguments[-1]).metrics
    assert {key: content[key] for key in metrics} == metrics
    assert (content["ending"], content["export"]) == ("finished", str(arguments[-1]))
    assert (content["n_bad"], content["init"], content["transfer"]) == (0, None, None)


def test_epochs_in_place_of_those_of_the_configuration(
    command: Command, arguments: list[Any]
) -> None:
    assert command(*arguments, "--epochs", "1", "--json").json()["n_epochs"] == 1
    assert load_bundle(arguments[-1]).config.training.epochs == 1
    assert command(*arguments, "--epochs", "0").code == 2


def test_values_set_by_hand(command: Command, arguments: list[Any]) -> None:
    result = command(*arguments, "--set", "training.epochs=1", "--set", "images.height=24")
    assert result.code == 0
    config = load_bundle(arguments[-1]).config
    assert (config.training.epochs, config.images.height) == (1, 24)
    assert command(*arguments, "--set", "images.hight=24").code == 2


def test_a_model_is_trained_further(command: Command, arguments: list[Any]) -> None:
    command(*arguments)
    model = arguments[-1]
    further = [*arguments[:2], model, *arguments[3:-1], model.with_name("further.pt")]
    result = command(*further, "--init", model)
    assert result.code == 0
    assert f"starts from {model}: " in result.err
    assert "characters: 10 kept, 0 new, 0 dropped" in result.err
    content = command(*further, "--init", model, "--json").json()
    assert content["transfer"]["n_fresh"] == 0


def test_a_model_trained_further_keeps_its_splits(
    command: Command, arguments: list[Any], tmp_path: Path
) -> None:
    assert command(*arguments, "--split-seed", 5, "--train-fraction", 0.9).code == 0
    first, again = arguments[-1], tmp_path / "again.pt"
    data = arguments[arguments.index("--data") + 1]
    further = ["train", "--config", first, "--data", data, "--init", first, "--output", again]

    assert command(*further, "--train-fraction", 1).code == 0

    options = load_bundle(again).data_options()
    assert (options.split_seed, options.train_fraction) == (5, 1)


def test_the_configuration_may_name_the_model(
    command: Command, arguments: list[Any], model_file: Path
) -> None:
    path = arguments[2]
    (path.parent / "first.pt").write_bytes(model_file.read_bytes())
    path.write_text(f"init: first.pt\n{CONFIG}")
    assert "starts from " in command(*arguments).err


@pytest.mark.parametrize("as_json", [False, True])
def test_ctrl_c_says_how_to_go_on(
    command: Command, arguments: list[Any], as_json: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_epoch = Trainer.run_epoch

    def interrupted(trainer: Trainer) -> EpochReport:
        if trainer.progress.epoch == 1:
            raise KeyboardInterrupt
        return run_epoch(trainer)

    with monkeypatch.context() as context:
        context.setattr(Trainer, "run_epoch", interrupted)
        result = command(*arguments, *(["--json"] if as_json else []))
    assert result.code == 130
    if as_json:
        assert result.json() == {"ending": "interrupted", "n_epochs": 1, "export": None}
    else:
        said = result.err.splitlines()[-1]
        assert said.startswith("interrupted: 1 epoch is saved in ")
        assert "rerun the same command to resume" in said
    assert not arguments[-1].exists()
    again = command(*arguments)
    assert again.code == 0
    assert [line.split(":")[0] for line in again.err.splitlines()[2:]] == ["epoch 1/2", "epoch 2/2"]


def test_logs_for_tensorboard(command: Command, arguments: list[Any], tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    assert command(*arguments, "--tensorboard", tmp_path / "logs").code == 0
    assert [path.name.split(".")[2] for path in (tmp_path / "logs").iterdir()] == ["tfevents"]


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--config", "none.yaml", "none.yaml: no such file"),
        ("--config", "none.pt", "none.pt: no such model file"),
        ("--data", "captcha:nowhere", "nowhere"),
        ("--init", "none.pt", "none.pt: no such model file"),
        ("--seed", "-1", "--seed: must be at least 0, got -1"),
        ("--max-invalid", "2", "--max-invalid"),
    ],
)
def test_what_is_wrong_is_one_line(
    command: Command, arguments: list[Any], option: str, value: str, said: str
) -> None:
    result = command(*arguments, option, value)
    assert result.code in (1, 2)
    assert result.out == ""
    assert len(result.err.splitlines()) == 1
    assert said in result.err


def epochs(n: int) -> Epochs:
    rates = {"train_loss": 2.5, "val_loss": 1.25, "exact": 0.5, "seconds": 30.0}
    return [EpochRecord(epoch=i, cer=0.5 / i, **rates) for i in range(1, n + 1)]


def test_a_line_about_the_epochs() -> None:
    records = [*epochs(2), epochs(1)[0].model_copy(update={"epoch": 3, "cer": 0.75})]
    line = describe_epoch(records, 10)
    assert line == (
        "epoch 3/10: loss 2.500, val 1.250, CER 0.7500 (best 0.2500), exact 0.500, 30.0 s"
    )
    assert describe_left(records, 10) == "about 3:30 left"


def test_the_bar() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=200)
    columns = TextColumn("{task.description}"), TextColumn("{task.fields[text]}")
    with Progress(*columns, console=console) as progress:
        display = LiveTrainDisplay(progress)
        display.reading(1, 120)
        display.reading(120, 120)
        display.note("something [of note]")
        display.epochs_done(epochs(2), 10)
        progress.refresh()
    shown = out.getvalue()
    assert "something [of note]" in shown
    assert "epoch 2/10: loss 2.500" in shown
    assert "2/10, about 4:00 left" in shown
    assert display.n_done == 2
    (task,) = progress.tasks
    assert (task.completed, task.total) == (2, 10)
