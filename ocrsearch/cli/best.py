"""``ocrsearch best``: the best configuration of a study, and its model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrsearch.cli.options import (
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
from ocrsearch.cli.wording import for_command_line
from ocrsearch.core import DEFAULT_STORAGE, OptionError, StudyError

if TYPE_CHECKING:
    from ocrsearch.inference import Bundle
    from ocrsearch.studies import BestTrial, ParetoTrial, StudyFacts
    from ocrsearch.workflows import Confirmation, Ensemble


CHOICE_PANEL = "Choice"
MODEL_PANEL = "Model"
MOVED_PANEL = "Moved data, for --confirm, --ensemble and --refit"


ExportFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        callback=output_file(),
        help="Write the model to this file. Nothing is trained again.",
        rich_help_panel=MODEL_PANEL,
    ),
]
MaxLatency = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        metavar="MS",
        help="Maximum latency of the network, in milliseconds.",
        rich_help_panel=CHOICE_PANEL,
    ),
]
MaxSize = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        metavar="MB",
        help="Maximum size of the float32 weights, in megabytes.",
        rich_help_panel=CHOICE_PANEL,
    ),
]
Half = Annotated[
    bool,
    typer.Option(
        "--half",
        help="Export float16 weights: half the file size, the same accuracy.",
        rich_help_panel=MODEL_PANEL,
    ),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Export a network even if it reads nothing.",
        rich_help_panel=MODEL_PANEL,
    ),
]
NumberOfSeeds = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=100,
        metavar="K",
        help="Train the three best configurations again with K new seeds each, choose by "
        "the mean CER, and evaluate the test split once.",
        rich_help_panel=CHOICE_PANEL,
    ),
]
NumberOfNetworks = Annotated[
    int | None,
    typer.Option(
        min=2,
        max=100,
        metavar="K",
        help="Combine the K best networks in one model. This usually lowers the error rate "
        "and takes K times the space and time.",
        rich_help_panel=MODEL_PANEL,
    ),
]
Refit = Annotated[
    bool,
    typer.Option(
        "--refit",
        help="Train the network again on training and validation images together, for the "
        "whole schedule, and export it. The error rates shown are those before.",
        rich_help_panel=MODEL_PANEL,
    ),
]
MovedData = Annotated[
    str | None,
    typer.Option(
        metavar="SPEC",
        help="Where the data of the study is now, if it was moved.",
        rich_help_panel=MOVED_PANEL,
    ),
]
MovedSplits = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Where its file of splits is now.",
        rich_help_panel=MOVED_PANEL,
    ),
]
MovedImages = Annotated[
    str | None,
    typer.Option(
        metavar="SPEC",
        help="Where the images are now that it added for training.",
        rich_help_panel=MOVED_PANEL,
    ),
]
TrialNumber = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="N",
        help="Take trial N in place of the best.",
        rich_help_panel=CHOICE_PANEL,
    ),
]


def best(
    study: StudyName = None,
    export: ExportFile = None,
    max_latency: MaxLatency = None,
    max_size: MaxSize = None,
    half: Half = False,
    force: Force = False,
    confirm: NumberOfSeeds = None,
    ensemble: NumberOfNetworks = None,
    refit: Refit = False,
    data: MovedData = None,
    splits: MovedSplits = None,
    add: MovedImages = None,
    trial: TrialNumber = None,
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
    from ocrsearch.studies import best_trial

    limits = {"latency_ms": max_latency, "size_mb": max_size}
    wanted = _Wanted(
        storage=storage,
        limits={name: limit for name, limit in limits.items() if limit is not None},
        export=export,
        confirm=confirm,
        ensemble=ensemble,
        refit=refit,
        half=half,
        moved={"data": data, "splits": splits, "add": add},
        as_json=as_json,
    )
    _check_together(wanted, trial, force=force)
    found = best_trial(storage, study, wanted.limits, trial)
    if study is None and export is not None:
        note(f"note: no --study given: using {found.study}, the study that changed last")
    _check_that_it_reads(found, refuse=export is not None and not force)
    if confirm is not None:
        _confirm_and_show(wanted, found.study, confirm)
    else:
        _export_and_show(wanted, found)


@dataclass(frozen=True)
class _Wanted:
    """Checked options of the command.

    Attributes:
        storage: URL of the study database.
        limits: largest value of some metrics.
        export: model file to write, None for none.
        confirm: number of seeds for confirmation, None for no confirmation.
        ensemble: number of networks to combine, None for no ensemble.
        refit: whether to train the network again on all images.
        half: whether to export float16 weights.
        moved: present places of the data, by option; None where they are unchanged.
        as_json: whether to print JSON.
    """

    storage: str
    limits: dict[str, float]
    export: Path | None
    confirm: int | None
    ensemble: int | None
    refit: bool
    half: bool
    moved: dict[str, str | None]
    as_json: bool


def _check_together(wanted: _Wanted, trial: int | None, *, force: bool) -> None:
    """Refuse options that do not go together.

    Raises:
        OptionError: two options exclude each other, or one needs another.
    """
    ways = {
        "--confirm": wanted.confirm is not None,
        "--ensemble": wanted.ensemble is not None,
        "--refit": wanted.refit,
    }
    chosen = [option for option, is_given in ways.items() if is_given]
    if len(chosen) > 1:
        raise OptionError(f"{' and '.join(chosen)}: only one of them at a time")
    if wanted.export is None:
        needs_export = {
            "--refit: trains a model to export": wanted.refit,
            "--half: says how a model is exported": wanted.half,
            "--force: is for the export of a model": force,
        }
        for problem, is_given in needs_export.items():
            if is_given:
                raise OptionError(f"{problem}; give --export FILE too")
    moved = [name for name, value in wanted.moved.items() if value is not None]
    if moved and not chosen:
        raise OptionError(
            f"--{moved[0]}: only --confirm, --ensemble and --refit read the data of a study"
        )
    if trial is not None and (ways["--confirm"] or ways["--ensemble"]):
        raise OptionError("--trial: give it without --confirm and --ensemble, which choose trials")


def _confirm_and_show(wanted: _Wanted, study: str, n_seeds: int) -> None:
    """Confirm the best configurations with new seeds, and export the model of the chosen one."""
    done = _confirm(wanted.storage, study, n_seeds, wanted.limits, wanted.moved)
    if wanted.export is not None:
        _export(done.bundle, wanted.export, half=wanted.half)
    _show_confirmation(done, wanted.export, as_json=wanted.as_json)


def _export_and_show(wanted: _Wanted, found: BestTrial) -> None:
    """Export the model of the best configuration, if wanted, and show the configuration."""
    from ocrsearch.studies import (
        compare_best,
        load_study,
        pareto_set,
        separation_content,
        study_facts,
    )

    searched = load_study(wanted.storage, found.study)
    facts, pareto = study_facts(searched), pareto_set(searched)
    compared = compare_best(searched, found.weights.parent.parent, wanted.limits)
    joined = None
    if wanted.ensemble is not None:
        joined = _join(wanted.storage, found.study, wanted.ensemble, wanted.limits, wanted.moved)
    bundle = _write_model(wanted, found, joined, facts)
    if wanted.as_json:
        extra: dict[str, object] = {"pareto": pareto} if pareto else {}
        extra |= {"separation": separation_content(compared), "refit": wanted.refit}
        print_json({**_content(found, wanted.export), **extra, **_ensemble_content(joined)})
        return
    _print(found, joined, wanted.export, bundle)
    _print_pareto(pareto, list(facts.objective))
    if compared is not None and compared.best == found.trial:
        for line in compared.describe():
            echo(for_command_line(line))


def _write_model(
    wanted: _Wanted, found: BestTrial, joined: Ensemble | None, facts: StudyFacts
) -> Bundle | None:
    """Write the model file; return the model, None if none is wanted."""
    from ocrsearch.workflows import bundle_trial

    if wanted.export is None:
        return None
    if joined is not None:
        bundle = joined.bundle
    else:
        _check_weights(found, wanted.storage, wanted.limits, wanted.export)
        if wanted.refit:
            bundle = _refit(wanted.storage, found, wanted.moved, as_json=wanted.as_json)
        else:
            bundle = bundle_trial(found, facts, wanted.limits)
    _export(bundle, wanted.export, half=wanted.half)
    return bundle


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


def _content(found: BestTrial, export: Path | None) -> dict[str, object]:
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


def _ensemble_content(joined: Ensemble | None) -> dict[str, object]:
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


def _print_pareto(pareto: list[ParetoTrial], names: list[str]) -> None:
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
