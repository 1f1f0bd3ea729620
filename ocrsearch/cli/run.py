"""``ocrsearch run``: search a space on labelled images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ocrsearch.cli.options import (
    DIGITS,
    SEARCH_PANEL,
    SPACE,
    DataOrDigits,
    Json,
    takes_search_options,
)
from ocrsearch.cli.output import echo, for_command_line, note, our_command, print_json
from ocrsearch.core import OcrSearchError
from ocrsearch.tuning import SearchArguments

if TYPE_CHECKING:
    from ocrsearch.studies import Separation
    from ocrsearch.tuning import SearchResult


ENDINGS = {
    "trials": "all trials are finished",
    "timeout": "the time limit is reached",
    "target": "the target is reached",
    "epochs": "the epoch limit is reached",
    "patience": "the last trials brought no improvement",
    "flawless": "several finished trials make no error on the validation images, so "
    "they cannot show a better configuration",
    "exhausted": "the sampler finds no untried configuration",
    "infeasible": "all configurations tried are infeasible",
    "interrupted": "interrupted",
}


@takes_search_options
def run(
    space: Annotated[
        str | None,
        typer.Option(
            metavar="SPACE",
            help=f"{SPACE} Default: the space of the study or, if it is new, a space derived from "
            "the data.",
            rich_help_panel=SEARCH_PANEL,
        ),
    ] = None,
    data: DataOrDigits = None,
    as_json: Json = False,
    *,
    given: SearchArguments,
) -> None:
    """Search for the best network and training. The same command resumes the study.

    Examples:
      ocrsearch run --data FOLDER
      ocrsearch run --data labels.csv --timeout 30m --study a
      ocrsearch run --data captcha:FOLDER --space mine.yaml
      ocrsearch run --data iam:FOLDER --space lines --target 0.05
    """
    result = _search(space, data, given, quiet=as_json)
    if as_json:
        print_json(_content(result))
    else:
        echo(_summary(result, data or DIGITS))
    if result.ending == "interrupted":
        raise typer.Exit(130)
    if result.problem is not None:
        raise typer.Exit(1)


def _search(
    space: str | None, data: str | None, given: SearchArguments, *, quiet: bool
) -> SearchResult:
    """Run the search and show its progress."""
    from ocrsearch.cli.display import search_display
    from ocrsearch.tuning import search

    notes = [] if data else ["note: no --data given: searching the built-in digits"]
    with search_display(quiet=quiet) as display:

        def reading(n_read: int, n: int) -> None:
            while notes:  # printed only once, when the first images are loaded
                note(notes.pop())
            display.reading(n_read, n)

        return search(space, data or DIGITS, observer=display.update, progress=reading, **given)


def _content(result: SearchResult) -> dict[str, object]:
    from ocrsearch.studies import separation_content

    status = result.status
    return {
        "study": result.study,
        "ending": result.ending,
        "n_finished": status.n_finished,
        "n_complete": status.n_complete,
        "n_pruned": status.n_pruned,
        "n_infeasible": status.n_infeasible,
        "n_failed": status.n_failed,
        "n_unfinished": len(status.running),
        "n_epochs": status.n_epochs,
        "seconds": status.elapsed_s,
        "best_trial": status.best_number,
        "best_cer": status.best_value,
        "n_bad": result.n_bad,
        "left_out": result.left_out,
        "warm_start": result.earlier,
        "folds": result.n_folds,
        "separation": separation_content(_separation(result)),
        "problem": _problem(result),
        "suggested": result.suggested.to_dict() if result.suggested else None,
    }


def _advice(result: SearchResult, data: str) -> str:
    from ocrsearch.evaluation import reads_nothing

    status = result.status
    assert status.best_value is not None
    assert status.best_exact is not None
    if reads_nothing(status.best_value, status.best_exact):
        return (
            "it reads nothing yet: resume the search with a larger --timeout or --trials, or check "
            f"the data: {our_command('data', 'inspect', data)}"
        )
    words = ("best", "--study", result.study, "--export", "model.pt")
    return f"export it: {our_command(*words, storage=result.storage)}"


def _separation(result: SearchResult) -> Separation | None:
    from ocrsearch.studies import compare_best, load_study, study_folder

    if result.problem is not None:
        return None
    try:
        study = load_study(result.storage, result.study)
        return compare_best(study, study_folder(result.storage, result.study))
    except OcrSearchError:  # the database may have been removed by now
        return None


def _rate(result: SearchResult) -> str:
    if result.n_folds == 1:
        return "validation CER"
    if result.status.best_lacks_folds:
        return f"not finished on all {result.n_folds} folds, CER"
    return f"CER over {result.n_folds} folds"


def _problem(result: SearchResult) -> str | None:
    return None if result.problem is None else for_command_line(result.problem)


def _summary(result: SearchResult, data: str) -> str:
    status = result.status
    lines = [
        f"study {result.study}: {ENDINGS[result.ending]}; {status.n_finished} of "
        f"{status.limits.trials} trials ({status.n_complete} finished, {status.n_pruned} pruned, "
        f"{status.n_infeasible} infeasible, {status.n_failed} failed)"
    ]
    if result.left_out:
        samples = "1 sample" if result.n_bad == 1 else f"{result.n_bad} samples"
        lines.append(f"{samples} could not be used: {result.left_out}")
    lines += result.earlier
    if status.running:
        n = len(status.running)
        saved = "1 unfinished trial is saved" if n == 1 else f"{n} unfinished trials are saved"
        lines.append(f"{saved}; rerun the same command to resume")
    if (problem := _problem(result)) is not None:
        lines.append(problem)
    else:
        lines.append(
            f"best so far: trial {status.best_number}, {_rate(result)} {status.best_value:.4f}, "
            f"exact match {status.best_exact:.3f}"
        )
        found = _separation(result)
        lines += map(for_command_line, found.describe() if found else [])
        lines.append(_advice(result, data))
    return "\n".join(lines)
