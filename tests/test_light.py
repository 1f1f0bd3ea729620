"""The light distribution: its modules, its requirements and its commands."""

from __future__ import annotations

import importlib.util
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

import ocrsearch
from ocrsearch import core
from ocrsearch.cli import app, light, main
from ocrsearch.core import distribution
from ocrsearch.data.formats import FORMATS

ROOT = Path(ocrsearch.__file__).parents[1]

IMPORTED_BY = {
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "python-bidi": "bidi",
    "pyyaml": "yaml",
    "pydantic": "pydantic",
}
"""Import names of distributions, where they are not the distribution's name."""


@pytest.fixture(scope="module")
def build() -> ModuleType:
    path = ROOT / "light" / "hatch_build.py"
    spec = importlib.util.spec_from_file_location("hatch_build", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def project(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_modules_of_the_light_distribution(build: ModuleType) -> None:
    found = build.select(build.Source(ROOT))
    assert {
        "ocrsearch.cli",
        "ocrsearch.cli.light",
        "ocrsearch.inference.onnx_network",
        "ocrsearch.models.decoding.ctc_beam",
        "ocrsearch.data.pages.layout",
        "ocrsearch.deployment.service",
    } <= found.included
    for package in ("tuning", "studies", "spaces", "workflows"):
        assert not [name for name in found.included if name.startswith(f"ocrsearch.{package}")]


def test_what_the_light_distribution_leaves_out_is_known(build: ModuleType) -> None:
    # the program says in one line that they are absent, or imports them for .pt files only
    assert set(build.select(build.Source(ROOT)).left_out) == {
        "ocrsearch.data.batches",
        "ocrsearch.evaluation.acceptance",
        "ocrsearch.inference.torch_network",
        "ocrsearch.models.seq2seq",
        "ocrsearch.reports.evaluation",
        "ocrsearch.training.model_file",
    }


def test_a_module_that_needs_torch_is_left_out_with_those_that_import_it(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "ocrsearch"
    package.mkdir()
    for name, text in {
        "__init__": "",
        "entry": "import ocrsearch.light\ndef f():\n    import ocrsearch.between\n",
        "light": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\n",
        "between": "from ocrsearch.heavy import x\n",
        "heavy": "import torch\nx = 1\n",
    }.items():
        (package / f"{name}.py").write_text(text)
    source = build.Source(tmp_path)
    assert source.foreign("ocrsearch.between") == {"torch"}
    assert source.foreign("ocrsearch.entry") == set()
    monkeypatch.setattr(build, "ENTRIES", ("ocrsearch.entry",))
    found = build.select(source)
    assert found.included == {"ocrsearch", "ocrsearch.entry", "ocrsearch.light"}
    assert found.left_out == {"ocrsearch.between": {"torch"}}
    monkeypatch.setattr(build, "ENTRIES", ("ocrsearch.heavy",))
    with pytest.raises(ValueError, match=r"ocrsearch\.heavy is .* but needs torch"):
        build.select(source)


def test_label_formats_are_in_the_light_distribution(build: ModuleType) -> None:
    included = build.select(build.Source(ROOT)).included
    for path in (ROOT / "ocrsearch/data/formats").glob("*.py"):
        if path.stem != "__init__":
            assert f"ocrsearch.data.formats.{path.stem}" in included
    assert FORMATS


def test_requirements_of_the_light_distribution_are_those_of_the_full_one(
    build: ModuleType,
) -> None:
    own, full = project(ROOT / "light"), project(ROOT)
    extras = own["optional-dependencies"]
    required = {*own["dependencies"], *extras["pdf"]}
    assert required <= {*full["dependencies"]}
    assert extras["serve"] == full["optional-dependencies"]["serve"]
    required |= {*extras["serve"]}
    assert own["requires-python"] == full["requires-python"]
    assert own["scripts"] == full["scripts"]
    names = {text.partition(">")[0] for text in required}
    imported = {IMPORTED_BY.get(name, name.replace("-", "_")) for name in names}
    assert imported | {"pydantic_core", "starlette"} == build.PACKAGES


def test_all_commands_are_known() -> None:
    full = typer.main.get_command(app.app).commands  # type: ignore[attr-defined]
    own = typer.main.get_command(light.app).commands  # type: ignore[attr-defined]
    assert own.keys() == full.keys()
    assert {name for name, command in own.items() if command.hidden} == {*light.ONLY_FULL}


@pytest.mark.parametrize("words", [["run", "--data", "x", "-h"], ["studies", "list"], ["best"]])
def test_commands_of_the_full_distribution_are_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    monkeypatch.setattr("ocrsearch.cli.is_light", lambda: True)
    monkeypatch.setattr(sys, "argv", ["ocrsearch", *words])
    with pytest.raises(SystemExit) as ending:
        main()
    assert ending.value.code == 1
    said = capsys.readouterr().err
    assert said == (
        f"ocrsearch: 'ocrsearch {words[0]}' needs the full installation: pip install ocrsearch\n"
    )


def test_names_of_the_full_distribution_are_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> ModuleType:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(ocrsearch.importlib, "import_module", missing)
    with pytest.raises(ModuleNotFoundError):
        ocrsearch.__getattr__("suggest_space")
    monkeypatch.setattr(core, "is_light", lambda: True)
    with pytest.raises(ImportError, match=r"ocrsearch\.suggest_space needs the full installation"):
        ocrsearch.__getattr__("suggest_space")


def test_version_of_the_light_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not distribution.is_light()
    monkeypatch.setattr("importlib.metadata.version", lambda name: f"version of {name}")
    monkeypatch.setattr("ocrsearch.core.distribution.is_light", lambda: True)
    assert distribution.program_version() == "version of ocrsearch-light"
