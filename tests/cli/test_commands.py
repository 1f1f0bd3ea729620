"""Commands that read: what they print for people and for programs."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import pandas as pd
import pytest
import torch

from ocrsearch.inference.predictor import Evaluation, Prediction, Predictor, load
from ocrsearch.spaces.reading import parse_space
from ocrsearch.studies.database import open_storage
from ocrsearch.studies.facts import StudyFacts
from ocrsearch.studies.study import open_study
from ocrsearch.training.model_file import save_bundle
from tests.conftest import draw_text

if TYPE_CHECKING:
    from ocrsearch.data import LabelledImages
    from ocrsearch.training.model_file import Bundle
    from tests.conftest import CommandResult, StudyDb

Command = Callable[..., "CommandResult"]

SPACE = """
images: {height: {int: [16, 32], step: 8}}
model:
  architecture: {choice: [crnn, seq2seq]}
  decoder:
    when: {model.architecture: seq2seq}
    attention: {choice: [additive, none]}
training:
  learning_rate: {float: [0.001, 0.01], log: true}
  epochs: 7
"""


@pytest.fixture
def space_file(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SPACE)
    return path


# --- best -------------------------------------------------------------------------------------


def test_best_shows_parameters_and_metrics(command: Command, study_db: StudyDb) -> None:
    result = command("best", "--study", study_db.name, "--storage", study_db.url)
    assert (result.code, result.err) == (0, "")
    assert "study tiny-numbers, trial 2" in result.out
    rows = [line.split() for line in result.out.splitlines()]
    shown = {cells[0]: cells[1] for cells in rows if len(cells) == 2}
    assert shown["model.architecture"] == "crnn"
    assert shown["training.learning_rate"] == "0.003"
    assert (shown["cer"], shown["exact"]) == ("0.1", "0.9")
    assert "validation split" in result.out


def test_best_as_json(command: Command, study_db: StudyDb) -> None:
    result = command("best", "--storage", study_db.url, "--json")
    assert (result.code, result.err) == (0, "")
    content = result.json()
    assert (content["study"], content["trial"], content["value"]) == ("tiny-numbers", 2, 0.1)
    assert content["params"]["model.encoder.conv_depth"] == 2
    assert content["metrics"]["exact"] == 0.9
    assert content["export"] is None


@pytest.mark.parametrize("as_json", [False, True])
def test_best_exports_the_model(
    command: Command, study_db: StudyDb, tmp_path: Path, number_folder: Path, as_json: bool
) -> None:
    path = tmp_path / "new" / "model.pt"
    study = ["--storage", study_db.url, "--study", study_db.name]
    result = command("best", *study, "--export", path, *(["--json"] if as_json else []))
    assert result.code == 0
    assert "its data (captcha:numbers) is not at hand" in result.err
    if as_json:
        assert result.json()["export"] == str(path)
    else:
        assert f"model written to {path}" in result.out
    assert load(path).predict(number_folder / "42.png").text


def test_the_database_may_be_named_by_the_environment(
    command: Command, study_db: StudyDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCRSEARCH_STORAGE", study_db.url)
    assert command("best", "--json").json()["trial"] == 2


# --- evaluate ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("split", "n"), [("train", 32), ("val", 4), ("test", 4), ("all", 40)])
def test_evaluate_as_json(
    command: Command, model_file: Path, number_folder: Path, split: str, n: int
) -> None:
    result = command("evaluate", model_file, "--data", number_folder, "--split", split, "--json")
    assert (result.code, result.err) == (0, "")
    content = result.json()
    assert (content["n"], content["split"], content["n_bad"]) == (n, split, 0)
    assert content["data"] == str(number_folder)
    for rate in ("cer", "wer", "ser", "exact"):
        assert content[f"{rate}_low"] <= content[rate] <= content[f"{rate}_high"]
    assert content["ser"] == pytest.approx(1 - content["exact"])


def test_evaluate_counts_as_the_predictor_does(
    command: Command, model_file: Path, number_folder: Path
) -> None:
    reader = load(model_file)
    read = {path.stem: reader.predict(path).text for path in number_folder.iterdir()}
    n_right = sum(text == label for label, text in read.items())
    result = command("evaluate", model_file, "--data", number_folder, "--split", "all", "--json")
    assert result.json()["exact"] == pytest.approx(n_right / 40)


def test_evaluate_reads_the_test_split_if_nothing_is_said(
    command: Command, model_file: Path, number_folder: Path
) -> None:
    result = command("evaluate", model_file, "--data", f"captcha:{number_folder}")
    assert (result.code, result.err) == (0, "")
    assert "test: 4 images" in result.out
    for name in ("character error rate", "word error rate", "sequence error rate", "exact match"):
        assert name in result.out


@pytest.mark.parametrize("max_error", [0.5, 0.01])
def test_evaluate_promises_nothing_that_it_cannot_keep(
    command: Command, model_file: Path, number_folder: Path, max_error: float
) -> None:
    reason = "too many of the most confident texts have an error"
    data = ("--data", number_folder, "--split", "all", "--max-error", max_error)
    result = command("evaluate", model_file, *data)
    assert result.out.splitlines()[-1].startswith("no confidence keeps an error rate")
    assert result.out.splitlines()[-1].endswith(reason)
    content = command("evaluate", model_file, *data, "--json").json()
    assert (content["max_error"], content["accepted"]) == (max_error, None)


def test_evaluate_finds_the_texts_that_need_no_check(
    command: Command, model_file: Path, number_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Predictor.evaluate

    def evaluate(self: Predictor, data: LabelledImages, progress: object = None) -> Evaluation:
        right = [
            Prediction(text, 0.95 + 0.001 * i, (1.0,) * len(text))
            for i, text in enumerate(data.texts)
        ]
        monkeypatch.setattr(self, "_read", lambda *_: right)
        return original(self, data)

    monkeypatch.setattr(Predictor, "evaluate", evaluate)
    data = ("--data", number_folder, "--split", "all", "--max-error", 0.1)
    content = command("evaluate", model_file, *data, "--json").json()
    assert content["exact"] == 1.0
    assert content["accepted"]["n_accepted"] == 40
    assert content["accepted"]["threshold"] == pytest.approx(0.95)
    line = command("evaluate", model_file, *data).out.splitlines()[-1]
    assert line.startswith("100.0% of the texts have a confidence of at least 0.95; 0 of these 40")
    assert line.endswith("--min-confidence 0.95")


@pytest.mark.parametrize(("min_confidence", "marked"), [(0.0, False), (1.0, True)])
def test_predict_marks_texts_to_check(
    command: Command,
    model_file: Path,
    number_folder: Path,
    min_confidence: float,
    marked: bool,
) -> None:
    arguments = (model_file, number_folder, "--min-confidence", min_confidence)
    result = command("predict", *arguments)
    assert all(line.endswith("\tcheck") == marked for line in result.out.splitlines())
    files = command("predict", *arguments, "--json").json()["files"]
    assert {line["check"] for file in files for line in file["lines"]} == {marked}
    without = command("predict", model_file, number_folder, "--json").json()["files"]
    assert all("check" not in line for file in without for line in file["lines"])


@pytest.mark.parametrize("n", [0, 1, 3])
def test_evaluate_shows_what_was_read_wrong(
    command: Command, model_file: Path, number_folder: Path, n: int
) -> None:
    result = command("evaluate", model_file, "--data", number_folder, "--errors", n)
    shown = [line for line in result.out.splitlines() if ".png: " in line]
    assert len(shown) == n
    assert all(" read as " in line and "confidence" in line for line in shown)


def test_evaluate_counts_confusions(
    command: Command, model_file: Path, number_folder: Path
) -> None:
    arguments = ("evaluate", model_file, "--data", number_folder, "--split", "all")
    content = command(*arguments, "--json").json()
    n_edits = sum(confusion["n"] for confusion in content["confusions"])
    assert n_edits == round(content["cer"] * 80)  # symbols in the 40 labels
    assert "confusion_matrix" not in content
    first = content["confusions"][0]
    cells = [repr(first[key]) if first[key] else "nothing" for key in ("expected", "read")]
    rows = [line.split() for line in command(*arguments).out.splitlines()]
    assert [*cells, str(first["n"])] in rows


def test_evaluate_single_symbols(
    command: Command, make_bundle: Callable[..., Bundle], tmp_path: Path
) -> None:
    (tmp_path / "digits").mkdir()
    for symbol in "0123456789":
        assert cv2.imwrite(str(tmp_path / "digits" / f"{symbol}.png"), draw_text(symbol))
    save_bundle(make_bundle("classifier"), tmp_path / "model.pt")
    arguments = ("evaluate", tmp_path / "model.pt", "--data", tmp_path / "digits", "--split", "all")
    content = command(*arguments, "--json").json()
    matrix, report = content["confusion_matrix"], content["classification_report"]
    assert matrix["symbols"] == list("0123456789")
    assert [sum(row) for row in matrix["counts"]] == [1] * 10
    n_right = sum(matrix["counts"][i][i] for i in range(10))
    assert content["exact"] == pytest.approx(n_right / 10)
    assert report["7"]["support"] == 1
    shown = command(*arguments).out
    assert "read as" in shown
    assert "precision" in shown


@pytest.mark.parametrize("as_json", [False, True])
def test_evaluate_writes_a_page(
    command: Command, model_file: Path, number_folder: Path, tmp_path: Path, as_json: bool
) -> None:
    path = tmp_path / "new" / "page.html"
    arguments = ("evaluate", model_file, "--data", number_folder, "--html", path)
    result = command(*arguments, *(["--json"] if as_json else []))
    assert (result.code, result.err) == (0, "")
    if as_json:
        assert result.json()["html"] == str(path)
    else:
        assert result.out.endswith(f"page written to {path}\n")
    page = path.read_text(encoding="utf-8")
    assert f"<h1>{model_file.name}</h1>" in page
    assert page.count("src='data:image/png;base64,") == 4  # untrained: all is wrong


def test_evaluate_cannot_write_a_page(
    command: Command, model_file: Path, number_folder: Path, tmp_path: Path
) -> None:
    result = command("evaluate", model_file, "--data", number_folder, "--html", tmp_path)
    assert result.code == 1
    assert len(result.err.splitlines()) == 1
    assert str(tmp_path) in result.err


def test_evaluate_tells_of_symbols_that_the_model_does_not_know(
    command: Command, model_file: Path, number_folder: Path, tmp_path: Path
) -> None:
    for name in ("12.png", "13.png"):
        shutil.copy(number_folder / name, tmp_path)
    (tmp_path / "13.png").rename(tmp_path / "1x3.png")
    result = command("evaluate", model_file, "--data", tmp_path, "--split", "all", "--json")
    assert result.code == 0
    assert result.json()["n"] == 2
    assert result.err == "warning: the model does not know x; these count as errors\n"


def test_evaluate_leaves_out_what_cannot_be_read(
    command: Command, model_file: Path, number_folder: Path, tmp_path: Path
) -> None:
    shutil.copy(number_folder / "12.png", tmp_path)
    (tmp_path / "13.png").write_text("no picture")
    arguments = ("evaluate", model_file, "--data", tmp_path, "--split", "all")
    assert "(--max-invalid)" in command(*arguments).err
    content = command(*arguments, "--max-invalid", "0.5", "--json").json()
    assert (content["n"], content["n_bad"]) == (1, 1)
    assert "1 unusable sample skipped" in command(*arguments, "--max-invalid", "0.5").out


# --- predict ----------------------------------------------------------------------------------


def test_predict_a_file(command: Command, model_file: Path, number_folder: Path) -> None:
    picture = number_folder / "42.png"
    expected = load(model_file).predict(picture)
    result = command("predict", model_file, picture)
    assert (result.code, result.err) == (0, "")
    assert result.out == f"{picture}\t{expected.text}\t{expected.confidence:.3f}\n"


def test_predict_as_json(command: Command, model_file: Path, number_folder: Path) -> None:
    picture = number_folder / "42.png"
    expected = load(model_file).predict(picture)
    result = command("predict", model_file, picture, "--json")
    assert (result.code, result.err) == (0, "")
    assert result.json() == {
        "decoder": {"name": "greedy"},
        "files": [
            {
                "file": str(picture),
                "text": expected.text,
                "confidence": expected.confidence,
                "lines": [
                    {
                        "page": 1,
                        "text": expected.text,
                        "confidence": expected.confidence,
                        "symbol_confidences": list(expected.symbol_confidences),
                        "blank": False,
                        "familiarity": 1.0,
                    }
                ],
            }
        ],
        "failures": [],
        "skipped": {},
        "min_confidence": None,
    }


def test_predict_a_folder_and_those_in_it(
    command: Command, model_file: Path, number_folder: Path, tmp_path: Path
) -> None:
    deep = tmp_path / "scans" / "page 1"
    deep.mkdir(parents=True)
    for folder, name in ((tmp_path / "scans", "30.png"), (deep, "20.png"), (deep, "21.png")):
        shutil.copy(number_folder / name, folder)
    (deep / "notes.txt").write_text("no picture, and nobody said so")
    single = number_folder / "11.png"
    result = command("predict", model_file, single, tmp_path / "scans")
    assert result.code == 0
    assert result.err == f"{tmp_path / 'scans'}: 1 file skipped: .txt 1\n"
    files = [line.split("\t")[0] for line in result.out.splitlines()]
    scans = [tmp_path / "scans" / "30.png", deep / "20.png", deep / "21.png"]
    assert files == [str(single), *sorted(map(str, scans))]


@pytest.mark.parametrize("as_json", [False, True])
def test_one_bad_file_among_good_ones(
    command: Command, model_file: Path, number_folder: Path, tmp_path: Path, as_json: bool
) -> None:
    bad, missing = tmp_path / "bad.png", tmp_path / "missing.png"
    bad.write_text("no picture")
    good = [number_folder / "10.png", number_folder / "11.png"]
    flags = ["--json"] if as_json else []
    result = command("predict", model_file, good[0], bad, missing, good[1], *flags)
    assert result.code == 1
    lines = result.err.splitlines()
    assert [
        line.startswith(f"ocrsearch: {p}: ") for line, p in zip(lines, (bad, missing), strict=True)
    ]
    if as_json:
        content = result.json()
        assert [row["file"] for row in content["files"]] == [str(p) for p in good]
        assert [row["file"] for row in content["failures"]] == [str(bad), str(missing)]
        assert all(row["reason"] for row in content["failures"])
    else:
        assert [line.split("\t")[0] for line in result.out.splitlines()] == [str(p) for p in good]


def test_files_that_a_mac_leaves_beside_pictures_are_passed_over(
    command: Command, model_file: Path, number_folder: Path, tmp_path: Path
) -> None:
    shutil.copy(number_folder / "10.png", tmp_path)
    (tmp_path / "._10.png").write_bytes(b"\x00\x05\x16\x07")
    result = command("predict", model_file, tmp_path)
    assert (result.code, result.err) == (0, "")
    assert len(result.out.splitlines()) == 1


def test_a_file_name_that_is_not_utf8(
    model_file: Path, number_folder: Path, tmp_path: Path
) -> None:
    name = os.path.join(os.fsencode(tmp_path), b"caf\xe9.png")  # noqa: PTH118 - of bytes
    try:
        shutil.copy(number_folder / "10.png", name)
    except OSError:
        pytest.skip("file names here are UTF-8")
    done = subprocess.run(
        [Path(sys.executable).with_name("ocrsearch"), "predict", model_file, tmp_path],
        capture_output=True,
        timeout=60,
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"caf" in done.stdout


# --- space ------------------------------------------------------------------------------------


def test_space_check_shows_what_is_searched(command: Command, space_file: Path) -> None:
    result = command("space", "check", space_file)
    assert (result.code, result.err) == (0, "")
    assert "4 parameters are searched, 1 are fixed" in result.out
    for words in (
        ("images.height", "16 to 32, step 8"),
        ("model.decoder.attention", "additive, none", "architecture is seq2seq"),
        ("training.learning_rate", "0.001 to 0.01, log"),
        ("training.epochs", "7 (fixed)"),
    ):
        assert any(all(w in line for w in words) for line in result.out.splitlines()), words


def test_space_check_as_json(command: Command, space_file: Path) -> None:
    result = command("space", "check", space_file, "--json")
    assert (result.code, result.err) == (0, "")
    content = result.json()
    assert (content["name"], content["n_parameters"]) == ("small", 4)
    by_name = {p["name"]: p for p in content["parameters"]}
    assert by_name["model.decoder.attention"]["when"].endswith("architecture is seq2seq")
    assert by_name["images.height"]["when"] == ""
    assert content["fixed"] == {"training.epochs": 7}


@pytest.mark.parametrize("text", ["{}", "images: {height: 32}", "search: {}"])
def test_space_check_of_a_space_that_searches_nothing(
    command: Command, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "fixed.yaml"
    path.write_text(text)
    result = command("space", "check", path)
    assert (result.code, result.err) == (0, "")
    assert "0 parameters are searched" in result.out


def test_a_path_with_brackets_is_shown_as_it_is(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("scans [old].yaml").write_text(SPACE)
    assert "scans [old].yaml" in command("space", "check", "scans [old].yaml").out


def test_space_schema_is_a_schema(command: Command) -> None:
    result = command("space", "schema")
    assert (result.code, result.err) == (0, "")
    schema = result.json()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert {"images", "model", "training", "search"} <= schema["properties"].keys()
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize("name", ["crnn", "quick", "seq2seq"])
def test_the_spaces_that_come_with_it(command: Command, name: str) -> None:
    path = Path(__file__).parents[2] / "search_spaces" / f"{name}.yaml"
    result = command("space", "check", path, "--json")
    assert (result.code, result.err) == (0, "")
    assert result.json()["n_parameters"] > 5


# --- studies ----------------------------------------------------------------------------------


def test_studies_list(command: Command, study_db: StudyDb) -> None:
    result = command("studies", "list", "--storage", study_db.url)
    assert (result.code, result.err) == (0, "")
    (row,) = [line for line in result.out.splitlines() if "tiny-numbers" in line]
    assert row.split()[:4] == ["tiny-numbers", "captcha:numbers", "0.1000", "4"]
    assert "1 interrupted" in row


def test_studies_list_as_json(command: Command, study_db: StudyDb) -> None:
    result = command("studies", "list", "--storage", study_db.url, "--json")
    assert (result.code, result.err) == (0, "")
    (study,) = result.json()["studies"]
    assert (study["name"], study["n_complete"], study["best"]) == ("tiny-numbers", 4, 0.1)
    assert (study["n_failed"], study["n_unfinished"], study["is_running"]) == (1, 1, False)


def test_data_with_brackets_in_its_path_is_shown_as_it_is(command: Command, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    storage = open_storage(url, create=True)
    space = parse_space(SPACE, "small")
    facts = StudyFacts("small", space.content, "captcha:scans [old]", "f", {}, {}, 0)
    open_study(storage, "s", space, facts)
    storage.engine.dispose()
    assert "captcha:scans [old]" in command("studies", "list", "--storage", url).out


def check_table(frame: pd.DataFrame) -> None:
    assert frame["trial"].tolist() == list(range(8))
    assert frame["cer"].tolist()[:5] == [0.4, 0.1, 0.1, 0.25, 0.75]
    assert frame["state"].value_counts().to_dict() == {
        "complete": 4,
        "pruned": 1,
        "fail": 1,
        "infeasible": 1,
        "running": 1,
    }
    assert frame["training.learning_rate"].tolist() == pytest.approx(
        [0.001 * n for n in range(1, 9)]
    )


def test_studies_export_to_standard_output(command: Command, study_db: StudyDb) -> None:
    result = command("studies", "export", "--storage", study_db.url)
    assert (result.code, result.err) == (0, "")
    check_table(pd.read_csv(io.StringIO(result.out)))


@pytest.mark.parametrize("to_file", [False, True])
def test_studies_export_has_neither_formulas_nor_escape_codes(
    command: Command, study_db: StudyDb, tmp_path: Path, to_file: bool
) -> None:
    database = tmp_path / "copy.db"
    shutil.copyfile(study_db.url.removeprefix("sqlite:///"), database)
    hostile = json.dumps("=cmd|'/C calc'!A0\x1b]0;pwn\x07\r\n@next")
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(
            "UPDATE trial_user_attributes SET value_json = ? WHERE key = 'failure'", (hostile,)
        )
        connection.commit()
    output = ("-o", tmp_path / "t.csv") if to_file else ()
    result = command("studies", "export", "--storage", f"sqlite:///{database}", *output)
    assert result.code == 0, result.err
    text = (tmp_path / "t.csv").read_text() if to_file else result.out
    assert r"'=cmd|'/C calc'!A0\x1b]0;pwn\x07\r\n@next" in text
    assert "\x1b" not in text
    rows = list(csv.reader(io.StringIO(text)))
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "@", "+"))]


def test_studies_export_to_a_file(command: Command, study_db: StudyDb, tmp_path: Path) -> None:
    path = tmp_path / "new" / "trials.csv"
    arguments = ("--study", study_db.name, "--storage", study_db.url, "-o", path)
    result = command("studies", "export", *arguments)
    assert (result.code, result.err) == (0, "")
    assert result.out == f"8 trials written to {path}\n"
    check_table(pd.read_csv(path))


# --- how a command ends -----------------------------------------------------------------------


def test_ctrl_c_ends_with_130(
    command: Command, study_db: StudyDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ocrsearch.studies.list_studies", interrupted)
    result = command("studies", "list", "--storage", study_db.url)
    assert result.code == 130
    assert "Traceback" not in result.err


def test_our_own_mistake_is_one_line_too(
    command: Command, study_db: StudyDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr("ocrsearch.studies.list_studies", broken)
    result = command("studies", "list", "--storage", study_db.url)
    assert result.code == 1
    assert result.err == (
        "ocrsearch: internal error: ZeroDivisionError: two lines "
        "(set OCRSEARCH_TRACEBACK=1 to see where)\n"
    )
    monkeypatch.setenv("OCRSEARCH_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        command("studies", "list", "--storage", study_db.url)


def test_no_command_needs_a_gpu(command: Command, model_file: Path, number_folder: Path) -> None:
    result = command("predict", model_file, number_folder / "10.png", "--device", "cpu")
    assert result.code == 0
    if not torch.cuda.is_available():
        auto = command("predict", model_file, number_folder / "10.png", "--device", "auto")
        assert auto == result
