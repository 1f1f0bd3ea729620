"""Write the page of a check of labels, with a table of all labels to correct."""

from __future__ import annotations

import os
from pathlib import Path

from ocrsearch.reports import (
    LabelCard,
    LabelsContent,
    TableRow,
    label_page,
    save_page,
    thumbnail_url,
)
from ocrsearch.workflows.label_check import CheckedLabel, LabelCheck


def write_label_page(check: LabelCheck, path: Path, n: int) -> None:
    """Write an HTML page with the most doubtful labels, to correct them in a browser.

    Args:
        check: result of a check.
        path: HTML file to write.
        n: number of labels on the page.
    """
    order = {label.index: row for row, label in enumerate(_in_order(check))}
    cards = [
        LabelCard(
            row=order[label.index],
            name=label.sample.name,
            label=label.sample.text,
            reading=label.found.reading,
            margin=label.found.margin,
            is_unseen=label.found.is_unseen,
            url=thumbnail_url(check.images[label.index]),
        )
        for label in check.labels[:n]
    ]
    folder, rows = _table(check)
    content = LabelsContent(
        data=check.data,
        n_networks=check.n_networks,
        n_contradicted=check.n_contradicted,
        cer=check.cer,
        cards=cards,
        rows=rows,
        n=len(check.labels),
        folder=str(folder),
    )
    save_page(label_page(content), path)


def _in_order(check: LabelCheck) -> list[CheckedLabel]:
    """Return the labels in the order of the data."""
    return sorted(check.labels, key=lambda label: label.index)


def _table(check: LabelCheck) -> tuple[Path, list[TableRow]]:
    """Return the folder of all images, and all labels with paths relative to it.

    The rows are empty if an image is not a file.
    """
    samples = [label.sample for label in _in_order(check)]
    files = [s.image.absolute() for s in samples if isinstance(s.image, Path)]
    if not files or len(files) < len(samples):
        return Path(), []
    folder = Path(os.path.commonpath([file.parent for file in files]))
    return folder, [
        (file.relative_to(folder).as_posix(), s.text, s.split or "", s.group or "")
        for file, s in zip(files, samples, strict=True)
    ]
