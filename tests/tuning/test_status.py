"""Status of a search: trials begun, the best trial and its state, values that differ."""

from __future__ import annotations

from typing import Any

from optuna.trial import FixedTrial

from ocrsearch.core.config import Config
from ocrsearch.studies.artifacts import Rank
from ocrsearch.training.records import EpochRecord
from ocrsearch.tuning.status import Limits, Running, Standing, Status


def trial(number: int, *cers: float, **values: Any) -> Running:
    """Return a trial in training with the CER of each of its epochs."""
    fixed: Any = FixedTrial({}, number)
    epochs = [
        EpochRecord(epoch=i + 1, cer=cer, exact=1 - cer, val_loss=cer) for i, cer in enumerate(cers)
    ]
    return Running(fixed, values, Config(), epochs)


def pause(status: Status, number: int) -> None:
    del status.running[number]
    status.paused[number] = number
    status.n_pruned += 1


def resume(status: Status, running: Running) -> None:
    del status.paused[running.trial.number]
    status.n_pruned -= 1
    status.waiting.append(running)


def test_a_trial_counts_once_from_its_begin_to_its_end() -> None:
    status, first, second = Status(Limits(3)), trial(0, 0.5), trial(1, 0.4)
    counts = [status.n_begun]

    def count() -> None:
        counts.append(status.n_begun)

    status.begin(first)
    count()
    status.begin(second)
    count()
    pause(status, 0)
    count()
    resume(status, first)
    count()
    status.begin(status.waiting.pop())
    count()
    status.waiting.append(status.running.pop(1))  # it failed and is tried again
    count()
    status.begin(status.waiting.pop())
    count()
    del status.running[0]
    status.n_complete += 1
    count()
    status.elsewhere = {2}
    count()
    assert counts == [0, 1, 2, 2, 2, 2, 2, 2, 2, 3]


def test_the_total_is_never_less_than_the_trials_begun() -> None:
    assert Status(Limits(3), n_complete=2).n_total == 3
    assert Status(Limits(3), n_complete=5).n_total == 5


def test_the_leader_may_be_in_training() -> None:
    status = Status(Limits(9))
    assert status.leader is None
    status.begin(trial(0))
    assert status.leader is None
    status.note_best(Rank(lacks_folds=False, cer=0.3, val_loss=1.0, number=4), 0.7, {"a": 1})
    status.begin(trial(1, 0.2, 0.5, b=2))
    assert status.leader == Standing(Rank(False, 0.2, 0.2, 1), 0.8, {"b": 2})
    assert (status.best_number, status.best_value) == (4, 0.3)  # the search decides by this


def test_the_leader_may_wait_for_a_worker_or_be_trained_elsewhere() -> None:
    status = Status(Limits(9), best_number=3, best_value=0.5, best_exact=0.25)
    assert status.leader is not None
    assert (status.leader.rank.number, status.leader.rank.cer, status.leader.exact) == (
        3,
        0.5,
        0.25,
    )
    status.waiting = [trial(4, 0.4)]
    assert status.leader.rank.number == 4
    status.standings_elsewhere = {5: Standing(Rank(False, 0.3, 1.0, 5), 0.7, {})}
    assert status.leader.rank.number == 5


def test_a_trial_with_all_folds_leads_before_a_trial_that_lacks_some() -> None:
    status = Status(Limits(9))
    status.note_best(Rank(lacks_folds=True, cer=0.1, val_loss=1.0, number=1), 0.9, {})
    status.note_best(Rank(lacks_folds=False, cer=0.3, val_loss=1.0, number=2), 0.7, {})
    assert status.leader is not None
    assert status.leader.rank.number == 2


def test_a_trial_whose_weights_are_deleted_no_longer_leads() -> None:
    status = Status(Limits(9))
    status.note_best(Rank(lacks_folds=False, cer=0.3, val_loss=1.0, number=1), 0.7, {"a": 1})
    status.note_best(Rank(lacks_folds=False, cer=0.1, val_loss=1.0, number=2), 0.9, {"a": 2})
    status.note_lost(2)
    assert (status.best_number, status.best_value, status.best_exact) == (1, 0.3, 0.7)
    assert status.leader == Standing(Rank(False, 0.3, 1.0, 1), 0.7, {"a": 1})
    status.note_lost(1)
    assert (status.best_number, status.best_value, status.leader) == (None, None, None)


def test_the_state_of_a_trial() -> None:
    status = Status(Limits(9), paused={1: 1}, pruned={2}, elsewhere={3})
    status.begin(trial(0, 0.5))
    status.waiting = [trial(4, 0.5)]
    states = [status.state_of(number) for number in range(6)]
    assert states == ["in training", "paused", "pruned", "in training", "paused", "finished"]


def test_only_values_that_differ_are_described() -> None:
    status = Status(Limits(9))
    first = {"images.height": 32, "training.batch_size": 16, "model.cell": "gru"}
    assert status.describe(first) == "height 32, batch_size 16, cell gru"
    status.note_configuration(first)
    assert status.describe(first) == "height 32, batch_size 16, cell gru"
    status.note_configuration(first)  # a repetition is no difference
    assert status.describe(first) == "height 32, batch_size 16, cell gru"
    second = {**first, "training.batch_size": 64}
    status.note_configuration(second)
    assert status.describe(first) == "batch_size 16"
    assert status.describe(second) == "batch_size 64"
    third = {"images.height": 32, "training.batch_size": 16, "model.width": 8}
    status.note_configuration(third)  # it has other parameters
    assert status.describe(first) == "batch_size 16, cell gru"
    assert status.describe(third) == "batch_size 16, width 8"
