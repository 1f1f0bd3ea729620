"""Labels and readings for people: differences marked, confusions named."""

from __future__ import annotations

import html

from rapidfuzz.distance import Levenshtein

from ocrsearch.evaluation import Confusion

NOTHING = "(nothing)"


def pair_name(confusion: Confusion) -> str:
    """Return a confusion as ``label → reading``, as plain text."""
    texts = (confusion.expected, confusion.read)
    return " \u2192 ".join("space" if text == " " else text or NOTHING for text in texts)


def marked(reference: str, hypothesis: str) -> tuple[str, str]:
    """Return two texts as HTML with their differences marked."""
    texts: tuple[list[str], list[str]] = ([], [])
    for edit in Levenshtein.opcodes(reference, hypothesis):
        parts = (
            reference[edit.src_start : edit.src_end],
            hypothesis[edit.dest_start : edit.dest_end],
        )
        for text, part in zip(texts, parts, strict=True):
            escaped = html.escape(part)
            same = edit.tag == "equal" or not part
            text.append(escaped if same else f"<mark>{escaped}</mark>")
    return "".join(texts[0]), "".join(texts[1])
