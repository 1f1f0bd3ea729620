"""``language-model``, and decoding options of the commands that read."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ocrsearch.inference.bundle import save_bundle
from ocrsearch.models.decoding.ngrams import load_ngrams
from ocrsearch.workflows.language_model import FusionWeights

if TYPE_CHECKING:
    from ocrsearch.inference.bundle import Bundle
    from tests.conftest import CommandResult

Command = Callable[..., "CommandResult"]


@pytest.fixture
def language_model(command: Command, number_folder: Path, tmp_path: Path) -> Path:
    path = tmp_path / "lm.npz"
    result = command("language-model", "--data", number_folder, "--order", 3, "--output", path)
    assert (result.code, result.err) == (0, "")
    return path


def test_a_language_model_of_the_training_labels(
    command: Command, number_folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "new" / "lm.npz"
    arguments = ("language-model", "--data", number_folder, "--output", path)
    result = command(*arguments, "--json")
    assert (result.code, result.err) == (0, "")
    content = result.json()
    assert (content["n_texts"], content["n_val"], content["order"]) == (32, 4, 6)
    assert 1.0 < content["perplexity"] < 20.0
    ngrams = load_ngrams(path)
    assert (ngrams.n_texts, len(ngrams.charset)) == (32, content["n_symbols"])
    shown = command(*arguments).out
    assert f"perplexity {content['perplexity']:.2f} on 4 validation labels" in shown
    assert f"language model written to {path}" in shown


def test_texts_of_a_corpus(command: Command, number_folder: Path, tmp_path: Path) -> None:
    corpus, path = tmp_path / "corpus.txt", tmp_path / "lm.npz"
    corpus.write_text("123\n456\n\n7x\n")
    arguments = ("language-model", "--corpus", corpus, "--output", path, "--json")
    content = command(*arguments).json()
    assert (content["n_texts"], content["n_left_out"], content["n_symbols"]) == (3, 0, 8)
    assert content["perplexity"] is None
    content = command(*arguments, "--data", number_folder).json()
    assert (content["n_texts"], content["n_left_out"]) == (34, 1)


def test_empty_labels_are_no_texts(command: Command, tmp_path: Path) -> None:
    rows = [f"{i}.png,{'' if i % 2 else i},train" for i in range(8)]
    (tmp_path / "labels.csv").write_text("\n".join(["image,text,split", *rows]))
    arguments = ("language-model", "--data", tmp_path, "--output", tmp_path / "lm.npz", "--json")
    assert command(*arguments).json()["n_texts"] == 4


def test_data_is_split_as_for_a_model(
    command: Command, number_folder: Path, tmp_path: Path, model_file: Path
) -> None:
    arguments = ("language-model", "--data", number_folder, "--output", tmp_path / "lm.npz")
    plain = command(*arguments, "--json").json()
    assert plain.pop("chosen") is None
    own = command(*arguments, "--model", model_file, "--json").json()
    assert {**own, "chosen": None} == {**plain, "chosen": None}
    other = command(*arguments, "--model", model_file, "--split-seed", 5, "--json").json()
    assert not math.isclose(other["perplexity"], plain["perplexity"])


def test_weights_are_chosen_with_a_model(
    command: Command,
    number_folder: Path,
    tmp_path: Path,
    model_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "lm.npz"
    arguments = ("language-model", "--data", number_folder, "--output", path, "--model", model_file)
    chosen = command(*arguments, "--json").json()["chosen"]
    ngrams = load_ngrams(path)
    assert (ngrams.lm_weight, ngrams.length_bonus) == (chosen["lm_weight"], chosen["length_bonus"])
    read = ("evaluate", model_file, "--data", number_folder, "--split", "val", "--json")
    beam = (*read, "--beam-size", 10, "--language-model", path)
    assert command(*beam).json()["cer"] == chosen["cer"]
    assert command(*read).json()["cer"] == chosen["greedy_cer"]

    def choose(*_: object) -> FusionWeights:
        return FusionWeights(0.8, 2.0, 0.5, 0.25, 4)

    monkeypatch.setattr("ocrsearch.workflows.choose_weights", choose)
    shown = command(*arguments).out
    assert "weight 0.8, length bonus 2: CER 0.5000 on 4 validation images, greedy 0.25" in shown
    assert "The language model raises the error rate" in shown
    decoder = command(*beam).json()["decoder"]
    assert (decoder["lm_weight"], decoder["length_bonus"]) == (0.8, 2.0)


def test_a_choice_that_fails_leaves_the_old_file(
    command: Command, number_folder: Path, tmp_path: Path, model_file: Path, language_model: Path
) -> None:
    before = language_model.read_bytes()
    data = tmp_path / "data"
    shutil.copytree(number_folder, data)
    for picture in data.iterdir():
        picture.write_bytes(b"")
    arguments = ("language-model", "--data", data, "--output", language_model)
    result = command(*arguments, "--model", model_file)
    assert result.code == 1
    assert "samples cannot be used" in result.err
    assert language_model.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "no texts to learn from; give --data, --corpus or both"),
        (("--corpus", "none.txt"), 1, "corpus:none.txt: no such file"),
        (("--corpus", "a.txt", "--order", 9), 2, "--order: must be at most 8, got 9"),
        (("--corpus", "a.txt", "--output", "a.txt/lm.npz"), 1, "a.txt is a file, not a folder"),
    ],
)
def test_a_language_model_that_cannot_be_made(
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[object, ...],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("ab\n")
    result = command("language-model", "--output", "lm.npz", *arguments)
    assert result.code == code
    assert result.err.splitlines()[-1].startswith("ocrsearch: ")
    assert said in result.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("architecture", "with_data", "said"),
    [
        ("crnn", False, "model.pt: needs images to tune the decoding weights; add --data SPEC"),
        ("classifier", True, "a classifier reads a single character and cannot"),
    ],
)
def test_a_model_that_weights_cannot_be_chosen_for(
    command: Command,
    make_bundle: Callable[..., Bundle],
    number_folder: Path,
    tmp_path: Path,
    architecture: str,
    with_data: bool,
    said: str,
) -> None:
    model, corpus = tmp_path / "model.pt", tmp_path / "corpus.txt"
    save_bundle(make_bundle(architecture), model)
    corpus.write_text("12\n")
    data = ("--data", number_folder) if with_data else ()
    export = tmp_path / "lm.npz"
    arguments = ("language-model", "--model", model, "--corpus", corpus, "--output", export)
    result = command(*arguments, *data)
    assert (result.code, len(result.err.splitlines())) == (2, 1)
    assert said in result.err
    assert not export.exists()


def test_predict_by_beam_search(
    command: Command, model_file: Path, number_folder: Path, language_model: Path, tmp_path: Path
) -> None:
    lexicon = tmp_path / "words.txt"
    lexicon.write_text("12\n34\n")
    options = ("--beam-size", 4, "--language-model", language_model, "--lexicon", lexicon)
    result = command("predict", model_file, number_folder / "42.png", *options, "--json")
    assert (result.code, result.err) == (0, "")
    content = result.json()
    assert content["decoder"] == {
        "name": "beam",
        "beam": 4,
        "language_model": str(language_model),
        "lm_weight": 0.6,
        "lexicon": str(lexicon),
        "lexicon_weight": 2.0,
        "length_bonus": 1.0,
    }
    (row,) = content["files"]
    assert 0.0 < row["confidence"] <= 1.0
    greedy = command("predict", model_file, number_folder / "42.png", "--json").json()
    assert greedy["decoder"] == {"name": "greedy"}
    json.dumps(content, allow_nan=False)


def test_evaluate_by_beam_search(
    command: Command, model_file: Path, number_folder: Path, language_model: Path
) -> None:
    arguments = ("evaluate", model_file, "--data", number_folder, "--json")
    options = ("--beam-size", 4, "--language-model", language_model, "--lm-weight", 0.25)
    result = command(*arguments, *options)
    assert (result.code, result.err) == (0, "")
    decoder = result.json()["decoder"]
    assert (decoder["name"], decoder["beam"], decoder["lm_weight"]) == ("beam", 4, 0.25)
    assert command(*arguments).json()["decoder"] == {"name": "greedy"}
    shown = command(*arguments[:-1], *options).out
    assert "4 images, beam of 4, language model lm.npz" in shown


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--language-model", "lm.npz"), 2, "--language-model: needs beam search"),
        (("--beam-size", 5, "--language-model", "none.npz"), 1, "none.npz: no such language model"),
        (("--beam-size", 5, "--language-model", "a.txt"), 1, "a.txt: not a language model"),
        (("--beam-size", 5, "--lexicon", "none.txt"), 1, "lexicon:none.txt: no such file"),
        (("--beam-size", -5), 2, "--beam-size: must be at least 0, got -5"),
        (
            ("--beam-size", 5, "--ctc-weight", 1),
            2,
            "--ctc-weight: needs a seq2seq model, found a crnn",
        ),
    ],
)
def test_decoding_that_cannot_be(
    command: Command,
    model_file: Path,
    number_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[object, ...],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("ab\n")
    for arguments in (("predict", model_file, number_folder), ("evaluate", model_file, "--data")):
        where = () if arguments[0] == "predict" else (number_folder,)
        result = command(*arguments, *where, *options)
        assert result.code == code
        assert result.err.startswith("ocrsearch: ")
        assert said in result.err
        assert len(result.err.splitlines()) == 1
