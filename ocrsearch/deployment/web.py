"""A page that reads images in the browser, without a network.

The page is one HTML file, because a browser loads no scripts or models from files beside a local
page. It holds the scripts of ``page/``, ONNX Runtime Web and the graphs of the model in base64. Its
content security policy allows only these scripts, by their hashes, and no requests. The scripts
repeat ``data/images``, the greedy decoding of ``models/decoding``, and the confidence of
``evaluation/trust.py``.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import lzma
from pathlib import Path
from string import Template

from ocrsearch.core import (
    BundleError,
    PreprocessConfig,
    printable,
    program_version,
    write_text_file,
)
from ocrsearch.inference import OnnxModel
from ocrsearch.training import Model

SOURCES = Path(__file__).parent / "page"
RUNTIME = SOURCES / "runtime"
"""ONNX Runtime Web; ``scripts/vendor_onnxruntime_web.py`` writes it."""

PAGE_NAME, LICENCES_NAME = "index.html", "licences.txt"
SCRIPTS = (
    *("png.js", "scale.js", "gray.js", "preprocess.js", "decode.js"),
    *("trust.js", "network.js", "page.js"),
)
"""Scripts of the page, in their order."""

PORTED = frozenset({"normalize_polarity", "crop", "threshold", "margin"})
PORTED_CONTRASTS = frozenset({"none", "stretch"})
"""Preprocessing that ``page/preprocess.js`` knows."""

MAX_SHOWN = 40
"""Largest number of characters of a charset that the page lists."""


def check_page(model: Model, name: str) -> None:
    """Check that a page can read as Python does.

    Args:
        model: recogniser.
        name: name of the model, for messages.

    Raises:
        BundleError: the model needs a part that the page lacks.
    """
    if problem := _problem(model):
        raise BundleError(f"{name}: no page can be written: {problem}")


def _problem(model: Model) -> str | None:
    n = len(model.members)
    if n > 1:
        return f"an ensemble of {n} networks; a page needs a single network"
    if model.charset.bidi != "off":
        return "the model reads right-to-left text, which the page cannot reorder"
    steps = model.config.images.preprocess
    plain = PreprocessConfig()
    missing = [
        f"{key} {value}" if isinstance(value, str) else key
        for key, value in steps
        if key not in PORTED and value != getattr(plain, key)
        if not (key == "contrast" and value in PORTED_CONTRASTS)
    ]
    if missing:
        return f"the page lacks preprocessing of the model ({', '.join(missing)})"
    return None


def write_page(model: OnnxModel, folder: Path, name: str) -> Path:
    """Write a page that reads images with a model, and the licences of its parts.

    Args:
        model: recogniser.
        folder: folder for the files; created if missing. Other files in it are kept.
        name: name of the model, shown on the page.

    Returns:
        The page.

    Raises:
        BundleError: the model needs a part that the page lacks, or a file cannot be written.
    """
    check_page(model, name)
    page = folder / PAGE_NAME
    try:
        write_text_file(folder / LICENCES_NAME, _licences())
        write_text_file(page, page_content(model, name))
    except OSError as error:
        where = error.filename or folder
        raise BundleError(f"{where}: cannot be written ({error.strerror or error})") from None
    return page


def page_content(model: OnnxModel, name: str) -> str:
    """Return the page as HTML; see ``write_page`` for the arguments."""
    style = _source("style.css")
    runtime = (RUNTIME / "ort.wasm.min.js").read_text(encoding="utf-8")
    scripts = [runtime, *map(_source, SCRIPTS)]
    wasm = gzip.compress(_unpacked("runtime.wasm.xz"), compresslevel=6, mtime=0)
    data = {"runtime-loader": (RUNTIME / "loader.mjs").read_bytes(), "runtime-wasm": wasm}
    data |= {f"graph-{key}": graph for key, graph in _graphs(model).items()}
    blocks = [_data_block(key, "text/plain", _base64(value)) for key, value in data.items()]
    blocks.append(_data_block("model", "application/json", _facts(model)))
    title = f"Text recognition: {printable(name, max_length=80)}"
    return Template(_source("index.html")).substitute(
        policy=_policy(scripts, style),
        title=html.escape(title),
        about=html.escape(_about(model)),
        style=style,
        data="\n".join(blocks),
        scripts="\n".join(f"<script>{script}</script>" for script in scripts),
        version=html.escape(program_version()),
        runtime_version=(RUNTIME / "version.txt").read_text(encoding="utf-8").strip(),
    )


def _source(name: str) -> str:
    return (SOURCES / name).read_text(encoding="utf-8")


def _unpacked(name: str) -> bytes:
    return lzma.decompress((RUNTIME / name).read_bytes())


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _data_block(key: str, kind: str, text: str) -> str:
    """Return an element with data that the browser does not run."""
    return f'<script type="{kind}" id="{key}">{text}</script>'


def _policy(scripts: list[str], style: str) -> str:
    """Return the content security policy: the scripts of the page, and nothing from elsewhere.

    ONNX Runtime imports its loader from a blob, and WebAssembly counts as code.
    """
    hashes = " ".join(_hash(script) for script in scripts)
    return (
        f"default-src 'none'; script-src {hashes} blob: 'wasm-unsafe-eval'; "
        f"style-src {_hash(style)}; img-src blob: data:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{_base64(hashlib.sha256(text.encode()).digest())}'"


def _graphs(model: OnnxModel) -> dict[str, bytes]:
    """Return the graphs for greedy decoding; the CTC head of a seq2seq takes no part in it."""
    return {key: graph for key, graph in model.graphs.items() if key != "ctc"}


def _facts(model: OnnxModel) -> str:
    """Return the facts about a model for the scripts, as JSON that is safe in HTML."""
    kind = model.config.model
    output = "decoder" if kind.has_decoder else "one character" if kind.reads_one else "ctc"
    facts = {
        "symbols": model.charset.symbols,
        "output": output,
        "images": model.config.images.model_dump(mode="json"),
        "graphs": list(_graphs(model)),
        "trust": model.trust.model_dump(),
    }
    return json.dumps(facts).replace("<", "\\u003c")


def _about(model: OnnxModel) -> str:
    """Return a description of the texts that the model reads."""
    symbols = model.charset.symbols
    text = printable("".join(symbols[:MAX_SHOWN])) + ("…" if len(symbols) > MAX_SHOWN else "")
    what = "one character" if model.config.model.reads_one else "one line of text"
    return f"Reads {what} in each image, from {len(symbols)} different characters: {text}"


def _licences() -> str:
    licence = (RUNTIME / "LICENSE.txt").read_text(encoding="utf-8")
    notices = _unpacked("notices.txt.xz").decode("utf-8", "replace")
    return f"The page includes ONNX Runtime Web.\n\n{licence}\n\n{notices}"
