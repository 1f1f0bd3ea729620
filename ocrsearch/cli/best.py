"""``ocrsearch best``: the best configuration of a study, and its model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrsearch.cli.options import Json, Storage, StudyName, output_file
from ocrsearch.cli.output import echo, for_command_line, note, print_json, shell, show_table
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
        help="Write the model to this file, without further training.",
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
        help="Export the network even if it reads nothing.",
        rich_help_panel=MODEL_PANEL,
    ),
]
NumberOfSeeds = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=100,
        metavar="K",
        help=(
            "Train the three best configurations again with K new seeds each, choose by "
            "the mean CER, and evaluate the test split once."
        ),
        rich_help_panel=CHOICE_PANEL,
    ),
]
NumberOfNetworks = Annotated[
    int | None,
    typer.Option(
        min=2,
        max=100,
        metavar="K",
        help=(
            "Combine the K best networks in one model. This usually lowers the error rate "
            "and takes K times the space and time."
        ),
        rich_help_panel=MODEL_PANEL,
    ),
]
Refit = Annotated[
    bool,
    typer.Option(
        "--refit",
        help=(
            "Train the network again on the training and validation images together, for the "
            "whole schedule, and export it. The error rates are from before the refit."
        ),
        rich_help_panel=MODEL_PANEL,
    ),
]
MovedData = Annotated[
    str | None,
    typer.Option(
        metavar="SPEC",
        help="New location of the dataset, if it was moved.",
        rich_help_panel=MOVED_PANEL,
    ),
]
MovedSplits = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="New path of the split file, if it was moved.",
        rich_help_panel=MOVED_PANEL,
    ),
]
MovedImages = Annotated[
    str | None,
    typer.Option(
        metavar="SPEC",
        help="New location of the images added for training, if they were moved.",
        rich_help_panel=MOVED_PANEL,
    ),
]
TrialNumber = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="N",
        help="Use trial N instead of the best.",
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
        limits: upper limits for metrics.
        export: model file to write; None to write no model.
        confirm: number of seeds for confirmation; None for no confirmation.
        ensemble: number of networks to combine; None for no ensemble.
        refit: whether to train the network again on all images.
        half: whether to export float16 weights.
        moved: new locations of the data, by option; None for unchanged locations.
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
    """Check combinations of options.

    Raises:
        OptionError: two options exclude each other, or an option needs another option.
    """
    ways = {
        "--confirm": wanted.confirm is not None,
        "--ensemble": wanted.ensemble is not None,
        "--refit": wanted.refit,
    }
    chosen = [option for option, is_given in ways.items() if is_given]
    if len(chosen) > 1:
        raise OptionError(f"{' and '.join(chosen)}: cannot be combined; remove all but one option")
    if wanted.export is None:
        needs_export = {
            "--refit": wanted.refit,
            "--half": wanted.half,
            "--force": force,
        }
        for option, is_given in needs_export.items():
            if is_given:
                raise OptionError(f"{option}: needs --export FILE")
    moved = [name for name, value in wanted.moved.items() if value is not None]
    if moved and not chosen:
        raise OptionError(
            f"--{moved[0]}: needs --confirm, --ensemble or --refit; nothing else reads the data"
        )
    if trial is not None and (ways["--confirm"] or ways["--ensemble"]):
        raise OptionError("--trial: cannot be combined with --confirm or --ensemble; remove it")


def _confirm_and_show(wanted: _Wanted, study: str, n_seeds: int) -> None:
    """Confirm the best configurations with new seeds, and export the chosen model."""
    done = _confirm(wanted.storage, study, n_seeds, wanted.limits, wanted.moved)
    if wanted.export is not None:
        _export(done.bundle, wanted.export, half=wanted.half)
    _show_confirmation(done, wanted.export, as_json=wanted.as_json)


def _export_and_show(wanted: _Wanted, found: BestTrial) -> None:
    """Show the best configuration, and export its model if requested."""
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
    """Write the model file and return the model; None if no export is requested."""
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
    """Warn if the network reads nothing, or raise an error.

    Raises:
        StudyError: the network reads nothing, and refuse is true.
    """
    from ocrsearch.evaluation import reads_nothing

    exact = found.metrics.get("exact", 1.0)
    if not reads_nothing(found.value, exact):
        return
    problem = (
        f"the best network, of trial {found.trial}, reads nothing (validation CER "
        f"{found.value:.4f}, exact match {exact:.3f}); resume the search with a larger --timeout "
        "or --trials, or check the data with 'ocrsearch data inspect'"
    )
    if refuse:
        raise StudyError(f"study {found.study!r}: {problem}; to export it anyway, give --force")
    note(f"warning: {problem}")


def _check_weights(found: BestTrial, storage: str, limits: dict[str, float], export: Path) -> None:
    """Check that the weights of a trial exist, and suggest another trial if not.

    Raises:
        StudyError: the weights are missing.
    """
    from ocrsearch.studies import next_with_weights

    if found.weights.exists():
        return
    lost = (
        f"study {found.study!r}: the weights of trial {found.trial} are missing ({found.weights})"
    )
    other = next_with_weights(storage, found, limits)
    if other is None:
        raise StudyError(f"{lost}, like those of all other trials; search again under a new name")
    words = ["ocrsearch", "best", "--study", other.study, "--trial", other.trial]
    if storage != DEFAULT_STORAGE:
        words += ["--storage", storage]
    raise StudyError(
        f"{lost}; the next best trial with weights is {other.trial} (CER {other.value:.4f}): "
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
                n = display.n_done
                saved = "1 epoch is saved" if n == 1 else f"{n} epochs are saved"
                display.note(f"interrupted: {saved}; rerun the same command to resume")
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
    echo(f"trial {done.configurations[0].trial} has the lowest mean")
    if done.test is None:
        echo("the dataset has no test split")
    else:
        test = done.test
        images = "1 image" if test["n"] == 1 else f"{test['n']} images"
        echo(
            f"test split, {images}: exact match {test['exact']:.4f} "
            f"({test['exact_low']:.4f} to {test['exact_high']:.4f}), "
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
    echo("choose among these with --max-latency or --max-size")


def _print(
    found: BestTrial, joined: Ensemble | None, export: Path | None, bundle: Bundle | None
) -> None:
    params, metrics = _figures(found.params), _figures(found.metrics)
    title = f"study {found.study}, trial {found.trial}"
    show_table(("parameter", "value"), [*params, None, *metrics], title=title)
    if found.state != "finished":
        n = found.metrics["n_epochs"]
        echo(f"trial {found.trial} is {found.state} after {n} epoch{'s' * (n != 1)}")
    of = "the validation split"
    if n_folds := found.epochs[-1].n_folds:
        of = f"{found.n_folds} of {n_folds} folds"
    echo(f"cer, wer and exact are measured on {of}, which also chose this trial,")
    echo("so they are optimistic. Use 'ocrsearch evaluate' for the test split.")
    if joined is not None:
        _print_ensemble(joined)
    if export and bundle:
        if len(bundle.members) > 1 and joined is None:
            echo(
                f"the model is an ensemble of the networks of {len(bundle.members)} folds; "
                "use --refit to train a single network on all images"
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
        f"ensemble of trials {trials}: validation CER {together.cer:.4f}, exact match "
        f"{together.exact:.4f} (best trial alone {alone.cer:.4f}, {alone.exact:.4f}; "
        f"{alone.n} images)"
    )
    echo("The figures of the best trial are optimistic, because this split chose it.")
    if len(joined.members) < joined.n_asked:
        echo(
            f"the ensemble has {len(joined.members)} of {joined.n_asked} requested networks: the "
            "other trials have no weights, are much worse, or would exceed the limits"
        )
