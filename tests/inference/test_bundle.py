"""Bundles: what is saved comes back, what is none is refused, and no file runs code."""

from __future__ import annotations

import pickle
import shutil
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

from ocrsearch.core.errors import BundleError
from ocrsearch.inference.bundle import Bundle, halve, load_bundle, save_bundle
from ocrsearch.inference.predictor import Predictor
from ocrsearch.studies.facts import study_facts
from ocrsearch.studies.results import best_trial, load_study
from ocrsearch.training.checkpoint import load_tensors, save_tensors
from ocrsearch.training.model_file import FORMAT, VERSION
from ocrsearch.training.provenance import Provenance
from ocrsearch.training.records import plain_epochs
from ocrsearch.workflows.trial_models import bundle_trial
from tests.hostile_models import RunsCode

if TYPE_CHECKING:
    from tests.conftest import StudyDb

EPOCH = {"epoch": 1, "cer": 0.5, "train_loss": 1.0, "val_loss": 1.0}

MakeBundle = Callable[..., Bundle]


def refusal(path: Path) -> str:
    """Return the message with which a file is refused, which must be one line naming it."""
    with pytest.raises(BundleError) as caught:
        load_bundle(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert len(message.splitlines()) == 1
    return message.removeprefix(f"{path}: ")


@pytest.fixture
def content(model_file: Path) -> dict[str, Any]:
    """What a good model file holds, to be spoilt."""
    loaded: dict[str, Any] = torch.load(model_file, weights_only=True)
    return loaded


# --- saving and loading -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("architecture", "attention"),
    [
        ("crnn", "additive"),
        ("seq2seq", "additive"),
        ("seq2seq", "location_aware"),
        ("seq2seq", "none"),
        ("classifier", ""),
    ],
)
def test_a_saved_bundle_reads_as_before(
    make_bundle: MakeBundle, tmp_path: Path, architecture: str, attention: str
) -> None:
    bundle = make_bundle(architecture, attention)
    save_bundle(bundle, tmp_path / "model.pt")
    loaded = load_bundle(tmp_path / "model.pt")
    assert loaded.config == bundle.config
    assert loaded.charset == bundle.charset
    assert loaded.metrics == bundle.metrics
    assert loaded.provenance == bundle.provenance
    assert loaded.weights.keys() == bundle.weights.keys()
    assert all(torch.equal(loaded.weights[k], bundle.weights[k]) for k in bundle.weights)
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (20, w), dtype=np.uint8) for w in (9, 40, 75)]
    read = Predictor(bundle).predict_many(pictures)
    assert Predictor(loaded).predict_many(pictures) == read
    assert all(p.text for p in read)


@pytest.mark.parametrize("epochs", [{}, {"epochs": []}, {"epochs": [EPOCH]}])
def test_older_models_have_no_epochs(
    tmp_path: Path, content: dict[str, Any], epochs: dict[str, Any]
) -> None:
    path = tmp_path / "model.pt"
    torch.save({**content, "provenance": {"study": "s", **epochs}}, path)
    assert load_bundle(path).provenance.to_plain() == {"study": "s", **epochs}


def test_an_ensemble_reads_as_before(make_bundle: MakeBundle, tmp_path: Path) -> None:
    others = (make_bundle("seq2seq"), replace(make_bundle("crnn"), metrics={"cer": 0.7}))
    bundle = replace(make_bundle(), others=others)
    save_bundle(bundle, tmp_path / "model.pt")
    loaded = load_bundle(tmp_path / "model.pt")
    assert len(loaded.members) == 3
    for found, expected in zip(loaded.members, bundle.members, strict=True):
        assert (found.config, found.charset) == (expected.config, expected.charset)
        assert (found.metrics, found.provenance) == (expected.metrics, expected.provenance)
        assert all(torch.equal(found.weights[k], expected.weights[k]) for k in expected.weights)
    picture = np.random.default_rng(0).integers(0, 256, (20, 75), dtype=np.uint8)
    assert Predictor(loaded).predict(picture) == Predictor(bundle).predict(picture)


