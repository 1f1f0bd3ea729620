"""The space derived from a dataset: measured, checked against its labels, written as a file."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Unpack

import yaml

from ocrsearch.config import flatten
from ocrsearch.data.dataset import Dataset, LabelledImages, load_dataset
from ocrsearch.data.options import DataArguments, DataOptions, given_options
from ocrsearch.data.specs import data_spec
from ocrsearch.data.traits import Traits, measure_traits
from ocrsearch.errors import InfeasibleError
from ocrsearch.printable import printable
from ocrsearch.search.derived import SCALES, Derived, derive
from ocrsearch.search.distributions import is_distribution
from ocrsearch.search.feasibility import check_feasible
from ocrsearch.search.labels_fit import unfit_in_space
from ocrsearch.search.space import Space
from ocrsearch.search.space_reading import space_from_dict

DERIVED = "derived"
"""Name of a space that was derived from the data."""

LINE_WIDTH = 98
"""Longest line of a space file."""

LONGEST_VALUE = 45
"""Length by which PyYAML may go beyond the width at which it breaks a line."""


@dataclass(frozen=True)
class SuggestedSpace:
    """A space that was derived from a dataset.

    Attributes:
        space: checked space.
        content: the space in the shape of a YAML file.
        traits: measured numbers from which it follows.
        reasons: what was detected and what follows from it, by section of the file.
    """

    space: Space
    content: dict[str, Any]
    traits: Traits
    reasons: dict[str, list[str]]

    def describe(self) -> list[str]:
        """Return what was detected and what follows, a line for each."""
        return [line for lines in self.reasons.values() for line in lines]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a JSON object."""
        return {"detected": asdict(self.traits), "reasons": self.describe(), "space": self.content}

    def to_yaml(self, spec: str) -> str:
        """Return the text of a space file, with the reasons as comments.

        Args:
            spec: specification of the data, for the first line.
        """
        title = f"Search space for {printable(spec)}, from 'ocrsearch space suggest'."
        return space_text(title, Derived(self.content, self.reasons))


def space_text(title: str, derived: Derived) -> str:
    """Return the text of a space file, with the reasons as comments.

    Args:
        title: first comment, perhaps of several lines.
        derived: the space and the reasons.
    """
    content, reasons = derived.content, derived.reasons
    lines = [*(f"# {line}" for line in title.splitlines()), *_comments(reasons["data"], 0)]
    if "init" in content:
        lines += ["", f"init: {content['init']}"]
    for section, part in content.items():
        if section != "init":
            lines += ["", *_comments(reasons.get(section, []), 0), f"{section}:", *_block(part, 2)]
    return "\n".join(lines) + "\n"


def suggest_space(
    data: str | Path = "digits",
    *,
    from_nothing: bool = False,
    **arguments: Unpack[DataArguments],
) -> dict[str, Any]:
    """Derive a search space from labelled images.

    Args:
        data: path of a dataset, text such as "captcha:FOLDER", or "digits".
        from_nothing: whether networks are searched too, rather than started from the model that
            comes with the program.
        **arguments: how to read and split the data: group, splits, split_seed, train_share,
            keep_err, max_bad, bidi, columns, add. See ``DataOptions``.

    Returns:
        The space as a dict in the shape of a YAML file, which ``search`` takes.

    Raises:
        OcrSearchError: the data or an option is wrong, or no network can read the labels.
    """
    options = DataOptions(**given_options(arguments))
    dataset = load_dataset(data_spec(data), options)
    return derive_space(dataset, options.max_bad, starts=not from_nothing).content


def derive_space(dataset: Dataset, max_bad: float, *, starts: bool = True) -> SuggestedSpace:
    """Derive a space from a dataset, whose first configuration can read the labels.

    Args:
        dataset: its training split is measured.
        max_bad: share of the labels that need not fit, see ``check_feasible``.
        starts: whether networks may start from the model that comes with the program.

    Raises:
        InfeasibleError: no network has room for enough labels.
    """
    train = dataset.splits["train"]
    traits = measure_traits(train)
    for derived in _wider_and_wider(traits, starts=starts):
        space = space_from_dict(derived.content, DERIVED)
        suggested = SuggestedSpace(space, derived.content, traits, derived.reasons)
        if _fits(space, train, max_bad):
            return suggested
    unfit_in_space(space, train, max_bad)
    return suggested


def _wider_and_wider(traits: Traits, *, starts: bool) -> Iterator[Derived]:
    """Yield spaces that give a label more frames, at last with the decoder that needs fewer."""
    yield derive(traits, starts=starts)
    yield from (derive(traits, scale, starts=starts) for scale in SCALES)
    yield derive(traits, SCALES[-1], decoder=True)


def _fits(space: Space, train: LabelledImages, max_bad: float) -> bool:
    first = space.resolve(flatten(space.settings.try_first[0]))
    try:
        check_feasible(first, train, max_bad)
    except InfeasibleError:
        return False
    return True


def _comments(lines: Iterable[str], indent: int) -> list[str]:
    start = " " * indent + "# "
    return [
        line
        for text in lines
        for line in textwrap.wrap(
            text, LINE_WIDTH, initial_indent=start, subsequent_indent=start, break_long_words=False
        )
    ]


def _block(section: dict[str, Any], indent: int) -> list[str]:
    """Return the lines of a section: one for each leaf, with what is in braces in one piece."""
    lines: list[str] = []
    for key, value in section.items():
        start = " " * indent
        if key == "try_first":
            lines += [f"{start}{key}:", *(line for first in value for line in _item(first, indent))]
        elif isinstance(value, dict) and not _is_leaf(value):
            lines += [f"{start}{key}:", *_block(value, indent + 2)]
        else:
            lines.append(f"{start}{key}: {_flow(value, indent + 2)}")
    return lines


def _item(first: dict[str, Any], indent: int) -> list[str]:
    """Return the lines of a configuration to try first, an item of a list."""
    starts = [" " * (indent + 2) + "- ", *[" " * (indent + 4)] * (len(first) - 1)]
    return [
        f"{start}{key}: {_flow(value, indent + 6)}"
        for start, (key, value) in zip(starts, first.items(), strict=True)
    ]


def _is_leaf(value: dict[str, Any]) -> bool:
    return is_distribution(value) or not any(isinstance(part, dict) for part in value.values())


def _flow(value: Any, indent: int) -> str:
    width = LINE_WIDTH - indent - LONGEST_VALUE
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=width)
    lines = text.removesuffix("\n...\n").strip().splitlines()
    return f"\n{' ' * indent}".join(line.strip() for line in lines)
