"""Fixtures that several folders of tests share: data made by the machine, in memory."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from hypothesis import settings

from ocrsearch.data.charset import Charset
from ocrsearch.data.dataset import Dataset
from ocrsearch.data.samples import GrayImage, LabelledImages, PackedImages, Split

if TYPE_CHECKING:
    import optuna
    from selenium.webdriver import Chrome

    from ocrsearch.inference.bundle import Bundle
    from ocrsearch.spaces.space import Space
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # of a shell's background job; what the tests start and interrupt would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


SIXTEEN_TEXTS = (
    *("86", "523", "00", "018", "69", "569", "76", "559"),
    *("28", "603", "85", "077", "81", "080", "50", "244"),
)
"""Two or three symbols each, some doubled."""


CHROME_OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--window-size=1400,1000"),
)


def pytest_configure() -> None:
    """Make the tests the same on any machine.

    PyTorch reads both variables when it is first imported. With ``OCRSEARCH_TEST_CUDA=1`` it finds
    the GPU, on which results differ more than the tests of two ways to a result allow.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if not os.environ.get("OCRSEARCH_TEST_CUDA"):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    settings.register_profile("any speed", deadline=None)
    settings.load_profile("any speed")
    if os.environ.get("OCRSEARCH_TEST_ROUNDING"):
        from tests.rounding import OtherRounding

        OtherRounding().__enter__()


