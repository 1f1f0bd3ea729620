"""Page to check labels: images with their labels and readings, and a corrected table to download.

The texts are in ``templates/labels.html``, which escapes every value. The table with all labels is
part of the page, so the page works offline and without the program.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ocrsearch.reports.html import asset, page
from ocrsearch.reports.study_page import page_environment
from ocrsearch.reports.texts import NOTHING, marked

TableRow = tuple[str, str, str, str]
"""A row of a table with labels: image relative to the table, label, split and group."""


@dataclass(frozen=True)
class LabelCard:
    """A label to check.

    Attributes:
        row: position of the image in the table with all labels.
        name: name of the image.
        label: its label.
        reading: text that a network reads.
        margin: margin of the worst character in nats; see ``label_margins``.
        is_unseen: whether the label differs only by characters that the network did not know.
        url: data URL of the image.
    """

    row: int
    name: str
    label: str
    reading: str
    margin: float
    is_unseen: bool
    url: str


@dataclass(frozen=True)
class LabelsContent:
    """Content of the page.

    Attributes:
        data: specification of the data.
        n_networks: number of networks that were trained.
        n_contradicted: number of labels that a network contradicts.
        cer: edits between labels and readings by characters of the labels.
        cards: labels to check, the most doubtful first.
        rows: all labels; empty if the images are not files.
        n: number of labels.
        folder: folder to which the images of the rows are relative.
    """

    data: str
    n_networks: int
    n_contradicted: int
    cer: float
    cards: Sequence[LabelCard]
    rows: Sequence[TableRow]
    n: int
    folder: str


def label_page(content: LabelsContent) -> str:
    """Return the page as HTML."""
    shown = [
        (card, label, reading or NOTHING)
        for card in content.cards
        for label, reading in [marked(card.label, card.reading)]
    ]
    has_splits, has_groups = (any(row[i] for row in content.rows) for i in (2, 3))
    columns = [0, 1, *([2] if has_splits else []), *([3] if has_groups else [])]
    table = {
        "head": [("image", "text", "split", "group")[i] for i in columns],
        "rows": [[row[i] for i in columns] for row in content.rows],
        "readings": {str(card.row): card.reading for card in content.cards},
    }
    body = (
        page_environment()
        .get_template("labels.html")
        .render(content=content, shown=shown, table=table)
    )
    title = f"Labels to check: {content.data}"
    return page(title, [body], asset("labels.css"), asset("labels.js"))
