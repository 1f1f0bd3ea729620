"""Decoders: greedy decoding, or beam search with a language model and a lexicon."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ocrsearch.core import OptionError
from ocrsearch.data import Charset, has_rtl
from ocrsearch.data.formats import read_texts
from ocrsearch.inference.bundle import Bundle
from ocrsearch.inference.decoding_options import (
    CTC_WEIGHT,
    LENGTH_BONUS,
    LEXICON_WEIGHT,
    LM_WEIGHT,
    WIDTHS,
    DecodingOptions,
)
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
    members, widths = bundle.members, WIDTHS[: options.views]
    views = {"views": options.views} if options.views > 1 else {}
    if options.beam == 0:
        return Decoder((None,) * len(members), widths, {"name": "greedy", **views})
    names = [member.config.model.architecture for member in members]
    for name in names:
        if not ARCHITECTURES[name].has_beam_search:
            problem = f"a {name} reads a single character and has no beam search; remove `beam`"
            raise OptionError(problem, "beam")
    about: dict[str, Any] = {"name": "beam", "beam": options.beam, **views}
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
    return BeamSearch(options.beam, Fusion(weighted, bonus), ctc_weight)


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
