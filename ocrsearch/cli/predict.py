"""``ocrsearch predict``: recognise text in images."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NotRequired, TypedDict

import typer

from ocrsearch.cli.options import (
    Device,
    DeviceOption,
    Json,
    ModelFile,
    output_file,
    takes_decoding_options,
)
from ocrsearch.cli.output import can_redraw, echo, error_line, note, print_json
from ocrsearch.core import DataError, ImageError, OptionError
from ocrsearch.inference import DecodingArguments

if TYPE_CHECKING:
    from ocrsearch.inference import PageLine, Prediction, Predictor


class LineResult(TypedDict):
    """Result for one line, as printed in JSON; only a line of a page has a box and a row.

    ``check`` says whether a person should look at it. It needs ``--min-confidence``, or a model
    with a threshold. A line of a page has no familiarity.
    """

    page: int
    text: str
    confidence: float
    symbol_confidences: list[float]
    blank: bool
    familiarity: NotRequired[float]
    check: NotRequired[bool]
    box: NotRequired[list[int]]
    row: NotRequired[int]


class PageResult(TypedDict):
    """Result for one page, as printed in JSON."""

    page: int
    width: int
    height: int
    rotation: int
    skew_degrees: float
    inverted: bool
    confidence: float
    readable: bool


class FileResult(TypedDict):
    """Result for one file, as printed in JSON; it has pages with ``--page`` only."""

    file: str
    text: str
    confidence: float
    lines: list[LineResult]
    pages: NotRequired[list[PageResult]]


UNFAMILIAR = 0.5
"""Familiarity below which a note says that an image is unlike the training images."""

NOTED_SKEW_DEGREES = 6.0
"""Skew from which a note says that a page was levelled."""


PAGE_PANEL = "Pages"

MinConfidence = Annotated[
    float | None,
    typer.Option(
        metavar="CONFIDENCE",
        min=0.0,
        max=1.0,
        help="Mark texts with a lower confidence for a person to check. Default: the confidence "
        "that the model holds, if it was exported with --max-error. 'evaluate --max-error' finds "
        "it for other images.",
        show_default=False,
    ),
]


@takes_decoding_options
def predict(
    model: ModelFile,
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="Images, TIFF or PDF files, or folders with such files."
        ),
    ],
    page: Annotated[
        bool,
        typer.Option(
            "--page",
            help="Find the lines on each page. Without it an image is one line.",
            rich_help_panel=PAGE_PANEL,
        ),
    ] = False,
    draw: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            callback=output_file(".png"),
            help="Draw the page with its lines to this PNG file; further pages to FILE-2.png, "
            "FILE-3.png and so on.",
            rich_help_panel=PAGE_PANEL,
        ),
    ] = None,
    min_confidence: MinConfidence = None,
    device: DeviceOption = Device.auto,
    as_json: Json = False,
    *,
    decoding: DecodingArguments,
) -> None:
    """Recognise text in images. Unreadable files are reported and skipped.

    Examples:
      ocrsearch predict model.pt image.png
      ocrsearch predict model.pt FOLDER --json
      ocrsearch predict model.pt scan.pdf --page --draw scan.png
      ocrsearch predict model.pt FOLDER --beam-size 10 --lexicon words.txt
      ocrsearch predict model.pt FOLDER --min-confidence 0.9
    """
    from ocrsearch.inference import DecodingOptions, load

    if draw is not None and not page:
        raise OptionError(f"--draw {draw}: needs --page; add it or remove --draw")
    options = DecodingOptions(**decoding)
    files, skipped = _files(images)
    predictor = load(model, device.value, options)
    rows, failures = _read(predictor, files, draw, page=page)
    failures += [failure for row in rows for failure in _unreadable(row)]
    lowest = predictor.bundle.trust.min_confidence if min_confidence is None else min_confidence
    if lowest is not None:
        for line in (line for row in rows for line in row["lines"]):
            line["check"] = line["confidence"] < lowest
    if as_json:
        about = {"decoder": predictor.decoder.about, "skipped": skipped, "min_confidence": lowest}
        print_json({**about, "files": rows, "failures": failures})
    for row in rows:
        _print(row, with_lines=not as_json)
    for failure in failures:
        error_line(failure["reason"])
    if failures:
        raise typer.Exit(1)


def _files(paths: list[Path]) -> tuple[list[Path], dict[str, int]]:
    """Return the files to read and, by suffix, the number of other files in the folders."""
    from ocrsearch.data.formats import find_images
    from ocrsearch.data.images import is_document_file

    files: list[Path] = []
    skipped: Counter[str] = Counter()
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        found = find_images(path, is_document_file, nested=True)
        others = found.describe_skipped()
        if not found.images:
            skipped_here = f" ({others})" if others else ""
            raise DataError(
                f"{path}: no images in this folder{skipped_here}; give a folder with images, TIFF "
                "or PDF files"
            )
        if others:
            note(f"{path}: {others}")
        files += found.images
        skipped.update(found.skipped)
    return files, dict(skipped.most_common())


def _read(
    predictor: Predictor, files: list[Path], draw: Path | None, *, page: bool
) -> tuple[list[FileResult], list[dict[str, str]]]:
    """Return the results, and each file that cannot be read with the reason."""
    rows: list[FileResult] = []
    failures: list[dict[str, str]] = []
    with typer.progressbar(
        length=len(files),
        label="reading",
        file=sys.stderr,
        hidden=not can_redraw(),
    ) as bar:

        def show(text: str) -> None:
            bar.label = text
            bar.update(0)

        results = _pages(predictor, files, draw, show) if page else predictor.predict_files(files)
        for file, result in results:
            bar.update(1)
            if isinstance(result, str):
                failures.append({"file": str(file), "reason": result})
            elif isinstance(result, dict):
                rows.append(result)
            else:
                lines = [_line(line, number) for number, line in enumerate(result, 1)]
                rows.append(_row(file, lines))
    return rows, failures


def _pages(
    predictor: Predictor, files: list[Path], draw: Path | None, show: Callable[[str], None]
) -> Iterator[tuple[Path, FileResult | str]]:
    """Find and read the lines on each page of each file.

    Returns:
        Each file with its result, or with the reason why it cannot be read.
    """
    from ocrsearch.data.images import read_pages
    from ocrsearch.inference import PageWriter

    writer = None if draw is None else PageWriter(draw)
    for file in files:
        lines: list[LineResult] = []
        pages: list[PageResult] = []
        try:
            for number, image in enumerate(read_pages(file), 1):
                show(f"{file.name}, page {number}")
                read = predictor.predict_page(image)
                lines += [
                    {**_line(line, number), "box": list(line.box), "row": line.row}
                    for line in read.lines
                ]
                result: PageResult = {
                    "page": number,
                    "width": read.width,
                    "height": read.height,
                    "rotation": read.rotation,
                    "skew_degrees": read.skew_degrees,
                    "inverted": read.inverted,
                    "confidence": read.confidence,
                    "readable": read.is_readable,
                }
                pages.append(result)
                if writer is not None:
                    writer.write(image, read)
        except ImageError as error:
            yield file, str(error)
        else:
            yield file, {**_row(file, lines), "pages": pages}


def _row(file: Path, lines: list[LineResult]) -> FileResult:
    """Return the result for a file, of the results for its lines."""
    confidences = [line["confidence"] for line in lines]
    return {
        "file": str(file),
        "text": "\n".join(line["text"] for line in lines),
        "confidence": sum(confidences) / max(1, len(confidences)),
        "lines": lines,
    }


def _line(read: Prediction | PageLine, page: int) -> LineResult:
    """Return the result for a line."""
    result: LineResult = {
        "page": page,
        "text": read.text,
        "confidence": read.confidence,
        "symbol_confidences": list(read.symbol_confidences),
        "blank": getattr(read, "blank", False),  # a line of a page never is
    }
    familiarity = getattr(read, "familiarity", None)
    return result if familiarity is None else {**result, "familiarity": familiarity}


def _unreadable(row: FileResult) -> list[dict[str, str]]:
    """Return a failure for the pages that are unreadable in every orientation, if any."""
    pages = [page for page in row.get("pages", ()) if not page["readable"]]
    if not pages:
        return []
    more = f" and {len(pages) - 1} more pages" if len(pages) > 1 else ""
    reason = (
        f"{_place(row, pages[0])}{more}: no orientation reads with confidence (mean of a character "
        f"{pages[0]['confidence']:.2f}); check that the page is level and that the model knows its "
        "script"
    )
    return [{"file": row["file"], "reason": reason}]


def _place(row: FileResult, page: PageResult) -> str:
    return row["file"] if len(row["pages"]) == 1 else f"{row['file']}: page {page['page']}"


def _print(row: FileResult, *, with_lines: bool) -> None:
    """Print the lines of a file, and how its pages were turned, levelled or inverted."""
    file = " ".join(row["file"].splitlines())
    several = any(line["page"] > 1 for line in row["lines"])
    for line in row["lines"] if with_lines else ():
        number = f"#page={line['page']}" if several else ""
        mark = "\tcheck" if line.get("check") else ""
        echo(f"{file}{number}\t{line['text']}\t{line['confidence']:.3f}{mark}")
        if line["blank"]:
            note(f"{file}{number}: blank, nothing to read")
        elif line.get("familiarity", 1.0) < UNFAMILIAR:
            note(f"{file}{number}: unlike the images that the model was trained on")
    for page in row.get("pages", ()):
        changes = [f"turned by {page['rotation']} degrees clockwise"] * bool(page["rotation"])
        if abs(page["skew_degrees"]) >= NOTED_SKEW_DEGREES:
            changes.append(f"levelled by {page['skew_degrees']:g} degrees")
        changes += ["inverted where needed"] * page["inverted"]
        if changes and page["readable"]:
            note(f"note: {_place(row, page)}: {', '.join(changes)}")
