"""Starting from the weights of another model: what is kept, what is fresh, and what it is for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

from ocrsearch.core.config import (
    AugmentConfig,
    Config,
    TrainingConfig,
)
from ocrsearch.core.errors import BundleError
from ocrsearch.data.charset import Charset
from ocrsearch.data.dataset import Dataset
from ocrsearch.data.samples import LabelledImages, PackedImages
from ocrsearch.inference.bundle import halve, save_bundle
from ocrsearch.models.architecture import (
    ARCHITECTURES,
    build_network,
    n_parameters,
    symbol_rows,
)
from ocrsearch.training.pretrained import (
    StartWeights,
    Transfer,
    check_something_kept,
    read_start_weights,
    transfer_weights,
)
from ocrsearch.training.trainer import Trainer, TrainerOptions
from tests.conftest import draw_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocrsearch.inference.bundle import Bundle

CPU = torch.device("cpu")
SIZES: dict[str, Any] = {"conv_depth": 2, "conv_base": 8, "linear_width": 16, "hidden_size": 16}
every_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)


def config_of(architecture: str = "crnn", height: int = 16, **encoder: Any) -> Config:
    sizes = {**SIZES, **encoder}
    if architecture == "classifier":
        del sizes["hidden_size"]
    model = {"architecture": architecture, "encoder": sizes}
    return Config.model_validate({"images": {"height": height}, "model": model})


def start_of(config: Config, symbols: str, seed: int = 1) -> StartWeights:
    """Weights of a model that could have been trained: no tensor is as it was built."""
    network = build_network(config, len(symbols), seed)
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        name: t + torch.rand(t.shape, generator=generator) if t.is_floating_point() else t + 7
        for name, t in network.state_dict().items()
    }
    return StartWeights("model.pt", config, Charset(symbols), tensors, "0123")


def transferred(
    start: StartWeights, config: Config, symbols: str
) -> tuple[Transfer, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return what was kept, the network's tensors before, and after."""
    network = build_network(config, len(symbols), seed=2)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    transfer = transfer_weights(start, network, config, Charset(symbols))
    assert transfer.n_kept + transfer.n_fresh == n_parameters(network)
    return transfer, before, network.state_dict()


@every_architecture
def test_the_same_network_and_charset_keep_all(architecture: str) -> None:
    config = config_of(architecture)
    start = start_of(config, "0123")
    transfer, _, after = transferred(start, config, "0123")
    assert (transfer.n_fresh, transfer.fresh_layers) == (0, ())
    assert transfer.share == 1.0
    assert (transfer.symbols_kept, transfer.symbols_new, transfer.symbols_dropped) == (
        "0123",
        "",
        "",
    )
    torch.testing.assert_close(after, start.tensors, rtol=0, atol=0)  # buffers too


@every_architecture
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("0123", "01234a"), ("0123", "3z10"), ("0123", "0"), ("ab", "xabyz"), ("0123", "3210")],
)
def test_rows_follow_their_symbols(architecture: str, theirs: str, ours: str) -> None:
    config = config_of(architecture)
    start = start_of(config, theirs)
    transfer, before, after = transferred(start, config, ours)
    rows = symbol_rows(config, len(ours))
    assert rows
    for name, tensor in after.items():
        if name not in rows:
            assert torch.equal(tensor, start.tensors[name]), name
            continue
        for i, symbol in enumerate(ours):
            known = symbol in theirs
            expected = start.tensors[name][theirs.index(symbol)] if known else before[name][i]
            assert torch.equal(tensor[i], expected), (name, symbol)
        specials = start.tensors[name][len(theirs) :]  # blank, end, begin
        assert torch.equal(tensor[len(ours) :], specials), name
    assert set(transfer.symbols_kept) == set(theirs) & set(ours)
    assert set(transfer.symbols_new) == set(ours) - set(theirs)
    assert set(transfer.symbols_dropped) == set(theirs) - set(ours)
    n_fresh = sum(
        before[name][0].numel() * len(set(ours) - set(theirs)) for name in rows
    )  # of these each is trained
    assert transfer.n_fresh == n_fresh
    assert transfer.fresh_layers == ()


def test_charsets_without_a_common_symbol_keep_the_blank() -> None:
    config = config_of()
    start = start_of(config, "01")
    transfer, before, after = transferred(start, config, "ab")
    assert torch.equal(after["head.weight"][:2], before["head.weight"][:2])
    assert torch.equal(after["head.weight"][2], start.tensors["head.weight"][2])
    assert transfer.symbols_kept == ""