def draw_text(text: str) -> GrayImage:
    """Return a picture of digits, 20 px high, as wide as the text is long."""
    image = np.full((20, 4 + 11 * len(text)), 255, np.uint8)
    cv2.putText(image, text, (2, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.55, 0, 1, cv2.LINE_AA)
    return image


@pytest.fixture(scope="session")
def sixteen_lines() -> Dataset:
    """Sixteen pictures of numbers; training and validation split are the same."""
    return _in_memory(list(SIXTEEN_TEXTS), [draw_text(text) for text in SIXTEEN_TEXTS])


@pytest.fixture(scope="session")
def sixteen_symbols() -> Dataset:
    """Sixteen pictures of single digits, of unequal widths, and each digit but few times."""
    texts = list("8365210947136542")
    pictures = [
        np.pad(draw_text(text), ((0, 0), (0, 3 * (i % 4))), constant_values=255)
        for i, text in enumerate(texts)
    ]
    return _in_memory(texts, pictures)


def _in_memory(texts: list[str], pictures: list[GrayImage]) -> Dataset:
    images = PackedImages.pack(pictures)
    lines = LabelledImages([f"{text}.png" for text in texts], texts, images)
    nothing = LabelledImages([], [], PackedImages.pack([]))
    splits: dict[Split, LabelledImages] = {"train": lines, "val": lines, "test": nothing}
    return Dataset("memory", splits, Charset.from_texts(texts), "memory", [])


@pytest.fixture
def full_disk() -> Callable[[], AbstractContextManager[None]]:
    """A context in which no file can grow beyond some kilobytes, as on a full disk."""
    resource = pytest.importorskip("resource")

    @contextmanager
    def limited() -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited


TINY_CRNN = """
images: {height: 16}
model:
  architecture: crnn
  encoder: {conv_depth: 3, conv_base: 8, linear_width: 16, hidden_size: 16, dropout: 0.0}
training:
  learning_rate: {float: [1.0e-3, 1.0e-2], log: true}
  batch_size: 8
  augment: {strength: 0.0}
"""
"""Begin of a space for searches that train. Tests append to ``training`` and add ``search``."""


SPACE_YAML = """
images: {height: 16}
model:
  architecture: {choice: [crnn, seq2seq]}
  encoder:
    conv_depth: {int: [2, 3]}
    conv_base: 8
    linear_width: 16
    hidden_size: 16
  decoder:
    when: {model.architecture: seq2seq}
    attention: {choice: [additive, none]}
training:
  learning_rate: {float: [1.0e-3, 1.0e-2], log: true}
  epochs: 3
"""
"""Small networks of both architectures."""


@dataclass(frozen=True)
class StudyDb:
    """A study in a database, and the folder with the weights of its best trial."""

    url: str
    name: str
    folder: Path


@dataclass(frozen=True)
class CommandResult:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        """Return what was printed, which must be one JSON object and nothing else."""
        content = json.loads(self.out)
        assert isinstance(content, dict)
        return content


def folder_contents(folder: Path) -> dict[str, bytes]:
    """Return the contents of all files below a folder, by their paths in it."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def load_script(name: str) -> ModuleType:
    """Import a script from ``scripts/`` by its name."""
    path = Path(__file__).parents[1] / "scripts" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up their module
    spec.loader.exec_module(module)
    return module


def untrained_bundle(architecture: str = "crnn", attention: str = "additive") -> Bundle:
    """Make an untrained recogniser of the digits, whose output depends on the image."""
    import torch

    from ocrsearch.core.config import Config
    from ocrsearch.inference.bundle import Bundle
    from ocrsearch.models.architecture import build_network
    from ocrsearch.training.provenance import Provenance

    sizes = {"conv_depth": 2, "conv_base": 8, "linear_width": 16}
    if architecture != "classifier":
        sizes["hidden_size"] = 16
    model: dict[str, Any] = {"architecture": architecture, "encoder": sizes}
    if architecture == "seq2seq":
        model["decoder"] = {"attention": attention}
    config = Config.model_validate({"images": {"height": 16}, "model": model})
    network: Any = build_network(config, 10, seed=0)
    with torch.no_grad():  # an untrained one would read nearly the same everywhere
        network.head.weight *= 5.0
        if architecture != "classifier":
            network.head.bias[10] = -3.0  # the blank, or the end
    charset = Charset("0123456789")
    provenance = Provenance(study="made", trial=0, data_options={})
    return Bundle(config, charset, network.state_dict(), {"cer": 0.5}, provenance)


@pytest.fixture(scope="session")
def make_bundle() -> Callable[..., Bundle]:
    """Make an untrained recogniser of the digits, whose output depends on the picture."""
    return untrained_bundle


@pytest.fixture(scope="session")
def model_file(
    make_bundle: Callable[..., Bundle], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A model file of an untrained recogniser of the digits; not to be changed."""
    from ocrsearch.inference.bundle import save_bundle

    path = tmp_path_factory.mktemp("model") / "model.pt"
    save_bundle(make_bundle(), path)
    return path


@pytest.fixture(scope="session")
def number_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 40 pictures of the numbers 10 to 49, named as they read; not to be changed."""
    folder = tmp_path_factory.mktemp("numbers")
    for number in range(10, 50):
        assert cv2.imwrite(str(folder / f"{number}.png"), draw_text(str(number)))
    return folder


SEARCHED_SPACE = """
images: {height: 16}
model:
  architecture: crnn
  encoder: {conv_depth: {int: [2, 5]}, conv_base: 8, linear_width: 16, hidden_size: 16}
training: {learning_rate: 4.0e-3, batch_size: 16, epochs: 1}
search: {pruner: {name: none}}
"""


@pytest.fixture(scope="session")
def searched_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database of a study, "s": four trained configurations on a few of the built-in digits."""
    from ocrsearch.data.data_options import DataOptions
    from ocrsearch.spaces.reading import parse_space
    from ocrsearch.tuning.api import search
    from ocrsearch.tuning.options import SearchOptions

    url = f"sqlite:///{tmp_path_factory.mktemp('searched')}/test.db"
    data = DataOptions(train_fraction=0.02)
    options = SearchOptions(trials=4, storage=url, study="s", workers=1, data=data)
    search(parse_space(SEARCHED_SPACE, "space"), "digits", options)
    return url


@pytest.fixture(scope="session")
def study_db(
    make_bundle: Callable[..., Bundle], tmp_path_factory: pytest.TempPathFactory
) -> StudyDb:
    """A study with trials of all kinds, made without training; not to be changed.

    Trial 2 is the best: it has the CER of trial 1 and a lower loss. Trial 4 was pruned, 5
    failed, 6 is infeasible, 7 is still running.
    """
    from ocrsearch.spaces.reading import parse_space
    from ocrsearch.studies.database import open_storage, study_folder
    from ocrsearch.studies.facts import StudyFacts
    from ocrsearch.studies.study import open_study
    from ocrsearch.training.checkpoint import save_tensors
    from ocrsearch.training.records import trial_folder as folder_of

    url = f"sqlite:///{tmp_path_factory.mktemp('study') / 'studies.db'}"
    storage = open_storage(url, create=True)
    space = parse_space(SPACE_YAML, "tiny")
    sizes = {"train": 32, "val": 4, "test": 4}
    facts = StudyFacts("tiny", space.content, "captcha:numbers", "0a1b2c3d", sizes, {}, 0)
    study = open_study(storage, "tiny-numbers", space, facts)
    for cer, val_loss, architecture in (
        *((0.4, 1.5, "crnn"), (0.1, 0.9, "crnn"), (0.1, 0.5, "crnn"), (0.25, 1.0, "seq2seq")),
        (0.75, 2.0, "seq2seq"),
    ):
        trial = _ask(study, space, architecture)
        _report(trial, cer, val_loss)
        pruned = trial.number == 4
        study.tell(trial, **({"state": _state("PRUNED")} if pruned else {"values": cer}))
    failed = _ask(study, space, "crnn")
    failed.set_user_attr("failure", "RuntimeError: out of memory")
    failed.set_user_attr("traceback", "Traceback (most recent call last): ...")
    study.tell(failed, state=_state("FAIL"))
    infeasible = _ask(study, space, "crnn", frames=1.0)
    infeasible.set_user_attr("infeasible", "3 of 32 labels need more frames")
    study.tell(infeasible, state=_state("PRUNED"))
    running = _ask(study, space, "seq2seq")
    running.report(0.9, 1)
    running.set_user_attr("epochs", [_epoch(1, 0.9, 2.5)])

    folder = study_folder(url, study.study_name)
    bundle = make_bundle()
    content = {
        "weights": bundle.weights,
        "config": space.resolve(study.trials[2].params).model_dump(mode="json"),
        "symbols": list(bundle.charset.symbols),
        "epoch": 2,
        "study": facts.id,
    }
    folder_of(folder, 2).mkdir(parents=True)
    save_tensors(content, folder_of(folder, 2) / "best.pt")
    storage.engine.dispose()
    return StudyDb(url, study.study_name, folder)


def _ask(study: optuna.Study, space: Space, architecture: str, frames: float = 0.0) -> optuna.Trial:
    n = len(study.get_trials(deepcopy=False))
    values = {"model.architecture": architecture, "model.encoder.conv_depth": 2 + n % 2}
    study.enqueue_trial({**values, "training.learning_rate": 0.001 * (n + 1)})
    trial = study.ask()
    config = space.resolve(space.suggest(trial))
    trial.set_user_attr("config", config.identity())
    trial.set_constraint("frames", frames)
    return trial


def _report(trial: optuna.Trial, cer: float, val_loss: float) -> None:
    """Write what the coordinator does of a trial of two epochs, the second the better one."""
    epochs = [_epoch(1, min(1.0, 2 * cer), 2 * val_loss), _epoch(2, cer, val_loss)]
    for record in epochs:
        trial.report(record["cer"], record["epoch"])
    architecture = trial.params["model.architecture"]
    n_parameters = 20_000 if architecture == "crnn" else 30_000
    attrs = {
        "epochs": epochs,
        "exact": 1.0 - cer,
        "wer": cer,
        "val_loss": val_loss,
        "best_epoch": 2,
        "n_epochs": 2,
        "seconds": 2.5,
        "n_parameters": n_parameters,
        "size_mb": n_parameters * 4 / 1e6,
        "seed": trial.number,
        "data_fingerprint": "0a1b2c3d",
        "versions": {"ocrsearch": "0.1.0", "python": "3.11"},
        "architecture": architecture,
    }
    for name, value in attrs.items():
        trial.set_user_attr(name, value)


def _epoch(epoch: int, cer: float, val_loss: float) -> dict[str, Any]:
    rates = {"cer": cer, "wer": cer, "exact": 1.0 - cer}
    return {"epoch": epoch, "train_loss": val_loss, "val_loss": val_loss, "seconds": 1.25, **rates}


def _state(name: str) -> optuna.trial.TrialState:
    from optuna.trial import TrialState

    return TrialState[name]


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., CommandResult]:
    """Run ``ocrsearch`` with the given arguments in this process."""
    for name in ("OCRSEARCH_TRACEBACK", "OCRSEARCH_STORAGE", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")  # tables are as wide as they need to be

    def run(*arguments: object) -> CommandResult:
        from ocrsearch.cli.app import main

        monkeypatch.setattr(sys, "argv", ["ocrsearch", *map(str, arguments)])
        capsys.readouterr()
        code: Any = 0
        try:
            main()
        except SystemExit as exit_:
            code = exit_.code or 0
        captured = capsys.readouterr()
        return CommandResult(code, captured.out, captured.err)

    return run


@pytest.fixture
def browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Chrome]:
    """A headless Chromium; the test is skipped where there is none."""
    pytest.importorskip("selenium", reason="selenium is not installed")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip(f"{'chromium' if chromium is None else 'chromedriver'} is not installed")

    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")  # selenium would ask it for its driver
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = chromium
    for option in (*CHROME_OPTIONS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(option)
    chrome = Chrome(options=options, service=Service(driver))
    try:
        yield chrome
    finally:
        chrome.quit()
