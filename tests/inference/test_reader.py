"""Networks that read together: the text that is most probable for all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ocrsearch.core.errors import OptionError
from ocrsearch.data.charset import Charset
from ocrsearch.data.samples import GrayImage
from ocrsearch.inference import reader as reader_module
from ocrsearch.inference.decoding import DecodingOptions
from ocrsearch.inference.opening import open_networks
from ocrsearch.inference.predictor import Predictor
from ocrsearch.inference.reader import (
    Encoding,
    Reader,
    read_together,
)
from ocrsearch.models.decoding.automata import Fusion
from ocrsearch.models.decoding.ctc import Hypothesis
from ocrsearch.models.decoding.ctc_beam import BeamSearch
from ocrsearch.models.decoding.ngrams import count_ngrams, save_ngrams
from ocrsearch.training.model_file import Bundle

MakeBundle = Callable[..., Bundle]
Text = tuple[int, ...]


@dataclass
class Told(Reader):
    """A reader that is told how probable texts are, the same for each picture."""

    probabilities: dict[Text, float]
    bonus: float = 0.0

    def read(self, images: Sequence[GrayImage]) -> Iterator[Encoding]:
        """Yield the most probable text for each picture, in two batches from the end."""
        text = max(self.probabilities, key=lambda t: self.probabilities[t])
        numbers = list(range(len(images)))[::-1]
        for ids in (numbers[:2], numbers[2:]):
            yield Encoding(ids, 40, None, [self._hypothesis(text) for _ in ids])

    def score(
        self, encodings: Iterable[Encoding], texts: Mapping[int, Sequence[Text]]
    ) -> dict[int, list[float]]:
        """Return the log probabilities with a bonus for each symbol."""
        probabilities = {
            i: [(self.probabilities.get(text, 0.0), len(text)) for text in of_line]
            for i, of_line in texts.items()
        }
        return {
            i: [math.log(p) + self.bonus * n if p > 0 else -math.inf for p, n in of_line]
            for i, of_line in probabilities.items()
        }

    def rate(
        self, encodings: Iterable[Encoding], texts: Mapping[int, Text]
    ) -> dict[int, Hypothesis]:
        """Return what it was told."""
        return {i: self._hypothesis(text) for i, text in texts.items()}

    def _hypothesis(self, text: Text) -> Hypothesis:
        p = self.probabilities.get(text, 0.0)
        return Hypothesis(text, p, (p,) * len(text))


def blank_pictures(n: int) -> list[GrayImage]:
    return [np.zeros((16, 40), np.uint8)] * n


@pytest.mark.parametrize(
    ("readers", "expected"),
    [
        ([{(1,): 0.9}], Hypothesis((1,), 0.9, (0.9,))),
        ([{(1,): 0.9}, {(1,): 0.5}], Hypothesis((1,), 0.7, (0.7,))),
        ([{(1,): 0.6, (2,): 0.3}, {(2,): 0.8, (1,): 0.1}], Hypothesis((2,), 0.55, (0.55,))),
        ([{(1,): 0.6, (2,): 0.3}, {(2,): 0.5, (1,): 0.4}], Hypothesis((1,), 0.5, (0.5,))),
        ([{(1,): 0.9}, {(): 0.8, (1,): 0.1}], Hypothesis((), 0.4, ())),  # one cannot write ()
        (  # what only one of three can write does not count
            [{(1,): 0.9}, {(1,): 0.9}, {(1, 1, 1): 0.8, (1,): 0.3}],
            Hypothesis((1,), 0.7, (0.7,)),
        ),
        (
            [{(1,): 0.9}, {(2,): 0.9}, {(3,): 0.9}],  # each can write nothing but its own
            Hypothesis((1,), 0.3, (0.3,)),
        ),
        ([{(1,): 0.9}, {(): 0.8}], Hypothesis((1,), 0.45, (0.45,))),  # none can write both
        ([{(2,): 0.6, (1,): 0.4}, {(1,): 0.6, (2,): 0.4}], Hypothesis((2,), 0.5, (0.5,))),  # equal
        ([{(): 1.0}, {(): 0.5}], Hypothesis((), 0.75, ())),
        (
            [
                {(1,): 0.5, (2,): 0.3, (3,): 0.01},
                {(2,): 0.5, (3,): 0.3, (1,): 0.01},
                {(3,): 0.6, (2,): 0.2, (1,): 0.01},
            ],
            Hypothesis((2,), 1 / 3, (1 / 3,)),
        ),
    ],
)
def test_the_text_that_all_find_most_probable_is_taken(
    readers: list[dict[Text, float]], expected: Hypothesis
) -> None:
    found = read_together([Told(told) for told in readers], blank_pictures(2))
    for hypothesis in found:
        assert hypothesis.ids == expected.ids
        assert hypothesis.confidence == pytest.approx(expected.confidence)
        assert hypothesis.symbol_confidences == pytest.approx(expected.symbol_confidences)
    assert len(found) == 2


def test_what_a_language_model_adds_counts() -> None:
    told: list[dict[Text, float]] = [{(1,): 0.6, (2, 2): 0.3}, {(2, 2): 0.4, (1,): 0.3}]
    assert read_together([Told(t) for t in told], blank_pictures(1))[0].ids == (1,)
    assert read_together([Told(t, 0.5) for t in told], blank_pictures(1))[0].ids == (2, 2)


def test_no_picture_is_read_as_nothing() -> None:
    assert read_together([Told({(1,): 1.0}), Told({(2,): 1.0})], []) == []


def test_progress_rises_to_the_number_of_pictures() -> None:
    seen: list[tuple[int, int]] = []
    readers = [Told({(1,): 1.0})] * 3
    read_together(readers, blank_pictures(4), lambda done, n: seen.append((done, n)))
    assert [n for _, n in seen] == [4] * 6
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (4, 4)


# --- real networks ----------------------------------------------------------------------------


def random_pictures(n: int) -> list[GrayImage]:
    rng = np.random.default_rng(1)
    return [rng.integers(0, 256, (20, int(w)), dtype=np.uint8) for w in rng.integers(8, 90, n)]


def reader_of(bundle: Bundle, search: BeamSearch | None) -> Reader:
    (network,) = open_networks(bundle, "cpu")
    return Reader(network, bundle.config.images, search)


@pytest.fixture(scope="module")
def three(make_bundle: MakeBundle) -> list[Bundle]:
    """Networks of two architectures that read differently, the third less sure than the first."""
    first = make_bundle()
    weights = {**first.weights, "head.weight": 0.7 * first.weights["head.weight"].roll(1, 0)}
    return [first, make_bundle("seq2seq"), replace(first, weights=weights)]


@pytest.mark.parametrize("beam", [0, 4])
def test_three_networks_read_as_well_together_as_the_best_reading(
    three: list[Bundle], beam: int
) -> None:
    pictures = random_pictures(20)
    search = BeamSearch(beam, Fusion([], 0.4)) if beam else None
    readers = [reader_of(bundle, search) for bundle in three]
    encodings = [list(reader.read(pictures)) for reader in readers]
    together = read_together(readers, pictures)
    read = [by_number(of_reader) for of_reader in encodings]
    n_open = n_new = 0
    for i, found in enumerate(together):
        texts = list(dict.fromkeys([*(of_reader[i].ids for of_reader in read), found.ids]))
        n_read = len({of_reader[i].ids for of_reader in read})
        scores = [
            reader.score(own, {i: texts})[i] for reader, own in zip(readers, encodings, strict=True)
        ]
        rated = [
            reader.rate(own, {i: found.ids})[i]
            for reader, own in zip(readers, encodings, strict=True)
        ]
        counting = [t for t in range(n_read) if sum(own[t] > -math.inf for own in scores) >= 2]
        judges = [own for own in scores if all(own[t] > -math.inf for t in counting)]
        means = [sum(own[t] for own in judges) / len(judges) for t in range(len(texts))]
        place = texts.index(found.ids)
        assert means[place] >= max(means[t] for t in counting) - 1e-4
        mean = sum(h.confidence for h in rated) / 3
        assert found.confidence == pytest.approx(mean, rel=1e-3, abs=1e-9)
        assert len(found.symbol_confidences) == len(found.ids)
        for own, hypothesis in zip(scores, rated, strict=True):
            if not beam and hypothesis.confidence > 0.0:
                assert own[place] == pytest.approx(math.log(hypothesis.confidence), rel=1e-3)
        n_open += n_read > 1
        n_new += place >= n_read
    assert n_open > 10
    assert n_new > 0 or not beam  # texts that none of them read


def by_number(encodings: Iterable[Encoding]) -> dict[int, Hypothesis]:
    return {i: h for e in encodings for i, h in zip(e.ids, e.read, strict=True)}


def texts_of(reader: Reader, pictures: Sequence[GrayImage]) -> list[Text]:
    read = by_number(reader.read(pictures))
    return [read[i].ids for i in range(len(pictures))]


def test_views_are_pictures_of_another_width(three: list[Bundle]) -> None:
    pictures = random_pictures(12)
    reader = reader_of(three[0], None)
    wider = [cv2.resize(p, (2 * p.shape[1], p.shape[0])) for p in pictures]
    found = texts_of(reader.at_width(2.0), pictures)
    assert len({len(ids) for ids in found}) > 1
    assert [len(e) for e in found] != [len(e) for e in texts_of(reader, pictures)]
    same = texts_of(reader, wider)
    assert sum(a == b for a, b in zip(found, same, strict=True)) >= 6  # twice interpolated
    views = DecodingOptions(tta=3)
    readers = [reader, reader.at_width(0.94), reader.at_width(1.06)]
    expected = [h.ids for h in read_together(readers, pictures)]
    read = Predictor(three[0], "cpu", views).predict_many(pictures)
    assert [p.text for p in read] == [three[0].charset.decode(ids) for ids in expected]
    assert [p.text for p in read] != [p.text for p in Predictor(three[0]).predict_many(pictures)]


def test_progress_of_one_network_is_told_to_the_end(three: list[Bundle]) -> None:
    told: list[tuple[int, int]] = []
    pictures = [*random_pictures(3), *blank_pictures(100)]  # more than a batch
    read_together([reader_of(three[0], None)], pictures, lambda done, n: told.append((done, n)))
    assert told[-1] == (103, 103)
    assert len(told) > 1
    assert [done for done, _ in told] == sorted({done for done, _ in told})


def test_many_pictures_are_read_as_few(
    three: list[Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = random_pictures(9)
    readers = [reader_of(bundle, None) for bundle in three]
    at_once = read_together(readers, pictures)
    monkeypatch.setattr(reader_module, "CHUNK_COLUMNS", 200)
    seen: list[tuple[int, int]] = []
    in_parts = read_together(readers, pictures, lambda done, n: seen.append((done, n)))
    for a, b in zip(at_once, in_parts, strict=True):
        assert a.ids == b.ids
        assert a.confidence == pytest.approx(b.confidence, rel=1e-3)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (9, 9)


def test_an_ensemble_is_a_model_like_any_other(
    three: list[Bundle], make_bundle: MakeBundle, tmp_path: Path
) -> None:
    bundle = replace(three[0], others=tuple(three[1:]))
    pictures = random_pictures(6)
    read = Predictor(bundle, "cpu").predict_many(pictures)
    assert len(read) == 6
    assert [Predictor(bundle, "cpu").predict(p).text for p in pictures] == [r.text for r in read]
    lm = tmp_path / "lm.npz"
    save_ngrams(count_ngrams(["77"] * 50, Charset("0123456789"), 4)[0], lm)
    options = DecodingOptions(beam_size=4, language_model=lm, lm_weight=20.0)
    texts = [p.text for p in Predictor(bundle, "cpu", options).predict_many(pictures)]
    assert texts != [r.text for r in read]
    mixed = replace(three[0], others=(make_bundle("classifier"),))
    with pytest.raises(OptionError, match="a classifier reads a single character"):
        Predictor(mixed, "cpu", DecodingOptions(beam_size=4))
    assert len(Predictor(mixed, "cpu").predict_many(pictures)) == 6


def test_members_have_pictures_of_their_own_height(make_bundle: MakeBundle) -> None:
    low, high = make_bundle(), make_bundle()
    content: dict[str, Any] = high.config.model_dump()
    content["images"]["height"] = 32
    config = type(high.config).model_validate(content)
    from ocrsearch.models.architecture import build_network

    high = replace(high, config=config, weights=build_network(config, 10, 1).state_dict())
    assert len(Predictor(replace(low, others=(high,)), "cpu").predict_many(random_pictures(5))) == 5
