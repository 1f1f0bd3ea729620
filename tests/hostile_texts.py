"""Hostile text inputs by seed: special files, bombs, odd values and escape codes, with a command.

Each kind is a function that writes files into a folder and returns the arguments of a command
that reads them. The same seed gives the same inputs. No command may hang, take much memory, print
an escape code or call what it finds an internal error.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

Arguments = tuple[str, ...]

SPECIAL_FILES = (
    *("pipe", "zero", "random", "sparse", "socket", "folder", "dangling", "loop", "proc"),
    *("messages", "empty", "no_text"),
)
FORMATS = {"csv": "csv", "tsv": "tsv", "jsonl": "jsonl", "labels": "json", "ppocr": "txt"}
"""Ending of the file of each label format that is one file."""

ESCAPES = (
    *("\x1b]0;pwn\x07", "\x1b[2J", "\x1b[31m", "\x9b31m", "\x08\x08", "\r", "\x7f", "\u202e"),
    *("\u2066", "\u2028", "[bold]", "[/nonsense]", ":smile:", "\x00", "\x1bP1;1|\x1b\\", "\x0e"),
)
"""Codes that a terminal acts upon, and marks that rich does."""


@dataclass(frozen=True)
class HostileText:
    """A command, of which a file, a name or an argument is hostile."""

    kind: str
    name: str
    arguments: Arguments
    folder: Path


def hostile_texts(
    seed: int, folder: Path, model: Path, n: int, kinds: Sequence[str] = ()
) -> Iterator[HostileText]:
    """Yield inputs, the kinds in turn; each has a folder of its own with its files.

    Args:
        seed: determines all of them.
        folder: to write to.
        model: model file of the digits, for commands that need one.
        n: number of inputs.
        kinds: names of the kinds, all if none are given.
    """
    names = list(kinds or KINDS)
    for i in range(n):
        kind = names[i % len(names)]
        place = folder / f"{seed}-{i:04d}-{kind}"
        place.mkdir(parents=True)
        rng = random.Random(f"{seed} {i}")
        name, arguments = KINDS[kind](rng, place, model)
        yield HostileText(kind, name, arguments, place)


def make_special(path: Path, special: str) -> None:
    """Put a file at a path that is none, or has no end."""
    targets = {
        "zero": "/dev/zero",
        "random": "/dev/urandom",
        "dangling": "nowhere",
        "loop": path.name,
        "proc": "/proc/self/pagemap",
        "messages": "/proc/kmsg",
    }
    if special in targets:
        path.symlink_to(targets[special])
    elif special == "pipe":
        os.mkfifo(path)
    elif special == "folder":
        path.mkdir()
    elif special == "sparse":
        with path.open("wb") as file:
            file.truncate(4_000_000_000)
    elif special == "socket":
        with socket.socket(socket.AF_UNIX) as server:  # a long path does not fit into its name
            before = Path.cwd()
            os.chdir(path.parent)
            server.bind(path.name)
            os.chdir(before)
    else:
        path.write_bytes({"empty": b"", "no_text": bytes(range(256)) * 40}[special])


def write_image(path: Path, text: str = "7") -> None:
    """Write a small image of a text."""
    image = np.full((20, 4 + 11 * len(text)), 255, np.uint8)
    cv2.putText(image, text, (2, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.55, 0, 1)
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())


def _special_label_file(rng: random.Random, folder: Path, model: Path) -> tuple[str, Arguments]:
    special, label_format = rng.choice(SPECIAL_FILES), rng.choice([*FORMATS, "mnist"])
    path = folder / f"labels.{FORMATS.get(label_format, 'csv')}"
    make_special(path, special)
    spec = rng.choice([f"{label_format}:{path}", str(path)])
    command = rng.choice([("data", "inspect", spec), ("evaluate", str(model), "--data", spec)])
    return f"{special} as {label_format}", command


def _special_in_folder(rng: random.Random, folder: Path, model: Path) -> tuple[str, Arguments]:
    special, label_format = rng.choice(SPECIAL_FILES), rng.choice(["gt", "kalapa", "iam", "mnist"])
    files = {
        "gt": "0.gt.txt",
        "kalapa": "annotations/w.txt",
        "iam": "words.txt",
        "mnist": rng.choice(["train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"]),
    }
    for below in ("images", "annotations", "words"):
        (folder / below).mkdir()
    write_image(folder / "0.png")
    make_special(folder / files[label_format], special)
    if label_format == "iam" and rng.random() < 0.5:
        (folder / "words.txt").unlink() if special != "folder" else None
        make_special(folder / "trainset.txt", special)
    spec = rng.choice([f"{label_format}:{folder}", str(folder)])
    return f"{special} in {label_format}", ("data", "inspect", spec)


def _special_option(rng: random.Random, folder: Path, model: Path) -> tuple[str, Arguments]:
    special, path = rng.choice(SPECIAL_FILES), folder / "file"
    make_special(path, special)
    write_image(folder / "7.png")
    file, image, m = str(path), str(folder / "7.png"), str(model)
    commands: list[Arguments] = [
        ("space", "check", file),
        ("run", "--space", file, "--storage", f"sqlite:///{folder}/s.db"),
        ("train", "--config", file, "--output", f"{folder}/m.pt"),
        ("train", "--config", m, "--init", file, "--output", f"{folder}/m.pt"),
        ("data", "inspect", f"synth:{file}"),
        ("data", "inspect", "digits", "--splits", file),
        ("data", "synth", "text", "-o", f"{folder}/o", "--fonts", file, "--corpus", file),
        ("predict", m, file),
        ("predict", m, file, "--page"),
        ("predict", file, image),
        ("inspect", file),
        ("predict", m, image, "--beam-size", "3", "--lexicon", file),
        ("predict", m, image, "--beam-size", "3", "--language-model", file),
        ("language-model", "--model", m, "--corpus", file, "--output", f"{folder}/lm.npz"),
    ]
    command = rng.choice(commands)
    return f"{special} for {' '.join(command[:2])}", command


def _special_font(rng: random.Random, folder: Path, model: Path) -> tuple[str, Arguments]:
    special = rng.choice(SPECIAL_FILES)
    (folder / "fonts").mkdir()
    make_special(folder / "fonts" / f"a.{rng.choice(['ttf', 'otf'])}", special)
    (folder / "corpus.txt").write_text("eins\nzwei\ndrei\nvier\nsechs\n")
    arguments = ("--fonts", f"{folder}/fonts", "--corpus", f"{folder}/corpus.txt")
    return f"{special} as a font", ("data", "synth", "text", "-o", f"{folder}/out", *arguments)


def _link_outside(rng: random.Random, folder: Path, model: Path) -> tuple[str, Arguments]:
    target = rng.choice(["/etc/passwd", "/proc/self/environ", "/proc/self/mem", "../../.."])
    write_image(folder / "0.png")
    (folder / "0.gt.txt").symlink_to(target)
    return f"a label that links to {target}", ("data", "inspect", f"gt:{folder}")


def _yaml_command(rng: random.Random, folder: Path, text: str | bytes) -> Arguments:
    path = folder / "a.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    commands: list[Arguments] = [
        ("space", "check", str(path)),
        ("train", "--config", str(path), "--output", str(folder / "m.pt")),
        ("run", "--space", str(path), "--storage", f"sqlite:///{folder}/s.db", "--trials", "0"),
        ("data", "inspect", f"synth:{path}"),
    ]
    return rng.choice(commands)


def _yaml_aliases(rng: random.Random, folder: Path, model: Path) -> tuple[str, Arguments]:
    n, width = rng.randint(4, 30), rng.randint(2, 12)
    shape = rng.choice(["[{}]", "{{{}}}", "\n  <<: [{}]"])
    lines = [f"a0: &a0 {'[x]' if shape == '[{}]' else '{k: 1}'}"]
    for i in range(n):
        keys = [f"k{j}: " if shape == "{{{}}}" else "" for j in range(width)]
        lines.append(f"a{i + 1}: &a{i + 1} " + shape.format(", ".join(f"{k}*a{i}" for k in keys)))
    if rng.random() < 0.2:
        lines.append("b: &b {c: [*b]}")
    return f"aliases {shape!r} {width} wide", _yaml_command(rng, folder, "\n".join(lines))


def _number(rng: random.Random) -> str:
    n = rng.choice([20, 101, 5000, 200_000])
    return rng.choice(
        [
            "0x" + "f" * n,
            "0b" + "1" * n,
            "0" + "7" * n,
            "9" * n,
            ":".join(["59"] * (n // 3 + 1)),
            ":".join(["1"] * (n // 2 + 1)) + ".5",
            "-" + "9" * n,
            "1e" + "9" * n,
            "." + "1" * n,
            *(".inf", "-.inf", ".nan", "1_0" * (n // 3), "1e308", "-1e308", "1e-320"),
        ]
    )


PARAMETERS = (
    *("images.height", "images.width_scale", "model.encoder.conv_depth", "training.epochs"),
    *("training.batch_size", "training.clip_grad_norm", "training.learning_rate", "counts.train"),
    *("search.sampler.n_startup_trials", "search.constraints.size_mb", "seed"),
)


def _nested(path: str, value: str) -> str:
    keys = path.split(".")
    return "".join(f"{{{key}: " for key in keys) + value + "}" * len(keys)


def _yaml_number(rng: random.Random, folder: Path, model: Path) -> tuple[str, Arguments]:
    number, path = _number(rng), rng.choice(PARAMETERS)
    leaf = rng.choice(["{n}", "[{n}]", "{{int: [1, {n}]}}", "{{float: [0.1, {n}]}}",
                       "{{choice: [1, {n}]}}", "{{float: [0, 1], step: {n}}}", "'{n}'",
                       "{{int: [{n}, {n}], step: {n}}}", "{{{n}: 1}}"])  # fmt: skip
    text = _nested(path, leaf.format(n=number))
    return f"{number[:12]} as {leaf} of {path}", _yaml_command(rng, folder, text)


def _yaml_depth(rng: random.Random, folder: Path, model: Path) -> tuple[str, Arguments]:
    n = rng.choice([40, 60, 300, 5000, 100_000])
    text = rng.choice(["a: " + "[" * n, "a: " + "[" * n + "]" * n, "{a: " * n + "1" + "}" * n,
                       "- " * n, "? " * n, "".join(" " * i + "a:\n" for i in range(min(n, 900))),
                       "a: {when: " * n, "training: {epochs: {when: " + "{a: " * n])  # fmt: skip
    return f"{n} levels of {text[:6]!r}", _yaml_command(rng, folder, text[:990_000])


def _yaml_size(rng: random.Random, folder: Path, model: Path) -> tuple[str, Arguments]:
    n = rng.choice([2000, 9000, 30_000])
    text = rng.choice(
        [
            "".join(f"k{i}: 1\n" for i in range(n)),
            "training:\n" + "".join(f"  k{i}: 1\n" for i in range(n)),
            "search: {try_first: [" + "{a: 1}," * n + "]}",
            "training: {epochs: {choice: [" + ", ".join(map(str, range(1, n))) + "]}}",
            "training: {optimizer: " + "x" * 30 * n + "}",
            f"{'k' * 30 * n}: 1",
            "model: {architecture: " + "x" * n + "}",
            "\n" * 30 * n,
            "#" * 30 * n,
            "".join(f"k{i}: {{int: [1, 2], when: {{k{i - 1}: 1}}}}\n" for i in range(n)),
            "kind: " + "x" * n,
            "a: '" + "\\x1b" * n + "'",
        ]
    )
    return f"{n} times {text[:20]!r}", _yaml_command(rng, folder, text)


def _yaml_oddity(rng: random.Random, folder: Path, model: Path) -> tuple[str, Arguments]:
    escape = json.dumps(rng.choice(ESCAPES)).strip('"')
    text = rng.choice(
        [
            *("a: !!python/object/apply:os.system ['id']", "a: !!binary AAAA", "!!set {a, b}"),
            *("a: !!omap [b: 1]", "a: 2024-01-31", "a: 2024-13-45T99:99", "yes: no", "null: 1"),
            *("1: 2", "a: 1\na: 2", "? [a]\n: b", "a: =", "<<: 1", "<<: [1, 2]", "a: *b"),
            "---\n" * 9,
            *("%YAML 9.9\n---\na: 1", "%TAG ! tag:x,2000:\n---\n!a b", "\ufeffa: 1", "a: \ud800"),
            *(f'"{escape}": 1', f'training: {{"{escape}": 1}}'),
            f'images: {{height: "{escape}"}}',
            *(f'init: "{escape}"', f'kind: "{escape}"', f'{{kind: digits, source: "{escape}"}}'),
            '{kind: text, fonts: "a\\0b", corpus: "~nobody/x"}',
            "{kind: text, fonts: /dev/zero, corpus: /dev/zero}",
            *("{kind: digits, source: synth:a.yaml}", "{kind: digits, source: csv:/dev/zero}"),
            *(f'search: {{pruner: {{name: "{escape}"}}}}', f'model: {{architecture: "{escape}"}}'),
        ]
    )  # fmt: skip
    data = text.encode("utf-8", "surrogatepass")
    if rng.random() < 0.2:
        data = rng.choice([text.encode("utf-16", "surrogatepass"), b"\xff" + data, data + b"\x00"])
    return repr(text[:40]), _yaml_command(rng, folder, data)


def _mutated_yaml(rng: random.Random, folder: Path, model: Path) -> tuple[str, Arguments]:
    text = (
        "images: {height: {int: [16, 32]}}\nmodel: {architecture: {choice: [crnn, seq2seq]}, "
        "decoder: {when: {model.architecture: seq2seq}, attention: none}}\n"
        "training: {learning_rate: {float: [1.0e-3, 1.0e-2], log: true}}\nsearch: {sampler: "
        "{name: tpe}, pruner: {name: median}, constraints: {size_mb: 1}}\n"
    )
    pieces = ["{", "}", "[", "]", ":", ",", "&a ", "*a ", "!!", "'", '"', "\n", "- ", "? ", "when",
              "null", "true", ".nan", "-1", "x" * 300, "\t", "#", "|", ">", "<<: "]  # fmt: skip
    for _ in range(rng.randint(1, 6)):
        i = rng.randrange(len(text))
        text = text[:i] + rng.choice(pieces) + text[i + rng.randint(0, 12) :]
    return "a space with other characters", _yaml_command(rng, folder, text)


def _json_oddity(rng: random.Random, folder: Path, model: Path) -> tuple[str, Arguments]:
    write_image(folder / "a.png")
    n = rng.choice([900, 5000, 200_000])
    value = rng.choice(
        [
            *('"x"', "NaN", "Infinity", "-Infinity", "1" * n, "1e" + "9" * n, "null", "[]", "{}"),
            *('"\\ud800"', '"\\u0000"', '"\\u001b[2J"', '"' + "x" * n + '"', "[" * n, '{"a":' * n),
            *("[" * n + "]" * n, '"../../etc/passwd"', '"/etc/passwd"', '"a.png"', "true"),
        ]
    )
    keys = ["image", "text", "split", "group", "image"]
    fields = [f'"{key}": {value if rng.random() < 0.5 else json.dumps("a.png")}' for key in keys]
    line = "{" + ", ".join(fields[: rng.randint(2, 5)]) + "}"
    if rng.random() < 0.5:
        path = folder / "a.jsonl"
        path.write_text(line + "\n" + line)
        return f"jsonl with {value[:12]!r}", ("data", "inspect", f"jsonl:{path}")
    entry = line.replace('"image"', '"filename"').replace('"text"', '"label"')
    content = rng.choice([f'{{"train": [{entry}]}}', f'{{"train": {value}}}', value,
                          f'{{"train": [{value}, {value}]}}', f'{{{entry}: 1}}',
                          f'{{"train": [], "train": [{entry}]}}',
                          f'{{"{"k" * n}": [1]}}'])  # fmt: skip
    path = folder / "labels.json"
    path.write_text(content)
    return f"labels with {value[:12]!r}", ("data", "inspect", f"labels:{path}")


def _table_oddity(rng: random.Random, folder: Path, model: Path) -> tuple[str, Arguments]:
    write_image(folder / "a.png")
    n = rng.choice([300, 140_000, 1_100_000])
    text = rng.choice(
        [
            "image,text\na.png," + "x" * n,
            "image,text\n" + "y" * n + ",1",
            "image,text\n\x00.png,1",
            "image,text\na.png,\x00",
            'image,text\na.png,"x',
            "image,text\n" + "a.png,1\n" * (n // 100),
            "image,text\n" + "," * n,
            "," * n + "\n1",
            "image,text\n" + "\n" * n,
            "image,text,split\na.png,1," + "t" * n,
            "image,text\n../../etc/passwd,1\n",
            "image;text\na.png;1",
            "x" * n,
            "image,image,text\na.png,b.png,1",
            "image,text\na.png,=cmd|'/c calc'!A1\n=1+1.png,@x",
        ]
    )
    data = text.encode(rng.choice(["utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1"]))
    path = folder / rng.choice(["a.csv", "a.tsv"])
    path.write_bytes(data.replace(b",", b"\t") if path.suffix == ".tsv" else data)
    command = rng.choice(
        [
            ("data", "inspect", f"{path.suffix[1:]}:{path}"),
            ("data", "split", str(path), "-o", str(folder / "splits.csv")),
            ("data", "inspect", "digits", "--splits", str(path)),
        ]
    )
    return f"{path.suffix} with {text[:24]!r}", command


def _mutated_labels(rng: random.Random, folder: Path, model: Path) -> tuple[str, Arguments]:
    label_format = rng.choice(list(FORMATS))
    rows = [(f"{i}.png", str(i), "train", "g") for i in range(4)]
    for name, text, *_ in rows:
        write_image(folder / name, text)
    texts = {
        "csv": "image,text,split,group\n" + "".join(",".join(row) + "\n" for row in rows),
        "tsv": "image\ttext\tsplit\tgroup\n" + "".join("\t".join(row) + "\n" for row in rows),
        "jsonl": "".join(json.dumps({"image": a, "text": b}) + "\n" for a, b, *_ in rows),
        "labels": json.dumps({"train": [{"filename": a, "label": b} for a, b, *_ in rows]}),
        "ppocr": "".join(f"{a}\t{b}\n" for a, b, *_ in rows),
    }
    data = bytearray(texts[label_format].encode())
    for _ in range(rng.randint(1, 8)):
        i = rng.randrange(len(data))
        data[i : i + rng.randint(0, 3)] = rng.choice(
            [b"\x00", b"\xff", b'"', b"\n", b"\x1b[2J", b"", b"{", b",", b"\t", b"\r", b"9" * 40]
        )
    path = folder / f"a.{FORMATS[label_format]}"
    path.write_bytes(bytes(data))
    spec = f"{label_format}:{path}"
    command = rng.choice([("data", "inspect", spec), ("evaluate", str(model), "--data", spec)])
    return f"{label_format} with other bytes", command


def _escapes_in_names(rng: random.Random, folder: Path, model: Path) -> tuple[str, Arguments]:
    escape = rng.choice(ESCAPES).replace("\x00", "\x01").replace("/", "")
    images = folder / f"d{escape}"
    images.mkdir()
    for i in range(3):
        write_image(images / f"{escape}{i}.png")
    (images / f"{escape}bad.png").write_bytes(b"no image")
    command = rng.choice(
        [
            ("predict", str(model), str(images)),
            ("predict", str(model), str(images), "--json"),
            ("evaluate", str(model), "--data", f"captcha:{images}", "--all"),
            ("evaluate", str(model), "--data", f"captcha:{images}", "--html", f"{folder}/r.html"),
            ("data", "inspect", f"captcha:{images}"),
            ("data", "split", f"captcha:{images}", "-o", f"{images}/splits.csv"),
            ("data", "preview", f"captcha:{images}", "-o", f"{images}/p.png"),
            ("inspect", str(images / f"{escape}bad.png")),
            ("space", "check", str(images / f"{escape}bad.png")),
        ]
    )
    return f"{escape!r} in names for {' '.join(command[:2])}", command


def _escapes_in_labels(rng: random.Random, folder: Path, model: Path) -> tuple[str, Arguments]:
    escape = rng.choice(ESCAPES)
    rows = []
    for i in range(4):
        write_image(folder / f"{i}.png")
        rows.append({"image": f"{i}.png", "text": f"{escape}{i}", "group": f"g{escape}"})
    rows.append({"image": f"{escape}.png", "text": "x", "split": escape})
    path = folder / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows[: rng.choice([4, 5])]))
    command = rng.choice(
        [
            ("data", "inspect", str(path)),
            ("data", "inspect", str(path), "--json"),
            ("data", "split", str(path), "-o", f"{folder}/splits.csv"),
            ("evaluate", str(model), "--data", str(path), "--split", "all"),
            ("language-model", "--data", str(path), "--output", f"{folder}/lm.npz"),
        ]
    )
    return f"{escape!r} in labels", command


def _hostile_argument(rng: random.Random, folder: Path, model: Path) -> tuple[str, Arguments]:
    escape = rng.choice(ESCAPES).replace("\x00", "\x01")
    text = rng.choice([escape, escape * 500, "x" * 30_000, "../" * 3000, "~nobody/x", "\udcff"])
    commands: list[Arguments] = [
        *((text,), ("space", text), ("space", "check", text), ("predict", text, text)),
        *(("data", "inspect", text), ("data", "inspect", f"csv:{text}"), ("data", "split", text)),
        *(("run", "--space", text), ("run", f"--{text}"), ("best", "--study", text)),
        *(("best", "--storage", text), ("studies", "list", "--storage", f"sqlite:///{text}")),
        ("data", "inspect", "digits", "--splits", text),
        ("evaluate", str(model), "--data", text),
        ("data", "preview", "digits", "-o", f"{folder}/p.png", "--set", f"{text}=1"),
        ("data", "preview", "digits", "-o", f"{folder}/p.png", "--set", f"training.epochs={text}"),
    ]  # fmt: skip
    command = rng.choice(commands)
    return f"{text[:20]!r} for {' '.join(command[:2])[:40]!r}", command


def _hostile_group(rng: random.Random, folder: Path, model: Path) -> tuple[str, Arguments]:
    pattern = rng.choice(
        ["(" * 5000, "(" * 5000 + ")" * 5000, "a{99999999999}", "[" * 3000, "(?P<x>a)(?P<x>b)", "*",
         "(?(1)a|b", "\\", "(?i", "a{1,99999999999}", "\x1b[", "(?<=a*)b"]
    )  # fmt: skip
    return repr(pattern[:20]), ("data", "inspect", "digits", "--group", pattern)


def _mnist_oddity(rng: random.Random, folder: Path, model: Path) -> tuple[str, Arguments]:
    n = rng.choice([1, 1_000_000, 2**32 - 1, 500_000])
    header = bytes((0, 0, 8, rng.choice([3, 3, 3, 1, 255]))) + struct.pack(
        ">3I", n, rng.choice([28, 28, 28, 2**31]), 28
    )
    content = header + bytes(rng.choice([0, 784, 50_000_000]))
    packed = rng.random() < 0.7
    name = "train-images-idx3-ubyte" + (".gz" if packed else "")
    (folder / name).write_bytes(gzip.compress(content, 1) if packed else content)
    labels = bytes((0, 0, 8, 1)) + struct.pack(">I", n) + bytes(min(n, 10))
    (folder / "train-labels-idx1-ubyte").write_bytes(labels)
    return f"{n} digits of {len(content)} bytes", ("data", "inspect", f"mnist:{folder}")


def _damaged_font(rng: random.Random, folder: Path, model: Path) -> tuple[str, Arguments]:
    from PIL import ImageFont

    font = bytearray(ImageFont.load_default(20).path.getvalue())
    for _ in range(rng.randint(1, 40)):
        font[rng.randrange(min(len(font), rng.choice([300, 100_000])))] = rng.randrange(256)
    if rng.random() < 0.3:
        font[:4] = rng.choice([b"wOFF", b"wOF2", b"ttcf", b"OTTO", b"%!PS", b"\0\0\0\0"])
    (folder / "a.ttf").write_bytes(font[: rng.choice([10, 1000, len(font)])])
    (folder / "c.txt").write_text("one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\nten\n")
    counts = ("--n", "20", "-o", f"{folder}/out", "--workers", "1")
    arguments = ("--fonts", f"{folder}/a.ttf", "--corpus", f"{folder}/c.txt")
    return "a font with other bytes", ("data", "synth", "text", *arguments, *counts)


def _entries(rng: random.Random, folder: Path, model: Path) -> tuple[str, Arguments]:
    n = rng.choice([300, 300_000, 1_100_000])
    escape = rng.choice(ESCAPES)
    text = rng.choice(
        [escape, "a" * n, "a\n" * n, "ab " * n, "\n" * n, "1" * n, f"7{escape}7\n" * 9]
    )
    path = folder / "entries.txt"
    path.write_bytes(text.encode(rng.choice(["utf-8", "utf-16", "utf-8-sig"])))
    write_image(folder / "7.png")
    command = rng.choice(
        [
            ("predict", str(model), f"{folder}/7.png", "--beam-size", "2", "--lexicon", str(path)),
            ("language-model", "--model", str(model), "--corpus", str(path), "--output",
             f"{folder}/lm.npz"),
            ("language-model", "--corpus", str(path), "--output", f"{folder}/lm.npz"),
        ]
    )  # fmt: skip
    return f"entries {text[:12]!r} {len(text)}", command


KINDS: dict[str, Callable[[random.Random, Path, Path], tuple[str, Arguments]]] = {
    "special-label-file": _special_label_file,
    "special-in-folder": _special_in_folder,
    "special-option": _special_option,
    "special-font": _special_font,
    "link-outside": _link_outside,
    "yaml-aliases": _yaml_aliases,
    "yaml-number": _yaml_number,
    "yaml-depth": _yaml_depth,
    "yaml-size": _yaml_size,
    "yaml-oddity": _yaml_oddity,
    "yaml-mutated": _mutated_yaml,
    "json-oddity": _json_oddity,
    "table-oddity": _table_oddity,
    "labels-mutated": _mutated_labels,
    "escapes-in-names": _escapes_in_names,
    "escapes-in-labels": _escapes_in_labels,
    "hostile-argument": _hostile_argument,
    "hostile-group": _hostile_group,
    "mnist-oddity": _mnist_oddity,
    "damaged-font": _damaged_font,
    "entries": _entries,
}
"""Kinds of hostile text, and what writes one."""
