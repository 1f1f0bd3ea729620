"""``ocrsearch data inspect``: summarise a labelled dataset and list its invalid samples."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrsearch.cli.options import Json, Spec, output_file, takes_data_options
from ocrsearch.cli.output import echo, note, print_json, reading_bar, show_table
from ocrsearch.core import DataError
from ocrsearch.data import DataArguments

if TYPE_CHECKING:
    from ocrsearch.data import Copies, DataOptions, Inspection, Measured

N_NAMED = 3
"""Number of names shown for each kind of finding."""

N_BARS, BAR_WIDTH = 12, 40
"""Maximum number of bars for the lengths of the labels, and the length of the longest bar."""

N_CHARACTERS = 200
"""Maximum number of characters shown, the most frequent first."""

N_LISTED = 50
"""Maximum number of groups of equal images in JSON."""

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
    from ocrsearch.data import DataOptions, given_options, measure_samples, split_samples, summarize
    from ocrsearch.data.pages import find_several_rows

    options = DataOptions(**given_options(given))
    with reading_bar() as progress:
        usable, bad = measure_samples(split_samples(spec, options), progress)
    inspection = summarize(usable, bad)
    n = inspection.n + inspection.n_bad
    refused = inspection.n_bad > options.max_invalid * n
    several = find_several_rows([measured.sample for measured in usable])
    if as_json:
        about = {"data": spec, "max_bad": options.max_invalid, "refused": refused}
        print_json({**about, **_content(inspection), "several_lines": asdict(several)})
    else:
        _print(spec, inspection, options)
        if line := several.describe():
            echo(line)
        if refused:
            echo(
                f"'run' refuses this data: {inspection.n_bad} of {n} samples cannot be used, at "
                f"most {100 * options.max_invalid:g} % may; correct these samples or raise "
                "--max-invalid"
            )
    if sheet:
        _draw(usable, sheet, sheet_size, seed)


def _content(inspection: Inspection) -> dict[str, object]:
    """Return the result of an inspection for JSON."""
    content = asdict(inspection)
    content["splits"] = {
        split: {"n": n, "n_bad": n_bad} for split, (n, n_bad) in inspection.splits.items()
    }
    content["problems"] = {problem: len(names) for problem, names in inspection.problems.items()}
    counts, conflicts = _duplicates(inspection.copies)
    content["duplicates"] = {
        **counts,
        "groups": content.pop("copies")[:N_LISTED],
        "groups_with_different_labels": [asdict(c) for c in conflicts[:N_LISTED]],
    }
    return content


def _duplicates(copies: Sequence[Copies]) -> tuple[dict[str, int], list[Copies]]:
    """Return the numbers of duplicates, and the images that occur with different labels."""
    conflicts = [c for c in copies if len(set(c.texts)) > 1]
    counts = {
        "n_pictures": sum(len(c.names) - 1 for c in copies),
        "n_with_different_labels": len(conflicts),
        "n_across_splits": sum(len(set(c.splits)) > 1 for c in copies),
    }
    return counts, conflicts


def _print(spec: str, inspection: Inspection, options: DataOptions) -> None:
    echo(f"{spec}: {inspection.n} samples can be used, {inspection.n_bad} cannot")
    rows = []
    for split, (n, n_bad) in inspection.splits.items():
        only_here = inspection.only_in.get(split, [])
        n_more = len(only_here) - N_CHARACTERS
        more = f" and {n_more} more" if n_more > 0 else ""
        rows.append((split, n, n_bad, (_visible(only_here[:N_CHARACTERS]) + more) or "-"))
    last = "characters only here"
    show_table(("split", "usable", "skipped", last), rows, optional=(last,))
    if inspection.n:
        _print_labels(inspection)
        _print_obstacles(inspection, options.bidi)
    if not inspection.copies:
        echo("no two images are the same")
    else:
        counts, conflicts = _duplicates(inspection.copies)
        echo(
            f"{counts['n_pictures']} images are copies of another; "
            f"{counts['n_with_different_labels']} images have different labels, "
            f"{counts['n_across_splits']} are in more than one split"
        )
        for group in (conflicts or inspection.copies)[:N_NAMED]:
            pairs = zip(group.names, group.texts, strict=True)
            echo(f"  the same: {_first([f'{name} {text!r}' for name, text in pairs])}")
    if inspection.bad:
        problems = [
            (problem, len(names), _first(names)) for problem, names in inspection.problems.items()
        ]
        show_table(("skipped because", "samples", "first"), problems, optional=("first",))


def _print_labels(inspection: Inspection) -> None:
    """Print the sizes of the images, and the characters and lengths of the labels."""
    if line := inspection.rare.describe():
        echo(line)
    spreads = {
        "width, px": inspection.width,
        "height, px": inspection.height,
        "label, characters": inspection.label_length,
    }
    sizes = [
        (name, f"{s.min:g}", f"{s.median:g}", f"{s.max:g}") for name, s in spreads.items() if s
    ]
    show_table(("", "min", "median", "max"), sizes)
    modes = ", ".join(
        f"{mode} {100 * n / inspection.n:.3g} %" for mode, n in inspection.modes.items()
    )
    echo(f"pixel formats: {modes}")
    shown = list(inspection.symbol_counts.items())[:N_CHARACTERS]
    counts = "  ".join(f"{_visible([character])} {n}" for character, n in shown)
    n_more = len(inspection.symbols) - len(shown)
    more = f"  and {n_more} rarer ones" if n_more else ""
    echo(f"{len(inspection.symbols)} characters: {counts}{more}")
    bins: dict[str, int] = {}
    low, high = min(inspection.label_lengths), max(inspection.label_lengths)
    step = -(-(high - low + 1) // N_BARS)  # several lengths share a bar where there are many
    for start in range(low, high + 1, step):
        end = min(start + step - 1, high)
        n = sum(inspection.label_lengths.get(length, 0) for length in range(start, end + 1))
        bins[str(start) if start == end else f"{start}-{end}"] = n
    top = max(bins.values())
    lengths = [(name, n, "█" * -(-BAR_WIDTH * n // top)) for name, n in bins.items()]
    show_table(("label length", "samples", "bar"), lengths, optional=("bar",))


def _print_obstacles(inspection: Inspection, bidi: str) -> None:
    """Print how right-to-left labels are trained, and which labels are too long for CTC."""
    if inspection.n_rtl:
        order = (
            "trained as they are, as visual order (--bidi off)"
            if bidi == "off"
            else f"trained in visual order and read in logical order (--bidi {bidi})"
        )
        echo(
            f"{inspection.n_rtl} of {inspection.n} labels are right-to-left, "
            f"{inspection.n_mixed} of them with letters of both directions: {order}"
        )
    row = ("labels with too few frames for CTC", *inspection.unfit.values())
    show_table(("input height", *map(str, inspection.unfit)), [row])
    if inspection.unfit_names:
        echo(f"too long at each of these heights: {_first(inspection.unfit_names)}")
        if inspection.stacked:
            from ocrsearch.data.images import STACKED

            echo(STACKED)


def _visible(characters: Sequence[str]) -> str:
    """Return characters to be seen: those without ink or width by their code points."""
    return " ".join(
        "␣" if c == " " else f"U+{ord(c):04X}" if unicodedata.category(c)[0] in "CMZ" else c
        for c in characters
    )


def _first(names: Sequence[str]) -> str:
    """Return the first names in one line, and the number of the others."""
    named = "".join(c if c.isprintable() else "?" for c in ", ".join(names[:N_NAMED]))
    return named + (f" and {len(names) - N_NAMED} more" if len(names) > N_NAMED else "")


def _draw(usable: Sequence[Measured], path: Path, n: int, seed: int) -> None:
    """Draw random images with their labels to a PNG file."""
    import numpy as np

    from ocrsearch.data import contact_sheet, write_sheet
    from ocrsearch.data.images import load_image

    if not usable:
        raise DataError(f"--sheet {path}: no image can be used; correct the data or remove --sheet")
    ids = np.random.default_rng(seed).permutation(len(usable))[:n]
    samples = [usable[i].sample for i in sorted(ids)]
    drawn = [(load_image(sample.image), sample.text) for sample in samples]
    write_sheet(contact_sheet(drawn), path)
    note(f"{len(samples)} images drawn to {path}")
