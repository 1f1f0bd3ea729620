"""A check of labels: every image is read by networks that have not seen it, and it resumes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from ocrsearch.core.errors import DataError, OptionError
from ocrsearch.data.data_options import DataOptions
from ocrsearch.data.samples import LabelledImages
from ocrsearch.spaces.reading import parse_space
from ocrsearch.training.trainer import Trainer
from ocrsearch.workflows import label_check
from ocrsearch.workflows.label_check import CheckOptions, check_labels, with_epochs
from ocrsearch.workflows.labelled_data import folds_of, read_labelled
from ocrsearch.workflows.training import Observer

if TYPE_CHECKING:
    from tests.conftest import CommandResult, StudyDb

Command = Callable[..., "CommandResult"]

SPACE = """
images: {height: 16}
model:
  architecture: crnn
  encoder: {conv_depth: 2, conv_base: 8, linear_width: 16, hidden_size: 16}
training:
  epochs: 30
  learning_rate: {float: [1.0e-3, 1.0e-2]}
  batch_size: 16
  augment: {strength: 0.0}
search: {try_first: [{training: {learning_rate: 4.0e-3}}]}
"""


@pytest.fixture(autouse=True)
def _small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    space = parse_space(SPACE, "tiny")
    monkeypatch.setattr(label_check, "derive_space", lambda *_: SimpleNamespace(space=space))


@pytest.fixture
def trained_on(monkeypatch: pytest.MonkeyPatch) -> list[tuple[set[str], set[str]]]:
    """The names of the images that each network is trained on and reads."""
    seen: list[tuple[set[str], set[str]]] = []
    original = Trainer.__init__

    def spy(self: Trainer, config: Any, dataset: Any, *others: Any) -> None:
        seen.append((set(dataset.splits["train"].names), set(dataset.splits["val"].names)))
        original(self, config, dataset, *others)

    monkeypatch.setattr(Trainer, "__init__", spy)
    return seen


def test_no_network_has_seen_what_it_reads(
    number_folder: Path, tmp_path: Path, trained_on: list[tuple[set[str], set[str]]]
) -> None:
    options = CheckOptions(
        folds=3, repeats=2, epochs=1, data=DataOptions(group=r"^\d"), device="cpu"
    )
    result = check_labels(str(number_folder), tmp_path / "check", options)
    names = {f"{number}.png" for number in range(10, 50)}
    assert len(trained_on) == 6
    for train, read in trained_on:
        assert train | read == names
        assert not {name[0] for name in train} & {name[0] for name in read}  # groups
    assert set.union(*(read for _, read in trained_on[:3])) == names
    assert {label.sample.name for label in result.labels} == names
    margins = [label.found.margin for label in result.labels]
    assert margins == sorted(margins, reverse=True)
    assert result.n_networks == 6


class StoppedError(Exception):
    """Ends a training from outside."""


class Stopper(Observer):
    """Counts epochs, and ends the check after some."""

    def __init__(self, after: int) -> None:
        self.after, self.seen = after, []  # type: ignore[var-annotated]

    def epochs_done(self, epochs: Any, n_epochs: int) -> None:
        self.seen.append((len(epochs), n_epochs))
        if len(self.seen) == self.after:
            raise StoppedError


def test_an_interrupted_check_resumes(number_folder: Path, tmp_path: Path) -> None:
    options = CheckOptions(folds=2, epochs=2, device="cpu")
    whole = check_labels(str(number_folder), tmp_path / "whole", options)
    with pytest.raises(StoppedError):
        check_labels(str(number_folder), tmp_path / "part", options, Stopper(3))
    rest = Stopper(0)
    resumed = check_labels(str(number_folder), tmp_path / "part", options, rest)
    assert rest.seen == [(3, 4), (4, 4)]
    assert [(x.index, x.found) for x in resumed.labels] == [
        (x.index, x.found) for x in whole.labels
    ]


def test_a_time_limit_ends_every_network_early(number_folder: Path, tmp_path: Path) -> None:
    options = CheckOptions(folds=2, epochs=500, timeout_s=0.1, device="cpu")
    observer = Stopper(0)
    check_labels(str(number_folder), tmp_path / "check", options, observer)
    assert len(observer.seen) == 4  # an epoch, and one with the lowest learning rate, each


def test_equal_images_and_groups_share_a_fold(number_folder: Path) -> None:
    labelled = read_labelled(str(number_folder), DataOptions())
    images = [labelled.images.images[i] for i in (0, 1, 0, 2, 3, 0)]
    texts = ["10", "11", "1X", "12", "13", "10"]  # a character that no other label has
    samples = [replace(labelled.samples[0], name=str(i), text=text) for i, text in enumerate(texts)]
    pairs = list(zip(samples, images, strict=True))
    some = replace(labelled, samples=samples, images=LabelledImages.from_samples(pairs))
    folds = folds_of(some, 3)
    assert folds[0] == folds[2] == folds[5]
    assert set(folds) == {1, 2, 3}
    grouped = [replace(sample, group="all") for sample in samples]
    with pytest.raises(DataError, match="6 images in 1 group"):
        folds_of(replace(some, samples=grouped), 3)


@pytest.mark.parametrize(("given", "epochs"), [(None, 10), (4, 4), (50, 50)])
def test_a_check_trains_for_a_third_of_the_epochs(given: int | None, epochs: int) -> None:
    config = parse_space(SPACE, "tiny").resolve({"training.learning_rate": 0.004})
    assert with_epochs(config, given).training.epochs == epochs


def test_a_study_gives_its_best_configuration(study_db: StudyDb, number_folder: Path) -> None:
    options = CheckOptions(
        study=study_db.name, storage=study_db.url, data=DataOptions(max_invalid=0.5)
    )
    config, start, data, source = label_check._configuration(str(number_folder), options)
    assert (start, data.max_invalid, source) == (None, 0.5, "trial 2")
    assert config is not None
    assert config.training.learning_rate == pytest.approx(0.003)


def test_options_are_checked() -> None:
    with pytest.raises(OptionError, match="folds: must be at least 2, got 1"):
        CheckOptions(folds=1)


def test_command(command: Command, number_folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "check.html"
    arguments = ("data", "check", number_folder, "-o", page, "--epochs", 1, "--folds", 2)
    result = command(*arguments, "--top", 5, "--json")
    assert (result.code, result.err) == (0, "")
    content = result.json()
    assert (content["n"], content["n_bad"], len(content["labels"])) == (40, 0, 5)
    assert set(content["labels"][0]) == {
        *("name", "label", "reading", "margin", "confidence", "unseen", "part")
    }
    text = page.read_text(encoding="utf-8")
    assert text.count('<li class="card"') == 5
    assert str(number_folder) in text
    again = command(*arguments, "--top", 5)
    assert again.code == 0
    assert f"page written to {page}" in again.out
    assert "train them longer with --epochs" in again.err
    bad = command("data", "check", number_folder, "-o", page, "--timeout", "soon")
    assert (bad.code, bad.out) == (2, "")
    assert "--timeout: write it as 90s" in bad.err