@pytest.mark.parametrize(
    ("architecture", "n_behind"),
    [
        ("crnn", {"head": 1, "column_head": 1}),
        ("seq2seq", {"head": 1, "embedding": 2}),
        ("classifier", {"head": 0}),
    ],
)
def test_symbol_rows(architecture: str, n_behind: dict[str, int]) -> None:
    rows = symbol_rows(config_of(architecture), 5)
    for module, n in n_behind.items():
        found = {name: k for name, k in rows.items() if name.startswith(f"{module}.")}
        assert found
        assert set(found.values()) == {n}
    assert not any(name.startswith("encoder.") for name in rows)


@pytest.mark.parametrize(
    ("changes", "fresh"),
    [
        ({"rnn_cell": "gru"}, {"encoder.rnn.forwards.0", "encoder.rnn.backwards.0"}),
        ({"rnn_layers": 2}, {"encoder.rnn.forwards.1", "encoder.rnn.backwards.1"}),
        (
            {"linear_width": 24},
            {
                *("encoder.linear", "encoder.norm.norm", "column_head.conv"),
                *("encoder.rnn.forwards.0", "encoder.rnn.backwards.0"),
            },
        ),
        (
            {"conv_depth": 3},
            {"encoder.linear", "encoder.tower.convs.2", "encoder.tower.pooled_norms.2"},
        ),
        ({"dropout": 0.5}, set()),
    ],
)
def test_what_does_not_fit_is_fresh(changes: dict[str, Any], fresh: set[str]) -> None:
    start, config = start_of(config_of(), "0123"), config_of(**changes)
    transfer, before, after = transferred(start, config, "0123")
    assert set(transfer.fresh_layers) == fresh
    for name, tensor in after.items():
        is_fresh = name.rpartition(".")[0] in fresh
        assert torch.equal(tensor, before[name] if is_fresh else start.tensors[name]), name
    check_something_kept(transfer, start, config)
    assert all(name in transfer.describe() for name in transfer.fresh_layers[:4])


def test_between_architectures_the_encoder_is_kept() -> None:
    start, config = start_of(config_of("crnn"), "0123"), config_of("seq2seq")
    _, before, after = transferred(start, config, "0123")
    for name, tensor in after.items():
        kept = name.startswith("encoder.")
        assert torch.equal(tensor, start.tensors[name] if kept else before[name]), name


def test_nothing_kept_is_refused_and_says_why() -> None:
    start = start_of(config_of("seq2seq"), "0123")
    config = config_of("crnn", height=32, conv_base=24, linear_width=40, hidden_size=24)
    transfer, before, after = transferred(start, config, "0123")
    assert transfer.n_kept == 0
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    with pytest.raises(BundleError) as caught:
        check_something_kept(transfer, start, config)
    message = str(caught.value)
    assert message.startswith("model.pt: none of its weights fit")
    assert "model.encoder.conv_base (8, here 24)" in message
    assert "model.architecture (seq2seq, here crnn)" in message
    assert "dropout" not in message


def test_what_is_said_and_what_is_recorded() -> None:
    config = config_of()
    transfer, _, _ = transferred(start_of(config, "0123"), config, "012ab")
    assert transfer.describe() == (
        f"{transfer.n_kept:,} of {transfer.n_kept + transfer.n_fresh:,} weights kept; "
        "characters: 3 kept, 2 new (a b), 1 dropped (3)"
    )
    record = transfer.record()
    assert json.loads(json.dumps(record)) == record
    assert record["symbols_new"] == "ab"


def test_a_model_file(make_bundle: Callable[..., Bundle], tmp_path: Path) -> None:
    bundle = make_bundle()
    save_bundle(bundle, tmp_path / "a.pt")
    save_bundle(replace(bundle, metrics={"cer": 0.1}), tmp_path / "b.pt")
    changed = {**bundle.weights, "head.bias": bundle.weights["head.bias"] + 1.0}
    save_bundle(replace(bundle, weights=changed), tmp_path / "c.pt")
    save_bundle(replace(bundle, charset=Charset("1234567890")), tmp_path / "d.pt")
    a, b, c, d = (read_start_weights(tmp_path / f"{name}.pt") for name in "abcd")
    assert (a.config, a.charset) == (bundle.config, bundle.charset)
    torch.testing.assert_close(a.tensors, bundle.weights, rtol=0, atol=0)
    assert a.digest == b.digest  # figures are no part of it
    assert len({a.digest, c.digest, d.digest}) == 3


