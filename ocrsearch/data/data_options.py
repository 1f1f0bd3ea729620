"""Options for reading and splitting a dataset, shared by all commands with data.

A study and its model keep the options, so that a later evaluation splits the data as the search
did. The module imports nothing heavy, because help pages are made from it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self, TypedDict

from ocrsearch.core import (
    OptionError,
    current_options,
    documented,
    option,
    takes_former_fields,
)
from ocrsearch.data.charset import BidiSetting

MAX_INVALID = 0.01
"""Default for the fraction of invalid samples that are skipped."""

MAX_PATH = 4096
"""Maximum length of a path, in characters."""

PANEL = "Data"


def _path_text(value: Any) -> Any:
    """Convert a ``Path`` to text and reject text that cannot be a path."""
    text = str(value) if isinstance(value, Path) else value
    if isinstance(text, str) and "\0" in text:
        raise ValueError("must not have null characters")
    return text


@takes_former_fields
@documented
@dataclass(frozen=True)
class DataOptions:
    """Options for reading and splitting a dataset.

    Raises:
        OptionError: A value is out of range, or not a regular expression.
    """

    group: str = option(
        "",
        "Regular expression that finds the group in a sample's name. A group is never split.",
        PANEL,
        metavar="REGEX",
    )
    splits: str = option(
        "",
        "Table with the split of each sample, from 'ocrsearch data split'.",
        PANEL,
        metavar="FILE",
        convert=_path_text,
        max_length=MAX_PATH,
    )
    split_seed: int = option(0, "Random seed for drawing the splits.", PANEL, ge=0)
    train_fraction: float = option(
        1.0, "Fraction of the training split to use.", PANEL, shown="1", gt=0, le=1
    )
    keep_flagged: bool = option(False, "Use samples that the dataset itself marks as wrong.", PANEL)
    max_invalid: float = option(
        MAX_INVALID,
        "Maximum fraction of invalid samples to skip. Above it the command aborts.",
        PANEL,
        ge=0,
        le=1,
    )
    bidi: BidiSetting = option(
        "auto",
        "Base direction of right-to-left labels: that of each label's first letter, or always "
        "this one. They are trained in visual order; off: they are in it already.",
        PANEL,
        metavar="auto|rtl|ltr|off",
    )
    columns: str = option(
        "",
        "Columns of a table, or keys of JSON lines, such as image=FILE,text=LABEL.",
        PANEL,
        metavar="ROLE=NAME,...",
        shown="the usual names",
    )
    extra_train_data: str = option(
        "",
        "More training images: another dataset, or a recipe for synthetic images that are new in "
        "each epoch. They are never used for validation or test.",
        PANEL,
        metavar="SPEC",
        convert=_path_text,
        max_length=MAX_PATH,
    )

    def __post_init__(self) -> None:
        from ocrsearch.core import checked_values, pattern_problem, quoted
        from ocrsearch.data.formats import parse_columns

        for name, value in checked_values(self).items():
            object.__setattr__(self, name, value)
        parse_columns(self.columns)
        if problem := pattern_problem(self.group):
            allowed = f"must be a regular expression, got {quoted(self.group)} ({problem})"
            raise OptionError(allowed, "group")

    def to_dict(self) -> dict[str, object]:
        """Return plain values with absolute paths, valid in any working folder."""
        from ocrsearch.data.formats import absolute_path, absolute_spec

        splits = absolute_path(self.splits) if self.splits else ""
        extra = self.extra_train_data
        added = absolute_spec(extra) if extra else ""
        return {**asdict(self), "splits": splits, "extra_train_data": added}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return options from the values of ``to_dict``. Missing options have their defaults.

        Without ``bidi``, the values are from an old version, which did not reorder labels.

        Raises:
            OptionError: A name or value is invalid.
        """
        from ocrsearch.core import quoted

        known = {field.name for field in fields(cls)}
        values = current_options(values, known)
        for name in values:
            if name not in known:
                raise OptionError(f"no such option: {quoted(name)}", "data")
        return cls(**{"bidi": "off", **values}) if values != {} else cls()


class DataArguments(TypedDict, total=False):
    """Fields of ``DataOptions`` as keyword arguments."""

    group: str
    splits: str | Path
    split_seed: int
    train_fraction: float
    keep_flagged: bool
    max_invalid: float
    bidi: BidiSetting
    columns: str
    extra_train_data: str


def given_options(options: DataOptions | Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the options chosen by a user, by name.

    Args:
        options: Options, or chosen values by name. Options with their default value count as
            not chosen.

    Raises:
        OptionError: A name is unknown, or ``options`` has another type.
    """
    if options is None:
        return {}
    defaults = {field.name: field.default for field in fields(DataOptions)}
    if isinstance(options, DataOptions):
        values = vars(options)
        return {name: values[name] for name in defaults if values[name] != defaults[name]}
    if not isinstance(options, Mapping):
        raise OptionError(
            f"must be ocrsearch.DataOptions or a dict, got {type(options).__name__}", "data"
        )
    from ocrsearch.core import suggestion

    options = current_options(options, defaults, stacklevel=3)
    for name in options:
        if name not in defaults:
            raise OptionError(f"{name}: no such option{suggestion(str(name), defaults)}", "data")
    return options
