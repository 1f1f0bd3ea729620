"""``ocrsearch data inspect``: summarise a labelled dataset and list its invalid samples."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrsearch.cli.options import (
    Json,
    Spec,
    output_file,
    takes_data_options,
)
from ocrsearch.cli.output import (
    echo,
    note,
    print_json,
    reading_bar,
    show_table,
)
from ocrsearch.core import DataError
from ocrsearch.data import DataArguments

if TYPE_CHECKING:
    from ocrsearch.data import Copies, DataOptions, Inspection, Measured, Sample, Unusable

N_NAMED = 3
"""Names shown of each kind of finding."""

N_BARS = 12
BAR_WIDTH = 40
N_SYMBOLS = 200
"""Characters shown: of large charsets the most frequent ones."""

N_LISTED = 50
"""Groups of the same picture in the JSON object."""


SHEET_PANEL = "Contact sheet"


@takes_data_options
def inspect(
    spec: Spec,
    sheet: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            callback=output_file(".png"),
            help="Draw some images with their labels to this PNG file.",
            rich_help_panel=SHEET_PANEL,
        ),
    ] = None,
    sheet_size: Annotated[
        int, typer.Option(min=1, help="Number of images to draw.", rich_help_panel=SHEET_PANEL)
    ] = 60,
    seed: Annotated[
        int,
        typer.Option(
            min=0, help="Random seed for the choice of images.", rich_help_panel=SHEET_PANEL
        ),
    ] = 0,
    as_json: Json = False,
    *,
    given: DataArguments,
) -> None:
    """Summarise a labelled dataset: sizes, characters, labels, duplicates, invalid samples.

    Examples:
      ocrsearch data inspect captcha:FOLDER
      ocrsearch data inspect labels.csv --sheet sheet.png --json
    """
    from ocrsearch.data import DataOptions, given_options, split_samples, summarize
    from ocrsearch.data.pages import find_several_rows

    options = DataOptions(**given_options(given))
    max_invalid = options.max_invalid
    usable, bad = _measure(split_samples(spec, options))
    inspection = summarize(usable, bad)
    refused = _refused(inspection, max_invalid)
    several = find_several_rows([measured.sample for measured in usable])
    if as_json:
        about = {"data": spec, "max_bad": max_invalid, "refused": refused}
        print_json({**about, **_content(inspection), "several_lines": asdict(several)})
    else:
        _print(spec, inspection, options)
        if told := several.describe():
            echo(told)
        if refused:
            echo(
                f"'run' refuses this data: {inspection.n_bad} of {inspection.n + inspection.n_bad} "
                f"samples cannot be used, at most {100 * max_invalid:g} % may (--max-invalid)"
            )
    if sheet:
        _draw(usable, sheet, sheet_size, seed)


def _measure(samples: Sequence[Sample]) -> tuple[list[Measured], list[Unusable]]:
    from ocrsearch.data import measure_samples

    with reading_bar() as progress:
        return measure_samples(samples, progress)


def _refused(inspection: Inspection, max_invalid: float) -> bool:
    return inspection.n_bad > max_invalid * (inspection.n + inspection.n_bad)


def _draw(usable: Sequence[Measured], path: Path, n: int, seed: int) -> None:
    import numpy as np

    from ocrsearch.data import contact_sheet, write_sheet
    from ocrsearch.data.images import load_image

    if not usable:
        raise DataError(f"--sheet {path}: no picture can be used")
    ids = np.random.default_rng(seed).permutation(len(usable))[:n]
    samples = [usable[i].sample for i in sorted(ids)]
    images = [load_image(sample.image) for sample in samples]
    texts = [s.text for s in samples]
    write_sheet(contact_sheet(list(zip(images, texts, strict=True))), path)
    note(f"{len(samples)} images drawn to {path}")


def _content(inspection: Inspection) -> dict[str, object]:
    content = asdict(inspection)
    content["splits"] = {
        split: {"n": n, "n_bad": n_bad} for split, (n, n_bad) in inspection.splits.items()
    }
    content["problems"] = {problem: len(names) for problem, names in inspection.problems.items()}
    copies = content.pop("copies")
    content["duplicates"] = {
        **_duplicate_counts(inspection.copies),
        "groups": copies[:N_LISTED],
        "groups_with_different_labels": [asdict(c) for c in _conflicts(inspection.copies)][
            :N_LISTED
        ],
    }
    return content


def _duplicate_counts(copies: Sequence[Copies]) -> dict[str, int]:
    return {
        "n_pictures": sum(len(c.names) - 1 for c in copies),
        "n_with_different_labels": len(_conflicts(copies)),
        "n_across_splits": sum(len(set(c.splits)) > 1 for c in copies),
    }


def _conflicts(copies: Sequence[Copies]) -> list[Copies]:
    return [c for c in copies if len(set(c.texts)) > 1]


def _print(spec: str, inspection: Inspection, options: DataOptions) -> None:
    echo(f"{spec}: {inspection.n} samples can be used, {inspection.n_bad} cannot")
    _print_splits(inspection)
    if inspection.n:
        _print_rare(inspection)
        _print_sizes(inspection)
        _print_symbols(inspection)
        _print_lengths(inspection)
        _print_directions(inspection, options.bidi)
        _print_unfit(inspection)
    _print_copies(inspection)
    if inspection.bad:
        _print_problems(inspection)


def _print_splits(inspection: Inspection) -> None:
    rows = [
        (split, n, n_bad, _first_symbols(inspection.only_in.get(split, [])) or "-")
        for split, (n, n_bad) in inspection.splits.items()
    ]
    show_table(
        ("split", "usable", "left out", "symbols only here"), rows, optional=("symbols only here",)
    )


def _print_rare(inspection: Inspection) -> None:
    if told := inspection.rare.describe():
        echo(told)


def _print_sizes(inspection: Inspection) -> None:
    spreads = {
        "width, px": inspection.width,
        "height, px": inspection.height,
        "label, symbols": inspection.label_length,
    }
    rows = [(name, f"{s.min:g}", f"{s.median:g}", f"{s.max:g}") for name, s in spreads.items() if s]
    show_table(("", "min", "median", "max"), rows)
    modes = ", ".join(
        f"{mode} {100 * n / inspection.n:.3g} %" for mode, n in inspection.modes.items()
    )
    echo(f"pixel formats: {modes}")


def _print_symbols(inspection: Inspection) -> None:
    shown = list(inspection.symbol_counts.items())[:N_SYMBOLS]
    counts = "  ".join(f"{_symbols([s])} {n}" for s, n in shown)
    n_more = len(inspection.symbols) - len(shown)
    more = f"  and {n_more} rarer ones" if n_more else ""
    echo(f"{len(inspection.symbols)} symbols: {counts}{more}")


def _print_lengths(inspection: Inspection) -> None:
    bins = _bins(inspection.label_lengths)
    top = max(bins.values())
    rows = [(name, n, "█" * -(-BAR_WIDTH * n // top)) for name, n in bins.items()]
    show_table(("label length", "samples", "bar"), rows, optional=("bar",))


def _print_directions(inspection: Inspection, bidi: str) -> None:
    if not inspection.n_rtl:
        return
    order = (
        "trained as they are, as visual order (--bidi off)"
        if bidi == "off"
        else f"trained in visual order and read in logical order (--bidi {bidi})"
    )
    echo(
        f"{inspection.n_rtl} of {inspection.n} labels are right-to-left, {inspection.n_mixed} of "
        f"them with letters of both directions: {order}"
    )


def _print_unfit(inspection: Inspection) -> None:
    row = ("labels with too few frames for CTC", *inspection.unfit.values())
    show_table(("input height", *map(str, inspection.unfit)), [row])
    names = inspection.unfit_names
    if names:
        first = _one_line(", ".join(names[:N_NAMED])) + _more(len(names))
        echo(f"too long at each of these heights: {first}")
    if names and inspection.stacked:
        from ocrsearch.data.images import STACKED

        echo(STACKED)


def _print_copies(inspection: Inspection) -> None:
    copies = inspection.copies
    if not copies:
        echo("no two images are the same")
        return
    counts = _duplicate_counts(copies)
    echo(
        f"{counts['n_pictures']} images are copies of another; "
        f"{counts['n_with_different_labels']} images have different labels, "
        f"{counts['n_across_splits']} are in more than one split"
    )
    for group in (_conflicts(copies) or copies)[:N_NAMED]:
        pairs = zip(group.names[:N_NAMED], group.texts[:N_NAMED], strict=True)
        named = ", ".join(f"{name} {text!r}" for name, text in pairs)
        echo(f"  the same: {_one_line(named)}{_more(len(group.names))}")


def _print_problems(inspection: Inspection) -> None:
    rows = [
        (problem, len(names), _one_line(", ".join(names[:N_NAMED])) + _more(len(names)))
        for problem, names in inspection.problems.items()
    ]
    show_table(("left out because", "samples", "first"), rows, optional=("first",))


def _bins(lengths: dict[int, int]) -> dict[str, int]:
    """Return samples by label length, several lengths together where there are many."""
    low, high = min(lengths), max(lengths)
    step = -(-(high - low + 1) // N_BARS)
    bins: dict[str, int] = {}
    for start in range(low, high + 1, step):
        end = min(start + step - 1, high)
        name = str(start) if start == end else f"{start}-{end}"
        bins[name] = sum(lengths.get(length, 0) for length in range(start, end + 1))
    return bins


def _symbols(symbols: Sequence[str]) -> str:
    """Return symbols as they can be seen: those without ink or width by their code points."""
    return " ".join(
        "␣" if s == " " else f"U+{ord(s):04X}" if unicodedata.category(s)[0] in "CMZ" else s
        for s in symbols
    )


def _first_symbols(symbols: Sequence[str]) -> str:
    n_more = len(symbols) - N_SYMBOLS
    return _symbols(symbols[:N_SYMBOLS]) + (f" and {n_more} more" if n_more > 0 else "")


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


def _more(n: int) -> str:
    return f" and {n - N_NAMED} more" if n > N_NAMED else ""
