"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ocrsearch.core import OcrSearchError, OptionError, output_problem

DEFAULT_STORAGE = "sqlite:///studies/ocrsearch.db"
STORAGE_VARIABLE = "OCRSEARCH_STORAGE"

DIGITS = "digits"
"""The built-in dataset."""

DATA_PANEL = "Data"
STUDY_PANEL = "Study"
MACHINE_PANEL = "Machine"
OUTPUT_PANEL = "Output"
DECODING_PANEL = "Decoding"

Storage = Annotated[
    str,
    typer.Option(
        help="URL of the study database: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME.",
        envvar=STORAGE_VARIABLE,
        rich_help_panel=STUDY_PANEL,
    ),
]
StudyName = Annotated[
    str | None,
    typer.Option(
        "--study",
        help="Name of the study. Default: the study that changed last.",
        rich_help_panel=STUDY_PANEL,
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="Print one JSON object on standard output.", rich_help_panel=OUTPUT_PANEL
    ),
]

SetValues = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Change one value of the configuration, such as training.augment.elastic=1. "
        "May be repeated.",
    ),
]
ModelFile = Annotated[
    Path, typer.Argument(metavar="MODEL", help="Model file, from 'ocrsearch best --export'.")
]


def output_file(suffix: str = "") -> Callable[..., Path | None]:
    """Return the callback of an option that names a file to be written.

    Args:
        suffix: end that the name must have; empty for any.
    """

    def check(context: typer.Context, param: typer.CallbackParam, path: Path | None) -> Path | None:
        if path is None or context.resilient_parsing:
            return path
        option = f"{max(param.opts, key=len)} {path}"
        if not path.name.lower().endswith(suffix):
            raise OptionError(f"{option}: must end in {suffix}")
        if problem := output_problem(path):
            raise OcrSearchError(f"{option}: {problem}")
        return path

    return check


def output_option(help_text: str, suffix: str = "") -> Any:
    """Return the option ``-o FILE`` of a command that writes a file.

    Args:
        help_text: help of the option.
        suffix: end that the name must have; empty for any.
    """
    return typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        callback=output_file(suffix),
        help=help_text,
        rich_help_panel=OUTPUT_PANEL,
    )


def output_folder(
    context: typer.Context, param: typer.CallbackParam, path: Path | None
) -> Path | None:
    """Check a folder to be made, as the callback of an option."""
    if path is not None and not context.resilient_parsing:
        problem = output_problem(path / "labels.csv")
        if problem:
            raise OcrSearchError(f"{max(param.opts, key=len)} {path}: {problem}")
    return path


class SplitName(StrEnum):
    """Split of the data; all reads the whole data."""

    train = "train"
    val = "val"
    test = "test"
    all = "all"


