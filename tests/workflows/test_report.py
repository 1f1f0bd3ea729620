"""Reports of studies with real training: errors, labels to check, folds, moved and deleted data."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import pytest

from ocrsearch.core.errors import OptionError, StudyError
from ocrsearch.data.data_options import DataOptions
from ocrsearch.data.dataset import load_dataset
from ocrsearch.data.samples import LabelledImages, PackedImages
from ocrsearch.inference.predictor import Prediction
from ocrsearch.reports import plain_content, study_page
from ocrsearch.studies.database import study_folder
from ocrsearch.training.records import VALIDATED
from ocrsearch.workflows.confirmation import CONFIRMED, stored_test
from ocrsearch.workflows.report import collect_report, write_report
from ocrsearch.workflows.report_readings import _doubtful, _errors
from ocrsearch.workflows.trust import Readings
from tests.conftest import TINY_CRNN, draw_text

if TYPE_CHECKING:
    from tests.conftest import CommandResult, StudyDb

Command = Callable[..., "CommandResult"]

OLD = Path(__file__).parents[1] / "old_version"


def readings(labels: list[str], texts: list[str], confidence: float = 0.5) -> Readings:
    images = PackedImages.pack([draw_text(label) for label in labels])
    data = LabelledImages([f"{i}.png" for i in range(len(labels))], labels, images)
    return Readings(data, [Prediction(text, confidence, ()) for text in texts])


def test_errors_come_the_worst_first() -> None:
    found = _errors(readings(["12", "345", "6", "78"], ["12", "340", "7", ""]))
    assert (found.n_images, found.n_wrong, found.cer) == (4, 3, 4 / 8)
    assert [image.name for image in found.images] == ["2.png", "3.png", "1.png"]
    assert [image.edits for image in found.images] == [1, 2, 1]
    assert found.images[1].pairs == ("7 → (nothing)", "8 → (nothing)")
    assert all(image.url.startswith("data:image/") for image in found.images)


def test_labels_are_doubtful_if_all_networks_read_the_same_other_text() -> None:
    labels = ["1", "2", "3", "4", "5"]
    networks = [
        readings(labels, ["1", "7", "8", "", "6"], 0.9),
        readings(labels, ["1", "7", "8", "", "6"], 0.8),
        readings(labels, ["1", "7", "9", "", "5"], 0.7),
    ]
    (doubtful,) = _doubtful(networks)
    assert (doubtful.name, doubtful.label, doubtful.reading) == ("1.png", "2", "7")
    assert doubtful.confidence == 0.7


def test_a_study_whose_images_are_gone(study_db: StudyDb) -> None:
    content = collect_report(study_db.url, study_db.name)
    assert content.errors is None
    assert content.no_errors_reason == content.data.problem != ""
    assert [p.number for p in content.points] == [2, 1, 3, 0, 4, 7]
    assert content.importances is None  # six trials
    assert len(study_page([content])) < 100_000


@pytest.mark.parametrize("n", [0, 11])
def test_numbers_of_studies_are_checked(study_db: StudyDb, tmp_path: Path, n: int) -> None:
    content = collect_report(study_db.url, study_db.name)
    with pytest.raises(OptionError, match=f"found {n} studies, a page has 1 to 10"):
        write_report([content] * n, tmp_path / "page.html")


def test_a_confirmation_has_evaluated_the_test_split(tmp_path: Path) -> None:
    assert stored_test(tmp_path) is None
    rates = {"n": 40, "cer": 0.1, "cer_low": 0.05, "cer_high": 0.2}
    for name, text in (
        ("trial-00002-seed-0", json.dumps(rates)),
        ("trial-00003-seed-0", "{"),
        ("trial-x-seed-0", json.dumps(rates)),
        ("trial-00004-seed-0", json.dumps({"n": "many"})),
    ):
        (tmp_path / CONFIRMED / name).mkdir(parents=True)
        (tmp_path / CONFIRMED / name / "test.json").write_text(text)
    assert stored_test(tmp_path) == (2, rates)


# --- with real training -----------------------------------------------------------------------


@pytest.fixture
def trained(searched_url: str, tmp_path: Path) -> str:
    """A copy of a study with trained networks, to be changed."""
    source = Path(searched_url.removeprefix("sqlite:///"))
    shutil.copytree(source.parent, tmp_path / "copy")
    return f"sqlite:///{tmp_path / 'copy' / source.name}"


@pytest.mark.slow
def test_the_best_networks_read_again(trained: str) -> None:
    folder = study_folder(trained, "s")
    before = set(folder.rglob("*"))
    content = collect_report(trained, "s", test=True)
    best, errors = content.best, content.errors
    assert best is not None
    assert errors is not None
    assert best.architecture == "crnn"
    validation = load_dataset("digits", DataOptions(train_fraction=0.02)).splits["val"]
    assert content.n_validated == errors.n_images == len(validation)
    assert errors.cer == pytest.approx(best.rates["cer"].value, abs=0.01)
    low, high = best.rates["cer"].low, best.rates["cer"].high
    assert low is not None
    assert high is not None
    assert low < best.rates["cer"].value < high
    assert {image.name for image in errors.images} <= set(validation.names)
    assert content.n_agreeing == 3
    assert content.test is not None
    assert content.test.n == 500
    assert content.data.n_samples["test"] == 500
    assert content.data.characters == tuple("0123456789")
    assert len(content.data.samples) == 12
    assert set(folder.rglob("*")) == before  # nothing is stored
    page = study_page([content])
    assert len(page.encode()) < 2_000_000
    json.dumps(plain_content([content]), allow_nan=False)


@pytest.mark.slow
def test_lost_weights_and_counts_are_no_reason_to_fail(trained: str) -> None:
    folder = study_folder(trained, "s")
    for file in folder.rglob(VALIDATED):
        file.unlink()
    content = collect_report(trained, "s")
    assert content.best is not None
    assert content.best.rates["cer"].low is None
    assert (content.separation, content.expected_saving) == (None, None)
    assert content.errors is not None
    for file in folder.rglob("best.pt"):
        file.write_bytes(b"damaged")
    content = collect_report(trained, "s")
    assert content.errors is None
    assert "cannot be read" in content.no_errors_reason
    study_page([content])
    with pytest.raises(StudyError):
        collect_report(trained, "missing")


@pytest.mark.slow
def test_folds_are_read_by_the_networks_that_did_not_train_on_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    for i in range(10, 70):
        cv2.imwrite(f"images/{i}.png", draw_text(str(i)))
    space = f"{TINY_CRNN}  epochs: 2\nsearch: {{pruner: {{name: asha}}, folds: 3}}\n"
    (tmp_path / "space.yaml").write_text(space)
    data = ("--data", "captcha:images", "--space", "space.yaml")
    run = command("run", *data, "--study", "f", "--trials", "2", "--workers", "1")
    assert run.code == 0, run.err
    content = collect_report("sqlite:///studies/ocrsearch.db", "f")
    assert content.search.folds == 3
    assert content.errors is not None
    n = content.data.n_samples
    assert content.n_validated == content.errors.n_images
    assert content.errors.n_images in (n["train"] + n["val"], (n["train"] + n["val"]) // 3)
    assert "validated on 3 folds" in study_page([content])


@pytest.mark.slow
def test_an_old_study_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    with zipfile.ZipFile(OLD / "study.zip") as archive:
        archive.extractall(tmp_path)
    monkeypatch.chdir(tmp_path)
    result = command("report", "old", "--json")
    assert result.code == 0, result.err
    study: dict[str, Any] = result.json()["studies"][0]
    assert study["search"]["states"]["finished"] == 2
    assert study["trials"][0]["number"] == 6
    assert study["trials"][0]["rates"]["cer"]["value"] == pytest.approx(0.7916, abs=1e-4)
    assert study["errors"]["n_images"] == 300
