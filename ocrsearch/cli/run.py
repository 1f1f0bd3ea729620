"""``ocrsearch run``: search a space on labelled pictures."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrsearch.cli.options import (
    DEFAULT_STORAGE,
    DIGITS,
    MACHINE_PANEL,
    SPACE,
    STUDY_PANEL,
    DataOrDigits,
    Device,
    DeviceOption,
    Json,
    Storage,
    takes_training_data_options,
)
from ocrsearch.cli.output import (
    echo,
    note,
    our_command,
    print_json,
)
from ocrsearch.cli.wording import for_command_line
from ocrsearch.core import OcrSearchError

if TYPE_CHECKING:
    from ocrsearch.studies import Separation
    from ocrsearch.tuning import SearchResult


class Engine(StrEnum):
    """What runs the workers."""

    local = "local"
    ray = "ray"


ENDINGS = {
    "trials": "all trials are finished",
    "timeout": "the time is up",
    "target": "the target is reached",
    "epochs": "the epochs are used up",
    "patience": "the last trials brought nothing better",
    "flawless": "several finished trials make no error on the validation images, so that no other "
    "can be found to be better",
    "exhausted": "the sampler finds no configuration that was not tried",
    "infeasible": "no configuration that was tried can be trained",
    "interrupted": "interrupted",
}


SEARCH_PANEL = "Search"
ENDING_PANEL = "When to stop"


@takes_training_data_options
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
    trials: Annotated[
        int,
        typer.Option(
            help="Number of trials of the study, those of earlier runs included.",
            rich_help_panel=ENDING_PANEL,
        ),
    ] = 100,
    data: DataOrDigits = None,
    study: Annotated[
        str | None,
        typer.Option(
            help="Name of the study. Default: the names of the space, if given, and the data.",
            rich_help_panel=STUDY_PANEL,
        ),
    ] = None,
    storage: Storage = DEFAULT_STORAGE,
    workers: Annotated[
        str,
        typer.Option(
            metavar="N|auto",
            help="Number of worker processes. auto: one for each core, or on a GPU as many as "
            "its memory has room for.",
            rich_help_panel=MACHINE_PANEL,
        ),
    ] = "auto",
    timeout: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Stop after this time, such as 90s, 30m or 2h.",
            rich_help_panel=ENDING_PANEL,
        ),
    ] = None,
    target: Annotated[
        float | None,
        typer.Option(
            metavar="CER",
            help="Stop when a trial reaches this validation CER, such as 0.01.",
            rich_help_panel=ENDING_PANEL,
        ),
    ] = None,
    max_epochs: Annotated[
        int | None,
        typer.Option(
            help="Stop after this number of epochs, summed over all trials.",
            rich_help_panel=ENDING_PANEL,
        ),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            help="Stop when this number of trials in a row brings no lower validation CER.",
            rich_help_panel=ENDING_PANEL,
        ),
    ] = None,
    max_disk: Annotated[
        float | None,
        typer.Option(
            metavar="MB",
            help="Maximum size of all weights and checkpoints of the study, in megabytes.",
            rich_help_panel=STUDY_PANEL,
        ),
    ] = None,
    warm_start: Annotated[
        str | None,
        typer.Option(
            metavar="STUDY",
            help="Try the best configurations of an earlier study first.",
            rich_help_panel=SEARCH_PANEL,
        ),
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL",
            help="Initialise every trial from this model where shapes match; 'latin' comes with "
            "the program. The first trials use its architecture. Data that it was trained on is "
            "split as before.",
            rich_help_panel=SEARCH_PANEL,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            help="Random seed for the sampler, the initial weights and the data order; default: "
            "that of the study, 0 for a new study.",
            rich_help_panel=SEARCH_PANEL,
        ),
    ] = None,
    device: DeviceOption = Device.auto,
    engine: Annotated[
        Engine,
        typer.Option(
            help="Workers: processes on this machine, or Ray actors.",
            rich_help_panel=MACHINE_PANEL,
        ),
    ] = Engine.local,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Ray cluster. Default: a cluster on this machine alone.",
            rich_help_panel=MACHINE_PANEL,
        ),
    ] = None,
    gpus_per_worker: Annotated[
        float,
        typer.Option(
            help="Fraction of a GPU for each Ray worker; 0 computes on the CPU.",
            rich_help_panel=MACHINE_PANEL,
        ),
    ] = 0.0,
    as_json: Json = False,
    *,
    given: dict[str, Any],
) -> None:
    """Search for the best network and training. The same command resumes the study.

    Examples:
      ocrsearch run --data FOLDER
      ocrsearch run --data labels.csv --timeout 30m --study a
      ocrsearch run --data captcha:FOLDER --space mine.yaml
      ocrsearch run --data iam:FOLDER --space lines --target 0.05
    """
    from ocrsearch.cli.display import search_display
    from ocrsearch.tuning import SearchOptions, search

    options = SearchOptions(
        trials=trials,
        study=study,
        storage=storage,
        target=target,
        epochs=max_epochs,
        patience=patience,
        disk_mb=max_disk,
        warm_start=warm_start,
        init=init,
        seed=seed,
        device=device.value,
        engine=engine.value,
        address=address,
        gpus_per_worker=gpus_per_worker,
        data=given,
    )
    notes = [] if data else ["note: no --data given: searching the built-in digits"]

    def reading(n_read: int, n: int) -> None:
        while notes:  # said once, as soon as there is data to read
            note(notes.pop())
        display.reading(n_read, n)

    with search_display(quiet=as_json) as display:
        result = search(
            space,
            data or DIGITS,
            options,
            observer=display.update,
            progress=reading,
            workers=workers,
            timeout=timeout,
        )
    if as_json:
        print_json(_content(result))
    else:
        echo(_summary(result, data or DIGITS))
    if result.ending == "interrupted":
        raise typer.Exit(130)
    if result.problem is not None:
        raise typer.Exit(1)


def _content(result: SearchResult) -> dict[str, Any]:
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
            "it reads nothing yet: resume the search with a larger --timeout or --trials, or look "
            f"for what is wrong with the data: {our_command('data', 'inspect', data)}"
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
        return f"which has not seen all {result.n_folds} folds, CER"
    return f"CER over {result.n_folds} folds"


def _problem(result: SearchResult) -> str | None:
    return None if result.problem is None else for_command_line(result.problem)


def _summary(result: SearchResult, data: str) -> str:
    status = result.status
    lines = [
        f"study {result.study}: {ENDINGS[result.ending]}; {status.n_finished} of "
        f"{status.limits.trials} trials ({status.n_complete} finished, {status.n_pruned} stopped "
        f"early, {status.n_infeasible} infeasible, {status.n_failed} failed)"
    ]
    if result.left_out:
        samples = "1 sample" if result.n_bad == 1 else f"{result.n_bad} samples"
        lines.append(f"{samples} could not be used: {result.left_out}")
    lines += result.earlier
    if status.running:
        n = len(status.running)
        lines.append(f"{n} in training were saved; the same command again continues them")
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