class Device(StrEnum):
    """Device for the computations."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


DeviceOption = Annotated[
    Device,
    typer.Option(
        help="Device for the computations; auto uses a GPU if there is one.",
        rich_help_panel=MACHINE_PANEL,
    ),
]

SPACE = "Search space: a ready one by name (see 'ocrsearch space list'), or a YAML file."

_SPEC = (
    "Labelled images: FORMAT:PATH, a path, or digits for the built-in set. Formats: captcha, "
    "folders, csv, tsv, jsonl, labels, gt, ppocr, iam, kalapa, mnist, synth."
)
Data = Annotated[
    str, typer.Option("--data", metavar="SPEC", help=_SPEC, rich_help_panel=DATA_PANEL)
]
OptionalData = Annotated[
    str | None, typer.Option("--data", metavar="SPEC", help=_SPEC, rich_help_panel=DATA_PANEL)
]
DataOrDigits = Annotated[
    str | None,
    typer.Option(
        "--data", metavar="SPEC", help=_SPEC, show_default=DIGITS, rich_help_panel=DATA_PANEL
    ),
]
"""A command that takes it says so when it is not given: few have come for the digits."""

Spec = Annotated[str, typer.Argument(metavar="SPEC", help=_SPEC)]


def _option(help_: str, *names: str, panel: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help_, metavar=metavar, rich_help_panel=panel)


_DATA_OPTIONS: dict[str, Any] = {
    "group": Annotated[
        str | None,
        _option(
            "Regular expression that finds the group in a sample's name. A group is never split.",
            metavar="REGEX",
            panel=DATA_PANEL,
        ),
    ],
    "splits": Annotated[
        str | None,
        _option(
            "Table with the split of each sample, from 'ocrsearch data split'.",
            metavar="FILE",
            panel=DATA_PANEL,
        ),
    ],
    "split_seed": Annotated[
        int | None, _option("Random seed for drawing the splits. Default: 0.", panel=DATA_PANEL)
    ],
    "train_share": Annotated[
        float | None,
        _option("Fraction of the training split to use. Default: 1.", panel=DATA_PANEL),
    ],
    "keep_err": Annotated[
        bool | None,
        _option(
            "Use samples that the dataset itself marks as wrong.",
            "--keep-err/--leave-err",
            panel=DATA_PANEL,
        ),
    ],
    "columns": Annotated[
        str | None,
        _option(
            "Columns of a table, or keys of JSON lines, such as image=FILE,text=LABEL. Default: "
            "the usual names.",
            metavar="ROLE=NAME,...",
            panel=DATA_PANEL,
        ),
    ],
    "bidi": Annotated[
        str | None,
        _option(
            "Base direction of right-to-left labels: that of each label's first letter, or always "
            "this one. They are trained in visual order; off: they are in it already. "
            "Default: auto.",
            metavar="auto|rtl|ltr|off",
            panel=DATA_PANEL,
        ),
    ],
    "max_bad": Annotated[
        float | None,
        _option(
            "Maximum fraction of invalid samples to skip. Above it the command aborts. "
            "Default: 0.01.",
            panel=DATA_PANEL,
        ),
    ],
}
"""The fields of ``DataOptions`` that say how the data is read and split."""

_TRAINING_DATA_OPTIONS: dict[str, Any] = {
    **_DATA_OPTIONS,
    "add": Annotated[
        str | None,
        _option(
            "More training images: another dataset, or a recipe for synthetic images that are "
            "new in each epoch. They are never used for validation or test.",
            metavar="SPEC",
            panel=DATA_PANEL,
        ),
    ],
}
"""The fields of ``DataOptions``; None where an option is not given."""


_DECODING_OPTIONS: dict[str, Any] = {
    "views": Annotated[
        int | None,
        _option(
            "Test-time augmentation: run the model on each image at N widths, up to 5, and "
            "combine the predictions. Default: 1.",
            metavar="N",
            panel=DECODING_PANEL,
        ),
    ],
    "beam": Annotated[
        int | None,
        _option(
            "Beam search that keeps N texts for each line; 0 decodes greedily. Default: 0.",
            metavar="N",
            panel=DECODING_PANEL,
        ),
    ],
    "language_model": Annotated[
        Path | None,
        _option(
            "Language model, from 'ocrsearch language-model'.",
            metavar="FILE",
            panel=DECODING_PANEL,
        ),
    ],
    "lm_weight": Annotated[
        float | None,
        _option(
            "Weight of the language model's log probability. Default: the weight tuned for the "
            "language model, or 0.6.",
            panel=DECODING_PANEL,
        ),
    ],
    "length_bonus": Annotated[
        float | None,
        _option(
            "Bonus for each character, in nats. Default: the bonus tuned for the language model, "
            "or 1 for a CRNN with a language model, else 0.",
            panel=DECODING_PANEL,
        ),
    ],
    "lexicon": Annotated[
        Path | None,
        _option(
            "Word list with an entry a line. Numbers and punctuation are always allowed.",
            metavar="FILE",
            panel=DECODING_PANEL,
        ),
    ],
    "lexicon_weight": Annotated[
        float | None,
        _option(
            "Cost of a word that is not in the lexicon, in nats. Default: 2.", panel=DECODING_PANEL
        ),
    ],
    "ctc_weight": Annotated[
        float | None,
        _option(
            "Weight of the CTC head's log probability in a seq2seq. Default: 0.3.",
            panel=DECODING_PANEL,
        ),
    ],
}
"""The fields of ``DecodingOptions``; None where an option is not given."""


def takes_data_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options by which data is split; those given are a dict ``given``."""
    return _with_options(command, _DATA_OPTIONS, "given")


def takes_training_data_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command all options of ``DataOptions``; it gets those given as a dict ``given``."""
    return _with_options(command, _TRAINING_DATA_OPTIONS, "given")


def takes_decoding_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command those of ``DecodingOptions``; it gets those given as a dict ``decoding``."""
    return _with_options(command, _DECODING_OPTIONS, "decoding")


def _with_options(
    command: Callable[..., None], options: dict[str, Any], name: str
) -> Callable[..., None]:
    """Give a command more options; it gets the values that are given as a dict of that name."""

    @functools.wraps(command)
    def with_options(**values: Any) -> None:
        found = {option: values.pop(option) for option in options}
        given = {option: value for option, value in found.items() if value is not None}
        command(**values, **{name: given})

    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.name != name]
    kind = inspect.Parameter.KEYWORD_ONLY
    more = [
        inspect.Parameter(option, kind, default=None, annotation=annotation)
        for option, annotation in options.items()
    ]
    dicts = [p for p in own if p.kind is kind and p.annotation == dict[str, Any]]
    plain = [p for p in own if p not in dicts]
    with_options.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*plain, *more, *dicts]
    )
    return with_options
