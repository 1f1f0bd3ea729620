"""Fetch the fonts for the lines of the pretrained model, as a folder of TrueType files.

Needs npm, and the packages fonttools and brotli. The fonts in fonts.txt are from @fontsource. Each
font has two files, for Latin and for extended Latin, which are merged. ``--more`` adds fonts from
other folders, such as Debian's fonts-blankenburg, fonts-gamaliel, fonts-gotico-antiqua and
fonts-junicode, which have the long s.
"""

import logging
import shutil
import subprocess
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Annotated

import typer
from fontTools.merge import Merger
from fontTools.ttLib import TTFont

LIST = Path(__file__).with_name("fonts.txt")

MORE = (
    "Blankenburg_UNZ1A.ttf",
    "Gamaliel.ttf",
    "Jessen-*.otf",
    "Parix-*.otf",
    "Rot-*.otf",
    "Rusch-Gotico*.otf",
    "Sweynheim*.otf",
    "Soufflet*.otf",
    "Spira-*.otf",
    "Zainer-Gotico*.otf",
    "Fust*.otf",
    "JunicodeTwoBeta-Regular.otf",
    "JunicodeTwoBeta-Italic.otf",
)
"""Files to copy from other folders."""


def main(
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    more: Annotated[
        list[Path] | None, typer.Option(help="Folder with more fonts; may be repeated.")
    ] = None,
) -> None:
    """Write a font file for each name in the list."""
    logging.getLogger("fontTools").setLevel(logging.ERROR)
    out.mkdir(parents=True, exist_ok=True)
    names = [line for line in LIST.read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    for name in names:
        if not (out / f"{name}.ttf").exists():
            fetch(name, out / f"{name}.ttf")
    for folder in more or []:
        for path in (path for pattern in MORE for path in folder.rglob(pattern)):
            shutil.copyfile(path, out / path.name)
    typer.echo(f"{len(list(out.iterdir()))} fonts in {out}")


def fetch(name: str, path: Path) -> None:
    """Download the package of a font and write its regular style."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", f"@fontsource/{name}"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)  # noqa: S603
        [package] = Path(folder).glob("*.tgz")
        with tarfile.open(package) as archive:
            parts = [
                archive.extractfile(member).read()  # type: ignore[union-attr]
                for member in sorted(archive.getmembers(), key=lambda m: m.name)
                if member.name.endswith(("-latin-400-normal.woff2", "-latin-ext-400-normal.woff2"))
            ]
        files = []
        for i, part in enumerate(parts[::-1]):  # "latin" sorts after "latin-ext"
            font = TTFont(BytesIO(part))
            font.flavor = None
            files.append(str(Path(folder) / f"{i}.ttf"))
            font.save(files[-1])
        merged = Merger().merge(files) if len(files) > 1 else TTFont(files[0])
        merged.save(path)


if __name__ == "__main__":
    typer.run(main)
