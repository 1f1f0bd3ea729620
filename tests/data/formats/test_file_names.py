"""Labels in file names are UTF-8 under every locale."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ocrsearch.data.formats.files import name_as_text, name_of_text

READ = """
import sys
from ocrsearch.data.formats.specs import read_samples
from ocrsearch.data.images.reading import load_image
for sample in read_samples(sys.argv[1]):
    print(ascii((sample.name, sample.text)), load_image(sample.image).shape)
"""


def read(spec: str, place: Path, **locale: str) -> tuple[str, list[str]]:
    """Return the file system's encoding and the samples, as another process sees them."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHON"))}
    root = str(Path(__file__).parents[3])
    done = subprocess.run(
        [sys.executable, "-c", "import sys; print(sys.getfilesystemencoding())" + READ, spec],
        capture_output=True,
        text=True,
        check=True,
        cwd=place,
        env={**kept, "PYTHONPATH": root, "PYTHONCOERCECLOCALE": "0", **locale},
    )
    encoding, *samples = done.stdout.splitlines()
    return encoding, samples


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("captcha:folder", "Straße.pgm"),
        ("gt:texts", "đ.pgm"),
        ("csv:labels.csv", "folder/Straße.pgm"),
    ],
)
def test_names_do_not_depend_on_the_locale(tmp_path: Path, spec: str, name: str) -> None:
    for file in ("folder/Straße.pgm", "texts/đ.pgm"):
        path = tmp_path / file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"P5 3 2 255 abcdef")
    (tmp_path / "texts" / "đ.gt.txt").write_text("đường", encoding="utf-8")
    table = "image,text\nfolder/Straße.pgm,Straße\n"
    (tmp_path / "labels.csv").write_text(table, encoding="utf-8")
    text = "đường" if spec.startswith("gt:") else "Straße"
    expected = f"{(name, text)!a} (2, 3)"
    assert read(spec, tmp_path, PYTHONUTF8="1") == ("utf-8", [expected])
    assert read(spec, tmp_path, LC_ALL="C", PYTHONUTF8="0") == ("ascii", [expected])


@pytest.mark.parametrize(
    ("encoding", "name"), [("ascii", "stra\udcc3\udc9fe"), ("latin-1", "straÃ\x9fe")]
)
def test_other_encodings(monkeypatch: pytest.MonkeyPatch, encoding: str, name: str) -> None:
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: encoding)
    monkeypatch.setattr(os, "fsencode", lambda text: text.encode(encoding, "surrogateescape"))
    monkeypatch.setattr(os, "fsdecode", lambda data: data.decode(encoding, "surrogateescape"))
    assert name_as_text(name) == "straße"
    assert name_of_text("straße") == name
    not_utf8 = b"a\xe9".decode(encoding, "surrogateescape")
    assert name_of_text(name_as_text(not_utf8)) == not_utf8
