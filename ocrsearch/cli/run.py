"""``ocrsearch run``: search a space on labelled pictures."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrsearch.cli.options import (
    DEFAULT_STORAGE,
    Data,
    Device,
    DeviceOption,
    Json,
    Storage,
    parse_duration,
    parse_workers,
    takes_training_data_options,
)
from ocrsearch.cli.output import echo, print_json

if TYPE_CHECKING:
    from ocrsearch.data.options import DataOptions
    from ocrsearch.search.api import SearchResult


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
    "exhausted": "the sampler finds no configuration that was not tried",
    "infeasible": "no configuration that was tried can be trained",
    "interrupted": "interrupted",
}


@takes_training_data_options
def run(
    space: Annotated[Path, typer.Option(help="Search space, a YAML file.")],
    trials: Annotated[
        int, typer.Option(help="Total of finished configurations in the study.")
    ] = 100,
    data: Data = "digits",
    study: Annotated[
        str | None, typer.Option(help="Name of the study; default: made of space and data.")
    ] = None,
    storage: Storage = DEFAULT_STORAGE,
    workers: Annotated[
        str,
        typer.Option(
            metavar="N|auto",
            help="Processes; auto: one a core, on a GPU as many as its memory has room for.",
        ),
    ] = "auto",
    timeout: Annotated[
        str | None, typer.Option(help="End after this time, as 90s, 30m or 2h.")
    ] = None,
    target: Annotated[
        float | None, typer.Option(help="End when this validation CER is reached.")
    ] = None,
    max_epochs: Annotated[
        int | None, typer.Option(help="End after this total of epochs, over all trials.")
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(help="End when so many trials in a row bring no lower validation CER."),
    ] = None,
    max_disk: Annotated[
        float | None, typer.Option(help="Megabytes that weights and checkpoints may take.")
    ] = None,
    warm_start: Annotated[
        str | None,
        typer.Option(metavar="STUDY", help="Begin with the best of an earlier study."),
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL",
            help="Start all configurations from its weights, as far as they fit; the first have "
            "its network. Data that it was trained on is split as it was then.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of sampler, weights and data order.")] = 0,
    device: DeviceOption = Device.auto,
    engine: Annotated[
        Engine, typer.Option(help="Workers: processes here, or actors of Ray.")
    ] = Engine.local,
    address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Ray cluster; default: one on this machine alone."),
    ] = None,
    gpus_per_worker: Annotated[
        float, typer.Option(help="Share of a GPU for each of Ray's workers; 0: on its CPU.")
    ] = 0.0,
    as_json: Json = False,
    *,
    given: dict[str, Any],
) -> None:
    """Search a space; the same command again continues the study."""
    seconds = parse_duration(timeout) if timeout is not None else None

    from ocrsearch.cli.display import search_display
    from ocrsearch.search.api import SearchOptions, search

    options = SearchOptions(
        trials=trials,
        study=study,
        storage=storage,
        workers=parse_workers(workers),
        timeout_s=seconds,
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
        data=_data_options(space, data, init, given),
    )
    with search_display(quiet=as_json) as display:
        result = search(space, data, options, observer=display.update, progress=display.reading)
    if as_json:
        print_json(_content(result))
    else:
        echo(_summary(result))
    if result.ending == "interrupted":
        raise typer.Exit(130)
    if result.problem is not None:
        raise typer.Exit(1)


def _data_options(space: Path, data: str, init: Path | None, given: dict[str, Any]) -> DataOptions:
    """Return the options given, and for what is not given those of the model to start from."""
    from ocrsearch.data.options import DataOptions
    from ocrsearch.search.space import load_space

    start = init or load_space(space).init
    if start is None or not start.is_file():
        return DataOptions(**given)
    from ocrsearch.deploy.single_training import inherited_options

    return replace(inherited_options(data, start), **given)


def _content(result: SearchResult) -> dict[str, Any]:
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
        "problem": result.problem,
    }


def _summary(result: SearchResult) -> str:
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
    if result.problem is not None:
        lines.append(result.problem)
    else:
        lines.append(
            f"best so far: trial {status.best_number}, validation CER {status.best_value:.4f}, "
            f"exact match {status.best_exact:.3f}"
        )
        lines.append(f"export it: ocrsearch best --study {result.study} --export model.pt")
    return "\n".join(lines)
