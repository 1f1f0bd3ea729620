"""Options that several commands share.

Options of a search, of data and of decoding come from their declarations in the library.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ocrsearch.cli.output import STORAGE_VARIABLE, option_of
from ocrsearch.core import OcrSearchError, OptionError, declared_options, output_problem
from ocrsearch.data import DataOptions
from ocrsearch.data.formats import FORMATS
from ocrsearch.deployment import ServiceOptions
from ocrsearch.inference import DecodingOptions

DIGITS = "digits"
"""The built-in dataset."""

DATA_PANEL = "Data"
STUDY_PANEL = "Study"
MACHINE_PANEL = "Machine"
OUTPUT_PANEL = "Output"

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
MaxError = Annotated[
    float | None,
    typer.Option(
        metavar="RATE",
        min=0.0001,
        max=0.5,
        help="Store the confidence from which texts can be used unchecked, if at most this "
        "fraction of them may have an error, such as 0.01. It is chosen on the validation split. "
        "'predict' marks the other texts.",
        show_default=False,
        rich_help_panel=OUTPUT_PANEL,
    ),
]


def output_file(suffix: str = "") -> Callable[..., Path | None]:
    """Return the callback of an option that names a file to be written.

    Args:
        suffix: required end of the name; empty for any.
    """

    def check(context: typer.Context, param: typer.CallbackParam, path: Path | None) -> Path | None:
        if path is None or context.resilient_parsing:
            return path
        option = f"{max(param.opts, key=len)} {path}"
        if not path.name.lower().endswith(suffix):
            found = path.suffix or "no suffix"
            raise OptionError(f"{option}: must end in {suffix}, got {found}; rename the file")
        if problem := output_problem(path):
            raise OcrSearchError(f"{option}: {problem}")
        return path

    return check


def output_option(help_text: str, suffix: str = "") -> Any:
    """Return the option ``-o FILE`` of a command that writes a file.

    Args:
        help_text: help of the option.
        suffix: required end of the name; empty for any.
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
    "Labelled images: FORMAT:PATH, a path, or digits for the built-in set. Formats: "
    f"{', '.join(reversed(FORMATS))}."  # the registry has the most special format first
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
"""A command that falls back to the digits says so, since few users want them."""

Spec = Annotated[str, typer.Argument(metavar="SPEC", help=_SPEC)]


FLAGS = {"keep_flagged": "--keep-flagged/--leave-flagged"}
"""Options that are a pair of flags."""

VARIABLES = {"storage": STORAGE_VARIABLE}
"""Options whose value can be in an environment variable."""


def typer_options(options: type[Any], names: Mapping[str, str] | None = None) -> dict[str, object]:
    """Return a command-line option for each declared option, by the name of its argument.

    The library checks limits and fills in defaults: an option that is not given is None.

    Args:
        options: class whose fields are declared by ``option``.
        names: arguments of fields that have another name.
    """
    found: dict[str, object] = {}
    for field, (kind, declared) in declared_options(options).items():
        name = (names or {}).get(field, field)
        default = f" Default: {declared.shown}." if declared.shown else ""
        info = typer.Option(
            FLAGS.get(name, option_of(name)),
            help=f"{declared.help}{default}",
            metavar=declared.metavar,
            show_default=False,
            envvar=VARIABLES.get(field),
            rich_help_panel=declared.panel,
        )
        found[name] = Annotated[(str if declared.convert else kind) | None, info]
    return found


TRAINING_DATA_OPTIONS = typer_options(DataOptions)
_DATA_OPTIONS = {name: o for name, o in TRAINING_DATA_OPTIONS.items() if name != "extra_train_data"}
_DECODING_OPTIONS = typer_options(DecodingOptions)
_SERVICE_OPTIONS = typer_options(ServiceOptions)


def takes_data_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options for splitting data; it receives those given as ``given``."""
    return with_options(command, _DATA_OPTIONS, "given")


def takes_training_data_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command all options of ``DataOptions``; it receives those given as ``given``."""
    return with_options(command, TRAINING_DATA_OPTIONS, "given")


def takes_decoding_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command all options of ``DecodingOptions``; it receives them as ``decoding``."""
    return with_options(command, _DECODING_OPTIONS, "decoding")


def takes_service_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command all options of ``ServiceOptions``; it receives them as ``limits``."""
    return with_options(command, _SERVICE_OPTIONS, "limits")


def with_options(
    command: Callable[..., None],
    options: Mapping[str, object],
    name: str,
    panels: Sequence[str] = (),
) -> Callable[..., None]:
    """Give a command more options.

    Args:
        command: function with a required keyword argument for the values that are given, a dict.
        options: annotation of each option.
        name: name of that argument.
        panels: order of the panels in help; empty to keep the command's own options first.
    """

    @functools.wraps(command)
    def completed(**values: Any) -> None:
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
    dicts = [p for p in own if p.kind is kind and p.default is p.empty]
    plain = [*(p for p in own if p not in dicts), *more]
    if panels:
        plain = [p.replace(kind=kind) for p in plain]
        plain.sort(key=lambda p: panels.index(p.annotation.__metadata__[0].rich_help_panel))
    completed.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*plain, *dicts]
    )
    return completed
