"""Why a study has nothing to export, and what can be done about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from optuna.trial import FrozenTrial

from ocrsearch.search.feasibility import FRAMES
from ocrsearch.search.study import REPEATED

INFEASIBLE = "infeasible"
"""User attribute of a trial that was never trained: the reasons."""

EXCESS = "excess"
"""User attribute of such a trial: by how much it is over each limit, as a share of the limit."""

FAILURE = "failure"
"""User attribute of a trial that failed: the reason."""


def why_nothing_trained(trials: Sequence[FrozenTrial]) -> str:
    """Return why no configuration of a study has weights, and what to do.

    Args:
        trials: all of the study.
    """
    known = [t for t in trials if REPEATED not in t.user_attrs]
    infeasible = [t for t in known if INFEASIBLE in t.user_attrs]
    failed = [t for t in known if FAILURE in t.user_attrs]
    if not known:
        return "no trial has begun; search it again, with more time (--timeout)"
    if any(t.user_attrs.get("epochs") for t in known if t not in failed):
        return "weights of its trained configurations are not there any more; search again"
    if len(infeasible) == len(known):
        return _all_infeasible(infeasible)
    if len(failed) == len(known):
        return f"{_all(len(failed))} failed, {_most_common_failure(failed)}"
    if infeasible or failed:
        parts = []
        if infeasible:
            parts.append(f"{len(infeasible)} cannot be trained ({_nearest(infeasible)})")
        if failed:
            parts.append(f"{len(failed)} failed, {_most_common_failure(failed)}")
        return f"of {len(known)} configurations {'; '.join(parts)}"
    return "no trial finished an epoch before the search ended; give it more time (--timeout)"


def _all_infeasible(trials: Sequence[FrozenTrial]) -> str:
    reasons = [t for t in trials if not _is_of_data(t)]
    if not reasons:
        reason = _most_common([t.user_attrs[INFEASIBLE] for t in trials])
        return f"no configuration of this space can read these labels: {reason}"
    return (
        f"{_all(len(trials), 'is', 'are')} over a limit of the space ({_nearest(reasons)}); "
        "allow more there and give the study a new name"
    )


def _is_of_data(trial: FrozenTrial) -> bool:
    """Whether it is the labels alone that a configuration cannot write."""
    excess = trial.user_attrs.get(EXCESS)
    if excess is None:  # of an older version
        reasons = trial.user_attrs[INFEASIBLE]
        return "need more frames" in reasons or "more than one symbol" in reasons
    return list(excess) == [FRAMES]


def _nearest(trials: Sequence[FrozenTrial]) -> str:
    nearest = min(trials, key=lambda t: max(t.user_attrs.get(EXCESS, {"": 0.0}).values()))
    return f"nearest: {nearest.user_attrs[INFEASIBLE]}"


def _most_common_failure(trials: Sequence[FrozenTrial]) -> str:
    return f"most often: {_most_common([t.user_attrs[FAILURE] for t in trials])}"


def _most_common(reasons: Sequence[str]) -> str:
    return Counter(reasons).most_common(1)[0][0]


def _all(n: int, one: str = "", several: str = "") -> str:
    words = ("the only configuration", one) if n == 1 else (f"all {n} configurations", several)
    return " ".join(words).strip()
