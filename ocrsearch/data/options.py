"""How a data set is read and split: the options that all commands with data share.

A study and its model keep them, so that a later evaluation parts the data as the search did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, TypedDict

from pydantic import AfterValidator, BeforeValidator, Field

from ocrsearch.config import Integer, Number
from ocrsearch.data.bidi import BidiSetting
from ocrsearch.data.columns import parse_columns
from ocrsearch.data.patterns import pattern_problem
from ocrsearch.data.synthesis.recipe import change_path
from ocrsearch.errors import OptionError
from ocrsearch.explain import checked_values, suggestion
from ocrsearch.files import home_path, real_path
from ocrsearch.printable import quoted


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _without_nulls(value: str) -> str:
    if "\0" in value:
        raise ValueError("must not have null characters")
    return value


PathText = Annotated[
    str, BeforeValidator(_text), Field(max_length=4096), AfterValidator(_without_nulls)
]
"""The path of a file as text; a ``Path`` is converted."""

DATA_PLACE = "data_place"
"""Fact of a study: the specification of its data with an absolute path."""

MAX_BAD = 0.01
"""Share of samples that may be unusable, unless it is given."""


@dataclass(frozen=True)
class DataOptions:
    """How to read and split a data set.

    Attributes:
        group: regular expression that finds a sample's group in its name, by its first
            parenthesis or as a whole; empty for the groups that the data gives.
        splits: file that says the split of each sample, see ``read_splits``; empty for none.
        split_seed: of the splits that are drawn, whatever the seed of the search.
        train_share: share of the training split that is used, over 0 to 1.
        keep_err: whether samples are used that the data set itself marks as doubtful.
        max_bad: share of samples that may be unusable, 0 to 1.
        bidi: base direction of right-to-left labels, which are trained in visual order: "auto" as
            the first letter of each tells, "rtl" or "ltr"; "off" for labels that are in visual
            order already.
        columns: columns of a table, or keys of JSON lines, as ``image=FILE,text=LABEL``; those of
            usual names are found without.
        add: specification of more pictures to train on, see ``read_added``; empty for none.

    Raises:
        OptionError: a value out of its range, or not a regular expression.
    """

    group: str = ""
    splits: PathText = ""
    split_seed: Annotated[Integer, Field(ge=0)] = 0
    train_share: Annotated[Number, Field(gt=0, le=1)] = 1.0
    keep_err: bool = False
    max_bad: Annotated[Number, Field(ge=0, le=1)] = MAX_BAD
    bidi: BidiSetting = "auto"
    columns: str = ""
    add: PathText = ""

    def __post_init__(self) -> None:
        for name, value in checked_values(self).items():
            object.__setattr__(self, name, value)
        parse_columns(self.columns)
        if problem := pattern_problem(self.group):
            allowed = f"must be a regular expression, got {quoted(self.group)} ({problem})"
            raise OptionError(allowed, "group")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that mean the same in any working folder."""
        splits = _absolute(self.splits) if self.splits else ""
        add = absolute_spec(self.add) if self.add else ""
        return {**asdict(self), "splits": splits, "add": add}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DataOptions:
        """Return the options of which ``to_dict`` gave the values; what lacks is as by default.

        Programs that gave no ``bidi`` reordered nothing.

        Raises:
            OptionError: a value that ``to_dict`` cannot have given.
        """
        for name in values:
            if name not in {field.name for field in fields(cls)}:
                raise OptionError(f"no such option: {quoted(name)}", "data")
        return cls(**{"bidi": "off", **values}) if values != {} else cls()


class DataArguments(TypedDict, total=False):
    """The fields of ``DataOptions`` as arguments by name."""

    group: str
    splits: str | Path
    split_seed: int
    train_share: float
    keep_err: bool
    max_bad: float
    bidi: BidiSetting
    columns: str
    add: str


def given_options(options: DataOptions | Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the options that a user has chosen, by name.

    Args:
        options: all options, of which those with another value than by default count as chosen;
            or only those chosen.

    Raises:
        OptionError: an unknown name, or not options at all.
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
    for name in options:
        if name not in defaults:
            raise OptionError(f"{name}: no such option{suggestion(str(name), defaults)}", "data")
    return dict(options)


def absolute_spec(spec: str) -> str:
    """Return a specification of data that means the same in any working folder."""
    return change_path(spec, _absolute)


def _absolute(path: str) -> str:
    return str(real_path(home_path(path)))
