"""Five hundred damaged and odd files through the commands: none ends one, each has its reason."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ocrsearch.core.errors import ImageError
from ocrsearch.data.images.reading import read_image
from tests.damaged_files import BLANK, EMPTY_LABEL, KINDS, OddFile, write_odd_files

if TYPE_CHECKING:
    from tests.conftest import CommandResult

N = 500
ABOUT_THE_SAME = 4.0
"""Mean difference in grey that a lossy format may make."""

TARGET = "target_of_"
"""Begin of the names, without an ending, of pictures that links name."""

SPACE = """
images: {height: 16}
model:
  architecture: crnn
  encoder: {conv_depth: 2, conv_base: 8, linear_width: 16, hidden_size: 16}
training: {learning_rate: 0.001, epochs: 1, batch_size: 32}
"""


@dataclass(frozen=True)
class Place:
    """A folder of odd files and what should become of each."""

    folder: Path
    files: list[OddFile]

    @property
    def labels(self) -> Path:
        return self.folder / "labels.csv"

    @property
    def left_out(self) -> dict[str, str]:
        """What each unusable sample's reason has, by name."""
        return {f.name: f.problem for f in self.files if f.problem is not None}


def is_readable(file: OddFile) -> bool:
    """Whether the picture can be read, though its label or what it shows is of no use."""
    return file.problem is None or file.problem in (EMPTY_LABEL, BLANK)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("odd")
    return Place(folder, write_odd_files(folder, N))


def test_there_are_many_kinds() -> None:
    assert sum(kind.problem is not None for kind in KINDS.values()) >= 15
    assert sum(kind.problem is None for kind in KINDS.values()) >= 15


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_read_or_refused_as_it_should(kind: str, tmp_path: Path) -> None:
    [file] = write_odd_files(tmp_path, 1, {kind: KINDS[kind]})
    path = tmp_path / file.name
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if file.problem is not None and not is_readable(file):
            with pytest.raises(ImageError) as caught:
                read_image(path)
            assert str(caught.value).startswith(f"{path}: ")
            assert file.problem in str(caught.value)
            return
        image = read_image(path)

    assert image.dtype == np.uint8
    assert image.ndim == 2
    if file.image is not None:
        assert image.shape == file.image.shape
        assert np.abs(image.astype(int) - file.image).mean() < ABOUT_THE_SAME


def check_reasons(found: dict[str, str], place: Place) -> None:
    """Check that what was left out is what should be, each with its reason."""
    assert found.keys() == place.left_out.keys()
    for name, problem in place.left_out.items():
        assert problem in found[name], name


def test_inspect_tells_each(odd: Place, command: Callable[..., CommandResult]) -> None:
    result = command("data", "inspect", odd.labels, "--json", "--sheet", odd.folder / "sheet.PNG")

    assert (result.code, "Traceback" in result.err) == (0, False)
    content = result.json()
    assert (content["n"], content["n_bad"]) == (N - len(odd.left_out), len(odd.left_out))
    assert content["refused"] is True
    check_reasons({b["name"]: b["reason"] for b in content["bad"]}, odd)
    assert sum(content["problems"].values()) == len(odd.left_out)
    assert len(content["problems"]) < 15
    assert read_image(odd.folder / "sheet.PNG").shape[1] > 1000
    (odd.folder / "sheet.PNG").unlink()


def test_inspect_shows_all_on_a_terminal(odd: Place, command: Callable[..., CommandResult]) -> None:
    result = command("data", "inspect", odd.labels)

    assert (result.code, result.err) == (0, "")
    n_bad = len(odd.left_out)
    assert f"{N - n_bad} samples can be used, {n_bad} cannot" in result.out
    assert "'run' refuses this data" in result.out
    n_pipes = Counter(f.kind for f in odd.files)["pipe"]
    assert any(
        "not a file" in line and str(n_pipes) in line.split() for line in result.out.splitlines()
    )


@pytest.fixture
def search(
    odd: Place,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: Callable[..., CommandResult],
) -> Callable[..., CommandResult]:
    """Search a tiny space on the odd files, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(SPACE)
    options = ("--trials", 1, "--workers", 1, "--study", "odd")
    return lambda *more: command(
        "run", "--space", "tiny.yaml", "--data", odd.labels, *options, *more
    )


def test_run_refuses_so_many(odd: Place, search: Callable[..., CommandResult]) -> None:
    result = search()

    assert result.code == 1
    complaint = result.err.splitlines()[-1]
    assert complaint.startswith("ocrsearch: ")
    assert f"{len(odd.left_out)} of {N} samples cannot be used, at most 1 % may" in complaint
    assert "ocrsearch data inspect" in complaint
    assert "Traceback" not in result.err


def test_run_trains_on_the_rest(odd: Place, search: Callable[..., CommandResult]) -> None:
    result = search("--max-invalid", 1, "--json")

    assert (result.code, "Traceback" in result.err) == (0, False)
    content = result.json()
    n_bad = len(odd.left_out)
    assert (content["n_complete"], content["n_bad"]) == (1, n_bad)
    lines = Path(content["left_out"]).read_text(encoding="utf-8").splitlines()
    check_reasons(dict(line.split("\t", 1) for line in lines), odd)

    again = search("--max-invalid", 1)
    assert f"{n_bad} of {N} samples cannot be used and are skipped; reasons: " in again.err
    assert f"{n_bad} samples could not be used: {content['left_out']}" in again.out


def test_predict_reads_the_rest(
    odd: Place, model_file: Path, command: Callable[..., CommandResult]
) -> None:
    result = command("predict", model_file, odd.folder, "--json")

    assert (result.code, "Traceback" in result.err) == (1, False)
    content = result.json()
    there = [f for f in odd.files if f.kind not in ("missing", "folder")]
    bad = {f.name: f.problem for f in there if f.problem and not is_readable(f)}
    bad |= {f.name: "damaged PDF" for f in there if f.kind == "PDF"}  # predict reads them
    failures = {Path(f["file"]).name: f["reason"] for f in content["failures"]}
    assert failures.keys() == bad.keys()
    assert {n: failures[n] for n, problem in bad.items() if problem not in failures[n]} == {}
    read = {Path(f["file"]).name for f in content["files"]}
    assert {n for n in read if not n.startswith(TARGET)} == {f.name for f in there} - bad.keys()
    assert content["skipped"] == {".csv": 1}
    blank = {Path(f["file"]).name for f in content["files"] if f["lines"][0]["blank"]}
    assert {f.name for f in there if f.problem == BLANK} <= blank
    assert len(result.err.splitlines()) == len(bad) + 1


def test_predict_without_json_has_a_line_for_each(
    odd: Place, model_file: Path, command: Callable[..., CommandResult]
) -> None:
    result = command("predict", model_file, odd.folder)

    assert result.code == 1
    n = sum(not p.is_dir() for p in odd.folder.iterdir())  # that the table is skipped is a line
    n += sum(f.kind == "pages" for f in odd.files)  # each has two pages
    lines = [*result.out.splitlines(), *result.err.splitlines()]
    blank = [line for line in lines if line.endswith(": blank, nothing to read")]
    assert len(lines) == n + len(blank)
    assert all(line.startswith((str(odd.folder), "ocrsearch: ")) for line in lines)
