"""``ocrsearch best``: the best configuration of a study, and its model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrsearch.cli.best_export import (
    Written,
    print_trust,
    threshold_content,
    write_confirmed,
    write_model,
)
from ocrsearch.cli.best_request import Wanted
from ocrsearch.cli.options import Json, MaxError, Storage, StudyName, output_file
from ocrsearch.cli.output import (
    echo,
    for_command_line,
    note,
    print_json,
    reading_bar,
    show_table,
)
from ocrsearch.core import DEFAULT_STORAGE, StudyError

if TYPE_CHECKING:
    from ocrsearch.studies import BestTrial
    from ocrsearch.workflows import Ensemble

CHOICE_PANEL = "Choice"
MODEL_PANEL = "Model"
MOVED_PANEL = "Moved data, for --export, --confirm and --ensemble"

ExportFile = Annotated[
    Path | None,
    typer.Option(
        "--export",
        "--output",
        "-o",
        metavar="FILE",
        callback=output_file(),
        help="Write the model to this file, without further training: .onnx for recognition "
        "without PyTorch, any other name for PyTorch.",
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
Fp16Weights = Annotated[
    bool,
    typer.Option(
        "--fp16-weights",
        help="Export float16 weights: half the file size, the same accuracy.",
        rich_help_panel=MODEL_PANEL,
    ),
]
Int8 = Annotated[
    bool,
    typer.Option(
        "--int8",
        help="Export weights of 8 bits, for .onnx: about a third of the size. The CER on the "
        "validation split may rise by 0.005 at most.",
        rich_help_panel=MODEL_PANEL,
    ),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force", help="Export the network even if it reads nothing.", rich_help_panel=MODEL_PANEL
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
        help="Train the network again on the training and validation images together, for the "
        "whole schedule, and export it. The error rates are from before the refit.",
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
        min=0, metavar="N", help="Use trial N instead of the best.", rich_help_panel=CHOICE_PANEL
    ),
]


def best(
    study: StudyName = None,
    export: ExportFile = None,
    max_latency_ms: MaxLatency = None,
    max_size_mb: MaxSize = None,
    fp16_weights: Fp16Weights = False,
    int8: Int8 = False,
    force: Force = False,
    max_error: MaxError = None,
    confirm: NumberOfSeeds = None,
    ensemble: NumberOfNetworks = None,
    refit: Refit = False,
    data: MovedData = None,
    splits: MovedSplits = None,
    extra_train_data: MovedImages = None,
    trial: TrialNumber = None,
    storage: Storage = DEFAULT_STORAGE,
    as_json: Json = False,
) -> None:
    """Show the best configuration of a study and export its model.

    Examples:
      ocrsearch best
      ocrsearch best --study captcha-numbers --export model.pt
      ocrsearch best --export model.onnx --int8
      ocrsearch best --max-size-mb 5 --export small.pt --fp16-weights
      ocrsearch best --confirm 3 --export model.pt
      ocrsearch best --refit --export model.pt
      ocrsearch best --export model.pt --max-error 0.01
    """
    from ocrsearch.studies import best_trial

    limits = {"latency_ms": max_latency_ms, "size_mb": max_size_mb}
    wanted = Wanted(
        storage=storage,
        limits={name: limit for name, limit in limits.items() if limit is not None},
        export=export,
        confirm=confirm,
        ensemble=ensemble,
        refit=refit,
        fp16_weights=fp16_weights,
        int8=int8,
        moved={"data": data, "splits": splits, "extra_train_data": extra_train_data},
        trial=trial,
        force=force,
        max_error=max_error,
        as_json=as_json,
    )
    found = best_trial(storage, study, wanted.limits, trial)
    if study is None and export is not None:
        note(f"note: no --study given: using {found.study}, the study that changed last")
    _check_that_it_reads(found, refuse=export is not None and not force)
    if confirm is not None:
        _confirm(wanted, found.study, confirm)
    else:
        _show(wanted, found)


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


def _confirm(wanted: Wanted, study: str, n_seeds: int) -> None:
    """Confirm the best configurations with new seeds, and export the chosen model."""
    from ocrsearch.workflows import DataPlace, confirm

    place = DataPlace(*wanted.moved.values())
    done = confirm(wanted.storage, study, n_seeds, wanted.limits, note, place)
    written = None
    if wanted.export is not None:
        written = write_confirmed(wanted, wanted.export, done)
    chosen = done.configurations[0].trial
    if wanted.as_json:
        configurations = [{**asdict(c), "mean": c.mean} for c in done.configurations]
        content = {"study": done.study, "trial": chosen, "configurations": configurations}
        content |= {"test": done.test, "export": wanted.export}
        print_json(content | threshold_content(wanted, written))
        return
    show_table(
        ("trial", "in the study", "mean", "fresh seeds"),
        [
            (c.trial, f"{c.value:.4f}", f"{c.mean:.4f}", ", ".join(f"{cer:.4f}" for cer in c.cers))
            for c in done.configurations
        ],
        title=f"study {done.study}, validation CER",
    )
    echo(f"trial {chosen} has the lowest mean")
    if (test := done.test) is None:
        echo("the dataset has no test split")
    else:
        images = "1 image" if test["n"] == 1 else f"{test['n']} images"
        echo(
            f"test split, {images}: exact match {test['exact']:.4f} "
            f"({test['exact_low']:.4f} to {test['exact_high']:.4f}), "
            f"CER {test['cer']:.4f} ({test['cer_low']:.4f} to {test['cer_high']:.4f})"
        )
    if wanted.export:
        echo(f"model written to {wanted.export}")
        print_trust(written)


def _show(wanted: Wanted, found: BestTrial) -> None:
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
        from ocrsearch.workflows import DataPlace, make_ensemble

        with reading_bar("recognising") as progress:
            joined = make_ensemble(
                *(wanted.storage, found.study, wanted.ensemble, wanted.limits, progress),
                DataPlace(*wanted.moved.values()),
            )
    written = None
    if wanted.export is not None:
        written = write_model(wanted, wanted.export, found, joined, facts)
    if wanted.as_json:
        shown = ("study", "trial", "state", "value", "params", "metrics")
        content = {name: getattr(found, name) for name in shown}
        content |= {"export": wanted.export, "refit": wanted.refit}
        content["separation"] = separation_content(compared)
        if pareto:
            content["pareto"] = pareto
        if joined is not None:
            alone, metrics = asdict(joined.alone), joined.bundle.metrics
            trials = [member.trial for member in joined.members]
            content["ensemble"] = {"trials": trials, "metrics": metrics, "alone": alone}
        print_json(content | threshold_content(wanted, written))
        return
    _print(wanted, found, joined, written)
    if pareto:
        show_table(
            ("trial", *facts.objective),
            [(entry["trial"], *(f"{value:.4g}" for value in entry["values"])) for entry in pareto],
            title="Pareto front",
        )
        echo("choose among these with --max-latency-ms or --max-size-mb")
    if compared is not None and compared.best == found.trial:
        for line in compared.describe():
            echo(for_command_line(line))


def _print(
    wanted: Wanted, found: BestTrial, joined: Ensemble | None, written: Written | None
) -> None:
    rows: list[tuple[str, str] | None] = []
    for values in (found.params, found.metrics):
        rows += [None] * bool(rows)
        for name, value in values.items():
            if not isinstance(value, dict):
                rows.append((name, f"{value:.4g}" if isinstance(value, float) else str(value)))
    show_table(("parameter", "value"), rows, title=f"study {found.study}, trial {found.trial}")
    if found.state != "finished":
        n = found.metrics["n_epochs"]
        echo(f"trial {found.trial} is {found.state} after {n} epoch{'s' * (n != 1)}")
    of = "the validation split"
    if n_folds := found.epochs[-1].n_folds:
        of = f"{found.n_folds} of {n_folds} folds"
    echo(f"cer, wer and exact are measured on {of}, which also chose this trial,")
    echo("so they are optimistic. Use 'ocrsearch evaluate' for the test split.")
    if joined is not None:
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
                f"the ensemble has {len(joined.members)} of {joined.n_asked} requested networks: "
                "the other trials have no weights, are much worse, or would exceed the limits"
            )
    if wanted.export and written:
        bundle = written.bundle
        if len(bundle.members) > 1 and joined is None:
            echo(
                f"the model is an ensemble of the networks of {len(bundle.members)} folds; "
                "use --refit to train a single network on all images"
            )
        if again := bundle.provenance.refit:
            echo(f"the model was trained again on all {again.n} training and validation images")
        size_mb = wanted.export.stat().st_size / 1e6
        echo(f"model written to {wanted.export} ({size_mb:.1f} MB)")
        print_trust(written)