def test_halved_weights_read_as_before(make_bundle: MakeBundle, tmp_path: Path) -> None:
    first, second = make_bundle(), make_bundle("seq2seq")
    name = next(n for n, w in first.weights.items() if w.ndim > 1)
    first.weights[name].view(-1)[0] = 1e6  # beyond 16 bits
    bundle = replace(first, others=(second,))
    sizes = {}
    for kind, b in {"whole": bundle, "half": halve(bundle)}.items():
        save_bundle(b, tmp_path / kind)
        sizes[kind] = (tmp_path / kind).stat().st_size
    assert sizes["half"] < 0.8 * sizes["whole"]
    loaded = load_bundle(tmp_path / "half")
    assert torch.equal(loaded.weights[name], first.weights[name])
    for before, after in zip(bundle.members, loaded.members, strict=True):
        assert all(w.dtype == before.weights[n].dtype for n, w in after.weights.items())
        for n, w in after.weights.items():
            assert torch.allclose(w, before.weights[n], rtol=1e-3, atol=1e-7)
            assert w.ndim > 1 or torch.equal(w, before.weights[n])


def test_models_of_before_ensembles_are_one_network(
    tmp_path: Path, content: dict[str, Any]
) -> None:
    path = tmp_path / "model.pt"
    del content["others"]
    torch.save({**content, "version": 3}, path)
    assert load_bundle(path).others == ()


def test_an_ensemble_with_a_spoilt_member_is_refused(
    tmp_path: Path, content: dict[str, Any]
) -> None:
    path = tmp_path / "model.pt"
    parts = {key: content[key] for key in ("config", "weights", "metrics", "provenance")}
    torch.save({**content, "others": [parts, {**parts, "weights": {}}]}, path)
    assert refusal(path).startswith("damaged model (its weights are not those of")


def test_symbols_of_any_script_come_back(make_bundle: MakeBundle, tmp_path: Path) -> None:
    bundle = make_bundle()
    symbols = tuple("0é漢ع \U0001f600ßक|\u0301")
    save_bundle(replace(bundle, charset=type(bundle.charset)(symbols)), tmp_path / "model.pt")
    assert load_bundle(tmp_path / "model.pt").charset.symbols == symbols


def test_the_network_is_built_for_reading(make_bundle: MakeBundle) -> None:
    network = make_bundle().build_network()
    assert not network.training
    assert {p.device.type for p in network.parameters()} == {"cpu"}


def test_a_bundle_is_written_into_a_new_folder(make_bundle: MakeBundle, tmp_path: Path) -> None:
    save_bundle(make_bundle(), tmp_path / "a" / "b" / "model.pt")
    assert [p.name for p in (tmp_path / "a" / "b").iterdir()] == ["model.pt"]


