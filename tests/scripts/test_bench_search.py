"""The benchmark of searches by simulation, on a small table made here."""

from __future__ import annotations

import csv
import gzip
import json
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import optuna
import pytest
from torch import nn

from ocrsearch.spaces import Space
from ocrsearch.studies import Prior

FOLDER = Path(__file__).parents[2] / "scripts" / "bench_search"
sys.path.insert(0, str(FOLDER))  # as for a script that is run from there

import make_prior  # noqa: E402
import record  # noqa: E402
import recordings  # noqa: E402
import simulate  # noqa: E402
from curve_model import CurveModel, cross_validate, scaled  # noqa: E402
from outcomes import Outcome, against_rivals, compare, load_outcomes, ranges, save_outcomes  # noqa: E402
from recordings import COLUMNS, Recorded, Task, load_tasks, read_table  # noqa: E402
from simulated_search import METHODS, Search, SimulatedEngine, run_search  # noqa: E402

pytestmark = pytest.mark.slow

SPACE = """
images: {height: 32}
model:
  architecture: crnn
  encoder: {rnn_cell: {choice: [lstm, gru]}, hidden_size: {int: [32, 128]}}
training:
  learning_rate: {float: [1.0e-4, 1.0e-2], log: true}
search:
  pruner: {name: median, n_startup_trials: 3, n_warmup_epochs: 2}
"""
N_RECORDED = 30
N_CONFIGURATIONS = 12
NO_PRIOR = Prior([{"training.learning_rate": 1.0}], [0.5])
"""Expects the same rank of every configuration."""


