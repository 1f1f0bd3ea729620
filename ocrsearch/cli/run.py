"""``ocrsearch run``: search a space on labelled images."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from ocrsearch.cli.options import (
    DATA_PANEL,
    DIGITS,
    MACHINE_PANEL,
    OUTPUT_PANEL,
    SPACE,
    STUDY_PANEL,
    TRAINING_DATA_OPTIONS,
    DataOrDigits,
    Json,
    typer_options,
    with_options,
)
from ocrsearch.cli.output import echo, for_command_line, note, our_command, print_json
from ocrsearch.core import OcrSearchError
from ocrsearch.tuning import ARGUMENTS, SearchArguments, SearchOptions

if TYPE_CHECKING:
    from ocrsearch.studies import Separation
    from ocrsearch.tuning import SearchResult

SEARCH_PANEL = "Search"

PANELS = (SEARCH_PANEL, "When to stop", DATA_PANEL, STUDY_PANEL, MACHINE_PANEL, OUTPUT_PANEL)
"""Panels in the help, in their order."""

ENDINGS = {
    "trials": "all trials are finished",
    "timeout": "the time limit is reached",
    "target": "the target is reached",
    "epochs": "the epoch limit is reached",
    "patience": "the last trials brought no improvement",
    "gain": "twice as many trials are not expected to be better on the validation images",
    "exhausted": "the sampler finds no untried configuration",
    "infeasible": "all configurations tried are infeasible",
    "interrupted": "interrupted",
}


def takes_search_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command all arguments of ``search``; it receives those given as ``given``."""
    arguments = {field: name for name, field in ARGUMENTS.items()}
    options = {**typer_options(SearchOptions, arguments), **TRAINING_DATA_OPTIONS}
    return with_options(command, options, "given", PANELS)


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
      ocrsearch run --data iam:FOLDER --space lines --target-cer 0.05
    """
    from ocrsearch.cli.display import search_display
    from ocrsearch.tuning import search

    notes = [] if data else ["note: no --data given: searching the built-in digits"]
    with search_display(quiet=as_json) as display:

        def reading(n_read: int, n: int) -> None:
            while notes:  # printed only once, when the first images are loaded
                note(notes.pop())
            display.reading(n_read, n)

        result = search(space, data or DIGITS, observer=display.update, progress=reading, **given)
    if as_json:
        print_json(_content(result))
    else:
        echo(_summary(result, data or DIGITS))
    if result.ending == "interrupted":
        raise typer.Exit(130)
    if result.problem is not None:
        raise typer.Exit(1)


def _content(result: SearchResult) -> dict[str, object]:
    """Return the result of a search for JSON."""
    from ocrsearch.studies import separation_content

    status = result.status
    return {
        "study": result.study,
        "ending": result.ending,
        "n_finished": status.n_finished,
        "n_complete": status.n_complete,
        "n_paused": len(status.paused),
        "n_pruned": status.n_pruned - len(status.paused),
        "n_infeasible": status.n_infeasible,
        "n_failed": status.n_failed,
        "n_unfinished": len(status.running) + len(status.waiting),
        "n_epochs": status.n_epochs,
        "seconds": status.elapsed_s,
        "best_trial": status.best_number,
        "best_cer": status.best_value,
        "expected_gain": status.expected_gain,
        "n_bad": result.n_bad,
        "left_out": result.left_out,
        "warm_start": result.earlier,
        "folds": result.n_folds,
        "separation": separation_content(_separation(result)),
        "problem": None if result.problem is None else for_command_line(result.problem),
        "suggested": result.suggested.to_dict() if result.suggested else None,
    }


def _separation(result: SearchResult) -> Separation | None:
    """Compare the best trial of a search with the next; None if the study cannot be read."""
    from ocrsearch.studies import compare_best, load_study, study_folder

    if result.problem is not None:
        return None
    try:
        study = load_study(result.storage, result.study)
        return compare_best(study, study_folder(result.storage, result.study))
    except OcrSearchError:  # the database may have been removed by now
        return None


def _summary(result: SearchResult, data: str) -> str:
    """Return the result of a search in lines, with advice on what to do next."""
    from ocrsearch.evaluation import reads_nothing

    status, n_paused = result.status, len(result.status.paused)
    n_unfinished = len(status.running) + len(status.waiting)
    unfinished = f", {n_unfinished} unfinished" if n_unfinished else ""
    if status.elsewhere:
        unfinished += f", {len(status.elsewhere)} in training elsewhere"
    lines = [
        f"study {result.study}: {ENDINGS[result.ending]}; {status.n_begun} of "
        f"{status.n_total} trials ({status.n_complete} finished, {n_paused} paused, "
        f"{status.n_pruned - n_paused} pruned, {status.n_infeasible} infeasible, "
        f"{status.n_failed} failed{unfinished})"
    ]
    if result.left_out:
        samples = "1 sample" if result.n_bad == 1 else f"{result.n_bad} samples"
        lines.append(f"{samples} could not be used: {result.left_out}")
    lines += result.earlier
    if n := n_unfinished:
        saved = "1 unfinished trial is saved" if n == 1 else f"{n} unfinished trials are saved"
        lines.append(f"{saved}; rerun the same command to resume")
    if result.problem is not None:
        return "\n".join([*lines, for_command_line(result.problem)])
    assert status.best_value is not None
    assert status.best_exact is not None
    rate = "validation CER"
    if result.n_folds > 1:
        rate = f"CER over {result.n_folds} folds"
        if status.best_lacks_folds:
            rate = f"not finished on all {result.n_folds} folds, CER"
    lines.append(
        f"best so far: trial {status.best_number}, {rate} {status.best_value:.4f}, "
        f"exact match {status.best_exact:.3f}"
    )
    if found := _separation(result):
        lines += map(for_command_line, found.describe())
    gain = status.expected_gain
    if gain is not None and result.ending != "gain":
        lines.append(
            f"twice as many trials are expected to save about {gain:.2g} of "
            f"{status.best_value * (status.n_symbols or 0):.0f} errors on the validation images"
        )
    if reads_nothing(status.best_value, status.best_exact):
        lines.append(
            "it reads nothing yet: resume the search with a larger --timeout or --trials, or check "
            f"the data: {our_command('data', 'inspect', data)}"
        )
    else:
        words = ("best", "--study", result.study, "--export", "model.pt")
        lines.append(f"export it: {our_command(*words, storage=result.storage)}")
    return "\n".join(lines)
