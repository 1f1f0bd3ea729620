"""Which files of a folder are pictures, by their contents, and which are skipped.

Hidden files, and those that macOS leaves beside others, are ignored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ocrsearch.data.images import holds_picture

MAX_NAMED = 5
"""Endings that a message names."""

HEIC = frozenset({".heic", ".heif"})


@dataclass(frozen=True)
class PictureFiles:
    """The pictures among some files, sorted, and how many others there are of each ending."""

    pictures: list[Path]
    skipped: dict[str, int]

    def describe_skipped(self) -> str:
        """Return "3 files skipped: .txt 2, .db 1", or nothing if there are none."""
        n = sum(self.skipped.values())
        if not n:
            return ""
        counts = [f"{ending} {count}" for ending, count in self.skipped.items()]
        more = ["..."] if len(counts) > MAX_NAMED else []
        named = ", ".join([*counts[:MAX_NAMED], *more])
        heic = "; convert HEIC to JPEG or PNG" if HEIC & self.skipped.keys() else ""
        return f"{n} {'file' if n == 1 else 'files'} skipped: {named}{heic}"


def find_pictures(
    folder: Path, is_wanted: Callable[[Path], bool] = holds_picture, *, nested: bool = False
) -> PictureFiles:
    """Sort the files of a folder into pictures and others; hidden ones count as neither.

    Args:
        folder: where to look.
        is_wanted: whether a file is taken.
        nested: whether folders below are looked into.
    """
    paths = sorted(folder.rglob("*") if nested else folder.iterdir())
    files = [path for path in paths if not _is_hidden(path, folder) and not path.is_dir()]
    taken = [is_wanted(path) for path in files]
    skipped = Counter(
        path.suffix.lower() or "without an ending"
        for path, is_taken in zip(files, taken, strict=True)
        if not is_taken
    )
    pictures = [path for path, is_taken in zip(files, taken, strict=True) if is_taken]
    return PictureFiles(pictures, dict(skipped.most_common()))


def _is_hidden(path: Path, folder: Path) -> bool:
    """Whether a file is hidden; not an image whose label begins with a point, as ``.75.png``."""
    *folders, name = path.relative_to(folder).parts
    if any(part.startswith(".") for part in folders) or name.startswith("._"):
        return True
    return name.startswith(".") and not Path(name[1:]).suffix
