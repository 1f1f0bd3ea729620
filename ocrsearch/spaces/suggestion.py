"""Ready spaces by name, and spaces derived from a dataset.

Ready spaces such as ``captcha`` and ``lines`` come with the program. A derived space follows from
the measured traits of a dataset, is checked against its labels and can be written as a file with
the reasons as comments.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterable, Mapping
from contextlib import suppress
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
"""Folders of the ready spaces, in an installed package and in a checkout of the repository."""

SUFFIXES = (".yaml", ".yml")
"""Suffixes of space files."""


@cache
def ready_spaces() -> dict[str, Path]:
    """Return the files of the ready spaces by name."""
    folder = next((folder for folder in FOLDERS if folder.is_dir()), FOLDERS[0])
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def describe_space(path: Path) -> str:
    """Return the first line of a space file if it is a comment, otherwise an empty text."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.lstrip("# ").rstrip() if first.startswith("#") else ""


def find_space(name: str | Path) -> Path:
    """Return the file of a space, by the name of a ready space or by its path.

    A name has no folder and no suffix of a YAML file.

    Raises:
        SpaceError: there is neither a ready space nor a file of this name.
    """
    path, ready = Path(name), ready_spaces()
    is_name = path.name == str(name) and path.suffix not in SUFFIXES
    if is_name and str(name) in ready:
        return ready[str(name)]
    exists = os.path.exists(path)  # noqa: PTH110 - no error for an invalid file name
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
        SpaceError: there is no ready space of this name.
    """
    if name not in ready_spaces():
        raise _unknown(name)
    return ready_spaces()[name]


def _unknown(name: str, or_else: str = "") -> SpaceError:
    ready = ready_spaces()
    return SpaceError(
        f"space {name!r}: no ready space of this name; give one of {', '.join(ready)}"
        f"{or_else}{suggestion(name, ready)}"
    )


def open_space(space: Space | str | Path | Mapping[str, Any]) -> Space:
    """Return a checked space, from the name of a ready space, a file or a dict.

    Raises:
        SpaceError: there is no such space, it is invalid, or the argument has another type.
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
"""Name of a space that is derived from the data."""

LINE_WIDTH = 98
"""Largest length of a line in a space file."""

LONGEST_VALUE = 45
"""Length by which PyYAML may exceed the width at which it breaks a line."""


@dataclass(frozen=True)
class SuggestedSpace:
    """A space that was derived from a dataset.

    Attributes:
        space: checked space.
        content: the space in the shape of a YAML file.
        traits: measured traits of the training split.
        reasons: detected traits and their consequences, by section of the file.
    """

    space: Space
    content: dict[str, object]
    traits: Traits
    reasons: dict[str, list[str]]

    def describe(self) -> list[str]:
        """Return the detected traits and their consequences, one per line."""
        return [line for lines in self.reasons.values() for line in lines]

    def to_dict(self) -> dict[str, object]:
        """Return plain values for a JSON object."""
        return {"detected": asdict(self.traits), "reasons": self.describe(), "space": self.content}

    def to_yaml(self, spec: str) -> str:
        """Return the text of a space file, with the reasons as comments.

        Args:
            spec: specification of the data, for the title.
        """
        title = f"Search space for {printable(spec)}, from 'ocrsearch space suggest'."
        return space_text(title, Derived(self.content, self.reasons))


def space_text(title: str, derived: Derived) -> str:
    """Return the text of a space file, with the reasons as comments.

    Args:
        title: first comment, of one or more lines.
        derived: space with the reasons.
    """
    content, reasons = derived.content, derived.reasons
    lines = [*(f"# {line}" for line in title.splitlines()), *_comments(reasons["data"], 0)]
    if "init" in content:
        lines += ["", f"init: {content['init']}"]
    for section, part in content.items():
        if isinstance(part, dict):  # all but ``init``
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
        from_nothing: whether to search networks with random weights instead of a
            network with pretrained weights.
        **arguments: how to read and split the data: group, splits, split_seed, train_fraction,
            keep_flagged, max_invalid, bidi, columns, extra_train_data. See ``DataOptions``.

    Returns:
        Space as a dict in the shape of a YAML file, for ``search``.

    Raises:
        OcrSearchError: the data or an option is invalid, or no network can read the labels.
    """
    options = DataOptions(**given_options(arguments))
    dataset = load_dataset(data_spec(data), options)
    return derive_space(dataset, options.max_invalid, starts=not from_nothing).content


def derive_space(dataset: Dataset, max_invalid: float, *, starts: bool = True) -> SuggestedSpace:
    """Derive a space from a dataset. Its first configuration can read the labels.

    Args:
        dataset: dataset, whose training split is measured.
        max_invalid: largest fraction of labels that need not fit, see ``check_feasible``.
        starts: whether pretrained weights are allowed.

    Raises:
        InfeasibleError: too many labels do not fit, whatever the network.
    """
    train = dataset.splits["train"]
    traits = measure_traits(train)
    # more and more frames per label, and at last a seq2seq, which needs fewer frames
    attempts = [*((scale, False) for scale in (0.0, *SCALES)), (SCALES[-1], True)]
    for scale, decoder in attempts:
        derived = derive(traits, scale, decoder=decoder, starts=starts)
        space = space_from_dict(derived.content, DERIVED)
        suggested = SuggestedSpace(space, derived.content, traits, derived.reasons)
        first = space.resolve(flatten(space.settings.try_first[0]))
        with suppress(InfeasibleError):
            check_feasible(first, train, max_invalid)
            return suggested
    unfit_in_space(space, train, max_invalid)
    return suggested


def _comments(lines: Iterable[str], indent: int) -> list[str]:
    start = " " * indent + "# "
    return [
        line
        for text in lines
        for line in textwrap.wrap(
            text, LINE_WIDTH, initial_indent=start, subsequent_indent=start, break_long_words=False
        )
    ]


def _block(section: dict[str, object], indent: int) -> list[str]:
    """Return the lines of a section, one per leaf; mappings in braces are not split."""
    lines: list[str] = []
    start = " " * indent
    for key, value in section.items():
        if key == "try_first" and isinstance(value, list):
            lines.append(f"{start}{key}:")
            for first in value:  # each configuration is an item of a list
                marks = ["- ", *["  "] * (len(first) - 1)]
                lines += [
                    f"{start}  {mark}{name}: {_flow(part, indent + 6)}"
                    for mark, (name, part) in zip(marks, first.items(), strict=True)
                ]
        elif (
            isinstance(value, dict)
            and any(isinstance(part, dict) for part in value.values())
            and not is_distribution(value)
        ):
            lines += [f"{start}{key}:", *_block(value, indent + 2)]
        else:
            lines.append(f"{start}{key}: {_flow(value, indent + 2)}")
    return lines


def _flow(value: Any, indent: int) -> str:
    width = LINE_WIDTH - indent - LONGEST_VALUE
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=width)
    lines = text.removesuffix("\n...\n").strip().splitlines()
    return f"\n{' ' * indent}".join(line.strip() for line in lines)
