"""How many threads PyTorch uses: one to train, and never more than the cores it may use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from ocrsearch.training import device
from ocrsearch.training.device import limit_threads, training_threads


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_training_uses_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with training_threads():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3


def test_the_threads_are_given_back_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with pytest.raises(ZeroDivisionError), training_threads():
        raise ZeroDivisionError
    assert torch.get_num_threads() == 3


def test_the_user_may_set_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with training_threads():
        assert torch.get_num_threads() == 3


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 2), (3, 3), (8, 3)])
def test_no_more_threads_than_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int, threads: int
) -> None:
    monkeypatch.setattr(device, "n_cores", lambda: cores)
    limit_threads()
    assert torch.get_num_threads() == threads
