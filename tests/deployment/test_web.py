"""The page for the browser: what is in it, and which models are refused."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ocrsearch.core import BundleError
from ocrsearch.data import Charset
from ocrsearch.deployment import check_page, write_page
from ocrsearch.inference import load_onnx
from ocrsearch.training import save_bundle
from ocrsearch.workflows import export_model, export_page

if TYPE_CHECKING:
    from ocrsearch.training import Bundle
    from tests.conftest import CommandResult

Command = Callable[..., "CommandResult"]
HOSTILE = ["<", "/", "s", "&", '"', "'", "\u2028", "$", "\\", ">"]


@pytest.fixture(scope="module")
def hostile_page(
    make_bundle: Callable[..., Bundle], tmp_path_factory: pytest.TempPathFactory
) -> str:
    folder = tmp_path_factory.mktemp("page")
    bundle = replace(make_bundle(), charset=Charset(HOSTILE))
    save_bundle(bundle, folder / "m.pt")
    export_model(folder / "m.pt", folder / "m.onnx")
    page = write_page(load_onnx(folder / "m.onnx"), folder, "</title><script>alert(1)</script>")
    return page.read_text(encoding="utf-8")


def test_what_a_model_brings_is_no_html(hostile_page: str) -> None:
    assert "alert(1)" in hostile_page
    assert "<script>alert" not in hostile_page
    block = re.search(r'<script type="application/json" id="model">(.*?)</script>', hostile_page)
    assert block
    assert json.loads(block[1])["symbols"] == HOSTILE


def test_only_the_scripts_of_the_page_are_allowed(hostile_page: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', hostile_page)
    assert policy
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].split(";"))
    assert rules["default-src"] == "'none'"
    scripts = re.findall(r"<script>(.*?)</script>", hostile_page, flags=re.DOTALL)
    hashes = [hashlib.sha256(script.encode()).digest() for script in scripts]
    shown = [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in hashes]
    assert len(shown) == 9
    assert rules["script-src"].split() == [*shown, "blob:", "'wasm-unsafe-eval'"]


def test_nothing_is_linked_but_the_licences(hostile_page: str) -> None:
    markup = re.sub(r"<(script|style).*?</\1>", "", hostile_page, flags=re.DOTALL)
    links = re.findall(r'\b(?:href|src|action)="([^"]*)"', markup)
    assert links == ["data:,", "licences.txt"]
    assert not re.search(r"https?://", markup)


def test_licences_are_beside_the_page(
    make_bundle: Callable[..., Bundle], model_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("kept")
    done = export_page(model_file, tmp_path)
    assert done.path == tmp_path / "index.html"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["index.html", "licences.txt", "notes.txt"]
    licences = (tmp_path / "licences.txt").read_text(encoding="utf-8")
    assert "MIT License" in licences
    assert "THIRD PARTY SOFTWARE NOTICES" in licences


def images(**values: Any) -> Callable[[Bundle], Bundle]:
    def change(bundle: Bundle) -> Bundle:
        config = bundle.config.model_dump()
        config["images"]["preprocess"] |= values
        return replace(bundle, config=type(bundle.config).model_validate(config))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: replace(b, others=(b,)), "an ensemble of 2 networks; a page needs a single"),
        (lambda b: replace(b, charset=Charset("0123456789", "rtl")), "right-to-left text"),
        (images(remove_ruling=True, contrast="clahe"), "(remove_ruling, contrast clahe)"),
    ],
)
def test_models_that_the_page_cannot_read(
    make_bundle: Callable[..., Bundle], change: Callable[[Bundle], Bundle], message: str
) -> None:
    with pytest.raises(BundleError) as caught:
        check_page(change(make_bundle()), "m.pt")
    assert str(caught.value).startswith("m.pt: no page can be written: ")
    assert message in str(caught.value)


def test_preprocessing_that_the_page_knows(make_bundle: Callable[..., Bundle]) -> None:
    known = {"normalize_polarity": True, "crop": True, "threshold": 0.5, "margin": 0.25}
    check_page(images(**known, contrast="stretch")(make_bundle()), "m.pt")


def test_a_refused_model_leaves_no_file(
    make_bundle: Callable[..., Bundle], command: Command, tmp_path: Path
) -> None:
    save_bundle(images(contrast="clahe")(make_bundle()), tmp_path / "m.pt")
    done = command("export", tmp_path / "m.pt", "--web", tmp_path / "page")
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert "contrast clahe" in done.err
    assert not (tmp_path / "page").exists()


def test_the_command(command: Command, model_file: Path, tmp_path: Path) -> None:
    converted, page = tmp_path / "m.onnx", tmp_path / "page"
    done = command("export", model_file, "-o", converted, "--web", page)
    assert done.code == 0, done.err
    assert f"page written to {page / 'index.html'}" in done.out
    assert f"model written to {converted}" in done.out
    again = command("export", converted, "--web", tmp_path / "again", "--json")
    content = again.json()
    assert content["path"] is None
    assert content["page"]["path"] == str(tmp_path / "again" / "index.html")
    contents = [(folder / "index.html").read_bytes() for folder in (page, tmp_path / "again")]
    assert contents[0] == contents[1].replace(b"m.onnx", b"model.pt")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["m.pt"], "nothing to write; give -o FILE.onnx or --web FOLDER"),
        (["m.onnx", "--web", "page", "--int8"], "--int8: not for a file of ONNX"),
        (["m.onnx", "--web", "page", "--group", "x"], "--group: not for a file of ONNX"),
        (["m.onnx", "--web", "page"], "m.onnx: no such model file"),
        (["m.pt", "--web", "taken/page"], "is a file, not a folder"),
    ],
)
def test_wrong_arguments(
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("taken").write_text("")
    done = command("export", *arguments)
    assert done.code != 0
    assert message in done.err
    assert len(done.err.strip().splitlines()) == 1
