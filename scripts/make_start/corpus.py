"""Write the lines of text for training the pretrained model.

The lines are prose in English and German (partly with the long s), random words of seven languages,
and codes, amounts, dates and items of receipts. The prose is from Debian's packages fortunes and
fortunes-de. The word lists are from its packages wamerican, wngerman, wfrench, witalian, wspanish,
wportuguese and wdutch.
"""

import random
import re
import string
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

LATIN_CHARACTERS = frozenset(
    [*map(chr, range(0x20, 0x7F)), *map(chr, range(0xC0, 0x100)), *"ŒœſŸ€£§°„“”‚‘’«»–—…·½¼"]
) - {"×", "÷"}
"""Printable ASCII, accented letters of western European languages, and their signs."""

WORDS = {
    "french": 9000,
    "american-english": 3000,
    "italian": 2500,
    "spanish": 2500,
    "portuguese": 2000,
    "dutch": 2000,
    "ngerman": 2000,
}
"""Number of lines of random words, by word list."""

N_ENGLISH, N_GERMAN, N_LONG_S, N_CODES, N_CAPITALS = 22_000, 8_000, 6_000, 14_000, 4_000

FRENCH = "le la les de des et à en du que mon ma qui je par un une l' dans pour a sa son"
"""Frequent words, because a word list has each word once."""

PUNCTUATION = ((",", 0.08), (".", 0.04), (";", 0.01), (":", 0.01), ("-", 0.01))

ITEMS = (
    "TOTAL,SUBTOTAL,CASH,CHANGE,TAX,GST 6%,AMOUNT DUE,NO.,INV #,TEL:,QTY,Date:,ITEM,DISCOUNT,"
    "ROUNDING"
)

rng = random.Random(0)  # noqa: S311


def main(
    out: Annotated[Path, typer.Argument(help="File to write.")],
    root: Annotated[Path, typer.Option(help="Folder with the unpacked packages.")] = Path("/"),
) -> None:
    """Write the corpus."""
    fortunes, lists = root / "usr/share/games/fortunes", root / "usr/share/dict"
    english = list(cut(prose(fortunes), N_ENGLISH))
    german = list(cut(prose(fortunes / "de"), N_GERMAN + N_LONG_S))
    lines = [*english, *german[:N_GERMAN], *map(with_long_s, german[N_GERMAN:])]
    for name, n in WORDS.items():
        lines += random_words(lists / name, n)
    lines += [code() for _ in range(N_CODES)]
    lines += [line.upper() for line in rng.sample(english, N_CAPITALS)]
    lines = [
        line for line in dict.fromkeys(" ".join(line.split()) for line in lines) if usable(line)
    ]
    rng.shuffle(lines)
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    typer.echo(f"{len(lines)} lines of {len(set().union(*lines))} characters in {out}")


def usable(line: str) -> bool:
    """Whether all characters of a line are in the charset of the model."""
    return bool(line) and LATIN_CHARACTERS.issuperset(line)


def prose(folder: Path) -> list[str]:
    """Return the paragraphs of the files of a folder, in random order."""
    paragraphs = []
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix not in {".dat", ".u8"} and "art" not in path.name:
            text = path.read_bytes().decode("utf-8", "ignore")
            paragraphs += [" ".join(p.split()) for p in re.sub(r".\x08", "", text).split("\n")]
    rng.shuffle(paragraphs)
    return [p for p in paragraphs if p and p != "%"]


def cut(paragraphs: Iterable[str], n: int) -> Iterator[str]:
    """Cut paragraphs into at most n lines of about 12 to 70 characters."""
    for paragraph in paragraphs:
        words = paragraph.split()
        while words:
            longest, line = rng.randint(12, 70), words.pop(0)
            while words and len(line) + 1 + len(words[0]) <= longest:
                line += f" {words.pop(0)}"
            if 3 <= len(line) <= 75 and usable(line):
                yield line
                n -= 1
                if n == 0:
                    return


def with_long_s(line: str) -> str:
    """Replace each s inside a word by the long s, as in old prints."""
    return re.sub(r"s(?=[a-zäöüßſ])", "ſ", line)


def random_words(path: Path, n: int) -> Iterator[str]:
    """Yield lines of random words from a list, with some capitals, numbers and punctuation."""
    words = [word for word in path.read_text(encoding="utf-8").split() if usable(word)]
    for _ in range(n):
        line, longest = "", rng.randint(5, 60)
        while len(line) < longest:
            word = rng.choice(words)
            if path.name == "french" and rng.random() < 0.3:
                word = rng.choice(FRENCH.split())
            if rng.random() < 0.12:
                word = word.capitalize()
            if rng.random() < 0.05:
                word = str(rng.randint(0, 10 ** rng.randint(1, 5)))
            word += next((mark for mark, share in PUNCTUATION if rng.random() < share), "")
            line += f" ({word})" if rng.random() < 0.02 else f" {word}"
        yield line.upper() if rng.random() < 0.15 else line


def drawn(characters: str, low: int, high: int | None = None) -> str:
    """Return ``low`` to ``high`` random characters."""
    return "".join(rng.choices(characters, k=rng.randint(low, high or low)))


def code() -> str:
    """Return a code, a number, an amount, a date, a time, a plate or an item of a receipt."""
    capitals, digits = string.ascii_uppercase, string.digits
    amount = f"{rng.randint(0, 10 ** rng.randint(1, 5)):,}.{drawn(digits, 2)}"
    mark = rng.choice("/-.")
    kinds = {
        drawn(capitals + digits, 4, 10): 0.25,
        drawn(digits, 3, 12): 0.15,
        rng.choice(["", "$", "€", "RM ", "£", "-"]) + amount: 0.15,
        f"{rng.randint(1, 31):02d}{mark}{rng.randint(1, 12):02d}{mark}"
        + rng.choice(["19", "20", ""])
        + drawn(digits, 2): 0.1,
        f"{rng.randint(0, 23):02d}:{drawn('012345', 1)}{drawn(digits, 1)}"
        + rng.choice(["", " PM", " AM"]): 0.05,
        drawn(capitals, 2, 3)
        + rng.choice([" ", "-", ""])
        + drawn(digits, 2, 5)
        + rng.choice(["", f" {drawn(capitals, 2)}"]): 0.1,
        drawn(string.ascii_letters + digits, 4, 9): 0.1,
        rng.choice(ITEMS.split(",")) + rng.choice([" ", ": ", " RM ", " @ "]) + amount: 0.1,
    }
    return rng.choices(list(kinds), list(kinds.values()))[0]


if __name__ == "__main__":
    typer.run(main)
