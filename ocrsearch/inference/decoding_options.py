"""How text is decoded: the options of ``predict`` and ``evaluate``.

The command line builds its options from the same declarations. The module loads nothing heavy:
pages of help are made from it.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from ocrsearch.core import OptionError, documented, option

if TYPE_CHECKING:
    from ocrsearch.models.decoding import NgramCounts

    Ngrams = str | Path | NgramCounts
else:
    Ngrams = Any  # NgramCounts loads NumPy; _language_model checks the type

MAX_BEAM = 1000

WIDTHS = (1.0, 0.94, 1.06, 0.97, 1.03)
"""Relative widths for test-time augmentation."""

LM_WEIGHT = 0.6
LENGTH_BONUS = 1.0
LEXICON_WEIGHT = 2.0
CTC_WEIGHT = 0.3

PANEL = "Decoding"


def _language_model(value: Any) -> Any:
    from ocrsearch.models.decoding import NgramCounts

    if value is None or isinstance(value, str | Path | NgramCounts):
        return value
    raise ValueError("must be the path of a file, or n-gram counts")


def _path(value: Any) -> Any:
    return Path(value) if isinstance(value, str) else value


@documented
@dataclass(frozen=True)
class DecodingOptions:
    """How to decode. A weight of None means its default.

    Without a beam search only ``views`` can be set. ``language_model`` also takes n-gram counts.

    Raises:
        OptionError: a value is out of range, or an option needs another option.
    """

    beam: int = option(
        0,
        "Beam search that keeps N texts for each line; 0 decodes greedily.",
        PANEL,
        metavar="N",
        ge=0,
        le=MAX_BEAM,
    )
    language_model: Ngrams | None = option(
        None,
        "Language model, from 'ocrsearch language-model'.",
        PANEL,
        metavar="FILE",
        convert=_language_model,
    )
    lm_weight: float | None = option(
        None,
        "Weight of the language model's log probability.",
        PANEL,
        shown=f"the weight tuned for the language model, or {LM_WEIGHT:g}",
        ge=0,
        allow_inf_nan=False,
    )
    length_bonus: float | None = option(
        None,
        "Bonus for each character, in nats.",
        PANEL,
        shown="the bonus tuned for the language model unless its weight is given; else "
        f"{LENGTH_BONUS:g} for a CRNN with a language model, and 0 otherwise",
        allow_inf_nan=False,
    )
    lexicon: str | Path | None = option(
        None,
        "Word list with an entry a line. Numbers and punctuation are always allowed.",
        PANEL,
        metavar="FILE",
        convert=_path,
    )
    lexicon_weight: float | None = option(
        None,
        "Cost of a word that is not in the lexicon, in nats. 1000 forbids such words.",
        PANEL,
        shown=f"{LEXICON_WEIGHT:g}",
        ge=0,
        allow_inf_nan=False,
    )
    ctc_weight: float | None = option(
        None,
        "Weight of the CTC head's log probability in a seq2seq.",
        PANEL,
        shown=f"{CTC_WEIGHT:g}, or 0 if the model was trained without this head",
        ge=0,
        allow_inf_nan=False,
    )
    views: int = option(
        1,
        "Test-time augmentation: run the model on each image at N widths, up to "
        f"{len(WIDTHS)}, and combine the predictions.",
        PANEL,
        metavar="N",
        ge=1,
        le=len(WIDTHS),
    )

    def __post_init__(self) -> None:
        from ocrsearch.core import checked_values

        for name, value in checked_values(self).items():
            object.__setattr__(self, name, value)
        of_beam = [f.name for f in fields(self) if f.default is None]
        given = [name for name in of_beam if getattr(self, name) is not None]
        if given and not self.beam:
            raise OptionError("needs beam search; set `beam`, for example to 10", given[0])
        for weight, needs in (("lm_weight", "language_model"), ("lexicon_weight", "lexicon")):
            if weight in given and needs not in given:
                raise OptionError(f"needs a {needs.replace('_', ' ')}", weight)


class DecodingArguments(TypedDict, total=False):
    """The fields of ``DecodingOptions`` as arguments by name."""

    beam: int
    language_model: str | Path
    lm_weight: float
    length_bonus: float
    lexicon: str | Path
    lexicon_weight: float
    ctc_weight: float
    views: int
