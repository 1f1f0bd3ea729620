"""The README and the notes in docs/ work as they are printed, on small data.

See also ``test_named_code.py``.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer.main
from typer.core import TyperGroup

from ocrsearch.cli.app import app
from ocrsearch.core.untrusted import parse_yaml
from ocrsearch.data.formats import specs
from ocrsearch.data.synthesis.synthesizer import make_digits
from ocrsearch.spaces import suggestion
from ocrsearch.spaces import suggestion as ready
from ocrsearch.spaces.derived import Derived

if TYPE_CHECKING:
    from tests.conftest import CommandResult

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
GENERATED = ("commands.md", "space.md")
FILES = [
    ROOT / "README.md",
    *(p for p in sorted((ROOT / "docs").rglob("*.md")) if p.name not in GENERATED),
]
TEXTS = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in FILES}
FENCED = re.compile(r"^```([^\n]*)\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)
BLOCKS = [
    (name, language, block)
    for name, text in TEXTS.items()
    for language, block in FENCED.findall(text)
]
COMMANDS = [
    (name, line)
    for name, language, block in BLOCKS
    if not language
    for line in block.replace("\\\n", " ").splitlines()
    if line.startswith("ocrsearch ")
]

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
LINKS = [
    (path, *link)
    for path in PAGES
    for link in re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", path.read_text(encoding="utf-8"))
]
TINY = """# Tiny.
images: {height: 16}
model:
  architecture: crnn
  encoder: {conv_depth: {int: [2, 3]}, conv_base: 8, linear_width: 16, hidden_size: 16}
training: {learning_rate: 4.0e-3, batch_size: 16, epochs: 1}
search: {pruner: {name: none}, try_first: [{model: {encoder: {conv_depth: 2}}}]}
"""


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number_folder: Path) -> Iterator[Path]:
    """A folder to work in, where all spaces are tiny and the built-in digits few."""
    spaces = tmp_path / "spaces"
    spaces.mkdir()
    for name in ready.ready_spaces():
        (spaces / f"{name}.yaml").write_text(TINY, encoding="utf-8")
    monkeypatch.setattr(ready, "FOLDERS", (spaces,))
    ready.ready_spaces.cache_clear()
    tiny = Derived(parse_yaml(TINY, "tiny"), {"data": []})
    monkeypatch.setattr(suggestion, "derive", lambda *_, **__: tiny)
    few = make_digits()[::40]
    monkeypatch.setitem(specs.BUILT_IN, "digits", lambda: few)
    work = tmp_path / "work"
    work.mkdir()
    shutil.copytree(number_folder, work / "FOLDER")
    shutil.copy(number_folder / "42.png", work / "picture.png")
    monkeypatch.chdir(work)
    yield work
    ready.ready_spaces.cache_clear()


def test_there_is_something_to_test() -> None:
    assert len(COMMANDS) > 40
    shown = {name for name, _ in COMMANDS}
    assert {"README.md", "docs/cluster.md", "docs/recipes.md"} <= shown
    assert "docs/measurements/handwriting.md" in shown
    tutorials = {name for name in TEXTS if name.startswith("docs/tutorials/")}
    assert tutorials <= shown
    assert len([block for _, language, block in BLOCKS if language == "python"]) == 3


def anchors(path: Path) -> list[str]:
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings]


@pytest.mark.parametrize(("page", "path", "anchor"), LINKS)
def test_links_lead_somewhere(page: Path, path: str, anchor: str) -> None:
    target = page.parent / path if path else page
    if target.parent.name == "reference" and target.name in GENERATED:
        return  # written when the site is built
    assert target.is_file()
    assert not anchor or anchor in anchors(target)


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    decisions = sorted(folder.glob("[0-9]*.md"))
    assert len(decisions) >= 12
    for path in decisions:
        assert f"]({path.name})" in index
        text = path.read_text(encoding="utf-8")
        assert [
            part for part in ("Measured", "Chosen", "Would change it") if part not in text
        ] == []


@pytest.mark.parametrize(("name", "line"), COMMANDS, ids=[line for _, line in COMMANDS])
def test_each_command_line_is_right(
    name: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words, command = shlex.split(line, comments=True)[1:], typer.main.get_command(app)
    while isinstance(command, TyperGroup):
        command = command.commands[words.pop(0)]
    command.make_context(str(command.name), words)  # raises what the program would
    space = words[words.index("--space") + 1] if "--space" in words else "quick"
    assert ready.find_space(space).is_file(), f"{name}: {space}"


@pytest.mark.parametrize("name", sorted({name for name, lang, _ in BLOCKS if lang == "python"}))
def test_the_python_of_a_file_runs(
    name: str, small: Path, command: Callable[..., CommandResult], capsys: Any
) -> None:
    learned = command("language-model", "--data", "digits", "--output", "lm.npz")
    assert learned.code == 0
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in [b for n, language, b in BLOCKS if language == "python" and n == name]:
        exec(compile(block, name, "exec"), namespace)  # noqa: S102 - our own text
    assert (small / "model.pt").is_file()
    assert namespace["result"].status.n_complete >= 1
    assert len(namespace["study"].trials_dataframe()) >= 1
    assert capsys.readouterr().out


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.ipynb")), ids=lambda p: p.name)
@pytest.mark.usefixtures("small")
def test_notebooks_run(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert all(not cell.get("outputs") for cell in cells)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for cell in cells:
        if cell["cell_type"] == "code":
            code = "".join(cell["source"])
            exec(compile(code, path.name, "exec"), namespace)  # noqa: S102 - our own text
    assert namespace["result"].status.n_begun >= 1


def test_the_commands_of_readme_and_guides_run(
    small: Path, command: Callable[..., CommandResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [line for _, line in COMMANDS]
    shown = [
        "ocrsearch run --data FOLDER --timeout 30m",
        "ocrsearch best --export model.pt",
        "ocrsearch evaluate model.pt --data FOLDER",
        "ocrsearch predict model.pt PICTURE_OR_FOLDER",
        "ocrsearch export model.pt --web page",
        "ocrsearch data inspect captcha:FOLDER --sheet sheet.png",
        "ocrsearch data save captcha:FOLDER -o images --n 20",
        "ocrsearch studies list",
        "ocrsearch studies export -o trials.csv",
        "ocrsearch report -o study.html",
        "ocrsearch language-model --model model.pt --data captcha:FOLDER -o lm.npz",
        "ocrsearch space suggest FOLDER -o mine.yaml",
        "ocrsearch space check seq2seq",
    ]
    assert [line for line in shown if line not in lines] == []
    shutil.copytree("FOLDER", "PICTURE_OR_FOLDER")
    for line in shown:
        result = command(*shlex.split(line)[1:])
        forced = result
        if "reads nothing" in result.err or "--force" in result.err:  # after one epoch it may
            forced = command(*shlex.split(line)[1:], "--force")
        assert forced.code == 0, f"{line}: {result.err}"
    for name in ("model.pt", "sheet.png", "trials.csv", "study.html", "lm.npz", "page/index.html"):
        assert Path(name).stat().st_size > 0
    assert len(list(Path("images").glob("*.png"))) == 4
