"""``ocrsearch best``: the best configuration of a study, and its model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrsearch.cli.options import (
    DEFAULT_STORAGE,
    Json,
    Storage,
    StudyName,
    output_file,
)
from ocrsearch.cli.output import (
    echo,
    note,
    print_json,
    shell,
    show_table,
)
from ocrsearch.core import OptionError, StudyError

if TYPE_CHECKING:
    from ocrsearch.inference import Bundle
    from ocrsearch.studies import BestTrial
    from ocrsearch.workflows import Confirmation, Ensemble


CHOICE_PANEL = "Choice"
MODEL_PANEL = "Model"
MOVED_PANEL = "Moved data, for --confirm, --ensemble and --refit"


def best(
    study: StudyName = None,
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            callback=output_file(),
            help="Write the model to this file. Nothing is trained again.",
            rich_help_panel=MODEL_PANEL,
        ),
    ] = None,
    max_latency: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            metavar="MS",
            help="Maximum latency of the network, in milliseconds.",
            rich_help_panel=CHOICE_PANEL,
        ),
    ] = None,
    max_size: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            metavar="MB",
            help="Maximum size of the float32 weights, in megabytes.",
            rich_help_panel=CHOICE_PANEL,
        ),
    ] = None,
    half: Annotated[
        bool,
        typer.Option(
            "--half",
            help="Export float16 weights: half the file size, the same accuracy.",
            rich_help_panel=MODEL_PANEL,
        ),
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Export a network even if it reads nothing.",
            rich_help_panel=MODEL_PANEL,
        ),
    ] = False,
    confirm: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=100,
            metavar="K",
            help="Train the three best configurations again with K new seeds each, choose by "
            "the mean CER, and evaluate the test split once.",
            rich_help_panel=CHOICE_PANEL,
        ),
    ] = None,
    ensemble: Annotated[
        int | None,
        typer.Option(
            min=2,
            max=100,
            metavar="K",
            help="Combine the K best networks in one model. This usually lowers the error rate "
            "and takes K times the space and time.",
            rich_help_panel=MODEL_PANEL,
        ),
    ] = None,
    refit: Annotated[
        bool,
        typer.Option(
            "--refit",
            help="Train the network again on training and validation images together, for the "
            "whole schedule, and export it. The error rates shown are those before.",
            rich_help_panel=MODEL_PANEL,
        ),
    ] = False,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            help="Where the data of the study is now, if it was moved.",
            rich_help_panel=MOVED_PANEL,
        ),
    ] = None,
    splits: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Where its file of splits is now.",
            rich_help_panel=MOVED_PANEL,
        ),
    ] = None,
    add: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            help="Where the images are now that it added for training.",
            rich_help_panel=MOVED_PANEL,
        ),
    ] = None,
    trial: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Take trial N in place of the best.",
            rich_help_panel=CHOICE_PANEL,
        ),
    ] = None,
    storage: Storage = DEFAULT_STORAGE,
    as_json: Json = False,
) -> None:
    """Show the best configuration of a study and export its model.

    Examples:
      ocrsearch best
      ocrsearch best --study captcha-numbers --export model.pt
      ocrsearch best --max-size 5 --export small.pt --half
      ocrsearch best --confirm 3 --export model.pt
      ocrsearch best --refit --export model.pt
    """
    from ocrsearch.studies import (
        best_trial,
        compare_best,
        load_study,
        pareto_set,
        separation_content,
        study_facts,
    )

    wanted = {"latency_ms": max_latency, "size_mb": max_size}
    limits = {name: value for name, value in wanted.items() if value is not None}
    chosen = {"--confirm": confirm, "--ensemble": ensemble, "--refit": refit or None}
    several = [name for name, value in chosen.items() if value is not None]
    if len(several) > 1:
        raise OptionError(f"{' and '.join(several)}: only one of them at a time")
    if refit and export is None:
        raise OptionError("--refit: trains a model to export; give --export FILE too")
    if half and export is None:
        raise OptionError("--half: says how a model is exported; give --export FILE too")
    if force and export is None:
        raise OptionError("--force: is for the export of a model; give --export FILE too")
    moved = {"data": data, "splits": splits, "add": add}
    given = [name for name, value in moved.items() if value is not None]
    if given and not several:
        raise OptionError(
            f"--{given[0]}: only --confirm, --ensemble and --refit read the data of a study"
        )
    if trial is not None and (confirm is not None or ensemble is not None):
        raise OptionError("--trial: give it without --confirm and --ensemble, which choose trials")
    found = best_trial(storage, study, limits, trial)
    if study is None and export is not None:
        note(f"note: no --study given: using {found.study}, the study that changed last")
    _check_that_it_reads(found, refuse=export is not None and not force)
    if confirm is not None:
        done = _confirm(storage, found.study, confirm, limits, moved)
        if export is not None:
            _export(done.bundle, export, half=half)
        _show_confirmation(done, export, as_json=as_json)
        return
    searched = load_study(storage, found.study)
    facts, pareto = study_facts(searched), pareto_set(searched)
    compared = compare_best(searched, found.weights.parent.parent, limits)
    joined = None if ensemble is None else _join(storage, found.study, ensemble, limits, moved)
    if export is not None and joined is None:
        _check_weights(found, storage, limits, export)
    if export is not None:
        from ocrsearch.workflows import bundle_trial

        if refit:
            bundle = _refit(storage, found, moved, as_json=as_json)
        else:
            bundle = joined.bundle if joined else bundle_trial(found, facts, limits)
        _export(bundle, export, half=half)
    if as_json:
        extra: dict[str, Any] = {"pareto": pareto} if pareto else {}
        extra |= {"separation": separation_content(compared), "refit": refit}
        print_json({**_content(found, export), **extra, **_ensemble_content(joined)})
    else:
        _print(found, joined, export, bundle if export else None)
        _print_pareto(pareto, list(facts.objective))
        if compared is not None and compared.best == found.trial:
            for line in compared.describe():
                echo(line)


def _check_that_it_reads(found: BestTrial, *, refuse: bool) -> None:
    """Warn of a network that reads nothing, or refuse it.

    Raises:
        StudyError: it reads nothing, and is to be refused.
    """
    from ocrsearch.evaluation import reads_nothing

    exact = found.metrics.get("exact", 1.0)
    if not reads_nothing(found.value, exact):
        return
    problem = (
        f"the best network, of trial {found.trial}, reads nothing (validation CER "
        f"{found.value:.4f}, exact match {exact:.3f}); resume the search with a larger --timeout "
        "or --trials, or look for what is wrong with the data by 'ocrsearch data inspect'"
    )
    if refuse:
        raise StudyError(f"study {found.study!r}: {problem}; --force exports it nevertheless")
    note(f"warning: {problem}")


def _check_weights(found: BestTrial, storage: str, limits: dict[str, float], export: Path) -> None:
    """Name another trial if the weights of one are missing.

    Raises:
        StudyError: they are.
    """
    from ocrsearch.studies import next_with_weights

    if found.weights.exists():
        return
    lost = (
        f"study {found.study!r}: the weights of trial {found.trial} are missing ({found.weights})"
    )
    other = next_with_weights(storage, found, limits)
    if other is None:
        raise StudyError(f"{lost}, and so are those of all others; search again under a new name")
    words = ["ocrsearch", "best", "--study", other.study, "--trial", other.trial]
    if storage != DEFAULT_STORAGE:
        words += ["--storage", storage]
    raise StudyError(
        f"{lost}; the next best with weights is trial {other.trial} (CER {other.value:.4f}): "
        f"{shell(*words, '--export', export)}"
    )


def _export(bundle: Bundle, path: Path, *, half: bool) -> None:
    from ocrsearch.inference import halve, save_bundle

    save_bundle(halve(bundle) if half else bundle, path)


def _content(found: BestTrial, export: Path | None) -> dict[str, Any]:
    return {
        "study": found.study,
        "trial": found.trial,
        "state": found.state,
        "value": found.value,
        "params": found.params,
        "metrics": found.metrics,
        "export": str(export) if export else None,
    }


def _join(
    storage: str, study: str, n: int, limits: dict[str, float], moved: dict[str, str | None]
) -> Ensemble:
    from ocrsearch.cli.output import reading_bar
    from ocrsearch.workflows import DataPlace, make_ensemble

    with reading_bar("recognising") as progress:
        return make_ensemble(storage, study, n, limits, progress, DataPlace(*moved.values()))


def _refit(
    storage: str, found: BestTrial, moved: dict[str, str | None], *, as_json: bool
) -> Bundle:
    from ocrsearch.cli.train_display import train_display
    from ocrsearch.workflows import DataPlace, refit

    with train_display(quiet=as_json) as display:
        display.validates = False
        try:
            return refit(storage, found, DataPlace(*moved.values()), display)
        except KeyboardInterrupt:
            if as_json:
                print_json({"ending": "interrupted", "n_epochs": display.n_done, "export": None})
            else:
                display.note(
                    f"interrupted: {display.n_done} epochs are saved; the same command resumes"
                )
            raise typer.Exit(130) from None


def _ensemble_content(joined: Ensemble | None) -> dict[str, Any]:
    if joined is None:
        return {}
    trials = [member.trial for member in joined.members]
    content = {"trials": trials, "metrics": joined.bundle.metrics, "alone": asdict(joined.alone)}
    return {"ensemble": content}


def _confirm(
    storage: str,
    study: str,
    n_seeds: int,
    limits: dict[str, float],
    moved: dict[str, str | None],
) -> Confirmation:
    from ocrsearch.workflows import DataPlace, confirm

    return confirm(storage, study, n_seeds, limits, note, DataPlace(*moved.values()))


def _show_confirmation(done: Confirmation, export: Path | None, *, as_json: bool) -> None:
    if not as_json:
        _print_confirmation(done, export)
        return
    configurations = [{**asdict(c), "mean": c.mean} for c in done.configurations]
    chosen = {"study": done.study, "trial": done.configurations[0].trial}
    content = {**chosen, "configurations": configurations, "test": done.test}
    print_json({**content, "export": str(export) if export else None})


def _print_confirmation(done: Confirmation, export: Path | None) -> None:
    show_table(
        ("trial", "in the study", "mean", "fresh seeds"),
        [
            (c.trial, f"{c.value:.4f}", f"{c.mean:.4f}", ", ".join(f"{cer:.4f}" for cer in c.cers))
            for c in done.configurations
        ],
        title=f"study {done.study}, validation CER",
    )
    echo(f"trial {done.configurations[0].trial} is chosen by its mean")
    if done.test is None:
        echo("the data has no test split to read")
    else:
        test = done.test
        echo(
            f"its model on the test split, {test['n']} pictures: "
            f"exact {test['exact']:.4f} ({test['exact_low']:.4f} to {test['exact_high']:.4f}), "
            f"CER {test['cer']:.4f} ({test['cer_low']:.4f} to {test['cer_high']:.4f})"
        )
    if export:
        echo(f"model written to {export}")


def _print_pareto(pareto: list[dict[str, Any]], names: list[str]) -> None:
    if not pareto:
        return
    show_table(
        ("trial", *names),
        [(entry["trial"], *(f"{value:.4g}" for value in entry["values"])) for entry in pareto],
        title="Pareto front",
    )
    echo("take one of these with --max-latency or --max-size")


def _print(
    found: BestTrial, joined: Ensemble | None, export: Path | None, bundle: Bundle | None
) -> None:
    params, metrics = _figures(found.params), _figures(found.metrics)
    title = f"study {found.study}, trial {found.trial}"
    show_table(("parameter", "value"), [*params, None, *metrics], title=title)
    if found.state != "finished":
        n_epochs = found.metrics["n_epochs"]
        echo(f"it is {found.state} after {n_epochs} epochs: more time would make it better.")
    of = "the validation split"
    if n_folds := found.epochs[-1].n_folds:
        of = f"{found.n_folds} of {n_folds} folds"
    echo(f"cer, wer and exact are of {of}, on which it was chosen:")
    echo("an optimist's figures. 'ocrsearch evaluate' tells what it does on the test split.")
    if joined is not None:
        _print_ensemble(joined)
    if export and bundle:
        if len(bundle.members) > 1 and joined is None:
            echo(
                f"the model is the networks of {len(bundle.members)} folds, which read together; "
                "--refit trains one network on all of these images"
            )
        if again := bundle.provenance.refit:
            echo(f"the model was trained again on all {again.n} training and validation images")
        size_mb = export.stat().st_size / 1e6
        echo(f"model written to {export} ({size_mb:.1f} MB)")


def _figures(values: Mapping[str, object]) -> list[tuple[str, str]]:
    return [
        (name, f"{value:.4g}" if isinstance(value, float) else str(value))
        for name, value in values.items()
        if not isinstance(value, dict)
    ]


def _print_ensemble(joined: Ensemble) -> None:
    trials = ", ".join(str(member.trial) for member in joined.members)
    alone, together = joined.alone, joined.together
    echo(
        f"trials {trials} together: validation CER {together.cer:.4f}, exact {together.exact:.4f} "
        f"(the best of them alone {alone.cer:.4f}, {alone.exact:.4f}; n = {alone.n})"
    )
    echo("which flatters the best alone: of all it is the one that this split chose.")
    if len(joined.members) < joined.n_asked:
        echo(
            f"{len(joined.members)} of the {joined.n_asked} asked for: the others' weights are not "
            "kept, they are much worse, or there is no room for them within the limits"
        )
