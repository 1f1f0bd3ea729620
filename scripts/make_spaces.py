"""Write the ready spaces by applying the rules for derived spaces to typical images.

Run this script after changing the rules; a test compares the files. ``crnn``, ``seq2seq``,
``quick`` and ``digits`` are written by hand.
"""

from dataclasses import replace
from pathlib import Path

from ocrsearch.data import Traits
from ocrsearch.spaces import derive, space_text

FOLDER = Path(__file__).parents[1] / "search_spaces"

MADE = "Written by scripts/make_spaces.py, for images such as these:"

SHORT_PRINT = Traits(
    n_images=700,
    n_symbols=36,
    n_texts=700,
    length_min=4,
    length_median=5,
    length_max=6,
    digits_only=False,
    rtl_share=0.0,
    height=50,
    width=200,
    frames=0.16,
    frames_tight=0.15,
    stacked=False,
    light_share=0.0,
    dark_share=1.0,
    grey_range=200,
    ink_width=0.8,
    ink_height=0.7,
    tight_share=0.0,
    uneven=0.05,
    noise=0.01,
    ruled_share=0.0,
)

TYPICAL = {
    "captcha": (
        "Captchas and other short print: hundreds of images, minutes.",
        replace(SHORT_PRINT, n_symbols=30),
    ),
    "amounts": (
        "Amounts, meter readings and other strings of digits: hundreds to thousands of images.",
        replace(
            SHORT_PRINT,
            n_images=1000,
            n_symbols=10,
            length_min=1,
            length_max=8,
            digits_only=True,
            uneven=0.2,
        ),
    ),
    "words": (
        "Words and short form fields: thousands of images, tens of minutes.",
        replace(
            SHORT_PRINT,
            n_images=3000,
            n_symbols=70,
            length_min=1,
            length_median=7,
            length_max=14,
            frames=0.12,
            frames_tight=0.11,
        ),
    ),
    "lines": (
        "Lines of print or handwriting: long labels, many characters, hours.",
        replace(
            SHORT_PRINT,
            n_images=2000,
            n_symbols=100,
            length_median=40,
            length_max=80,
            width=1000,
            frames=0.09,
            frames_tight=0.08,
        ),
    ),
    "classifier": (
        "One character per image, such as digits or letters cut out of a form.",
        replace(SHORT_PRINT, n_images=5000, length_min=1, length_median=1, length_max=1, height=32),
    ),
}
"""Title and traits of each space, by name."""


def spaces() -> dict[str, str]:
    """Return the text of each space, by name."""
    return {
        name: space_text(f"{title}\n{MADE}", derive(traits, starts=False))
        for name, (title, traits) in TYPICAL.items()
    }


if __name__ == "__main__":
    for name, text in spaces().items():
        (FOLDER / f"{name}.yaml").write_text(text, encoding="utf-8")
