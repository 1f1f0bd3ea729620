"""Decoding options: greedy decoding, or beam search with a language model and a lexicon."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from ocrsearch.core import Integer, Number, OptionError, checked_values, takes_former_fields
from ocrsearch.data import Charset, has_rtl
from ocrsearch.data.formats import read_texts
from ocrsearch.inference.bundle import Bundle
from ocrsearch.models import ARCHITECTURES
from ocrsearch.models.decoding import (
    Automaton,
    BeamSearch,
    Fusion,
    LanguageModel,
    Lexicon,
    NgramCounts,
    load_ngrams,
)

logger = logging.getLogger(__name__)

MAX_BEAM = 1000
WIDTHS = (1.0, 0.94, 1.06, 0.97, 1.03)
"""Relative widths for test-time augmentation."""

LM_WEIGHT = 0.6
LENGTH_BONUS = 1.0
LEXICON_WEIGHT = 2.0
CTC_WEIGHT = 0.3

Finite = Annotated[Number, Field(allow_inf_nan=False)]
Weight = Annotated[Finite, Field(ge=0)]


@takes_former_fields
@dataclass(frozen=True)
class DecodingOptions:
    """Options for decoding. A weight of None means the default.

    Attributes:
        beam_size: number of hypotheses to keep for each line, up to MAX_BEAM. 0 means greedy
            decoding, for which only ``tta`` can be set.
        language_model: file written by ``ocrsearch language-model``, or n-gram counts.
        lm_weight: weight for the log probability of the language model, 0 or more. The default is
            the weight stored with the language model, or LM_WEIGHT.
        length_bonus: bonus for each character, in nats. If neither this nor ``lm_weight`` is set,
            the default is the bonus stored with the language model. Otherwise it is LENGTH_BONUS
            for CTC with a language model, and 0 in all other cases.
        lexicon: UTF-8 text file with one word per line.
        lexicon_weight: penalty for each word outside the lexicon, in nats, 0 or more; default
            LEXICON_WEIGHT. 1000 forbids such words.
        ctc_weight: weight for the log probability of the CTC head of a seq2seq model, 0 or more;
            default CTC_WEIGHT, or 0 if the model was trained without a CTC head.
        tta: number of widths for test-time augmentation, 1 to 5. If the texts differ, all
            widths and networks vote.

    Raises:
        OptionError: a value is out of range, or an option needs another option.
    """

    beam_size: Annotated[Integer, Field(ge=0, le=MAX_BEAM)] = 0
    language_model: str | Path | NgramCounts | None = None
    lm_weight: Weight | None = None
    length_bonus: Finite | None = None
    lexicon: str | Path | None = None
    lexicon_weight: Weight | None = None
    ctc_weight: Weight | None = None
    tta: Annotated[Integer, Field(ge=1, le=len(WIDTHS))] = 1

    def __post_init__(self) -> None:
        for name, value in checked_values(self).items():
            object.__setattr__(self, name, value)
        of_beam = [f.name for f in fields(self) if f.default is None]
        given = [name for name in of_beam if getattr(self, name) is not None]
        if given and not self.beam_size:
            raise OptionError("needs beam search; set `beam_size`, for example to 10", given[0])
        for weight, needs in (("lm_weight", "language_model"), ("lexicon_weight", "lexicon")):
            if weight in given and needs not in given:
                raise OptionError(f"needs a {needs.replace('_', ' ')}", weight)


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


def build_decoder(options: DecodingOptions, bundle: Bundle) -> Decoder:
    """Build the decoder for a recogniser and load the files that it needs.

    If the files contain characters that the recogniser cannot output, a warning is logged.

    Raises:
        OptionError: an option does not apply to the recogniser.
        LanguageModelError: the language model is missing or damaged.
        DataError: the lexicon is missing or empty.
    """
    members, widths = bundle.members, WIDTHS[: options.tta]
    views = {"views": options.tta} if options.tta > 1 else {}
    if options.beam_size == 0:
        return Decoder((None,) * len(members), widths, {"name": "greedy", **views})
    names = [member.config.model.architecture for member in members]
    for name in names:
        if not ARCHITECTURES[name].has_beam_search:
            problem = (
                f"a {name} reads a single character and has no beam search; remove `beam_size`"
            )
            raise OptionError(problem, "beam_size")
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
    searches = tuple(_search(options, weighted, member) for member in members)
    _check_ctc_weight(options.ctc_weight, members)
    about |= {"length_bonus": _one_or_each([s.fusion.length_bonus for s in searches])}
    weights = [s.ctc_weight for s, name in zip(searches, names, strict=True) if name == "seq2seq"]
    about |= {"ctc_weight": _one_or_each(weights)} if weights else {}
    return Decoder(searches, widths, about)


def _search(
    options: DecodingOptions, weighted: list[tuple[Automaton, float]], member: Bundle
) -> BeamSearch:
    is_crnn = member.config.model.architecture == "crnn"
    makes_shorter = is_crnn and options.language_model is not None
    bonus = _or_default(options.length_bonus, LENGTH_BONUS if makes_shorter else 0.0)
    ctc_weight = _or_default(options.ctc_weight, CTC_WEIGHT) if _has_ctc_head(member) else 0.0
    return BeamSearch(options.beam_size, Fusion(weighted, bonus), ctc_weight)


def _read_ngrams(
    language_model: str | Path | NgramCounts, charset: Charset
) -> tuple[NgramCounts, str]:
    """Return the n-gram counts and a name for messages."""
    if isinstance(language_model, NgramCounts):
        return language_model, "language model"
    ngrams = load_ngrams(Path(language_model))
    _check_same_order(language_model, ngrams.charset, charset)
    lacking = sorted(set(ngrams.charset.symbols) - set(charset.symbols))
    if lacking:
        logger.warning(
            "%s: the charset of the model lacks characters of the language model: %s",
            *(language_model, " ".join(lacking)),
        )
    return ngrams, str(language_model)


def _check_same_order(path: str | Path, counted: Charset, charset: Charset) -> None:
    """Refuse a language model if its right-to-left texts were reordered in another way."""
    theirs, ours = (c.bidi.partition("-")[0] for c in (counted, charset))
    if theirs != ours and has_rtl("".join(set(counted.symbols) & set(charset.symbols))):
        raise OptionError(
            f"{path}: counted with `bidi` {theirs}, the model was trained with `bidi` {ours}; "
            f"create it again with `bidi` {ours}",
            "language_model",
        )


def _read_lexicon(path: Path, charset: Charset) -> Lexicon:
    lexicon = Lexicon(read_texts(path, "lexicon"), charset)
    if lexicon.n_left_out:
        n_all = lexicon.n_words + lexicon.n_left_out
        logger.warning(
            "%s: %d of %d words have characters outside the charset of the model",
            *(path, lexicon.n_left_out, n_all),
        )
    return lexicon


def _check_ctc_weight(given: float | None, members: Sequence[Bundle]) -> None:
    names = [member.config.model.architecture for member in members]
    if given is not None and "seq2seq" not in names:
        problem = f"needs a seq2seq model, found a {names[0]}; remove it"
        raise OptionError(problem, "ctc_weight")
    if given and not any(map(_has_ctc_head, members)):
        problem = "this model was trained without a CTC head; remove it"
        raise OptionError(problem, "ctc_weight")


def _has_ctc_head(member: Bundle) -> bool:
    model = member.config.model
    return model.architecture == "seq2seq" and model.decoder.ctc_weight > 0


def _one_or_each(values: Sequence[float]) -> float | list[float]:
    """Return the common value of all networks, or a list if they differ."""
    return values[0] if len(set(values)) == 1 else list(values)


def _or_default(value: float | None, default: float) -> float:
    return default if value is None else value
