"""The commands as a user gives them, with real workers, on data made by the machine."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ocrsearch.training.model_file import load_bundle

pytestmark = pytest.mark.slow

SPACE = """
images: {height: 16}
model:
  architecture: {choice: [crnn, seq2seq]}
  encoder:
    {conv_depth: 3, conv_base: 8, linear_width: 16, hidden_size: 16, dropout: 0.0}
  decoder:
    when: {model.architecture: seq2seq}
    attention: additive
training:
  learning_rate: {float: [1.0e-3, 1.0e-2], log: true}
  batch_size: 8
  augment: {strength: 0.0}
  epochs: EPOCHS
search:
  pruner: {name: none}
"""
ENDS_WITHIN_S = 10
STARTS_WITHIN_S = 90


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with forty captchas."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    folder.mkdir()
    texts = {"".join(rng.choice(list("0123456789"), 3)) for _ in range(40)}
    for text in texts:
        image = np.full((20, 40), 255, np.uint8)
        cv2.putText(image, text, (2, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.55, 0, 1, cv2.LINE_AA)
        assert cv2.imwrite(str(folder / f"{text}.png"), image)
    return tmp_path


def command(*arguments: str) -> list[str]:
    start = "from ocrsearch.cli.app import main; main()"
    return [sys.executable, "-c", start, *arguments]


def search(place: Path, *more: str, epochs: int = 2) -> list[str]:
    space = place / "tiny.yaml"
    space.write_text(SPACE.replace("EPOCHS", str(epochs)), encoding="utf-8")
    data = f"captcha:{place / 'pictures'}"
    return command("run", "--space", str(space), "--data", data, "--workers", "2", *more)


def ran(arguments: list[str], place: Path, code: int = 0) -> str:
    result = subprocess.run(arguments, cwd=place, capture_output=True, text=True, check=False)
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    return result.stdout


def rows(place: Path, query: str) -> list[Any]:
    with sqlite3.connect(place / "studies" / "ocrsearch.db", timeout=30) as connection:
        found = connection.execute(query).fetchall()
    connection.close()
    return found


def states(place: Path) -> list[str]:
    return [state for (state,) in rows(place, "SELECT state FROM trials ORDER BY number")]


def until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + STARTS_WITHIN_S
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def one_finished_and_others_in_training(place: Path) -> bool:
    """Whether a trial is finished and another has reported an epoch."""
    if not (place / "studies" / "ocrsearch.db").exists():
        return False
    try:
        running = "SELECT COUNT(*) FROM trials JOIN trial_intermediate_values USING (trial_id)"
        (n_epochs,) = rows(place, f"{running} WHERE state = 'RUNNING'")[0]
        return "COMPLETE" in states(place) and n_epochs > 0
    except sqlite3.OperationalError:  # the tables are being made
        return False


def test_from_pictures_to_recognised_text(place: Path) -> None:
    by_group = ("--group", r"^.(.)", "--json")
    found = json.loads(ran(search(place, "--trials", "3", *by_group), place))
    assert (found["ending"], found["n_finished"], found["n_complete"]) == ("trials", 3, 3)

    again = json.loads(ran(search(place, "--trials", "3", *by_group), place))
    assert again["n_epochs"] == 0
    more = json.loads(ran(search(place, "--trials", "4", *by_group), place))
    assert (more["n_finished"], more["n_epochs"]) == (4, 2)

    best = json.loads(ran(command("best", "--force", "--export", "model.pt", "--json"), place))
    assert best["study"] == "tiny-pictures"
    assert best["value"] == found["best_cer"] or best["value"] < found["best_cer"]
    data = f"captcha:{place / 'pictures'}"
    on_val = command("evaluate", "model.pt", "--data", data, "--split", "val", "--json")
    evaluated = json.loads(ran(on_val, place))  # splits by group, as the search did
    assert evaluated["cer"] == pytest.approx(best["value"])
    parted = json.loads(ran(command("data", "split", data, *by_group), place))
    otherwise = json.loads(ran(command("data", "split", data, "--json"), place))
    assert evaluated["n"] == parted["n"]["val"]
    assert parted["n"] != otherwise["n"]
    read = json.loads(ran(command("predict", "model.pt", "pictures", "--json"), place))
    assert len(read["files"]) == len(list((place / "pictures").iterdir()))
    assert {"file", "text", "confidence"} <= read["files"][0].keys()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_search_goes_on_where_it_was(place: Path, how: signal.Signals) -> None:
    arguments = search(place, "--trials", "4", epochs=40)
    process = subprocess.Popen(
        arguments,
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        until(lambda: one_finished_and_others_in_training(place), process)
        if how == signal.SIGINT:
            os.killpg(process.pid, how)  # as a terminal does: workers get it too
        else:
            process.send_signal(how)
        start = time.monotonic()
        _, errors = process.communicate(timeout=60)
        assert time.monotonic() - start < ENDS_WITHIN_S
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert "Traceback" not in errors
    finished = rows(place, "SELECT number FROM trials WHERE state = 'COMPLETE'")
    assert finished
    before = rows(place, "SELECT trial_id, step FROM trial_intermediate_values")

    found = json.loads(ran([*arguments, "--json"], place))
    assert (found["n_finished"], found["n_unfinished"]) == (4, 0)
    assert states(place) == ["COMPLETE"] * 4
    steps = rows(place, "SELECT trial_id, step FROM trial_intermediate_values")
    assert len(steps) == len(set(steps))
    assert found["n_epochs"] <= len(steps) - len(before)  # none was trained twice


def test_two_searches_of_one_study_at_a_time_are_refused(place: Path) -> None:
    arguments = search(place, "--trials", "50", epochs=40)
    process = subprocess.Popen(
        arguments, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        data = place / "studies" / "ocrsearch" / "tiny-pictures" / "data"
        until(lambda: (data / "index.json").exists(), process)
        second = subprocess.run(arguments, cwd=place, capture_output=True, text=True, check=False)
        assert second.returncode == 1
        assert "another 'ocrsearch run'" in second.stderr
        assert len(second.stderr.strip().splitlines()) == 1
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def test_train_interrupted_continued_and_searched_further(place: Path) -> None:
    """A model trained by one command is what all trials of a search start from."""
    config = place / "config.yaml"
    fixed = SPACE.replace("{choice: [crnn, seq2seq]}", "crnn").split("  decoder:")[0]
    training = "training: {learning_rate: 0.004, batch_size: 8, epochs: 80}"
    (place / "more.yaml").write_text("{kind: digits, counts: {train: 10, val: 0, test: 0}}")
    config.write_text(f"{fixed}{training}\n", encoding="utf-8")
    data = f"captcha:{place / 'pictures'}"
    arguments = command("train", "--config", str(config), "--data", data, "--output", "m.pt")
    arguments += ["--extra-train-data", "synth:more.yaml"]
    with subprocess.Popen(arguments, cwd=place, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if line.startswith("epoch 2/"))
        process.send_signal(signal.SIGINT)
        *_, said = process.stderr.read().splitlines()
    assert process.returncode == 130
    assert said.startswith("interrupted: ")
    trained = json.loads(ran([*arguments, "--json"], place))
    assert trained["ending"] == "finished"

    space = place / "further.yaml"
    text = SPACE.replace("{choice: [crnn, seq2seq]}", "crnn").replace("EPOCHS", "1")
    start, rest = text.split("  decoder:")
    space.write_text(f"{start}{rest[rest.index('training:') :]}", encoding="utf-8")
    assert (
        load_bundle(place / "m.pt").data_options().extra_train_data
        == f"synth:{place / 'more.yaml'}"
    )
    search = ["run", "--space", str(space), "--data", data, "--init", "m.pt"]
    arguments = command(*search, "--trials", "1", "--workers", "1")
    done = subprocess.run(arguments, cwd=place, capture_output=True, text=True, check=True)
    assert "starts from m.pt: 100% of the weights kept" in done.stderr
    found = "SELECT value_json FROM trial_user_attributes WHERE key = 'origin'"
    ((origin,),) = rows(place, found)
    assert json.loads(origin)["transfer"]["n_fresh"] == 0
    assert rows(place, "SELECT param_value FROM trial_params") == [(0.004,)]  # that of the model
    again = command(*search, "--trials", "2", "--extra-train-data", "")
    refused = subprocess.run(again, cwd=place, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "began with other data" in refused.stderr
    assert f"and extra_train_data 'synth:{place / 'more.yaml'}', fingerprint" in refused.stderr
    (place / "other.pt").write_bytes(b"no model")
    before = (place / "studies" / "ocrsearch" / "further-pictures" / "start.pt").read_bytes()
    refused = subprocess.run(
        [*arguments, "--init", "other.pt"], cwd=place, capture_output=True, text=True, check=False
    )
    assert "other.pt: not an ocrsearch model" in refused.stderr
    after = (place / "studies" / "ocrsearch" / "further-pictures" / "start.pt").read_bytes()
    assert after == before == (place / "m.pt").read_bytes()
