"""Spaces that need not be written: ready ones, and the one derived from a dataset.

Ready search spaces, which come with the program and go by name: ``captcha``, ``lines``, ...

The space derived from a dataset: measured, checked against its labels, written as a file.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Unpack

import yaml

from ocrsearch.core import InfeasibleError, SpaceError, flatten, printable, shown, suggestion
from ocrsearch.data import (
    DataArguments,
    DataOptions,
    Dataset,
    LabelledImages,
    Traits,
    data_spec,
    given_options,
    load_dataset,
    measure_traits,
)
from ocrsearch.spaces.derived import SCALES, Derived, derive
from ocrsearch.spaces.distributions import is_distribution
from ocrsearch.spaces.feasibility import check_feasible, unfit_in_space
from ocrsearch.spaces.reading import load_space, space_from_dict
from ocrsearch.spaces.space import Space

FOLDERS = (Path(__file__).parent / "ready", Path(__file__).parents[2] / "search_spaces")
"""Folder of the ready spaces: in an installed package, and in a checkout of the repository."""

ENDINGS = (".yaml", ".yml")


@cache
def ready_spaces() -> dict[str, Path]:
    """Return the files of the ready spaces by name."""
    folder = next((folder for folder in FOLDERS if folder.is_dir()), FOLDERS[0])
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def describe_space(path: Path) -> str:
    """Return the first line of the comment with which a space's file begins."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.lstrip("# ").rstrip() if first.startswith("#") else ""


def find_space(name: str | Path) -> Path:
    """Return the file of a space: a ready one by its name, or any file by its path.

    A name is text without a folder and without the ending of a YAML file.

    Raises:
        SpaceError: no ready space of this name, and no such file.
    """
    path, ready = Path(name), ready_spaces()
    is_name = path.name == str(name) and path.suffix not in ENDINGS
    if is_name and str(name) in ready:
        return ready[str(name)]
    exists = os.path.exists(path)  # noqa: PTH110 - no error for a name that cannot be a file's
    if not is_name and path.stem in ready and not exists:
        raise SpaceError(f"{path}: no such file; the ready space is named {path.stem!r}")
    if exists and path.is_dir():
        raise SpaceError(
            f"space {str(name)!r}: is a folder; if it holds labelled images, give it as the data"
        )
    if not is_name or exists:
        return path
    raise _unknown(str(name), ", or the path of a YAML file")


def find_ready_space(name: str) -> Path:
    """Return the file of a ready space.

    Raises:
        SpaceError: no ready space of this name.
    """
    if name not in ready_spaces():
        raise _unknown(name)
    return ready_spaces()[name]


def _unknown(name: str, or_else: str = "") -> SpaceError:
    ready = ready_spaces()
    return SpaceError(
        f"space {name!r}: there is none of this name; give one of {', '.join(ready)}"
        f"{or_else}{suggestion(name, ready)}"
    )


def open_space(space: Space | str | Path | Mapping[str, Any]) -> Space:
    """Return a checked space: a ready one by name, or that of a file or a dict.

    Raises:
        SpaceError: no such space, something in it is wrong, or a value of another type.
    """
    if isinstance(space, Space):
        return space
    if isinstance(space, str | Path):
        return load_space(find_space(space))
    if isinstance(space, Mapping):
        return space_from_dict(space)
    raise SpaceError(
        f"space: found {shown(space)}, must be the name of a ready space "
        f"({', '.join(ready_spaces())}), the path of a YAML file, a dict in the shape of one, or a "
        "Space"
    )


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
