"""``iam:FOLDER``: words or lines of the IAM handwriting database, in its own layout.

``words.txt`` or ``lines.txt``, also below ``ascii/``, beside the pictures in nested folders,
``words/a01/a01-000u/a01-000u-00-00.png``. Splits are those of the lists that lie in the folder
or one below it, the official ones or those of Aachen (OpenSLR 56); what they do not name is left
out. Without lists, what is split together is a form. Source: Marti and Bunke, "The IAM-database:
an English sentence database for offline handwriting recognition", 2002.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from ocrsearch.data.formats.label_file import check_inside, numbered_lines, read_text
from ocrsearch.data.samples import Sample, Split, normalize_label
from ocrsearch.errors import DataError

NAMES = ("words.txt", "lines.txt")
TEXT_FIELD = 8
"""Fields before the text: in both kinds of file the same number."""

ID = re.compile(r"(([a-z]\d\d)-\d{3}[a-z]*)-\d\d(-\d\d)?")

SPLIT_LISTS: tuple[dict[str, Split], ...] = (
    {
        "trainset.txt": "train",
        "validationset1.txt": "val",
        "validationset2.txt": "val",
        "testset.txt": "test",
    },
    {"train.uttlist": "train", "validation.uttlist": "val", "test.uttlist": "test"},
)
"""The official lists hold the ids of lines, those of Aachen the ids of forms."""


def recognise(path: Path) -> bool:
    """Whether a path given without a format is such a folder, or such a text in it."""
    return bool(_label_files(path))


def read(path: Path) -> list[Sample]:
    """Read the words or the lines; those marked ``err`` are doubtful samples.

    Args:
        path: the folder, or where it has both kinds, ``words.txt`` or ``lines.txt`` in it.

    Raises:
        DataError: no such folder, both kinds in it, no entries, or one that is not as it should.
    """
    files = _label_files(path)
    if not files:
        raise DataError(
            f"iam:{path}: needs words.txt beside the folder words, or lines.txt beside lines"
        )
    if len(files) > 1:
        names = " or ".join(f"iam:{file}" for file in files)
        raise DataError(f"iam:{path}: has both words and lines; say which: {names}")
    (file,) = files
    root = _root(file)
    check_inside(file, root, "iam")
    samples = [
        _sample(root, file, where, line)
        for where, line in numbered_lines(file, "iam")
        if not line.startswith("#")
    ]
    splits = _read_splits(root)
    if splits:
        found = [(sample, _split_of(sample, splits)) for sample in samples]
        samples = [replace(sample, split=split) for sample, split in found if split]
    if not samples:
        named = " that a split list names" if splits else ""
        raise DataError(f"iam:{file}: no entries{named}")
    return samples


def _label_files(path: Path) -> list[Path]:
    """Return the texts that have the folder of their pictures beside them, one of a kind."""
    if path.is_file():
        files = [path] if path.name in NAMES else []
    else:  # what lies in the folder itself goes before what lies below
        files = [path / below / name for below in ("ascii", ".") for name in NAMES]
    return list({file.name: file for file in files if _has_pictures(file)}.values())


def _has_pictures(file: Path) -> bool:
    return file.is_file() and (_root(file) / file.stem).is_dir()


def _root(file: Path) -> Path:
    folder = file.parent
    return folder.parent if folder.resolve().name == "ascii" else folder


def _sample(root: Path, file: Path, where: str, line: str) -> Sample:
    fields = line.split(" ", TEXT_FIELD)
    match = ID.fullmatch(fields[0])
    if match is None or len(fields) <= TEXT_FIELD or fields[1] not in ("ok", "err"):
        raise DataError(
            f"iam:{file}: {where}: found {line[:60]!r}; needs an id such as a01-000u-00, "
            f"ok or err, {TEXT_FIELD - 2} more fields and the text"
        )
    form, part = match.group(1), match.group(2)
    text = fields[TEXT_FIELD]
    if file.stem == "lines":
        text = text.replace("|", " ")
    name = f"{file.stem}/{part}/{form}/{fields[0]}.png"
    return Sample(name, root / name, normalize_label(text), group=form, doubtful=fields[1] == "err")


def _read_splits(root: Path) -> dict[str, Split]:
    """Return the split of each id that the lists name, of the first kind of lists found."""
    for lists in SPLIT_LISTS:
        splits: dict[str, Split] = {}
        for name, split in lists.items():
            for file in [root / name, *sorted(root.glob(f"*/{name}"))]:
                if file.is_file():
                    check_inside(file, root, "iam")
                    splits.update(dict.fromkeys(read_text(file, "iam").split(), split))
                    break
        if splits:
            return splits
    return {}


def _split_of(sample: Sample, splits: dict[str, Split]) -> Split | None:
    """Return the split of a sample, which a list may name by its own, its line's or form's id."""
    parts = Path(sample.name).stem.split("-")
    ids = ("-".join(parts[:n]) for n in (4, 3, 2))
    return next((splits[i] for i in ids if i in splits), None)
