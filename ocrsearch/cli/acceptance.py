"""Texts that can be used without a person's check, as ``ocrsearch evaluate`` reports them."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ocrsearch.evaluation import Threshold
    from ocrsearch.inference import Evaluation


def acceptance_content(
    evaluation: Evaluation, max_error: float | None, threshold: Threshold | None
) -> dict[str, object]:
    """Return the texts that can be used unchecked, for JSON.

    Args:
        evaluation: evaluation of a model.
        max_error: promised error rate; None for no promise.
        threshold: threshold that the model holds; None without one.
    """
    content: dict[str, object] = {}
    if threshold is not None:
        n_accepted, n_wrong = _accepted(evaluation, threshold.confidence)
        counts = {"n_accepted": n_accepted, "n_wrong": n_wrong}
        about = threshold.model_dump(include={"confidence", "max_error"})
        content["stored_threshold"] = about | counts
    if max_error is not None:
        from ocrsearch.evaluation import accept  # needs scipy

        found = accept(*_ranking(evaluation), max_error)
        content |= {"max_error": max_error, "accepted": None if found is None else asdict(found)}
    return content


def describe_acceptance(
    evaluation: Evaluation, max_error: float | None, threshold: Threshold | None
) -> list[str]:
    """Return lines about the texts that can be used unchecked; see ``acceptance_content``."""
    lines = []
    n = evaluation.metrics.n
    if threshold is not None:
        n_accepted, n_wrong = _accepted(evaluation, threshold.confidence)
        lines.append(
            f"{n_accepted} of {n} texts reach the confidence {threshold.confidence:.4g} that the "
            f"model holds for an error rate of {threshold.max_error:g}; {n_wrong} of these "
            f"{'has' if n_wrong == 1 else 'have'} an error"
        )
    if max_error is not None:
        lines.append(_describe_promise(evaluation, max_error))
    return lines


def _describe_promise(evaluation: Evaluation, max_error: float) -> str:
    """Return a line about the confidence that keeps a promised error rate."""
    from ocrsearch.evaluation import accept, describe_no_threshold, images_needed

    ranking = _ranking(evaluation)
    found = accept(*ranking, max_error)
    if found is None:
        needed = images_needed(*ranking, max_error)
        return describe_no_threshold(max_error, evaluation.metrics.n, needed)
    threshold = f"{math.ceil(found.threshold * 1e6) / 1e6:g}"
    return (
        f"{found.coverage:.1%} of the texts have a confidence of at least {threshold}; "
        f"{found.n_wrong} of these {found.n_accepted} have an error. With 95 % certainty at "
        f"most {max_error:g} of such texts have an error: --min-confidence {threshold}"
    )


def _ranking(evaluation: Evaluation) -> tuple[list[float], list[bool]]:
    """Return the confidence of each text, and whether it has no error."""
    pairs = list(zip(evaluation.predictions, evaluation.references, strict=True))
    return [p.confidence for p, _ in pairs], [p.text == reference for p, reference in pairs]


def _accepted(evaluation: Evaluation, lowest: float) -> tuple[int, int]:
    """Return the number of texts that reach a confidence, and of these with an error."""
    pairs = zip(*_ranking(evaluation), strict=True)
    accepted = [is_right for confidence, is_right in pairs if confidence >= lowest]
    return len(accepted), accepted.count(False)
