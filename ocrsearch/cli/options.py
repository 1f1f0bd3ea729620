"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ocrsearch.errors import OptionError

DEFAULT_STORAGE = "sqlite:///studies/ocrsearch.db"

Storage = Annotated[
    str,
    typer.Option(
        help="URL of the study database, sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME.",
        envvar="OCRSEARCH_STORAGE",
    ),
]
StudyName = Annotated[
    str | None, typer.Option("--study", help="Name of the study; default: the latest.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]

SetValues = Annotated[
    list[str] | None, typer.Option("--set", help="A value, as training.augment.elastic=1.")
]


class Device(StrEnum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


DeviceOption = Annotated[Device, typer.Option(help="Where to compute.")]

_SPEC = (
    "FORMAT:PATH, a path, or digits. Formats: captcha, csv, tsv, jsonl, labels, gt, ppocr, iam, "
    "kalapa, mnist, synth."
)
Data = Annotated[str, typer.Option(help=_SPEC)]
OptionalData = Annotated[str | None, typer.Option("--data", help=_SPEC)]
Spec = Annotated[str, typer.Argument(metavar="SPEC", help=_SPEC)]

_PANEL = "How the data is read and split"
_DATA_OPTIONS: dict[str, Any] = {
    "group": Annotated[
        str | None,
        typer.Option(
            help="Regular expression that finds in a sample's name what must not be parted.",
            rich_help_panel=_PANEL,
        ),
    ],
    "splits": Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Splits to use, from 'ocrsearch data split'.",
            rich_help_panel=_PANEL,
        ),
    ],
    "split_seed": Annotated[
        int | None, typer.Option(help="Of splits that are drawn.", rich_help_panel=_PANEL)
    ],
    "train_share": Annotated[
        float | None,
        typer.Option(help="Share of the training split to use.", rich_help_panel=_PANEL),
    ],
    "keep_err": Annotated[
        bool | None,
        typer.Option(
            "--keep-err/--leave-err",
            help="Use samples that the data itself marks as wrong.",
            rich_help_panel=_PANEL,
        ),
    ],
    "max_bad": Annotated[
        float | None,
        typer.Option(
            help="Share of unusable samples that is left out silently; above it, no start.",
            rich_help_panel=_PANEL,
        ),
    ],
}
"""The fields of ``DataOptions`` that say what is read and how it is split."""

_TRAINING_DATA_OPTIONS: dict[str, Any] = {
    **_DATA_OPTIONS,
    "add": Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            help="More pictures to train on: another data set, or a recipe, which makes new ones "
            "for each epoch. None goes to validation or test.",
            rich_help_panel=_PANEL,
        ),
    ],
}
"""The fields of ``DataOptions``; None where an option is not given."""


_DECODING_PANEL = "How lines are decoded"
_DECODING_OPTIONS: dict[str, Any] = {
    "views": Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Read each picture at N widths, up to 5, and agree: for hard lines; default: 1.",
            rich_help_panel=_DECODING_PANEL,
        ),
    ],
    "beam": Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Texts that a beam search keeps for each line; 0, the default, decodes greedily.",
            rich_help_panel=_DECODING_PANEL,
        ),
    ],
    "language_model": Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="From 'ocrsearch language-model'.",
            rich_help_panel=_DECODING_PANEL,
        ),
    ],
    "lm_weight": Annotated[
        float | None,
        typer.Option(
            help="Of the language model's log probability; default: as chosen for it, or 0.6.",
            rich_help_panel=_DECODING_PANEL,
        ),
    ],
    "length_bonus": Annotated[
        float | None,
        typer.Option(
            help="For each symbol, in nats; default: as chosen for the language model, or 1 for a "
            "CRNN with one, else 0.",
            rich_help_panel=_DECODING_PANEL,
        ),
    ],
    "lexicon": Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Words, an entry a line; numbers and punctuation are always allowed.",
            rich_help_panel=_DECODING_PANEL,
        ),
    ],
    "lexicon_weight": Annotated[
        float | None,
        typer.Option(
            help="What a word that is not in the lexicon costs, in nats; default: 2.",
            rich_help_panel=_DECODING_PANEL,
        ),
    ],
    "ctc_weight": Annotated[
        float | None,
        typer.Option(
            help="Of the CTC head's log probability in a seq2seq; default: 0.3.",
            rich_help_panel=_DECODING_PANEL,
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


_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")


def parse_workers(text: str) -> int | None:
    """Return the number of workers; None for ``auto``.

    Raises:
        OptionError: neither a number nor auto.
    """
    if text == "auto":
        return None
    try:
        return int(text)
    except ValueError:
        raise OptionError(f"--workers {text}: must be a number of 1 or more, or auto") from None


def parse_duration(text: str) -> float:
    """Return seconds for ``90``, ``90s``, ``30m``, ``2h`` or ``1h30m``.

    Raises:
        OptionError: another text, or no time at all.
    """
    match = _DURATION.fullmatch(text.strip().lower())
    parts = [float(part or 0) for part in match.groups()] if match else []
    seconds = sum(p * unit for p, unit in zip(parts, (3600, 60, 1), strict=False))
    if seconds <= 0:
        raise OptionError(f"--timeout {text!r}: write it as 90s, 30m, 2h or 1h30m")
    return seconds
