"""Model cards: facts of the file and of the measurement, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from markdown_it import MarkdownIt

from ocrsearch.core import OptionError
from ocrsearch.data.charset import Charset
from ocrsearch.deployment import CardOptions, CardTest, model_card
from ocrsearch.evaluation.metrics import bootstrap_intervals, compute_metrics
from ocrsearch.inference.predictor import Evaluation
from ocrsearch.training.provenance import Member, Provenance, Refit

if TYPE_CHECKING:
    from ocrsearch.training.model_file import Bundle
    from tests.conftest import CommandResult

Make = Callable[..., "Bundle"]
Command = Callable[..., "CommandResult"]

PROVENANCE = {
    "study": "numbers",
    "trial": 7,
    "seed": 3,
    "data": "captcha:/home/somebody/secret/captchas",
    "data_fingerprint": "0a1b2c3d",
    "data_options": {"split_seed": 5, "extra_train_data": "csv:/home/somebody/more.csv"},
    "versions": {"ocrsearch": "0.1.0"},
    "init": "ffee",
}


def header_of(card: str) -> dict[str, Any]:
    begin, text, _ = card.split("---\n", 2)
    assert begin == ""
    content = yaml.safe_load(text)
    assert isinstance(content, dict)
    return content


def measured(references: list[str], texts: list[str], split: str = "test") -> CardTest:
    intervals = bootstrap_intervals(references, texts)
    metrics = compute_metrics(references, texts)
    evaluation = Evaluation(metrics, intervals, [], None, [], references, [])
    return CardTest("captcha:/home/somebody/test", split, "greedy decoding", 2, evaluation)


def test_a_card_without_provenance_names_nothing(make_bundle: Make) -> None:
    model = replace(make_bundle(), provenance=Provenance(), metrics={})
    card = model_card(Path("some/model.pt"), model)
    assert header_of(card) == {
        "license": "unknown",
        "library_name": "ocrsearch",
        "pipeline_tag": "image-to-text",
        "tags": ["ocrsearch", "ocr", "text-recognition", "crnn"],
    }
    for line in (
        "- Data: `unknown`; fingerprint unknown.",
        "- Number of training images: unknown.",
        "- Split: unknown.",
        "- Study: unknown, trial unknown, seed unknown.",
        "- Epochs: unknown.",
        "- Versions: unknown.",
        "Figures of the training: unknown.",
        "Figures on test images: unknown.",
        "- Measured on no images only.",
    ):
        assert line in card
    assert "some/" not in card


def test_a_card_has_the_facts_of_the_file(make_bundle: Make) -> None:
    provenance = Provenance.from_plain(PROVENANCE)
    model = replace(make_bundle(), provenance=provenance, metrics={"cer": 0.0123456, "n": 5.0})
    card = model_card(Path("model.pt"), model)
    for line in (
        "scaled to a height of 16 pixels",
        "- Characters: 10. The model can write no others:\n\n```\n0 1 2 3 4 5 6 7 8 9\n```",
        "- Data: `captcha:captchas`; fingerprint `0a1b2c3d`.",
        "- More training data: `csv:more.csv`.",
        "- Study: `numbers`, trial `7`, seed `3`.",
        "drawn with seed `5`",
        "- Pretrained weights: those of a model with the hash `ffee`.",
        "- Versions: `ocrsearch` `0.1.0`.",
        "| character error rate | 0.01235 |",
        "The number of images and intervals are unknown.",
        "ocrsearch predict model.pt image.png",
    ):
        assert line in card, line
    assert "somebody" not in card, "the folders of whoever trained"
    (entry,) = header_of(card)["model-index"]
    assert entry["name"] == "model"
    (result,) = entry["results"]
    assert result["dataset"] == {
        "type": "captcha-captchas",
        "name": "captcha:captchas",
        "split": "validation",
    }
    assert result["metrics"] == [
        {"type": "cer", "name": "character error rate, validation", "value": 0.012346}
    ]
    assert header_of(card)["metrics"] == ["cer"]


def test_a_measurement_has_intervals(make_bundle: Make) -> None:
    test = measured(["12", "34", "56", "78"], ["12", "34", "56", "77"])
    card = model_card(Path("model.pt"), make_bundle(), None, test)
    low, high = test.evaluation.intervals["cer"]
    assert f"| character error rate | 0.1250 | {low:.4f} to {high:.4f} |" in card
    assert "on 4 images of `captcha:test`, `test`, with `greedy decoding`. 2 unusable" in card
    results = header_of(card)["model-index"][0]["results"]
    values = {metric["type"]: metric["value"] for metric in results[-1]["metrics"]}
    assert values == {"cer": 0.125, "wer": 0.25, "exact_match": 0.75}
    assert header_of(card)["metrics"] == ["cer", "wer", "exact_match"]
    assert "somebody" not in card


def test_refits_and_ensembles_are_named(make_bundle: Make) -> None:
    model = make_bundle()
    provenance = Provenance(
        splits_seen=["train", "val"],
        metrics_of="the validation split, before the refit",
        refit=Refit(n=123, epochs=4),
        members=[Member(trial=1, cer=0.1)],
    )
    model = replace(model, provenance=provenance, others=(model,))
    card = model_card(Path("model.pt"), model)
    assert "- Splits trained on: `train`, `val`." in card
    assert "On `the validation split, before the refit` of" in card
    assert "- Number of training images: 123 for the last training." in card
    assert "- Network: an ensemble of 2 networks: convolutions" in card


@pytest.mark.parametrize("architecture", ["crnn", "seq2seq", "classifier"])
def test_every_architecture_has_a_card(make_bundle: Make, architecture: str) -> None:
    card = model_card(Path("model.pt"), make_bundle(architecture))
    assert header_of(card)["tags"][-1] == architecture
    assert ("in an image of one character." in card) == (architecture == "classifier")
    assert ("every 4 pixels of the scaled width" in card) == (architecture == "crnn")


EVIL = "`|\n# x<script>alert(1)</script>[a](http://b) ---\n\x1b[31m\u202e\"'{{}}"


@pytest.fixture
def evil(make_bundle: Make) -> Bundle:
    """A model that has hostile texts wherever it may have texts."""
    model = make_bundle()
    symbols = ["`", "|", "<", ">", "#", "\n", " ", "\u202e", "\u0301", "\U0001f600"]
    provenance = Provenance(
        study=EVIL,
        data=f"captcha:/x/{EVIL}",
        data_fingerprint=EVIL,
        data_options={"split_seed": EVIL, "extra_train_data": EVIL, "group": EVIL},
        versions={EVIL: EVIL, **{str(i): "1" for i in range(5000)}},
        init=EVIL,
        splits_seen=[EVIL],
        metrics_of=EVIL,
    )
    metrics = {"cer": 1e308, "wer": -1e308, EVIL: 1.0}
    return replace(model, charset=Charset(symbols), provenance=provenance, metrics=metrics)


def test_hostile_texts_stay_texts(evil: Bundle) -> None:
    card = model_card(Path(f"{EVIL}.pt"), evil, CardOptions(name=EVIL))
    assert len(card) < 20_000
    assert "\x1b" not in card
    assert "\u202e" not in card
    assert header_of(card)["model-index"][0]["results"][0]["metrics"][0]["value"] == 1e308
    body = card.split("---\n", 2)[2]
    blocks = MarkdownIt("commonmark").enable("table").parse(body)
    tokens = [token for block in blocks for token in (block, *(block.children or ()))]
    kinds = {token.type for token in tokens}
    assert not kinds & {"html_block", "html_inline", "link_open", "image", "hr"}
    headings = [b.content for a, b in pairwise(blocks) if a.tag == "h2"]
    assert [h for h in headings if h] == [
        *("What it reads", "Training", "Figures", "Limits", "Use", "Licence"),
    ]
    texts = "".join(token.content for token in tokens if token.type == "text")
    assert "script" not in texts


@pytest.mark.parametrize(
    ("file", "shell", "python"),
    [
        ("model.pt", "predict model.pt image", "load('model.pt')"),
        ("my model.pt", "predict 'my model.pt' image", "load('my model.pt')"),
        ("-rf.pt", "predict ./-rf.pt image", "load('-rf.pt')"),
        ("a'$(id).pt", "predict 'a'\"'\"'$(id).pt' image", 'load("a\'$(id).pt")'),
    ],
)
def test_commands_of_a_card_can_be_pasted(
    make_bundle: Make, file: str, shell: str, python: str
) -> None:
    card = model_card(Path(file), make_bundle())
    assert shell in card
    assert python in card


def test_onnx_is_named_where_it_applies(make_bundle: Make) -> None:
    assert "ONNX" not in model_card(Path("model.pt"), make_bundle())
    assert "read with ONNX Runtime" in model_card(Path("model.onnx"), make_bundle())


def test_the_licence(make_bundle: Make) -> None:
    card = model_card(Path("m.pt"), make_bundle(), CardOptions(license="cc-by-4.0"))
    assert header_of(card)["license"] == "cc-by-4.0"
    assert "`cc-by-4.0`, as its publisher states." in card
    other = CardOptions(license="other", license_name="our terms")
    card = model_card(Path("m.pt"), make_bundle(), other)
    header = header_of(card)
    assert (header["license"], header["license_name"]) == ("other", "our terms")
    assert header["license_link"] == "LICENSE"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"license": "MIT\nx: y"}, "license: must be an identifier"),
        ({"license": ""}, "license: must be an identifier"),
        ({"license": "other"}, "license_name: must be given together"),
        ({"license_name": "x"}, "license_name: must be given together"),
    ],
)
def test_wrong_licences(options: dict[str, str], problem: str) -> None:
    with pytest.raises(OptionError) as caught:
        CardOptions(**options)
    assert str(caught.value).startswith(problem)


def test_the_command_writes_a_card(
    command: Command, model_file: Path, number_folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "README.md"
    options = ("--license", "mit", "--data", f"captcha:{number_folder}", "--split", "all")
    result = command("card", model_file, "-o", output, *options)
    assert (result.code, result.out) == (0, f"model card written to {output}\n")
    card = output.read_text(encoding="utf-8")
    assert "on 40 images of" in card
    assert header_of(card)["license"] == "mit"


def test_the_command_prints_a_card(command: Command, model_file: Path) -> None:
    result = command("card", model_file, "--name", "Numbers")
    assert (result.code, result.err) == (0, "")
    assert header_of(result.out)["model-index"][0]["name"] == "Numbers"
    assert "# `Numbers`" in result.out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--license", "Mine!"), "--license: must be an identifier"),
        (("--license", "other"), "--license-name: must be given together"),
        (("-o", "card.txt"), "must end in .md"),
    ],
)
def test_wrong_options_of_the_command(
    command: Command, model_file: Path, arguments: tuple[str, ...], problem: str
) -> None:
    result = command("card", model_file, *arguments)
    assert result.code == 2
    assert problem in result.err.splitlines()[-1]
