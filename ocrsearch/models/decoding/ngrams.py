"""Counts of n-grams of symbols in texts, and their file.

The file is NumPy's npz; reading it runs no code from it.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ocrsearch.core import (
    ArchiveError,
    DataError,
    LanguageModelError,
    open_archive,
    replacing,
    unpack,
)
from ocrsearch.data import Charset
from ocrsearch.models.decoding.automata import Ints

FORMAT = "ocrsearch language model"
VERSION = 1
MAX_ORDER = 8

MAX_ARRAY_BYTES = 200_000_000
"""Largest size of a language model in memory, in 32 bits: about ten million n-grams."""

MAX_WEIGHT = 1e6
"""Largest weight and length bonus in a file."""


@dataclass(frozen=True)
class NgramCounts:
    """The number of times each symbol, or the end, follows each context.

    A context is the sequence before a symbol: at most ``order - 1`` symbols, of which the first
    may be the begin. Each context is a state. The empty context is state 0, and longer contexts
    follow all shorter ones. An entry is a context with a symbol that follows it.

    Attributes:
        charset: symbols of the texts; the end has the id after them.
        order: length of the longest n-grams.
        n_texts: number of texts counted.
        start: state of the begin.
        backoff: (n_states,) state of the same context without its first symbol.
        offsets: (n_states + 1,) position of the first entry of each state.
        ids: (n_entries,) symbols, ascending within a state.
        counts: (n_entries,) number of occurrences, at least 1.
        children: (n_entries,) state of the context with its symbol; -1 if it is not a state.
        lm_weight: weight of the log probability in a fusion, if it was chosen.
        length_bonus: bonus for each symbol, in nats, if it was chosen.
    """

    charset: Charset
    order: int
    n_texts: int
    start: int
    backoff: Ints
    offsets: Ints
    ids: Ints
    counts: Ints
    children: Ints
    lm_weight: float | None = None
    length_bonus: float | None = None


class Level(NamedTuple):
    """The n-grams of one length: entries of contexts, and the next longer contexts."""

    states: Ints
    ids: Ints
    counts: Ints
    children: Ints
    backoff: Ints
    start: int


def count_ngrams(texts: Iterable[str], charset: Charset, order: int) -> tuple[NgramCounts, int]:
    """Count the n-grams of texts.

    Args:
        texts: texts, each one line.
        charset: charset; a text with other symbols is ignored.
        order: length of the longest n-grams, 1 to MAX_ORDER.

    Returns:
        The counts, and the number of ignored texts.

    Raises:
        LanguageModelError: no text is left, or the order is out of range.
    """
    if not 1 <= order <= MAX_ORDER:
        raise LanguageModelError(f"order {order}: must be an integer from 1 to {MAX_ORDER}")
    known, n_left_out = encode_known(texts, charset)
    if not known:
        raise LanguageModelError(
            f"no text for a language model: {n_left_out} with characters outside the charset; "
            "give other texts"
        )
    tokens, places = _join(known, len(charset))
    contexts = np.zeros(len(tokens), np.int64)
    n_states, start = 1, 0
    backoffs, levels = [np.zeros(1, np.int64)], []
    for length in range(order):
        level, contexts = _count_level(
            tokens, places, contexts, n_states, len(charset), length, is_last=length == order - 1
        )
        start = level.start if level.start >= 0 else start
        n_states += len(level.backoff)
        levels.append(level)
        backoffs.append(level.backoff)
    states, ids, counts, children = (
        np.concatenate(part)
        for part in zip(*((v.states, v.ids, v.counts, v.children) for v in levels), strict=True)
    )
    offsets = np.concatenate([[0], np.cumsum(np.bincount(states, minlength=n_states))])
    backoff = np.concatenate(backoffs)
    found = NgramCounts(charset, order, len(known), start, backoff, offsets, ids, counts, children)
    return found, n_left_out


def encode_known(texts: Iterable[str], charset: Charset) -> tuple[list[list[int]], int]:
    """Return the ids of the texts whose symbols are all known, and the number of other texts."""
    known, n_left_out = [], 0
    for text in texts:
        if charset.missing([text]):
            n_left_out += 1
        else:
            known.append(charset.encode(text))
    return known, n_left_out


def _join(texts: Sequence[Sequence[int]], n_symbols: int) -> tuple[Ints, Ints]:
    """Return the tokens (begin, symbols, end) of all texts, and their positions in their texts."""
    end, begin = n_symbols, n_symbols + 1
    tokens = np.concatenate([np.array([begin, *text, end], np.int64) for text in texts])
    lengths = np.array([len(text) + 2 for text in texts])
    firsts = np.repeat(np.cumsum(lengths) - lengths, lengths)
    return tokens, np.arange(len(tokens)) - firsts


def _count_level(
    tokens: Ints,
    places: Ints,
    contexts: Ints,
    n_states: int,
    n_symbols: int,
    length: int,
    *,
    is_last: bool,
) -> tuple[Level, Ints]:
    """Count the tokens after contexts of one length, and number the next longer contexts.

    Args:
        tokens: (N,) tokens of all texts.
        places: (N,) position of each token in its text.
        contexts: (N,) state of the context before each token, if the text has one of the length.
        n_states: number of states so far.
        n_symbols: size of the charset.
        length: length of the contexts.
        is_last: whether this is the longest length.

    Returns:
        The level, and the states of the longer contexts in the form of ``contexts``.
    """
    n_tokens = n_symbols + 2
    here = places >= max(1, length)
    keys, counts = np.unique(contexts[here] * n_tokens + tokens[here], return_counts=True)
    children = np.full(len(keys), -1, np.int64)
    none = np.zeros(0, np.int64)
    states, ids = keys // n_tokens, keys % n_tokens
    longer = np.flatnonzero(places >= length + 1)
    if is_last or not len(longer):
        return Level(states, ids, counts, children, none, -1), contexts
    before = contexts[longer - 1] * n_tokens + tokens[longer - 1]
    unique, first, inverse = np.unique(before, return_index=True, return_inverse=True)
    following = np.zeros_like(contexts)
    following[longer] = n_states + inverse
    place = np.minimum(np.searchsorted(unique, keys), len(unique) - 1)
    children = np.where(unique[place] == keys, n_states + place, -1)
    begins = np.flatnonzero(unique == n_symbols + 1)  # only after the empty context
    start = n_states + int(begins[0]) if length == 0 else -1
    return Level(states, ids, counts, children, contexts[longer[first]], start), following


def context_lengths(ngrams: NgramCounts) -> Ints:
    """Return the length of each context: (n_states,), at most the order."""
    lengths, reached = np.zeros_like(ngrams.backoff), np.arange(len(ngrams.backoff))
    for _ in range(ngrams.order):
        lengths += reached > 0
        reached = ngrams.backoff[reached]
    return lengths


def save_ngrams(ngrams: NgramCounts, path: Path) -> None:
    """Write counts to a file, atomically.

    Raises:
        LanguageModelError: the file cannot be written, or the counts are too large.
    """
    n_bytes = sum(4 * len(getattr(ngrams, name)) for name in _ARRAYS)
    if n_bytes > MAX_ARRAY_BYTES - 1_000_000:
        raise LanguageModelError(
            f"{path}: {n_bytes / 1e6:,.0f} MB of n-grams, at most {MAX_ARRAY_BYTES / 1e6:,.0f} MB; "
            "give a lower `order` or less text"
        )
    chosen = (ngrams.lm_weight, ngrams.length_bonus)
    content = {
        "format": np.array(FORMAT),
        "numbers": np.array((VERSION, ngrams.order, ngrams.n_texts, ngrams.start)),
        "chosen": np.array([math.nan if value is None else value for value in chosen]),
        "symbols": np.array([ord(symbol) for symbol in ngrams.charset.symbols], np.int32),
        "bidi": np.array(ngrams.charset.bidi),
        **{name: getattr(ngrams, name).astype(np.int32) for name in _ARRAYS},
    }
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **content)
    except OSError as error:
        raise LanguageModelError(f"{path}: cannot be written ({error.strerror or error})") from None


_ARRAYS = ("backoff", "offsets", "ids", "counts", "children")


def load_ngrams(path: Path) -> NgramCounts:
    """Read counts that ``save_ngrams`` wrote, running no code from the file.

    Raises:
        LanguageModelError: the file is missing, not a language model, damaged, or of another
            version.
    """
    if not path.exists():
        raise LanguageModelError(
            f"{path}: no such language model; create one with 'ocrsearch language-model'"
        )
    try:
        content = _read(path)
    except MemoryError:
        raise
    except Exception as error:  # a damaged file fails in many ways
        reason = error if isinstance(error, ArchiveError) else type(error).__name__
        raise LanguageModelError(
            f"{path}: not a language model, or damaged ({reason}); "
            "create one with 'ocrsearch language-model'"
        ) from None
    if content["format"].shape != () or str(content["format"]) != FORMAT:
        raise LanguageModelError(f"{path}: a file of arrays, but not a language model")
    try:
        version, *numbers = content["numbers"].astype(np.int64, casting="safe").tolist()
        ngrams = _restore(content, *numbers) if version == VERSION else None
    except (ValueError, OverflowError, IndexError, TypeError, DataError):
        raise LanguageModelError(f"{path}: damaged language model; create it again") from None
    if ngrams is None:
        raise LanguageModelError(
            f"{path}: language model of version {version}, this program reads {VERSION}; "
            "create it again"
        )
    return ngrams


def _read(path: Path) -> dict[str, np.ndarray]:
    nothing = np.full(2, math.nan)  # older files have no chosen values
    content = {"chosen": nothing, "bidi": np.array("off")}
    names = ("format", "numbers", "symbols", *_ARRAYS)
    with open_archive(path, MAX_ARRAY_BYTES) as archive:
        for name in (*names, *content):
            if name in names or f"{name}.npy" in archive.namelist():
                content[name] = _array(unpack(archive, archive.getinfo(f"{name}.npy")))
    return content


def _array(content: bytearray) -> np.ndarray:
    """Return an array that ``numpy.save`` wrote, if its size fits its shape."""
    file = io.BytesIO(content)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("version")
    with warnings.catch_warnings(action="error"):  # about headers that numpy does not write
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.kind not in "iufcU" or any(n < 0 for n in shape):
        raise ValueError("type")
    return np.frombuffer(content, dtype, offset=file.tell()).reshape(shape)


def _restore(content: dict[str, np.ndarray], order: int, n_texts: int, start: int) -> NgramCounts:
    if any(content[name].dtype not in (np.int32, np.int64) for name in ("symbols", *_ARRAYS)):
        raise ValueError("not integers")
    symbols = [chr(code) for code in content["symbols"].tolist()]
    charset = Charset.from_content({"symbols": symbols, "bidi": str(content["bidi"])})
    backoff, offsets, ids, counts, children = (content[n].astype(np.int64) for n in _ARRAYS)
    chosen = content["chosen"].astype(float, casting="safe").tolist()
    weight, bonus = (None if math.isnan(value) else value for value in chosen)
    ngrams = NgramCounts(
        *(charset, order, n_texts, start),
        *(backoff, offsets, ids, counts, children),
        *(weight, bonus),
    )
    if not _is_sound(ngrams):
        raise ValueError("inconsistent")
    return ngrams


def _is_sound(ngrams: NgramCounts) -> bool:
    """Return whether all numbers refer to existing states, and backing off ends."""
    n_states, n_entries = len(ngrams.backoff), len(ngrams.ids)
    later = np.arange(1, n_states)
    rises = np.diff(ngrams.ids) > 0
    begins = ngrams.offsets[(ngrams.offsets > 0) & (ngrams.offsets < n_entries)]
    rises[begins - 1] = True
    return bool(
        1 <= ngrams.order <= MAX_ORDER
        and all(getattr(ngrams, name).ndim == 1 for name in _ARRAYS)
        and 0 <= ngrams.start < n_states
        and len(ngrams.offsets) == n_states + 1
        and len(ngrams.counts) == len(ngrams.children) == n_entries
        and ngrams.offsets[0] == 0
        and ngrams.offsets[-1] == n_entries
        and (np.diff(ngrams.offsets) >= 0).all()
        and ngrams.backoff[0] == 0
        and (ngrams.backoff[1:] >= 0).all()
        and (ngrams.backoff[1:] < later).all()
        and (context_lengths(ngrams) < ngrams.order).all()
        and rises.all()
        and (ngrams.ids >= 0).all()
        and (ngrams.ids <= len(ngrams.charset)).all()
        and (ngrams.counts >= 1).all()
        and (ngrams.children >= -1).all()
        and (ngrams.children < n_states).all()
        and 0 <= (ngrams.lm_weight or 0.0) <= MAX_WEIGHT
        and abs(ngrams.length_bonus or 0.0) <= MAX_WEIGHT
    )
