"""Decoding: its options, and the decoder that follows from them for a recogniser.

Greedy decoding, or beam search with a language model and a lexicon. The command line builds its
options from the declarations here, so the module itself loads nothing heavy.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from ocrsearch.core import OptionError, documented, option, takes_former_fields

if TYPE_CHECKING:
    from ocrsearch.data import Charset
    from ocrsearch.models.decoding import Automaton, BeamSearch, Lexicon, NgramCounts
    from ocrsearch.training import Model

    Ngrams = str | Path | NgramCounts
else:
    Ngrams = Any  # NgramCounts loads NumPy; _language_model checks the type

logger = logging.getLogger(__name__)

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


@takes_former_fields
@documented
@dataclass(frozen=True)
class DecodingOptions:
    """How to decode. A weight of None means its default.

    Without a beam search only ``tta`` can be set. ``language_model`` also takes n-gram counts.

    Raises:
        OptionError: a value is out of range, or an option needs another option.
    """

    beam_size: int = option(
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
    tta: int = option(
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
        if given and not self.beam_size:
            raise OptionError("needs beam search; set `beam_size`, for example to 10", given[0])
        for weight, needs in (("lm_weight", "language_model"), ("lexicon_weight", "lexicon")):
            if weight in given and needs not in given:
                raise OptionError(f"needs a {needs.replace('_', ' ')}", weight)


class DecodingArguments(TypedDict, total=False):
    """The fields of ``DecodingOptions`` as arguments by name."""

    beam_size: int
    language_model: str | Path
    lm_weight: float
    length_bonus: float
    lexicon: str | Path
    lexicon_weight: float
    ctc_weight: float
    tta: int


@dataclass(frozen=True)
class Decoder:
    """A decoding method for a recogniser.

    Attributes:
        searches: beam search for each network of the recogniser; None for greedy decoding.
        widths: relative widths for test-time augmentation.
        about: description as plain values.
    """

    searches: tuple[BeamSearch | None, ...]
    widths: tuple[float, ...]
    about: dict[str, Any]

    def __str__(self) -> str:
        """Return a description for people, without the weights."""
        views = [f"{len(self.widths)} views"] if len(self.widths) > 1 else []
        if "beam" not in self.about:
            return ", ".join(["greedy decoding", *views])
        files = [
            f"{kind} {Path(self.about[name]).name}"
            for name, kind in (("language_model", "language model"), ("lexicon", "lexicon"))
            if name in self.about
        ]
        return ", ".join([f"beam of {self.about['beam']}", *files, *views])


def build_decoder(options: DecodingOptions, bundle: Model) -> Decoder:
    """Build the decoder for a recogniser and load the files that it needs.

    If the files contain characters that the recogniser cannot output, a warning is logged.

    Raises:
        OptionError: an option does not apply to the recogniser.
        LanguageModelError: the language model is missing or damaged.
        DataError: the lexicon is missing or empty.
    """
    from ocrsearch.models.decoding import BeamSearch, Fusion, LanguageModel

    models = [member.config.model for member in bundle.members]
    widths = WIDTHS[: options.tta]
    views = {"views": options.tta} if options.tta > 1 else {}
    if options.beam_size == 0:
        return Decoder((None,) * len(models), widths, {"name": "greedy", **views})
    for model in models:
        if not model.has_beam_search:
            problem = f"a {model.architecture} reads a single character and has no beam search"
            raise OptionError(f"{problem}; remove `beam_size`", "beam_size")
    if options.ctc_weight is not None and not any(model.has_decoder for model in models):
        problem = f"needs a seq2seq model, found a {models[0].architecture}; remove it"
        raise OptionError(problem, "ctc_weight")
    if options.ctc_weight and not any(model.has_joint_ctc for model in models):
        raise OptionError("this model was trained without a CTC head; remove it", "ctc_weight")
    about: dict[str, Any] = {"name": "beam", "beam": options.beam_size, **views}
    weighted: list[tuple[Automaton, float]] = []
    if options.language_model is not None:
        ngrams, label = _read_ngrams(options.language_model, bundle.charset)
        if options.lm_weight is None:
            given = options.length_bonus
            bonus = ngrams.length_bonus if given is None else given
            options = replace(options, lm_weight=ngrams.lm_weight, length_bonus=bonus)
        weight = _or_default(options.lm_weight, LM_WEIGHT)
        weighted.append((LanguageModel(ngrams, bundle.charset), weight))
        about |= {"language_model": label, "lm_weight": weight}
    if options.lexicon is not None:
        path = Path(options.lexicon)
        weight = _or_default(options.lexicon_weight, LEXICON_WEIGHT)
        weighted.append((_read_lexicon(path, bundle.charset), weight))
        about |= {"lexicon": str(path), "lexicon_weight": weight}
    searches = []
    for model in models:
        # With a language model CTC writes too little: each character costs a log probability.
        writes_less = not model.has_decoder and options.language_model is not None
        bonus = _or_default(options.length_bonus, LENGTH_BONUS if writes_less else 0.0)
        ctc_weight = _or_default(options.ctc_weight, CTC_WEIGHT) if model.has_joint_ctc else 0.0
        searches.append(BeamSearch(options.beam_size, Fusion(weighted, bonus), ctc_weight))
    about["length_bonus"] = _one_or_each([search.fusion.length_bonus for search in searches])
    if any(model.has_decoder for model in models):
        pairs = zip(models, searches, strict=True)
        about["ctc_weight"] = _one_or_each([s.ctc_weight for m, s in pairs if m.has_decoder])
    return Decoder(tuple(searches), widths, about)


def _read_ngrams(
    language_model: str | Path | NgramCounts, charset: Charset
) -> tuple[NgramCounts, str]:
    """Return the n-gram counts and a name for messages.

    Raises:
        LanguageModelError: the file is missing or damaged.
        OptionError: right-to-left texts were reordered in another way than for the recogniser.
    """
    from ocrsearch.data import has_rtl
    from ocrsearch.models.decoding import NgramCounts, load_ngrams

    if isinstance(language_model, NgramCounts):
        return language_model, "language model"
    ngrams = load_ngrams(Path(language_model))
    symbols, own_symbols = set(ngrams.charset.symbols), set(charset.symbols)
    theirs, ours = (c.bidi.partition("-")[0] for c in (ngrams.charset, charset))
    if theirs != ours and has_rtl("".join(symbols & own_symbols)):
        raise OptionError(
            f"{language_model}: counted with `bidi` {theirs}, the model was trained with `bidi` "
            f"{ours}; create it again with `bidi` {ours}",
            "language_model",
        )
    if lacking := sorted(symbols - own_symbols):
        logger.warning(
            "%s: the charset of the model lacks characters of the language model: %s",
            *(language_model, " ".join(lacking)),
        )
    return ngrams, str(language_model)


def _read_lexicon(path: Path, charset: Charset) -> Lexicon:
    from ocrsearch.data.formats import read_texts
    from ocrsearch.models.decoding import Lexicon

    lexicon = Lexicon(read_texts(path, "lexicon"), charset)
    if lexicon.n_left_out:
        n_all = lexicon.n_words + lexicon.n_left_out
        logger.warning(
            "%s: %d of %d words have characters outside the charset of the model",
            *(path, lexicon.n_left_out, n_all),
        )
    return lexicon


def _one_or_each(values: Sequence[float]) -> float | list[float]:
    """Return the common value of all networks, or a list if they differ."""
    return values[0] if len(set(values)) == 1 else list(values)


def _or_default(value: float | None, default: float) -> float:
    return default if value is None else value
