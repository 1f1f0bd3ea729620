"""``ocrsearch data check``: find labels that networks trained on other images contradict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrsearch.cli.options import (
    MACHINE_PANEL,
    STUDY_PANEL,
    Device,
    DeviceOption,
    Json,
    Spec,
    Storage,
    output_option,
    takes_data_options,
)
from ocrsearch.cli.output import echo, note, print_json, show_table
from ocrsearch.core import DEFAULT_STORAGE
from ocrsearch.data import DataArguments

if TYPE_CHECKING:
    from ocrsearch.workflows import CheckedLabel, LabelCheck

N_SHOWN = 20
"""Number of labels in the table on a terminal."""

MANY_ERRORS = 0.2
"""CER from which a note says that the networks do not read well enough."""

TRAINING_PANEL = "Training"

PageOutput = Annotated[
    Path, output_option("Write the page with images and an editor to this file.", ".html")
]
Top = Annotated[
    int,
    typer.Option(min=1, max=5000, help="Number of labels on the page and in JSON."),
]
OfStudy = Annotated[
    str | None,
    typer.Option(
        "--study",
        help="Train the configuration of the best trial of this study. Default: the first "
        "configuration that 'ocrsearch space suggest' derives from the images.",
        rich_help_panel=STUDY_PANEL,
    ),
]
Folds = Annotated[
    int,
    typer.Option(
        min=2,
        max=20,
        help="Number of parts. Each is read by a network that was trained on the others.",
        rich_help_panel=TRAINING_PANEL,
    ),
]
Repeats = Annotated[
    int,
    typer.Option(
        min=1,
        max=10,
        help="Number of networks that read each part together. More networks take more time and "
        "contradict fewer correct labels.",
        rich_help_panel=TRAINING_PANEL,
    ),
]
NumberOfEpochs = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=10_000,
        help="Number of epochs of each network. Default: a third of those in the configuration.",
        rich_help_panel=TRAINING_PANEL,
    ),
]
Timeout = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Approximate limit for the training time, such as 90s, 30m or 2h.",
        rich_help_panel=TRAINING_PANEL,
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        min=0,
        max=2**31 - 1,
        help="Random seed for the initial weights and the data order.",
        rich_help_panel=MACHINE_PANEL,
    ),
]


@takes_data_options
def check(
    spec: Spec,
    output: PageOutput = Path("check.html"),
    top: Top = 100,
    study: OfStudy = None,
    storage: Storage = DEFAULT_STORAGE,
    folds: Folds = 3,
    repeats: Repeats = 1,
    epochs: NumberOfEpochs = None,
    timeout: Timeout = None,
    seed: Seed = 0,
    device: DeviceOption = Device.auto,
    as_json: Json = False,
    *,
    given: DataArguments,
) -> None:
    """Find labels that are probably wrong, and correct them in a browser.

    Networks read images that they were not trained on. Labels that they contradict come first.
    The page shows the images and downloads a corrected table of labels. The same command resumes
    an interrupted check.

    Examples:
      ocrsearch data check captcha:FOLDER
      ocrsearch data check labels.csv -o check.html --timeout 10m
      ocrsearch data check labels.csv --study a --json
    """
    from ocrsearch.cli.train_display import resumable, train_display
    from ocrsearch.tuning import parse_duration
    from ocrsearch.workflows import CheckOptions, check_labels, training_folder, write_label_page

    options = CheckOptions(
        study=study,
        storage=storage,
        folds=folds,
        repeats=repeats,
        epochs=epochs,
        timeout_s=None if timeout is None else parse_duration(timeout),
        seed=seed,
        device=device.value,
        data=given,
    )
    folder = training_folder(output)
    with train_display(quiet=as_json) as display, resumable(display, folder, as_json=as_json):
        result = check_labels(spec, folder, options, display)
    write_label_page(result, output, top)
    if as_json:
        labels = [_plain(label) for label in result.labels[:top]]
        print_json(_figures(result, spec) | {"folder": folder, "output": output, "labels": labels})
    else:
        _show(result, output)


def _figures(result: LabelCheck, spec: str) -> dict[str, object]:
    """Return the figures of a check for JSON."""
    return {
        "data": spec,
        "n": len(result.labels),
        "n_bad": len(result.bad),
        "n_contradicted": result.n_contradicted,
        "cer": result.cer,
    }


def _show(result: LabelCheck, output: Path) -> None:
    """Print the most doubtful labels, the figures of a check, and where the page is."""
    doubtful = [label for label in result.labels[:N_SHOWN] if label.is_contradicted]
    _print(doubtful)
    n = result.n_contradicted
    labels = "label is" if n == 1 else "labels are"
    echo(f"{n} of {len(result.labels)} {labels} contradicted; CER {result.cer:.4f}")
    if n_unseen := sum(label.found.is_unseen for label in result.labels):
        note(f"{n_unseen} more differ by characters that only their part of the images has")
    if result.cer > MANY_ERRORS:
        note(
            f"note: the networks read {100 * result.cer:.0f} % of the characters differently, so "
            "they contradict many correct labels; train them longer with --epochs"
        )
    if result.bad:
        note(f"{len(result.bad)} samples could not be used, first {result.bad[0].reason}")
    echo(f"page written to {output}; open it in a browser to correct the labels")


def _plain(label: CheckedLabel) -> dict[str, object]:
    """Return a label for JSON."""
    found = label.found
    return {
        "name": label.sample.name,
        "label": label.sample.text,
        "reading": found.reading,
        "margin": found.margin,
        "confidence": found.confidence,
        "unseen": found.is_unseen,
        "part": label.part,
    }


def _print(doubtful: Sequence[CheckedLabel]) -> None:
    """Print the labels that are contradicted most."""
    if not doubtful:
        return
    rows = [
        (f"{label.found.margin:.1f}", label.sample.text, label.found.reading, label.sample.name)
        for label in doubtful
    ]
    show_table(["margin", "label", "read", "image"], rows)
