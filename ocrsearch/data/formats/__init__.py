"""Label formats: each a module with ``read`` and ``recognise``, and a line in the registry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ocrsearch.data.formats import captcha, csv_table, labels_json, synth
from ocrsearch.data.samples import Sample


@dataclass(frozen=True)
class LabelFormat:
    """How to read a kind of labelled data, and to know it by a bare path."""

    read: Callable[[Path], list[Sample]]
    recognise: Callable[[Path], bool]


FORMATS: dict[str, LabelFormat] = {
    "captcha": LabelFormat(captcha.read, captcha.recognise),
    "csv": LabelFormat(csv_table.read, csv_table.recognise),
    "labels": LabelFormat(labels_json.read, labels_json.recognise),
    "synth": LabelFormat(synth.read, synth.recognise),
}