def test_a_bundle_that_cannot_be_written_leaves_the_old_one(
    make_bundle: MakeBundle,
    tmp_path: Path,
    full_disk: Callable[[], AbstractContextManager[None]],
) -> None:
    path = tmp_path / "model.pt"
    save_bundle(make_bundle(), path)
    before = path.read_bytes()
    large = replace(make_bundle(), provenance=Provenance.from_plain({"notes": "x" * 200_000}))
    with full_disk(), pytest.raises(BundleError, match="cannot be written"):
        save_bundle(large, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["model.pt"]


@pytest.mark.parametrize("name", [".", "folder", "file/model.pt"])
def test_a_path_that_cannot_be_a_file(make_bundle: MakeBundle, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    path = Path(name) if name == "." else tmp_path / name
    with pytest.raises(BundleError, match="cannot be written"):
        save_bundle(make_bundle(), path)
    assert list((tmp_path / "folder").iterdir()) == []


# --- from a study -----------------------------------------------------------------------------


def test_bundle_of_the_best_trial(study_db: StudyDb, tmp_path: Path) -> None:
    best = best_trial(study_db.url)
    facts = study_facts(load_study(study_db.url, best.study))
    bundle = bundle_trial(best, facts)
    assert bundle.charset.symbols == tuple("0123456789")
    assert bundle.metrics["cer"] == 0.1
    assert all(isinstance(value, int | float) for value in bundle.metrics.values())
    assert bundle.provenance.to_plain() == {
        "study": "tiny-numbers",
        "study_id": facts.id,
        "trial": 2,
        "seed": 2,
        "data": "captcha:numbers",
        "data_fingerprint": "0a1b2c3d",
        "data_options": {},
        "versions": {"ocrsearch": "0.1.0", "python": "3.11"},
        "params": best.params,
        "epochs": plain_epochs(best.epochs),
        "init": None,
        "transfer": None,
    }
    assert [record.cer for record in best.epochs] == [0.2, 0.1]
    save_bundle(bundle, tmp_path / "model.pt")
    assert load_bundle(tmp_path / "model.pt").provenance == bundle.provenance


@pytest.mark.parametrize(
    "spoil",
    [
        Path.unlink,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("not weights"),
        lambda path: path.write_bytes(path.read_bytes()[:1000]),
        lambda path: torch.save({"config": {}}, path),
        lambda path: torch.save([1, 2], path),
    ],
    ids=["missing", "empty", "text", "cut off", "other content", "a list"],
)
def test_weights_of_the_best_trial_that_cannot_be_read(
    study_db: StudyDb, tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    best = best_trial(study_db.url)
    facts = study_facts(load_study(study_db.url, best.study))
    shutil.copy(best.weights, tmp_path / "best.pt")
    spoil(tmp_path / "best.pt")
    with pytest.raises(BundleError, match=r"the weights of trial 2 of study 'tiny-numbers'"):
        bundle_trial(replace(best, weights=tmp_path / "best.pt"), facts)


def test_weights_of_another_network_are_refused(study_db: StudyDb, tmp_path: Path) -> None:
    """Or the model could be written, and never read."""
    best = best_trial(study_db.url)
    facts = study_facts(load_study(study_db.url, best.study))
    content = load_tensors(best.weights)
    content["weights"] = {f"old.{name}": w for name, w in content["weights"].items()}
    save_tensors(content, tmp_path / "best.pt")
    message = "do not match this version of the network; use"
    with pytest.raises(BundleError, match=message) as caught:
        bundle_trial(replace(best, weights=tmp_path / "best.pt"), facts)
    assert "\n" not in str(caught.value)


# --- files that are none ----------------------------------------------------------------------


def test_a_missing_file(tmp_path: Path) -> None:
    assert "no such model file" in refusal(tmp_path / "model.pt")


def test_a_folder(tmp_path: Path) -> None:
    assert "a folder, not a file" in refusal(tmp_path)


@pytest.mark.parametrize("text", ["", "a text", "PK\x03\x04", "\x80\x04."])
def test_a_file_of_another_kind(tmp_path: Path, text: str) -> None:
    path = tmp_path / "model.pt"
    path.write_text(text)
    assert "not an ocrsearch model file" in refusal(path)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_off(model_file: Path, tmp_path: Path, share: float) -> None:
    whole = model_file.read_bytes()
    path = tmp_path / "model.pt"
    path.write_bytes(whole[: int(len(whole) * share)])
    assert "cut off" in refusal(path)


def test_a_file_with_a_wrong_byte_among_the_weights(model_file: Path, tmp_path: Path) -> None:
    """It would read nonsense and nobody would know."""
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(model_file) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
    spoilt = bytearray(model_file.read_bytes())
    spoilt[largest.header_offset + largest.file_size // 2] ^= 0xFF
    path.write_bytes(spoilt)
    assert "damaged" in refusal(path)


@pytest.mark.parametrize("names", [[], ["a.txt"], ["archive/data.pkl"]])
def test_another_zip_file(tmp_path: Path, names: list[str]) -> None:
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "text")
    assert refusal(path)


@pytest.mark.parametrize("other", [torch.zeros(3), [1, 2], None])
def test_a_torch_file_of_something_else(tmp_path: Path, other: Any) -> None:
    path = tmp_path / "model.pt"
    torch.save(other, path)
    assert refusal(path)


@pytest.mark.parametrize("other", [{}, {"weights": {}}, {"format": "another"}])
def test_weights_of_something_else(tmp_path: Path, other: dict[str, Any]) -> None:
    path = tmp_path / "model.pt"
    torch.save(other, path)
    assert "not an ocrsearch model" in refusal(path)


@pytest.mark.parametrize("version", [1, 2, VERSION + 1, 99])
def test_a_file_of_another_version(tmp_path: Path, content: dict[str, Any], version: int) -> None:
    path = tmp_path / "model.pt"
    torch.save({**content, "version": version}, path)
    message = refusal(path)
    assert f"version {version}" in message
    assert "make it again" in message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("config", {}),  # the weights are of another network
        ("config", {"model": {"architecture": "transformer"}}),
        ("config", 5),
        ("symbols", list("012345678")),
        ("symbols", list("0012345678")),
        ("symbols", None),
        ("weights", {}),
        ("weights", {1: 2}),
        ("weights", None),
        ("metrics", None),
        ("provenance", None),
        ("provenance", {"epochs": 3}),
        ("provenance", {"epochs": [{"epoch": 1, "cer": 0.5}]}),
        ("provenance", {"epochs": [{**EPOCH, "cer": "<script>"}]}),
    ],
)
def test_a_damaged_model(tmp_path: Path, content: dict[str, Any], key: str, value: Any) -> None:
    path = tmp_path / "model.pt"
    torch.save({**content, key: value}, path)
    assert refusal(path).startswith("damaged model")


@pytest.mark.parametrize("key", ["config", "symbols", "weights", "metrics", "provenance"])
def test_a_model_that_lacks_a_part(tmp_path: Path, content: dict[str, Any], key: str) -> None:
    path = tmp_path / "model.pt"
    del content[key]
    torch.save(content, path)
    assert refusal(path).startswith("damaged model")


def test_weights_of_a_wrong_shape(tmp_path: Path, content: dict[str, Any]) -> None:
    path = tmp_path / "model.pt"
    weights = {**content["weights"], "head.bias": torch.zeros(5)}
    torch.save({**content, "weights": weights}, path)
    assert refusal(path).startswith("damaged model")


# --- files that would run code ----------------------------------------------------------------


@pytest.mark.parametrize("place", ["whole", "part"])
@pytest.mark.parametrize("kind", ["pickle", "torch", "old torch"])
def test_code_in_a_file_is_not_run(tmp_path: Path, kind: str, place: str) -> None:
    path, trace = tmp_path / "model.pt", tmp_path / "trace"
    code = RunsCode(trace)
    evil = code if place == "whole" else {"format": FORMAT, "version": VERSION, "config": code}
    if kind == "pickle":
        path.write_bytes(pickle.dumps(evil))
    else:
        torch.save(evil, path, _use_new_zipfile_serialization=kind == "torch")
    message = refusal(path)
    assert not trace.exists()
    assert ("refused" in message) == (kind == "torch")
    _read_carelessly(path, kind)
    assert trace.exists(), "the file should have run code in a careless reader"


def _read_carelessly(path: Path, kind: str) -> None:
    if kind == "pickle":
        pickle.loads(path.read_bytes())
    else:
        torch.load(path, weights_only=False)


def test_a_whole_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(nn.Linear(2, 2), path)
    assert "could run code; refused" in refusal(path)


def test_networks_that_are_too_large_together_are_not_written(
    make_bundle: Callable[..., Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make_bundle()
    n_weights = sum(w.numel() for w in bundle.weights.values())
    monkeypatch.setattr("ocrsearch.inference.bundle.MAX_PARAMETERS", n_weights)
    save_bundle(bundle, tmp_path / "one.pt")
    with pytest.raises(BundleError, match=r"two\.pt: [\d,]+ weights in all, at most"):
        save_bundle(replace(bundle, others=(bundle,)), tmp_path / "two.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["one.pt"]