def test_halved_weights_are_widened(make_bundle: Callable[..., Bundle], tmp_path: Path) -> None:
    bundle = make_bundle()
    save_bundle(halve(bundle), tmp_path / "half.pt")
    start = read_start_weights(tmp_path / "half.pt")
    assert {t.dtype for t in start.tensors.values()} == {torch.float32, torch.int64}
    network = build_network(bundle.config, len(bundle.charset), seed=2)
    assert transfer_weights(start, network, bundle.config, bundle.charset).n_fresh == 0


@pytest.mark.parametrize("part", ["config", "symbols", "weights"])
def test_a_damaged_model_is_refused(part: str, model_file: Path, tmp_path: Path) -> None:
    content = torch.load(model_file, weights_only=True)
    torch.save({**content, part: 3}, tmp_path / "bad.pt")
    with pytest.raises(BundleError, match=r"bad\.pt: damaged model"):
        read_start_weights(tmp_path / "bad.pt")


def numbers(texts: Sequence[str]) -> LabelledImages:
    images = PackedImages.pack([draw_text(text) for text in texts])
    return LabelledImages([f"{i}.png" for i in range(len(texts))], list(texts), images)


def lines_of(symbols: str, n: int, seed: int) -> Dataset:
    """Drawn lines of three symbols; some for validation."""
    rng = np.random.default_rng(seed)
    texts = ["".join(rng.choice(list(symbols), 3)) for _ in range(n)]
    splits = {"train": numbers(texts[16:]), "val": numbers(texts[:16]), "test": numbers([])}
    return Dataset("memory", splits, Charset(symbols), str(seed), [])  # type: ignore[arg-type]


def test_fine_tuning_starts_better_than_from_scratch() -> None:
    """Two epochs on a charset with new symbols, with and without what was learnt of the old."""
    plain = AugmentConfig(strength=0.0)
    training = TrainingConfig(batch_size=8, epochs=8, learning_rate=1e-2, augment=plain)
    config = config_of(dropout=0.0, linear_width=32, hidden_size=32).model_copy(
        update={"training": training}
    )
    first = Trainer(config, lines_of("0123", 96, 0), 0, CPU)
    while not first.finished:
        report = first.run_epoch()
    assert report.metrics.cer < 0.2
    start = StartWeights("m", config, Charset("0123"), _clones(first.network), "d")
    more = lines_of("01234a", 64, 1)
    cers, losses = [], []
    for weights in (None, start):
        trainer = Trainer(config, more, 1, CPU, TrainerOptions(start=weights))
        reports = [trainer.run_epoch() for _ in range(2)]
        cers.append(reports[-1].metrics.cer)
        losses.append(reports[-1].val_loss)
    assert cers[1] < 0.5 * cers[0]
    assert losses[1] < 0.5 * losses[0]


def test_what_reads_already_has_no_flat_start(sixteen_lines: Dataset) -> None:
    symbols = "".join(sixteen_lines.charset.symbols)
    aligned = []
    for start_config, start_symbols in (
        (None, ""),
        (config_of(), symbols),
        (config_of(), symbols[:5]),
        (config_of(), symbols[:3]),  # most are new
        (config_of(linear_width=24), symbols),
    ):
        start = start_of(start_config, start_symbols) if start_config else None
        trainer = Trainer(config_of(), sixteen_lines, 0, CPU, TrainerOptions(start=start))
        aligned.append(trainer.progress.aligned)
    assert aligned == [False, True, True, False, False]


def _clones(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def test_of_very_many_symbols_some_are_listed() -> None:
    config = config_of()
    ours = "0123" + "".join(chr(0x4E00 + i) for i in range(3000))
    transfer, _, _ = transferred(start_of(config, "0123"), config, ours)
    assert transfer.describe_symbols().startswith("characters: 4 kept, 3000 new (一 丁 ")
    assert transfer.describe_symbols().endswith(" ...), 0 dropped")
    assert len(transfer.describe_symbols()) < 300
    assert len(transfer.symbols_new) == 3000
