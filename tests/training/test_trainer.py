"""Training: one seed one result, stopped and continued, and when it ends."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from ocrsearch.core.config import (
    AugmentConfig,
    Config,
    CrnnConfig,
    DecoderConfig,
    EncoderConfig,
    ImageConfig,
    ModelConfig,
    OptimizerName,
    RecipeConfig,
    Seq2SeqConfig,
    TrainingConfig,
)
from ocrsearch.core.errors import DivergedError
from ocrsearch.data import batches as batches_module
from ocrsearch.data.batches import Batch
from ocrsearch.data.dataset import Dataset, load_dataset
from ocrsearch.data.prepared import open_dataset, save_dataset, without_validation
from ocrsearch.evaluation.metrics import Metrics
from ocrsearch.models.recogniser import Reading
from ocrsearch.training import trainer as trainer_module
from ocrsearch.training.checkpoint import load_tensors, save_tensors
from ocrsearch.training.trainer import EpochReport, Schedule, Trainer, TrainerOptions

CPU = torch.device("cpu")
ENCODER = EncoderConfig(
    conv_depth=2,
    conv_base=8,
    conv_dropout=0.1,
    linear_width=16,
    rnn_layers=2,
    hidden_size=16,
    dropout=0.3,
)
MODELS: dict[str, ModelConfig] = {
    "crnn": CrnnConfig(encoder=ENCODER),
    "seq2seq": Seq2SeqConfig(encoder=ENCODER.model_copy(update={"rnn_cell": "gru"})),
}
SAMPLING = Seq2SeqConfig(
    encoder=ENCODER, decoder=DecoderConfig(attention="location_aware", scheduled_sampling=0.5)
)
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())

EVERYTHING = AugmentConfig(strength=1.0, elastic=1.0, blobs=1.0, brightness=1.0, concat=0.5)


def config_of(model: ModelConfig = MODELS["crnn"], **training: Any) -> Config:
    """A small and random training: dropout, augmentation, a last batch that is not full."""
    values = {"batch_size": 6, "warmup_steps": 4, "augment": EVERYTHING, "learning_rate": 5e-3}
    return Config(
        images=ImageConfig(height=16),
        model=model,
        training=TrainingConfig(**{**values, **training}),
    )


def run(trainer: Trainer, n_epochs: int) -> list[EpochReport]:
    """Train some epochs; the seconds, which differ, are left out of the reports."""
    return [replace(trainer.run_epoch(), seconds=0.0) for _ in range(n_epochs)]


def weights(trainer: Trainer) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in trainer.network.state_dict().items()}


def are_equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(first[key], second[key]) for key in first
    )


@every_model
def test_one_seed_gives_one_result(model: ModelConfig, sixteen_lines: Dataset) -> None:
    results = []
    for seed in (4, 4, 5):
        trainer = Trainer(config_of(model), sixteen_lines, seed, CPU)
        results.append((run(trainer, 2), weights(trainer)))
    (reports, expected), (same_reports, same), (other_reports, other) = results
    assert reports == same_reports
    assert are_equal(expected, same)
    assert reports != other_reports
    assert not are_equal(expected, other)


@every_model
def test_the_recipe_is_the_default_and_no_part_of_the_configuration(
    model: ModelConfig, sixteen_lines: Dataset
) -> None:
    config = config_of(model)
    expected = Trainer(config, sixteen_lines, 0, CPU)
    reports = run(expected, 2)
    given = Trainer(config, sixteen_lines, 0, CPU, TrainerOptions(recipe=RecipeConfig()))
    assert run(given, 2) == reports
    assert are_equal(weights(given), weights(expected))
    assert set(Config.model_fields) == {"images", "model", "training"}


def test_the_constants_of_the_recipe() -> None:
    assert RecipeConfig().model_dump() == {
        "flat_start": True,
        "reads_below_cer": 0.5,
        "reading_interval": 10,
        "plateau_strength": 0.25,
        "column_head_weight": 0.3,
        "blank_offset": 3.0,
        "blank_offset_steps": 300,
        "average_weights": True,
        "sampling_steps": 500,
    }


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        (MODELS["crnn"], {"flat_start": False}),
        (MODELS["crnn"], {"reads_below_cer": math.inf}),
        (MODELS["crnn"], {"plateau_strength": 1.0}),
        (MODELS["crnn"], {"column_head_weight": 0.0}),
        (MODELS["crnn"], {"blank_offset": 0.0}),
        (MODELS["crnn"], {"blank_offset_steps": 1}),
        (SAMPLING, {"sampling_steps": 1}),
    ],
    ids=str,
)
def test_an_ablation_changes_the_training(
    model: ModelConfig, changes: dict[str, Any], sixteen_lines: Dataset
) -> None:
    config = config_of(model)
    recipe = RecipeConfig(**changes)
    plain = run(Trainer(config, sixteen_lines, 0, CPU), 1)
    changed = Trainer(config, sixteen_lines, 0, CPU, TrainerOptions(recipe=recipe))
    assert run(changed, 1) != plain


CONV_DROPOUT_FROM_EPOCH_2 = TrainerOptions(recipe=RecipeConfig(reads_below_cer=99.0))
"""Any network counts as one that reads, once it has been validated."""


@pytest.mark.parametrize(
    ("model", "optimizer"),
    [
        *((MODELS["crnn"], name) for name in get_args(OptimizerName)),
        *((MODELS["seq2seq"], name) for name in ("adamw", "nadam", "sgd")),
    ],
    ids=lambda value: getattr(value, "architecture", value),
)
def test_stopped_and_continued_equals_uninterrupted(
    model: ModelConfig,
    optimizer: OptimizerName,
    sixteen_lines: Dataset,
    tmp_path: Path,
) -> None:
    config = config_of(model, optimizer=optimizer, epochs=4, decay_fraction=0.5)
    options = CONV_DROPOUT_FROM_EPOCH_2
    uninterrupted = Trainer(config, sixteen_lines, 0, CPU, options)
    expected = run(uninterrupted, 3)
    stopped = Trainer(config, sixteen_lines, 0, CPU, options)
    first = run(stopped, 1)
    save_tensors(stopped.state(), tmp_path / "last.pt")
    run(stopped, 1)  # an epoch that is lost

    # all but the pictures and the recipe must be restored
    continued = Trainer(config, sixteen_lines, 99, CPU, options)
    continued.restore(load_tensors(tmp_path / "last.pt"))
    assert first + run(continued, 2) == expected
    assert are_equal(weights(continued), weights(uninterrupted))
    assert not are_equal(weights(continued), weights(stopped))


def test_own_readings_are_continued_as_if_uninterrupted(
    sixteen_lines: Dataset, tmp_path: Path
) -> None:
    # the rise takes two epochs; else there are few so early
    options = TrainerOptions(recipe=RecipeConfig(sampling_steps=6))
    config = config_of(SAMPLING)
    uninterrupted = Trainer(config, sixteen_lines, 0, CPU, options)
    expected = run(uninterrupted, 3)
    stopped = Trainer(config, sixteen_lines, 0, CPU, options)
    first = run(stopped, 1)
    save_tensors(stopped.state(), tmp_path / "last.pt")
    run(stopped, 1)

    continued = Trainer(config, sixteen_lines, 99, CPU, options)
    continued.restore(load_tensors(tmp_path / "last.pt"))
    assert first + run(continued, 2) == expected
    assert are_equal(weights(continued), weights(uninterrupted))

    decoder = SAMPLING.decoder.model_copy(update={"scheduled_sampling": 0.0})
    model = SAMPLING.model_copy(update={"decoder": decoder})
    assert run(Trainer(config_of(model), sixteen_lines, 0, CPU), 3) != expected


def test_fresh_epochs_are_continued_as_if_uninterrupted(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("{kind: digits, max_length: 2, counts: {train: 20, val: 4, test: 0}}")
    save_dataset(load_dataset(f"synth:{recipe}"), tmp_path / "data")
    dataset = open_dataset(tmp_path / "data")
    uninterrupted = Trainer(config_of(batch_size=8), dataset, 0, CPU)
    expected = run(uninterrupted, 3)
    stopped = Trainer(config_of(batch_size=8), dataset, 0, CPU)
    first = run(stopped, 1)
    state = stopped.state()

    continued = Trainer(config_of(batch_size=8), dataset, 99, CPU)
    continued.restore(state)
    assert first + run(continued, 2) == expected
    assert are_equal(weights(continued), weights(uninterrupted))
    fixed = Trainer(config_of(batch_size=8), replace(dataset, fresh=None), 0, CPU)
    assert run(fixed, 1) == first  # the first epoch is the training split
    assert run(fixed, 1) != expected[1:2]


@pytest.mark.parametrize("missing", ["numpy", "randomness", "optimizer", "progress"])
def test_each_part_of_the_state_matters(
    missing: str, sixteen_lines: Dataset, tmp_path: Path
) -> None:
    trainer = Trainer(config_of(), sixteen_lines, 0, CPU, CONV_DROPOUT_FROM_EPOCH_2)
    run(trainer, 1)
    save_tensors(trainer.state(), tmp_path / "last.pt")
    run(trainer, 1)
    other = Trainer(config_of(), sixteen_lines, 99, CPU, CONV_DROPOUT_FROM_EPOCH_2)
    state = {**load_tensors(tmp_path / "last.pt"), missing: other.state()[missing]}
    other.restore(state)
    run(other, 1)
    assert not are_equal(weights(other), weights(trainer))


def test_reports_count_epochs_and_tell_the_best(sixteen_lines: Dataset) -> None:
    trainer = Trainer(config_of(augment=AugmentConfig(strength=0.0)), sixteen_lines, 0, CPU)
    best = (math.inf, math.inf)
    for epoch in range(1, 6):
        report = trainer.run_epoch()
        score = (report.metrics.cer, report.val_loss)
        assert report.epoch == epoch
        assert report.is_best == (score < best)
        assert report.metrics.n == len(sixteen_lines.splits["val"])
        assert math.isfinite(report.train_loss)
        best = min(best, score)
    assert trainer.progress.best == best


def test_loss_goes_down(sixteen_lines: Dataset) -> None:
    reports = run(
        Trainer(config_of(augment=AugmentConfig(strength=0.0)), sixteen_lines, 0, CPU), 10
    )
    assert reports[-1].val_loss < reports[0].val_loss
    assert reports[-1].train_loss < reports[0].train_loss


@every_model
def test_a_last_batch_of_one_picture_is_trained_on(
    model: ModelConfig, sixteen_lines: Dataset
) -> None:
    trainer = Trainer(config_of(model, batch_size=15), sixteen_lines, 0, CPU)
    assert math.isfinite(trainer.run_epoch().val_loss)


def test_warmup_is_counted_over_epochs(sixteen_lines: Dataset) -> None:
    config = config_of(warmup_steps=6)  # an epoch has three batches
    rates = [report.learning_rate for report in run(Trainer(config, sixteen_lines, 0, CPU), 3)]
    assert rates == pytest.approx([2.5e-3, 5e-3, 5e-3])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_ends_the_training(
    value: float, sixteen_lines: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(config_of(), sixteen_lines, 0, CPU)
    run(trainer, 1)
    loss = trainer.network.loss
    monkeypatch.setattr(
        trainer.network, "loss", lambda *arguments, **flags: loss(*arguments, **flags) * value
    )
    with pytest.raises(DivergedError, match=r"(nan|inf) in epoch 2"):
        trainer.run_epoch()


@every_model
def test_weights_that_became_nan_in_the_last_batch_end_the_training(
    model: ModelConfig, sixteen_lines: Dataset
) -> None:
    trainer = Trainer(config_of(model, batch_size=16), sixteen_lines, 0, CPU)
    parameter = next(trainer.network.parameters())
    parameter.register_hook(lambda gradient: gradient * math.nan)
    with pytest.raises(DivergedError, match="nan in epoch 1"):
        trainer.run_epoch()


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """A list of CER and loss to fill: what each validation will bring, the last for ever."""
    values: list[tuple[float, float]] = []

    def one_after_the_other() -> Iterator[tuple[float, float]]:
        yield from values
        while True:
            yield values[-1]

    following = one_after_the_other()
    current: list[float] = []

    def read_lines(*_: object, **__: object) -> Reading:
        current[:] = next(following)
        return Reading([], current[1])

    def compute_metrics(references: Sequence[str], _: Sequence[str]) -> Metrics:
        return Metrics(len(references), current[0], 1.0, 1.0, 0.0)

    monkeypatch.setattr(trainer_module, "read_lines", read_lines)
    monkeypatch.setattr(trainer_module, "compute_metrics", compute_metrics)
    return values


def test_conv_dropout_and_strong_augmentation_wait_until_the_network_reads(
    sixteen_lines: Dataset, scores: list[tuple[float, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    strengths: list[float] = []

    def training_batches(*arguments: Any) -> Iterator[Batch]:
        strengths.append(arguments[2].strength)
        return batches_module.training_batches(*arguments)

    monkeypatch.setattr(trainer_module, "training_batches", training_batches)
    scores += [(0.9, 1.0), (0.4, 1.0), (0.7, 1.0)]  # what has read once has left the plateau
    trainer = Trainer(config_of(), sixteen_lines, 0, CPU)
    encoder = trainer.network.encoder
    states: list[tuple[bool, bool]] = []
    for _ in range(4):
        trainer.run_epoch()
        states.append((encoder.tower.dropout.training, encoder.dropout.training))
    assert states == [(False, True), (False, True), (True, True), (True, True)]
    assert strengths == [0.25, 0.25, 1.0, 1.0]
    config = config_of(augment=AugmentConfig(strength=0.125))
    Trainer(config, sixteen_lines, 0, CPU).run_epoch()
    assert strengths[4:] == [0.125]


@every_model
def test_two_views_are_compared_once_the_network_reads(
    model: ModelConfig,
    sixteen_lines: Dataset,
    scores: list[tuple[float, float]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known: list[tuple[int, int]] = []

    def consistency_loss(log_probs: Tensor, batch: Batch) -> Tensor:
        known.append((trainer.progress.epoch, len(batch.images)))
        return real_loss(log_probs, batch)

    real_loss = trainer_module.consistency_loss
    monkeypatch.setattr(trainer_module, "consistency_loss", consistency_loss)
    scores += [(0.9, 1.0), (0.4, 1.0)]
    config = config_of(model, consistency=0.2, augment=AugmentConfig())
    trainer = Trainer(config, sixteen_lines, 0, CPU)
    losses = [trainer.run_epoch().train_loss for _ in range(3)]
    assert sorted(known) == [(2, 4), (2, 6), (2, 6)]  # half of the sixteen lines, each twice
    assert all(map(math.isfinite, losses))


@pytest.mark.parametrize(
    ("validations", "expected"),
    [
        # twelve epochs, of which the last three decay; decay_patience is 2
        ([(0.9 - 0.05 * epoch, 1.0) for epoch in range(12)], Schedule(9, 3)),  # always better
        ([(0.5, 2.0 - 0.1 * epoch) for epoch in range(12)], Schedule(9, 3)),  # better by loss
        ([(0.5, 1.0)], Schedule(3, 3)),  # the first is the best
        ([(0.5, 1.0), (0.6, 0.5)], Schedule(3, 3)),  # a lower loss is no gain if CER is higher
        ([(0.5, 1.0), (0.6, 1.0), (0.4, 1.0), (0.4, 1.0)], Schedule(5, 3)),
        ([(0.5, 1.0), (0.0, 1.0)], Schedule(4, 3)),
        ([(0.0, 2.0 - 0.1 * epoch) for epoch in range(12)], Schedule(9, 3)),  # CER 0, better loss
        ([(1.0 - 0.05 * min(epoch, 9), 1.0) for epoch in range(12)], Schedule(9, 3)),
    ],
)
def test_decay_is_brought_forward_when_nothing_is_gained(
    validations: list[tuple[float, float]],
    expected: Schedule,
    sixteen_lines: Dataset,
    scores: list[tuple[float, float]],
) -> None:
    scores += validations
    config = config_of(epochs=12, decay_patience=2, warmup_steps=0, batch_size=8)
    trainer = Trainer(config, sixteen_lines, 0, CPU)
    assert not trainer.finished
    reports: list[EpochReport] = []
    while not trainer.finished:
        assert len(reports) < 12
        reports += run(trainer, 1)
    assert trainer.schedule == expected
    assert [report.epoch for report in reports] == list(range(1, expected.end + 1))
    falling = [report.epoch for report in reports if report.learning_rate < 5e-3]
    assert falling == list(range(expected.decay_start + 1, expected.end + 1))
    assert reports[-1].learning_rate < 0.5 * 5e-3


def test_decay_that_was_brought_forward_is_restored(
    sixteen_lines: Dataset, scores: list[tuple[float, float]], tmp_path: Path
) -> None:
    scores += [(0.5, 1.0)]
    config = config_of(epochs=12, decay_patience=1)
    trainer = Trainer(config, sixteen_lines, 0, CPU)
    run(trainer, 2)
    save_tensors(trainer.state(), tmp_path / "last.pt")
    continued = Trainer(config, sixteen_lines, 0, CPU)
    continued.restore(load_tensors(tmp_path / "last.pt"))
    assert continued.schedule == trainer.schedule == Schedule(2, 3)
    assert continued.progress == trainer.progress


@pytest.mark.parametrize(
    ("errors", "flat_batches"),
    [
        ([1.0], 6),  # two epochs of three batches, and the network never reads
        ([1.0, 0.4], 2),  # the third batch is looked at, and read
        ([0.5], 0),
    ],
)
def test_flat_start_ends_when_a_batch_is_read(
    errors: list[float],
    flat_batches: int,
    sixteen_lines: Dataset,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = iter(errors)
    last = errors[-1]
    options = TrainerOptions(recipe=RecipeConfig(reading_interval=2))
    monkeypatch.setattr(trainer_module, "best_path_error", lambda *_: next(found, last))
    trainer, flags = Trainer(config_of(), sixteen_lines, 0, CPU, options), []
    loss = trainer.network.loss

    def spied(*arguments: Any, flat: bool) -> Tensor:
        flags.append(flat)
        return loss(*arguments, flat=flat)

    monkeypatch.setattr(trainer.network, "loss", spied)
    for _ in range(2):
        trainer.train_epoch()
        trainer.progress = replace(trainer.progress, epoch=trainer.progress.epoch + 1)

    assert flags == [True] * flat_batches + [False] * (6 - flat_batches)


def test_flat_start_ends_when_the_validation_split_is_read(
    sixteen_lines: Dataset, scores: list[tuple[float, float]]
) -> None:
    scores += [(0.6, 1.0), (0.5, 1.0)]
    trainer, aligned = Trainer(config_of(), sixteen_lines, 0, CPU), []
    for _ in range(2):
        trainer.run_epoch()
        aligned.append(trainer.state()["progress"]["aligned"])

    assert aligned == [False, True]
    state = trainer.state()
    del state["progress"]["aligned"]  # as earlier versions wrote it
    Trainer(config_of(), sixteen_lines, 0, CPU).restore(state)


READS_AT_ONCE = TrainerOptions(recipe=RecipeConfig(reads_below_cer=math.inf))
LATEST_WEIGHTS = TrainerOptions(
    recipe=RecipeConfig(reads_below_cer=math.inf, average_weights=False)
)


@every_model
def test_validates_and_keeps_the_mean_weights_of_an_epoch(
    model: ModelConfig, sixteen_lines: Dataset, tmp_path: Path
) -> None:
    trainer = Trainer(config_of(model), sixteen_lines, 0, CPU, READS_AT_ONCE)
    after_batches: list[dict[str, Tensor]] = []
    trainer.optimizer.register_step_post_hook(lambda *_: after_batches.append(weights(trainer)))
    (report,) = run(trainer, 1)

    kept = trainer.weights()
    assert len(after_batches) == 3
    for name, value in kept.items():
        of_batches = torch.stack([batch[name] for batch in after_batches])
        if value.is_floating_point():
            torch.testing.assert_close(value, of_batches.mean(0))
        else:
            assert torch.equal(value, of_batches[-1])
    assert are_equal(weights(trainer), after_batches[-1])
    trainer.network.load_state_dict(kept)
    loss, metrics = trainer.validate()
    assert loss == pytest.approx(report.val_loss, rel=1e-5)
    assert metrics == report.metrics


def test_training_continues_from_the_latest_weights(sixteen_lines: Dataset) -> None:
    averaged = Trainer(config_of(), sixteen_lines, 0, CPU, READS_AT_ONCE)
    reports = run(averaged, 3)
    latest = Trainer(config_of(), sixteen_lines, 0, CPU, LATEST_WEIGHTS)
    others = run(latest, 3)
    assert [r.train_loss for r in reports] == [r.train_loss for r in others]
    assert are_equal(weights(averaged), weights(latest))
    assert all(a.val_loss != b.val_loss for a, b in zip(reports, others, strict=True))
    assert are_equal(latest.weights(), weights(latest))
    assert not are_equal(averaged.weights(), weights(averaged))


def test_the_latest_weights_are_kept_until_a_network_reads(
    sixteen_lines: Dataset, scores: list[tuple[float, float]]
) -> None:
    scores += [(0.6, 1.0), (0.5, 1.0), (0.4, 1.0)]
    trainer, keeps_latest = Trainer(config_of(), sixteen_lines, 0, CPU), []
    for _ in range(3):
        trainer.run_epoch()
        keeps_latest.append(are_equal(trainer.weights(), weights(trainer)))
    assert keeps_latest == [True, True, False]


def test_without_decay_the_end_of_patience_ends_the_training(
    sixteen_lines: Dataset, scores: list[tuple[float, float]]
) -> None:
    scores += [(0.5, 1.0)]
    config = config_of(epochs=12, decay_fraction=0.0, decay_patience=1)
    trainer = Trainer(config, sixteen_lines, 0, CPU)
    run(trainer, 1)
    assert not trainer.finished
    run(trainer, 1)
    assert trainer.finished


def test_is_finished_after_its_epochs(sixteen_lines: Dataset) -> None:
    trainer = Trainer(config_of(epochs=2), sixteen_lines, 0, CPU)
    finished = [trainer.finished]
    for _ in range(2):
        trainer.run_epoch()
        finished.append(trainer.finished)
    assert finished == [False, False, True]


def test_trains_in_bf16(sixteen_lines: Dataset) -> None:
    results = []
    for precision in ("fp32", "bf16"):
        trainer = Trainer(config_of(), sixteen_lines, 0, CPU, TrainerOptions(precision))
        results.append(run(trainer, 2)[-1].train_loss)
    assert results[0] != results[1]
    assert results[0] == pytest.approx(results[1], rel=0.1)


def test_without_validation_the_last_epoch_counts_and_the_schedule_is_followed(
    sixteen_lines: Dataset, scores: list[tuple[float, float]]
) -> None:
    scores += [(0.1, 1.0), *[(0.2, 2.0)] * 11]  # nothing is gained after the first
    config = config_of(epochs=12, decay_patience=1, decay_fraction=0.5)
    trainer = Trainer(config, without_validation(sixteen_lines), 3, CPU)
    reports = []
    while not trainer.finished:
        reports.append(trainer.run_epoch())
    assert len(reports) == 12
    assert all(report.is_best for report in reports)
    assert len(trainer.val_texts) == 32
