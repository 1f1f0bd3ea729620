"""Hostile model files and language models, made from good ones by a seed.

``hostile_models`` and ``hostile_language_models`` yield a kind, a name and a function that writes
the file to a path. Each must be refused in one line, at once and in little memory.
"""

from __future__ import annotations

import io
import os
import pickle
import random
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

Content = dict[str, Any]

MB = 1_000_000


class Hostile(NamedTuple):
    """A file to be written: its kind, its name and what writes it to a path."""

    kind: str
    name: str
    write: Callable[[Path], None]


class RunsCode:
    """Unpickling this makes a file."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._trace,)


def hostile_models(good: Path, seed: int, trace: Path | None = None) -> Iterator[Hostile]:
    """Yield hostile model files.

    Args:
        good: a model file.
        seed: of the sizes, places and values that are drawn.
        trace: a file that those make which run code, if they are read carelessly.
    """
    rng = random.Random(seed)
    content = torch.load(good, weights_only=True)
    yield from _archives(good, rng)
    yield from _pickles(good, rng, trace or good.with_name("trace"))
    yield from _special_files(good, rng)
    for kind, make in CONTENTS.items():
        for name, changes in make(content, rng).items():
            yield Hostile(kind, name, _saver({**content, **changes}))


def hostile_language_models(good: Path, seed: int) -> Iterator[Hostile]:
    """Yield hostile language models; the arguments are those of ``hostile_models``."""
    rng = random.Random(seed)
    with zipfile.ZipFile(good) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    yield Hostile("lm bomb", "zeros", _zipper({**members, "zz.npy": bytes(210 * MB)}))
    headers = {
        "claims a terabyte": f"{{'descr': '<i4', 'fortran_order': False, 'shape': ({10**12},), }}",
        "objects": "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
        "negative": "{'descr': '<i4', 'fortran_order': False, 'shape': (-1,), }",
        "deep": "{'descr': " + "[" * rng.randint(200, 9000) + "}",
        "no size": f"{{'descr': '|V0', 'fortran_order': False, 'shape': ({10**9},), }}",
    }
    for name, header in headers.items():
        yield Hostile("lm header", name, _zipper({**members, "ids.npy": _array(header)}))
    odd = {
        "symbols.npy": np.array([27, 27, -5], np.int32),
        "numbers.npy": np.array([1, 2**62, -1, 10**9]),
        "chosen.npy": np.array([1e308, np.nan]),
        "counts.npy": np.full(9, np.nan),
        "children.npy": np.full(10 * MB, 1, np.int8),
        "bidi.npy": np.array("\x1b[31m" * rng.randint(1, 1000)),
        "format.npy": np.array("\x1b]0;owned\x07"),
    }
    for name, array in odd.items():
        file = io.BytesIO()
        np.save(file, array)
        yield Hostile("lm values", name, _zipper({**members, name: file.getvalue()}))
    yield Hostile("lm special", "pipe", os.mkfifo)


# --- archives and pickles ---------------------------------------------------------------------


def _archives(good: Path, rng: random.Random) -> Iterator[Hostile]:
    with zipfile.ZipFile(good) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    top = next(iter(members)).partition("/")[0]
    bomb = {**members, f"{top}/data/zz": bytes(rng.randint(20, 40) * MB)}
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        yield Hostile("bomb", f"method {method}", _zipper(bomb, method))
    many = {**members, **{f"{top}/data/x{i}": b"" for i in range(25_000)}}
    yield Hostile("members", "many", _zipper(many, zipfile.ZIP_STORED))
    raw = good.read_bytes()
    for size in (2**31 + rng.randint(0, 9), 2**32 - 2, len(raw) + 1):
        yield Hostile("members", f"claims {size}", _writer(_claiming(raw, size)))
    yield Hostile("members", "overlapping", _writer(_overlapping(raw)))
    for share in (rng.uniform(0.01, 0.99) for _ in range(3)):
        yield Hostile("damage", f"cut at {share:.3f}", _writer(raw[: int(share * len(raw))]))
    largest = max(zipfile.ZipFile(good).infolist(), key=lambda member: member.file_size)
    flipped = bytearray(raw)
    flipped[largest.header_offset + largest.file_size // 2] ^= 1 << rng.randrange(8)
    yield Hostile("damage", "flipped bit", _writer(bytes(flipped)))


def _claiming(raw: bytes, size: int) -> bytes:
    """Let the list of members claim a size for the first."""
    start = raw.index(b"PK\x01\x02")
    return raw[: start + 20] + struct.pack("<LL", size, size) + raw[start + 28 :]


def _overlapping(raw: bytes) -> bytes:
    """Let the second member of the list be where the first is."""
    second = raw.index(b"PK\x01\x02", raw.index(b"PK\x01\x02") + 4)
    return raw[: second + 42] + struct.pack("<L", 0) + raw[second + 46 :]


def _pickles(good: Path, rng: random.Random, trace: Path) -> Iterator[Hostile]:
    huge = rng.randint(2**34, 2**40)
    depth = rng.randint(2000, 300_000)
    nested = b"]" * depth + b"a" * (depth - 1)
    tuples = b")" + b"\x85" * depth
    doubled = b"]q\x00" + b"".join(b"]q%c(h%ch%ce" % (i + 1, i, i) for i in range(60))
    pickles = {
        "bytearray": b"cbuiltins\nbytearray\n\x8a\x06" + huge.to_bytes(6, "little") + b"\x85R",
        "shell": b"cposix\nsystem\nX\x04\x00\x00\x00true\x85R",
        "object": b"ctorch\nTensor\n)\x81",
        "long integer": b"\x8b\x40\x42\x0f\x00" + b"\x7f" * 1_000_000,
        "255 bytes": b"\x8a\xff" + b"\x7f" * 255,
        "memo": b"Nr\xff\xff\xff\x7f",
        "nested": b"}X\x07\x00\x00\x00version" + nested + b"s",
        "nested key": b"}" + tuples + b"Ns",
        "doubled": b"}(X\x06\x00\x00\x00formatX\x0f\x00\x00\x00ocrsearch model"
        b"X\x07\x00\x00\x00version" + doubled + b"u",
        "many lists": b"(" + b"]" * 3_000_000 + b"l",
        "no end": b"}",
        "names itself": b"}q\x00X\x01\x00\x00\x00ah\x00s",
    }
    for name, body in pickles.items():
        end = b"" if name == "no end" else b"."
        yield Hostile("pickle", name, _pickle_writer(good, b"\x80\x02" + body + end))
    for name, evil in {"whole": RunsCode(trace), "part": {"weights": RunsCode(trace)}}.items():
        yield Hostile("code", name, _saver(evil))
        yield Hostile("code", f"{name}, plain", _writer(pickle.dumps(evil)))
    with zipfile.ZipFile(good) as archive:
        name = next(n for n in archive.namelist() if n.endswith("data.pkl"))
        data = archive.read(name)
    place = data.index(b"FloatStorage")
    for other in (b"DoubleStorage", b"ComplexFloatStorage", b"QInt8Storage"):
        changed = data[:place] + other + data[place + 12 :]
        yield Hostile("storage", other.decode(), _pickle_writer(good, changed))
    n = data.index(b"K", data.index(b"cpu"))
    larger = data[:n] + b"J" + struct.pack("<l", rng.randint(2**20, 2**31 - 1)) + data[n + 2 :]
    yield Hostile("storage", "longer than its bytes", _pickle_writer(good, larger))


def _special_files(good: Path, rng: random.Random) -> Iterator[Hostile]:
    def sparse(path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(rng.randint(2, 900) * 1_000 * MB)

    yield Hostile("special", "pipe", os.mkfifo)
    yield Hostile("special", "folder", Path.mkdir)
    yield Hostile("special", "device", lambda path: path.symlink_to("/dev/zero"))
    yield Hostile("special", "sparse", sparse)
    yield Hostile("special", "random", _writer(rng.randbytes(rng.randint(1, 9999))))


# --- contents ---------------------------------------------------------------------------------


def _config(content: Content, rng: random.Random) -> dict[str, Content]:
    def sized(**sizes: float) -> Content:
        model = content["config"]["model"]
        encoder = {**model["encoder"], **sizes}
        return {"config": {**content["config"], "model": {**model, "encoder": encoder}}}

    return {
        "12 GB": sized(conv_depth=6, conv_base=256, conv_growth=2.6),
        "17 EB": sized(conv_depth=12, conv_base=256, conv_growth=3.0),
        "refused late": sized(conv_depth=6, conv_base=256, conv_growth=2.1),
        "wide": sized(linear_width=2048, hidden_size=1024, rnn_layers=6),
        "other": sized(hidden_size=rng.choice([8, 24, 64])),
        "out of range": sized(conv_depth=10 ** rng.randint(3, 18)),
        "text": sized(conv_depth="9" * 10_000),  # type: ignore[arg-type]
        "escape": {"config": {"\x1b[31m": "\x1b]0;owned\x07" * 1000}},
        "list": {"config": [1, 2, 3]},
    }


def _weights(content: Content, rng: random.Random) -> dict[str, Content]:
    weights: dict[str, torch.Tensor] = content["weights"]
    floats = [name for name, tensor in weights.items() if tensor.is_floating_point()]
    name = rng.choice(floats)
    tensor = weights[name]

    def with_one(value: Any) -> Content:
        return {"weights": {**weights, name: value}}

    base = torch.zeros(1 << 10)
    return {
        "expanded half": {"weights": {"a": torch.zeros(1).half().expand(1 << 32)}},
        "expanded": with_one(torch.zeros(1).expand(tensor.shape)),
        "overlapping": with_one(base.as_strided((500, 500), (1, 1))),
        "shared": {"weights": {f"w{i}": base[: 1 << 10] for i in range(200)}},
        "NaN": {"weights": {n: w * float("nan") if n in floats else w for n, w in weights.items()}},
        "one infinite": with_one(torch.full_like(tensor, float("inf"))),
        "double": with_one(tensor.double()),
        "complex": with_one(torch.zeros(tensor.shape, dtype=torch.complex64)),
        "shape": with_one(torch.zeros(rng.randint(1, 99))),
        "no weights": {"weights": {}},
        "one more": {"weights": {**weights, "\x1b[31m": tensor}},
        "number": with_one(rng.random()),
        "meta": with_one(torch.zeros(tensor.shape, device="meta")),
    }


def _version(content: Content, rng: random.Random) -> dict[str, Content]:
    values: dict[str, Any] = {
        "tensor": torch.zeros(rng.randint(1, 9)),
        "escape": "\x1b]0;owned\x07\x1b[31mred",
        "long": "9" * MB,
        "float": 6.0,
        "true": True,
        "list": [[6]] * 1000,
        "large": 2**63 - 1,
    }
    return {name: {"version": value} for name, value in values.items()}


def _symbols(content: Content, rng: random.Random) -> dict[str, Content]:
    n = len(content["symbols"])
    values: dict[str, Any] = {
        "integers": list(range(n)),
        "escape": [f"\x1b[3{i}mX\x1b]0;pwn\x07" for i in range(n)],
        "long": [chr(65 + i) * 200_000 for i in range(n)],
        "control": [chr(i + 1) for i in range(n)],
        "empty": [""] * n,
        "not NFC": [*content["symbols"][:-1], "\u212b"],
        "half a character": [*content["symbols"][:-1], "\ud800"],
        "too many": [chr(0x10000 + i) for i in range(rng.randint(60_000, 90_000))],
        "twice": [content["symbols"][0]] * n,
        "text": "".join(content["symbols"]),
        "lists": [[s] for s in content["symbols"]],
    }
    return {name: {"symbols": value} for name, value in values.items()}


def _figures(content: Content, rng: random.Random) -> dict[str, Content]:
    record = {"epoch": 1, "cer": 0.5, "train_loss": 1.0, "val_loss": 1.0}
    provenance = content["provenance"]
    return {
        "metric NaN": {"metrics": {"cer": float("nan")}},
        "metric infinite": {"metrics": {"cer": -float("inf")}},
        "metric text": {"metrics": {"cer": "\x1b[31m<script>"}},
        "metric key": {"metrics": {rng.randint(0, 99): 1.0}},
        "many metrics": {"metrics": {f"m{i}": 1.0 for i in range(5000)}},
        "provenance key": {"provenance": {**provenance, 5: 1}},
        "provenance tensor": {"provenance": {**provenance, "x": torch.zeros(2)}},
        "provenance long": {"provenance": {**provenance, "x": "x" * rng.randint(MB, 3 * MB)}},
        "provenance list": {"provenance": [provenance]},
        "data": {"provenance": {**provenance, "data": 5}},
        "epoch NaN": {"provenance": {**provenance, "epochs": [{**record, "cer": float("nan")}]}},
        "epoch text": {"provenance": {**provenance, "epochs": [{**record, "epoch": "<script>"}]}},
        "epochs": {"provenance": {**provenance, "epochs": rng.randint(1, 99)}},
        "others": {"others": [{}] * rng.randint(1, 100)},
        "others number": {"others": 3},
        "bidi": {"bidi": "\x1b[31m"},
    }


def _data_options(content: Content, rng: random.Random) -> dict[str, Content]:
    values: dict[str, Any] = {
        "float seed": {"split_seed": rng.randint(0, 9) + 0.5},
        "negative seed": {"split_seed": -1},
        "share": {"train_fraction": float("nan")},
        "brackets": {"group": "(" * 5000},
        "repetition": {"group": "a{99999999999}"},
        "long pattern": {"group": "a" * rng.randint(501, 9999)},
        "null path": {"splits": "splits\0.csv"},
        "long path": {"splits": "/" + "a" * 5000},
        "unknown": {"\x1b[31m": 1},
        "list": [1],
    }
    provenance = content["provenance"]
    return {
        name: {"provenance": {**provenance, "data_options": value}}
        for name, value in values.items()
    }


CONTENTS = {
    "config": _config,
    "weights": _weights,
    "version": _version,
    "symbols": _symbols,
    "figures": _figures,
    "data options": _data_options,
}


# --- writers ----------------------------------------------------------------------------------


def _saver(content: Any) -> Callable[[Path], None]:
    return lambda path: torch.save(content, path)


def _writer(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content) and None


def _zipper(
    members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED
) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", method, compresslevel=1) as archive:
            for name, content in members.items():
                archive.writestr(name, content)

    return write


def _pickle_writer(good: Path, data: bytes) -> Callable[[Path], None]:
    """Write a model with another pickle."""
    with zipfile.ZipFile(good) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = next(n for n in members if n.endswith("data.pkl"))
    return _zipper({**members, name: data}, zipfile.ZIP_STORED)


def _array(header: str) -> bytes:
    """Return an array file of a header and a few numbers."""
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) % 65536) + text + bytes(64)
