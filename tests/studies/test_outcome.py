"""The reason why a study has nothing to export."""

from __future__ import annotations

from typing import Any

import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from ocrsearch.studies.results import why_nothing_trained


def trial(**attrs: Any) -> FrozenTrial:
    return create_trial(state=TrialState.PRUNED, user_attrs=attrs)


def over(n_parameters: int, limit: int = 10) -> FrozenTrial:
    reason = f"needs {n_parameters:,} parameters, limit {limit}"
    return trial(infeasible=reason, excess={"parameters": n_parameters / limit - 1})


UNFIT = trial(infeasible="4 of 4 labels need more frames", excess={"frames": 1.0})
WAITING = create_trial(state=TrialState.RUNNING)


@pytest.mark.parametrize(
    ("trials", "reason"),
    [
        ([], "no trial has started; raise `timeout`"),
        ([WAITING], "no trial finished an epoch before the search ended; raise `timeout`"),
        (
            [over(27_062), over(12_238), over(50_000)],
            "all 3 configurations exceed a limit of the space (nearest: needs 12,238 parameters, "
            "limit 10); raise the limit and give the study a new name",
        ),
        ([over(20)], "the only configuration exceeds a limit of the space (nearest: needs 20 "),
        (
            [trial(infeasible="parameters would be 27,062, the space allows 10")] * 2,  # older
            "all 2 configurations exceed a limit of the space (nearest: parameters would be 27,0",
        ),
        (
            [UNFIT, UNFIT],
            "no configuration of this space can read these labels: 4 of 4 labels need more frames",
        ),
        (
            [trial(infeasible="4 of 4 labels need more frames than their pictures give")],  # older
            "no configuration of this space can read these labels: 4 of 4 labels need more frames",
        ),
        (
            [trial(failure="the loss became nan"), *[trial(failure="of 2 GiB")] * 2],
            "all 3 configurations failed, most often: of 2 GiB",
        ),
        ([trial(failure="of 2 GiB")], "the only configuration failed, most often: of 2 GiB"),
        (
            [over(20), UNFIT, trial(failure="of 2 GiB")],
            "of 3 configurations 2 cannot be trained (nearest: ",
        ),
        ([trial(epochs=[{"cer": 0.5}])], "the weights of all trained configurations are missing"),
        ([trial(repeated=True), over(20)], "the only configuration exceeds a limit"),
    ],
)
def test_reasons(trials: list[FrozenTrial], reason: str) -> None:
    assert why_nothing_trained(trials).startswith(reason)
