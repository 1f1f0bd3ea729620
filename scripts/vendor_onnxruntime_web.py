"""Put the parts of ONNX Runtime Web that a page needs into the package.

Needs npm. The third-party notices are not in the npm package; they come from the installed
onnxruntime, which is built from the same sources. Usage:

    python scripts/vendor_onnxruntime_web.py 1.30.0
"""

from __future__ import annotations

import argparse
import lzma
import subprocess
import tarfile
import tempfile
from pathlib import Path

import onnxruntime

PACKAGE = "onnxruntime-web"
TARGET = Path(__file__).parents[1] / "ocrsearch" / "deployment" / "page" / "runtime"
FILES = {
    "ort.wasm.min.js": "ort.wasm.min.js",
    "ort-wasm-simd-threaded.mjs": "loader.mjs",
    "ort-wasm-simd-threaded.wasm": "runtime.wasm.xz",
}
"""Files of the npm package, and their names here. Those that end in ``.xz`` are compressed."""

NOTICES = {"LICENSE": "LICENSE.txt", "ThirdPartyNotices.txt": "notices.txt.xz"}
"""Files of the installed package."""


def main() -> None:
    """Fetch the package and write the files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("version", help="version of the npm package")
    version = parser.parse_args().version
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(["npm", "pack", f"{PACKAGE}@{version}"], cwd=folder, check=True)  # noqa: S603, S607
        with tarfile.open(next(folder.glob("*.tgz"))) as archive:
            archive.extractall(folder, filter="data")
        for source, target in FILES.items():
            write(folder / "package" / "dist" / source, target)
    for source, target in NOTICES.items():
        write(Path(onnxruntime.__file__).parent / source, target)
    (TARGET / "version.txt").write_text(f"{version}\n", encoding="utf-8")


def write(source: Path, target: str) -> None:
    """Write a file, compressed or without the link to a source map that is not there."""
    content = source.read_bytes().replace(b"\r\n", b"\n") if source.suffix != ".wasm" else None
    content = source.read_bytes() if content is None else content
    if target.endswith(".xz"):
        content = lzma.compress(content, preset=9 | lzma.PRESET_EXTREME)
    elif source.suffix == ".js":
        lines = content.splitlines(keepends=True)
        content = b"".join(line for line in lines if not line.startswith(b"//# sourceMappingURL="))
    TARGET.mkdir(exist_ok=True)
    (TARGET / target).write_bytes(content)
    print(f"{target}: {len(content) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
