"""How a dataset is named, read and split: specifications and options.

How a data set is read and split: the options that all commands with data share.

A study and its model keep them, so that a later evaluation parts the data as the search did.

Data specifications: ``FORMAT:PATH``, a bare path, or the name of a built-in set.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, TypedDict

from pydantic import AfterValidator, BeforeValidator, Field

from ocrsearch.core import (
    DataError,
    Integer,
    Number,
    OptionError,
    checked_values,
    home_path,
    pattern_problem,
    quoted,
    real_path,
    shortened,
    shown,
    suggestion,
)
from ocrsearch.data.charset import BidiSetting
from ocrsearch.data.formats import (
    FORMATS,
    NO_COLUMNS,
    Columns,
    LabelFormat,
    all_formats,
    parse_columns,
)
from ocrsearch.data.samples import Sample
from ocrsearch.data.synthesis import change_path, make_digits


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


BUILT_IN: dict[str, Callable[[], list[Sample]]] = {"digits": make_digits}

ACCEPTED = "a path, text such as 'captcha:FOLDER', or 'digits'"
"""Values that users give for a dataset."""

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")
"""Endings of label files that can lie beside the images that they name."""

LABEL_FILE_NAMES = ("labels", "data", "train", "metadata", "words", "lines")
"""Label files of these names say nothing of what they are about; their folder does."""


def read_samples(spec: str, columns: Columns = NO_COLUMNS) -> list[Sample]:
    """Return the samples that a specification names; no picture is read.

    Args:
        spec: ``FORMAT:PATH`` with a format of ``FORMATS``, a path whose format is recognised
            (a folder's by the one label file in it, if need be), or ``digits``.
        columns: names of the columns of a table, or of the keys of JSON lines. Other data has
            none: a model may be evaluated on it that was trained on a table.

    Raises:
        DataError: unknown format or path, or labels that cannot be read.
    """
    if spec in BUILT_IN:
        return BUILT_IN[spec]()
    name, colon, path = spec.partition(":")
    formats = all_formats()
    if colon and name in formats:
        return _read(formats[name], _path(spec, path), columns)
    return _read_bare_path(spec, columns)


def data_spec(data: str | Path) -> str:
    """Return the specification of a dataset that is given as text or as a path.

    A path is never taken for ``FORMAT:PATH`` or a built-in set, whatever its name.

    Raises:
        DataError: a value of another type.
    """
    if isinstance(data, Path):
        path = data.absolute() if data.parts[:1] and data.parts[0].startswith("~") else data
        return str(path) if path.is_absolute() else f".{os.sep}{path}"
    if not isinstance(data, str) or not data:
        raise DataError(f"data: found {shown(data)}, must be {ACCEPTED}")
    return str(data)


def same_data(spec: str, other: str) -> bool:
    """Whether two specifications name the same file or folder, or the same built-in set."""
    return spec == other or _place(spec) == _place(other)


def _place(spec: str) -> str:
    name, _, path = spec.partition(":")
    if spec in BUILT_IN:
        return spec
    text = path if name in all_formats() else spec
    try:
        return str(_path(spec, text).resolve())
    except (DataError, OSError, RuntimeError, ValueError):  # no path, or links in a circle
        return spec


def data_name(spec: str) -> str:
    """Return a short name for a specification, for the name of a study."""
    path = Path(spec.rpartition(":")[2])
    folder_counts = path.suffix and path.stem in LABEL_FILE_NAMES
    return real_path(path).parent.name if folder_counts else path.stem or real_path(path).name


def _path(spec: str, text: str) -> Path:
    try:
        path = Path(text).expanduser()
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:  # too long, no such user, a null byte
        reason = error.strerror if isinstance(error, OSError) else error
        problem = f"not a path ({reason})"
        raise DataError(f"{shortened(spec)}: {problem}; allowed are {_allowed()}") from None
    return path


def _allowed() -> str:
    return ", ".join([*(f"{name}:PATH" for name in FORMATS), *BUILT_IN])


def _read(label_format: LabelFormat, path: Path, columns: Columns) -> list[Sample]:
    if columns and label_format.read_columns is not None:
        return label_format.read_columns(path, columns)
    return label_format.read(path)


def _read_bare_path(spec: str, columns: Columns) -> list[Sample]:
    path = _path(spec, spec)
    formats = list(all_formats().values())
    label_format = _recognised(path, formats)
    if label_format is FORMATS["captcha"]:
        _refuse_table_among_images(spec, path)
    if label_format:
        return _read(label_format, path, columns)
    if path.is_dir():
        return _read_label_file_in(spec, path, formats, columns)
    problem = "format not recognised" if path.exists() else "no such file, folder or built-in set"
    raise DataError(f"{spec}: {problem}; allowed are {_allowed()}")


def _refuse_table_among_images(spec: str, folder: Path) -> None:
    """Refuse a folder whose labels can be the names of its images or the rows of a table."""
    tables = [p for p in sorted(folder.iterdir()) if p.suffix.lower() in TABLE_SUFFIXES]
    if tables:
        raise DataError(
            f"{spec}: holds images and the table {tables[0].name}; give captcha:{folder} if the "
            f"names of the images are their labels, or {tables[0]}"
        )


def _recognised(path: Path, formats: list[LabelFormat]) -> LabelFormat | None:
    return next((one for one in formats if one.recognise(path)), None)


def _read_label_file_in(
    spec: str, folder: Path, formats: list[LabelFormat], columns: Columns
) -> list[Sample]:
    """Read the one label file of a folder whose pictures lie in folders below it."""
    paths = [path for path in sorted(folder.iterdir()) if path.is_file()]
    found = [(path, _recognised(path, formats)) for path in paths]
    label_files = [(path, label_format) for path, label_format in found if label_format]
    if len(label_files) > 1:
        names = ", ".join(path.name for path, _ in label_files)
        raise DataError(f"{spec}: several label files in this folder ({names}); name one of them")
    if not label_files:
        problem = "no images in this folder and no label format recognised"
        raise DataError(f"{spec}: {problem}; allowed are {_allowed()}")
    path, label_format = label_files[0]
    return _read(label_format, path, columns)
