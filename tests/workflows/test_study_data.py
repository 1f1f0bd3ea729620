"""The data of a study is found where it was, or where the user says that it is now."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ocrsearch.core.errors import (
    DataError,
    OcrSearchError,
    StudyError,
)
from ocrsearch.data.data_options import DataOptions
from ocrsearch.data.dataset import load_dataset
from ocrsearch.data.formats.specs import absolute_spec
from ocrsearch.studies.facts import StudyFacts
from ocrsearch.workflows.study_data import DataPlace, load_study_data

if TYPE_CHECKING:
    from tests.conftest import CommandResult, StudyDb

FORTY = [str(number) for number in range(10, 50)]


def write_images(folder: Path, texts: list[str] = FORTY, grey: int = 200) -> None:
    folder.mkdir(parents=True)
    for text in texts:
        pixels = bytes([grey, 0, 255, grey] * 2)
        (folder / f"{text}.pgm").write_bytes(b"P5 4 2 255 " + pixels)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with the images of a study in it."""
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "c1")
    return tmp_path


def facts_of(spec: str, *, with_place: bool = True, **options: Any) -> StudyFacts:
    """Return the facts that matter, as a search stores them."""
    chosen = DataOptions(**options)
    fingerprint = load_dataset(spec, chosen).fingerprint
    place = absolute_spec(spec) if with_place else ""
    return StudyFacts("s", {}, spec, fingerprint, {}, chosen.to_dict(), 0, data_place=place)


def found(facts: StudyFacts, place: DataPlace | None = None) -> bool:
    dataset = load_study_data("s", facts, place or DataPlace())
    return dataset.fingerprint == facts.data_fingerprint


def test_images_that_were_moved(place: Path) -> None:
    facts = facts_of("captcha:c1")
    assert found(facts)
    (place / "c1").rename(place / "c2")
    with pytest.raises(DataError) as caught:
        found(facts)
    reason = "captcha:c1: no such folder"
    message = f"{reason}; if the images were moved, give their new location with `data`"
    assert str(caught.value) == message
    assert found(facts, DataPlace("captcha:c2"))


def test_another_working_folder(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = facts_of("captcha:c1")
    (place / "elsewhere").mkdir()
    monkeypatch.chdir(place / "elsewhere")
    assert found(facts)
    write_images(place / "elsewhere" / "c1", grey=0)  # other images of the same name
    assert found(facts)


def test_a_study_that_was_moved_with_its_images(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = facts_of("captcha:c1")
    (place / "other").mkdir()
    (place / "c1").rename(place / "other" / "c1")
    monkeypatch.chdir(place / "other")
    assert found(facts)


def test_studies_of_older_versions_know_no_place(place: Path) -> None:
    assert found(facts_of("captcha:c1", with_place=False))


def test_the_built_in_images_are_nowhere() -> None:
    assert absolute_spec("digits") == "digits"


def test_other_images_are_refused(place: Path) -> None:
    facts = facts_of("captcha:c1")
    write_images(place / "c2", grey=0)
    with pytest.raises(StudyError, match="captcha:c2 is not the dataset of the study"):
        found(facts, DataPlace("captcha:c2"))


def test_splits_and_added_images_that_were_moved(place: Path) -> None:
    splits = [f"{t}.pgm,{'val' if t < '20' else 'train'}" for t in FORTY]
    (place / "splits.csv").write_text("\n".join(["name,split", *splits]), encoding="utf-8")
    write_images(place / "more", ["11", "12"], grey=9)
    facts = facts_of("captcha:c1", splits="splits.csv", extra_train_data="captcha:more")
    (place / "splits.csv").rename(place / "s.csv")
    (place / "more").rename(place / "m")
    with pytest.raises(OcrSearchError, match=r"splits\.csv"):
        found(facts)
    with pytest.raises(OcrSearchError, match="more: no such folder"):
        found(facts, DataPlace(splits="s.csv"))
    assert found(facts, DataPlace(splits="s.csv", extra_train_data="captcha:m"))


@pytest.mark.parametrize("option", ["--confirm", "--ensemble"])
def test_best_takes_the_place(
    command: Callable[..., CommandResult],
    study_db: StudyDb,
    monkeypatch: pytest.MonkeyPatch,
    option: str,
) -> None:
    places: list[DataPlace] = []

    def stop(*arguments: Any) -> None:
        places.extend(a for a in arguments if isinstance(a, DataPlace))
        raise StudyError("far enough")

    monkeypatch.setattr("ocrsearch.workflows.confirm", stop)
    monkeypatch.setattr("ocrsearch.workflows.make_ensemble", stop)
    moved = ["--data", "captcha:a b", "--splits", "s.csv", "--extra-train-data", "gt:m"]
    result = command("best", "--storage", study_db.url, option, 2, *moved)
    assert (result.code, "far enough" in result.err) == (1, True)
    assert places == [DataPlace("captcha:a b", "s.csv", "gt:m")]


def test_best_alone_reads_no_data(command: Callable[..., CommandResult], study_db: StudyDb) -> None:
    result = command("best", "--storage", study_db.url, "--data", "captcha:c2")
    assert result.code == 2
    assert "--data: needs --export, --confirm or --ensemble" in result.err
