"""The names that users import from ``ocrsearch``: there before and after any other import."""

from __future__ import annotations

import importlib.util
import inspect
import pickle
import pydoc
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import ocrsearch
import ocrsearch.tuning.api
from ocrsearch.core.errors import OcrSearchError
from ocrsearch.tuning.api import SearchResult

ROOT = Path(ocrsearch.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
    if path.name != "__main__.py"
    and (path.name != "openvino_network.py" or importlib.util.find_spec("openvino"))
)
CALLABLE = [name for name in ocrsearch.__all__ if name != "__version__"]


def fresh(script: str) -> str:
    """Run a script in a new Python and return its output."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_names_are_the_same_before_and_after_all_modules_are_imported() -> None:
    assert "ocrsearch.tuning.api" in MODULES
    fresh(f"""
import importlib, ocrsearch
before = {{name: getattr(ocrsearch, name) for name in ocrsearch.__all__}}
for name in {MODULES!r}:
    importlib.import_module(name)
assert [n for n in ocrsearch.__all__ if getattr(ocrsearch, n) is not before[n]] == []
assert [n for n in {CALLABLE!r} if not callable(before[n])] == []
""")


@pytest.mark.parametrize(
    "first",
    [
        "import ocrsearch",
        "import ocrsearch.tuning",
        "import ocrsearch.tuning.api",
        "from ocrsearch.tuning.options import SearchOptions",
        "import ocrsearch.tuning.engines.local",
        "from ocrsearch import *",
        "from ocrsearch import search",
        "import ocrsearch; ocrsearch.search",
        "import ocrsearch.cli.app, ocrsearch.core.errors, ocrsearch.data",
    ],
)
def test_search_is_called_whatever_was_imported(first: str) -> None:
    out = fresh(f"""
{first}
import ocrsearch
for _ in range(2):
    try:
        ocrsearch.search("no-such-space")
    except ocrsearch.SpaceError as error:
        print(error)
""")
    assert out.count("no-such-space") == 2


def test_search_has_the_functions_arguments() -> None:
    assert inspect.signature(ocrsearch.search) == inspect.signature(ocrsearch.tuning.api.search)
    assert pickle.loads(pickle.dumps(ocrsearch.search)) is ocrsearch.search


def test_each_name_is_what_it_says() -> None:
    for name in CALLABLE:
        value = getattr(ocrsearch, name)
        assert value.__doc__
        if name != "search":
            assert value.__name__ == name
    errors = [name for name in CALLABLE if name.endswith("Error")]
    assert all(issubclass(getattr(ocrsearch, name), OcrSearchError) for name in errors)
    assert ocrsearch.SearchResult is SearchResult
    assert set(ocrsearch.__all__) <= set(dir(ocrsearch))


def test_every_error_of_users_is_exported() -> None:
    ours = {cls.__name__ for cls in OcrSearchError.__subclasses__()} - {"TrialError"}
    assert ours <= set(ocrsearch.__all__)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'serach'"):
        ocrsearch.serach  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'serach'"):
        from ocrsearch import serach  # noqa: F401


def test_the_version_is_that_of_the_installed_package() -> None:
    assert ocrsearch.__version__ == version("ocrsearch")
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", ocrsearch.__version__)
    assert fresh("import ocrsearch; print(ocrsearch.__version__)").strip() == ocrsearch.__version__


def test_a_source_tree_that_is_not_installed_has_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        from importlib.metadata import PackageNotFoundError

        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    monkeypatch.delitem(vars(ocrsearch), "__version__", raising=False)
    assert ocrsearch.__version__ == "unknown"
    monkeypatch.delitem(vars(ocrsearch), "__version__")


def test_help_shows_an_example_and_all_names() -> None:
    text = pydoc.render_doc(ocrsearch, renderer=pydoc.plaintext)
    assert "ocrsearch.search(" in text
    for name in ("load(", "load_study(", "predict(", "class SearchOptions", "class OptionError"):
        assert name in text


def test_the_package_is_typed() -> None:
    assert (ROOT / "py.typed").is_file()
