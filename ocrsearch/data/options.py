"""How a data set is read and split: the options that all commands with data share.

A study and its model keep them, so that a later evaluation parts the data as the search did.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ocrsearch.data.bidi import BIDI_SETTINGS
from ocrsearch.data.synthesis.recipe import change_path
from ocrsearch.errors import OptionError

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
        add: specification of more pictures to train on, see ``read_added``; empty for none.

    Raises:
        OptionError: a value out of its range, or not a regular expression.
    """

    group: str = ""
    splits: str = ""
    split_seed: int = 0
    train_share: float = 1.0
    keep_err: bool = False
    max_bad: float = MAX_BAD
    bidi: str = "auto"
    add: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.max_bad <= 1:
            raise OptionError(f"--max-bad {self.max_bad}: must be a share from 0 to 1")
        if not 0 < self.train_share <= 1:
            raise OptionError(f"--train-share {self.train_share}: must be over 0 and at most 1")
        if self.bidi not in BIDI_SETTINGS:
            raise OptionError(f"--bidi {self.bidi}: must be one of {', '.join(BIDI_SETTINGS)}")
        if self.split_seed < 0:
            raise OptionError(f"--split-seed {self.split_seed}: must be 0 or more")
        try:
            re.compile(self.group)
        except re.error as error:
            raise OptionError(
                f"--group {self.group!r}: not a regular expression ({error})"
            ) from None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that mean the same in any working folder."""
        splits = _absolute(self.splits) if self.splits else ""
        add = change_path(self.add, _absolute) if self.add else ""
        return {**asdict(self), "splits": splits, "add": add}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DataOptions:
        """Return the options of which ``to_dict`` gave the values; what lacks is as by default.

        Programs that gave no ``bidi`` reordered nothing.
        """
        return cls(**{"bidi": "off", **values}) if values else cls()


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().resolve())