def recorded_rows(number: int, rate: float, generator: np.random.Generator) -> list[list[object]]:
    """Return the rows of a configuration: the nearer its rate to 1e-3, the sooner it learns."""
    distance = abs(math.log10(rate) + 3.0) + 0.1 * generator.random()
    jump = 2 + 12 * distance
    rows: list[list[object]] = []
    for epoch in range(1, 19 - number % 3):  # some end early
        learnt = max(0.0, epoch - jump)
        floor = 0.05 * 10.0**distance
        loss = (3.2 * math.exp(-learnt) + floor) * (1.0 + 0.1 * generator.random())
        edits = [int(i < 200 * min(1.0, loss / 3.2)) for i in range(200)]
        seconds, figures = 2.0 + 0.1 * generator.random(), [cer := sum(edits) / 200, loss]
        text = "".join(map(str, edits))
        rows.append([number, epoch, 1 - cer, seconds, *[*figures, text] * 3, ""])
    return rows


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Task]:
    """Yield a task whose space and table are in a folder of their own."""
    path = tmp_path_factory.mktemp("bench")
    (path / "space.yaml").write_text(SPACE, encoding="utf-8")
    (path / "recordings.yaml").write_text("small: {epochs: 18}\nrecorded: {epochs: 3}")
    (path / "tables").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recordings, "FOLDER", path)
        task = load_tasks()["small"]
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        generator = np.random.default_rng(0)
        with gzip.open(task.table, "wt", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for number in range(N_RECORDED):
                values = task.space.suggest(study.ask())
                rows = recorded_rows(number, float(values["training.learning_rate"]), generator)
                rows[0][-1] = json.dumps(values)
                writer.writerows(rows)
        yield task


@pytest.fixture(scope="module")
def space(task: Task) -> Space:
    return task.space


@pytest.fixture(scope="module")
def recorded(task: Task) -> list[Recorded]:
    return read_table(task.table)


@pytest.fixture(scope="module")
def model(space: Space, recorded: list[Recorded]) -> CurveModel:
    return CurveModel(space, recorded)


def test_the_table_is_read_as_it_was_recorded(recorded: list[Recorded]) -> None:
    assert [len(r.curve) for r in recorded[:3]] == [18, 17, 16]
    assert set(recorded[0].values) == {
        "model.encoder.rnn_cell", "model.encoder.hidden_size", "training.learning_rate"
    }  # fmt: skip


@pytest.mark.usefixtures("task")
def test_recording_writes_an_epoch_a_row_and_resumes(
    number_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = load_tasks()["recorded"]
    for configurations in (1, 2, 2):
        record.main("recorded", str(number_folder), configurations=configurations, workers=1)
    assert re.findall(r"\d/\d", capsys.readouterr().out) == ["1/1", "2/2"]
    for one in read_table(task.table):
        assert len(one.curve) == len(one.latest) == 3
        assert one.curve.edits.shape == one.latest.edits.shape
        assert one.curve.cer.tolist() == one.latest.cer.tolist(), "it does not read yet"
    with gzip.open(task.table, "rt", encoding="utf-8", newline="") as file:
        first, _, third, *_ = csv.DictReader(file)
    # in the first epoch, the mean over three epochs is the mean over one
    assert first["val_loss_1"] == first["val_loss_3"]
    assert third["val_loss_1"] != third["val_loss_3"]


def test_a_search_sees_averaged_weights_from_the_epoch_after_the_first_that_reads() -> None:
    rows = []
    for epoch, (latest, averaged) in enumerate([(0.9, 1.0), (0.4, 0.7), (0.6, 0.2), (0.5, 0.1)]):
        figures = {"cer": latest, "cer_1": averaged, "val_loss": latest, "val_loss_1": averaged}
        texts = {"edits": "10", "edits_1": "00", "values": "{}", "seconds": "1"}
        rows.append({"epoch": epoch, **figures, **texts})
    found = recordings.recorded(rows)
    assert found.curve.cer.tolist() == [0.9, 0.4, 0.2, 0.1]
    assert found.latest.cer.tolist() == [0.9, 0.4, 0.6, 0.5]
    assert found.curve.exact.tolist() == [0.5, 0.5, 1.0, 1.0]
    assert found.curve.final_cer == 0.1


def test_the_mean_of_weights_takes_their_place_for_a_while() -> None:
    layer = nn.Linear(1, 1, bias=False)
    average = record.WeightAverage(layer)
    for values in ([1.0, 3.0], [5.0], [6.0], [10.0]):
        for value in values:
            nn.init.constant_(layer.weight, value)
            average.add()
        average.end_epoch()
    for n_epochs, mean in ((1, 10.0), (3, 7.0)):
        with average.in_place(n_epochs):
            assert layer.weight.item() == pytest.approx(mean)
    assert layer.weight.item() == 10.0


def test_a_configuration_has_one_curve_in_each_world(
    model: CurveModel, recorded: list[Recorded]
) -> None:
    values = recorded[0].values
    first, again = model.curve(values, 1), model.curve(dict(reversed(values.items())), 1)
    assert first.val_loss.tolist() == again.val_loss.tolist()
    errors = {model.curve(values, world).final_cer for world in range(20)}
    assert len(errors) > 1  # curves of similar configurations


def test_curves_are_like_those_of_recorded_ones(
    model: CurveModel, recorded: list[Recorded]
) -> None:
    lengths = {len(r.curve) for r in recorded}
    for r in recorded:
        curve = model.curve(r.values, 0)
        assert len(curve) in lengths
        assert ((curve.cer >= 0) & (curve.cer <= 1)).all()
        assert 1.0 < curve.seconds.mean() < 4.0
    drawn = [model.curve(r.values, 0).val_loss.min() for r in recorded]
    true = [r.curve.val_loss.min() for r in recorded]
    assert np.corrcoef(np.log(drawn), np.log(true))[0, 1] > 0.5


def test_configurations_left_out_are_predicted(space: Space, recorded: list[Recorded]) -> None:
    figures = cross_validate(space, recorded, n_draws=5)
    assert figures["spearman_cer"] > 0.7
    assert figures["mae_log_cer"] < figures["mae_log_cer_of_the_median"]
    assert figures["crps_log_cer"] < figures["crps_log_cer_of_the_table"]


def test_only_epochs_that_read_are_scaled(recorded: list[Recorded]) -> None:
    curve = min((r.curve for r in recorded), key=lambda c: c.final_cer)
    better = scaled(curve, 0.5, 7.0, np.random.default_rng(0))
    reads = curve.cer < 0.5
    assert reads.any()
    assert not reads.all()
    assert (better.cer[~reads] == curve.cer[~reads]).all()
    assert (better.cer[reads] <= curve.cer[reads]).all()
    assert better.cer == pytest.approx(better.edits.mean(1))
    assert better.edits[reads].sum() < curve.edits[reads].sum()
    assert better.seconds.mean() == pytest.approx(7.0)


def simulated(method: str, n_workers: int, space: Space, model: CurveModel) -> SimulatedEngine:
    return run_search(Search(method, n_workers, 0, N_CONFIGURATIONS), space, model, NO_PRIOR)


@pytest.mark.parametrize("method", METHODS)
def test_a_search_tries_all_configurations_and_trains_no_epoch_twice(
    method: str, space: Space, model: CurveModel
) -> None:
    engine = simulated(method, 2, space, model)
    n_trained = [engine.n_trained(number) for number in range(N_CONFIGURATIONS)]
    assert min(n_trained) > 0
    with pytest.raises(KeyError):
        engine.n_trained(N_CONFIGURATIONS)
    assert sum(n_trained) == len(engine.moments) == engine.moments[-1].epochs
    epochs = [e.epoch for n in range(N_CONFIGURATIONS) for e in engine._records[n]]
    assert epochs == [e + 1 for n in n_trained for e in range(n)]


def test_promotion_stops_most_and_trains_some_in_full(space: Space, model: CurveModel) -> None:
    engine = simulated("promotion", 1, space, model)
    n_trained = [engine.n_trained(number) for number in range(N_CONFIGURATIONS)]
    rung = min(n_trained)
    assert n_trained.count(rung) >= N_CONFIGURATIONS // 3
    assert max(n_trained) >= 16


@pytest.mark.usefixtures("task")
def test_the_file_of_the_prior_has_every_recorded_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(make_prior, "PRIOR_FILE", tmp_path / "prior.json")
    monkeypatch.setattr(make_prior, "recorded_tasks", lambda: [load_tasks()["small"]])
    make_prior.main()
    content = json.loads((tmp_path / "prior.json").read_text())
    assert len(content["points"]) == len(content["ranks"]) == N_RECORDED
    assert "pretrained" in content["paths"]
    assert f"{N_RECORDED} configurations" in capsys.readouterr().out


def test_a_constant_epoch_stops_all_but_the_best(space: Space, model: CurveModel) -> None:
    engine = simulated("constant", 1, space, model)
    n_trained = sorted(engine.n_trained(number) for number in range(N_CONFIGURATIONS))
    assert n_trained[:-1] == [15] * (N_CONFIGURATIONS - 1)
    assert n_trained[-1] >= 15


def test_two_workers_take_less_time_than_one(space: Space, model: CurveModel) -> None:
    one, two = (simulated("promotion", n, space, model) for n in (1, 2))
    seconds = sum(e.seconds for records in one._records.values() for e in records)
    assert one.seconds == pytest.approx(seconds)
    assert two.seconds < 0.8 * one.seconds


def test_the_same_seed_gives_the_same_search(space: Space, model: CurveModel) -> None:
    one, again = (simulated("median", 2, space, model) for _ in range(2))
    assert one.moments == again.moments


def test_a_limit_of_epochs_ends_a_search(space: Space, model: CurveModel) -> None:
    for method in ("promotion", "constant"):
        engine = run_search(Search(method, 1, 0, 500, max_epochs=80), space, model, NO_PRIOR)
        assert 75 <= len(engine.moments) <= 81


def outcome(method: str, seed: int, *rows: tuple[float, float, float, float]) -> Outcome:
    return Outcome("small", method, 1, seed, np.array(rows))


def test_an_error_is_reached_where_cer_and_then_loss_are_as_low() -> None:
    o = outcome("random", 0, (1, 2.0, 0.5, 1.0), (4, 9.0, 0.0, 0.3), (9, 20.0, 0.0, 0.1))
    assert o.reached(0.2) == 9
    assert o.reached(0.4, "seconds") == 9.0
    assert o.reached(0.01) == math.inf
    assert o.at(np.array([0.5, 1, 5, 100])).tolist() == [-1, 0, 1, 2]


def test_methods_are_compared_at_each_budget() -> None:
    quick = [outcome("promotion", i, (10, 1, 0.0, 0.5), (200, 2, 0.0, 0.4)) for i in range(8)]
    deep = [outcome("median", i, (10, 1, 0.1, 0.5), (120, 2, 0.0, 0.1)) for i in range(8)]
    found = against_rivals(quick, {"promotion": quick, "median": deep}, "promotion")
    assert found == {
        "better": [50, 100], "worse": [150, 200], "surely_better": [50, 100],
        "surely_worse": [150, 200],
    }  # fmt: skip
    full = [outcome("random", i, (10, 1, 0.5, 0.5), (400, 9, 0.0, 0.1)) for i in range(8)]
    figures = compare([*quick, *deep, *full])["small"]["1"]
    assert figures["median"]["epochs_to_random"] == 120
    assert figures["median"]["epochs_to_random_share"] == pytest.approx(0.3)
    assert figures["promotion"]["epochs_to_random"] is None


def test_budgets_are_said_as_ranges() -> None:
    assert ranges([50, 100, 150, 300]) == "50-150, 300"
    assert ranges([]) == "none"


def test_outcomes_are_saved_whole(tmp_path: Path) -> None:
    saved = [outcome("a", 0, (1, 2.0, 0.5, 1.0), (4, 9.0, 0.0, 0.3)), outcome("b", 1, (1, 1, 1, 1))]
    save_outcomes(saved, tmp_path / "searches.csv")
    loaded = load_outcomes(tmp_path / "searches.csv")
    assert [(o.task, o.method, o.workers, o.seed, o.rows.tolist()) for o in loaded] == [
        (o.task, o.method, o.workers, o.seed, o.rows.tolist()) for o in saved
    ]


@pytest.mark.usefixtures("task")
def test_the_script_writes_table_comparison_and_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("curve_model.N_FOLDS", 2)
    monkeypatch.setattr("simulate.ROUGHNESS_WORLDS", range(1))
    simulate.main(
        tmp_path, tasks="small", seeds=1, workers="1", methods="random,median,promotion",
        configurations=6, processes=1,
    )  # fmt: skip
    printed = capsys.readouterr().out
    assert "small, 1 worker: median of 1 searches each" in printed
    model = json.loads((tmp_path / "model.json").read_text())
    assert model["small"]["configurations"] == N_RECORDED
    compared = json.loads((tmp_path / "comparison.json").read_text())["small"]["1"]
    assert set(compared) == {"random", "median", "promotion"}
    assert "Searches by simulation" in (tmp_path / "searches.html").read_text(encoding="utf-8")
