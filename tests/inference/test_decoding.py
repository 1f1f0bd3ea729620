"""How a recogniser decodes: options, files, and what goes together."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ocrsearch.core.config import Config
from ocrsearch.core.errors import (
    DataError,
    LanguageModelError,
    OptionError,
)
from ocrsearch.data.charset import Charset
from ocrsearch.inference.bundle import Bundle
from ocrsearch.inference.decoding import (
    LENGTH_BONUS,
    LM_WEIGHT,
    DecodingOptions,
    build_decoder,
)
from ocrsearch.inference.predictor import Predictor
from ocrsearch.models.decoding.ngrams import (
    count_ngrams,
    load_ngrams,
    save_ngrams,
)
from tests.conftest import draw_text

MakeBundle = Callable[..., Bundle]


@pytest.fixture
def language_model(tmp_path: Path) -> Path:
    path = tmp_path / "lm.npz"
    save_ngrams(count_ngrams(["7777777"] * 50, Charset("0123456789"), 4)[0], path)
    return path


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"tta": 0}, "tta: must be at least 1, got 0"),
        ({"tta": 6}, "tta: must be at most 5, got 6"),
        ({"beam_size": -1}, "beam_size: must be at least 0, got -1"),
        ({"beam_size": 1001}, "beam_size: must be at most 1000, got 1001"),
        ({"language_model": "lm.npz"}, "language_model: needs beam search"),
        ({"ctc_weight": 0.3}, "ctc_weight: needs beam search"),
        ({"beam_size": 5, "lm_weight": 0.3}, "lm_weight: needs a language model"),
        ({"beam_size": 5, "lexicon_weight": 1.0}, "lexicon_weight: needs a lexicon"),
        ({"beam_size": 5, "ctc_weight": -0.1}, "ctc_weight: must be at least 0, got -0.1"),
        (
            {"beam_size": 5, "language_model": "a", "lm_weight": float("nan")},
            "lm_weight: must be a finite number, got nan",
        ),
        (
            {"beam_size": 5, "length_bonus": float("inf")},
            "length_bonus: must be a finite number, got inf",
        ),
    ],
)
def test_options_that_cannot_be_meant(values: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError) as caught:
        DecodingOptions(**values)
    assert said in str(caught.value)


def test_a_bonus_may_be_negative() -> None:
    assert DecodingOptions(beam_size=1, length_bonus=-0.5).length_bonus == -0.5


@pytest.mark.parametrize(
    ("architecture", "options", "said"),
    [
        ("classifier", DecodingOptions(beam_size=5), "a classifier reads a single character"),
        (
            "crnn",
            DecodingOptions(beam_size=5, ctc_weight=0.3),
            "needs a seq2seq model, found a crnn",
        ),
    ],
)
def test_options_that_do_not_go_with_the_model(
    make_bundle: MakeBundle, architecture: str, options: DecodingOptions, said: str
) -> None:
    with pytest.raises(OptionError, match=said):
        build_decoder(options, make_bundle(architecture))


def test_a_ctc_head_that_was_not_trained_is_not_used(make_bundle: MakeBundle) -> None:
    made = make_bundle("seq2seq")
    content = made.config.model_dump()
    content["model"]["decoder"]["ctc_weight"] = 0.0
    bundle = replace(made, config=Config.model_validate(content))
    with pytest.raises(OptionError, match="trained without a CTC head"):
        build_decoder(DecodingOptions(beam_size=5, ctc_weight=0.3), bundle)
    assert build_decoder(DecodingOptions(beam_size=5), bundle).about["ctc_weight"] == 0.0
    assert build_decoder(DecodingOptions(beam_size=5), made).about["ctc_weight"] == 0.3


def test_files_that_are_not_there(make_bundle: MakeBundle, tmp_path: Path) -> None:
    with pytest.raises(LanguageModelError, match="no such language model"):
        build_decoder(DecodingOptions(beam_size=5, language_model=tmp_path / "a"), make_bundle())
    with pytest.raises(DataError, match="no such file"):
        build_decoder(DecodingOptions(beam_size=5, lexicon=tmp_path / "a"), make_bundle())


def test_symbols_that_the_model_lacks_are_only_told(
    make_bundle: MakeBundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, lexicon = tmp_path / "lm.npz", tmp_path / "words.txt"
    save_ngrams(count_ngrams(["1x", "2y"], Charset("12xy"), 3)[0], path)
    lexicon.write_text("a b\nc")
    options = DecodingOptions(beam_size=3, language_model=path, lexicon=lexicon)
    with caplog.at_level(logging.WARNING):
        predictor = Predictor(make_bundle(), "cpu", options)
    assert "the charset of the model lacks characters of the language model: x y" in caplog.text
    assert "3 of 3 words have characters outside the charset of the model" in caplog.text
    predictor.predict(draw_text("12"))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (0.8, 3.0)),
        ({"lm_weight": 0.2}, (0.2, LENGTH_BONUS)),  # what was chosen with another weight is none
        ({"length_bonus": 0.5}, (0.8, 0.5)),
        ({"lm_weight": 0.2, "length_bonus": 0.5}, (0.2, 0.5)),
    ],
)
def test_chosen_weights_are_used_unless_others_are_given(
    make_bundle: MakeBundle,
    language_model: Path,
    given: dict[str, float],
    expected: tuple[float, float],
) -> None:
    ngrams = load_ngrams(language_model)
    bundle = make_bundle()
    plain = build_decoder(DecodingOptions(5, ngrams), bundle).about
    assert (plain["lm_weight"], plain["length_bonus"]) == (LM_WEIGHT, LENGTH_BONUS)
    save_ngrams(replace(ngrams, lm_weight=0.8, length_bonus=3.0), language_model)
    decoder = build_decoder(DecodingOptions(5, language_model, **given), bundle)
    assert (decoder.about["lm_weight"], decoder.about["length_bonus"]) == expected
    (search,) = decoder.searches
    assert search is not None
    assert search.fusion.length_bonus == expected[1]


@pytest.mark.parametrize("architecture", ["crnn", "seq2seq"])
def test_a_language_model_has_its_say(
    make_bundle: MakeBundle, language_model: Path, architecture: str
) -> None:
    bundle, pictures = make_bundle(architecture), [draw_text(t) for t in ("12", "345", "6")]
    strong = DecodingOptions(beam_size=20, language_model=language_model, lm_weight=50.0)
    read = Predictor(bundle, "cpu", strong).predict_many(pictures)
    assert all(set(prediction.text) <= {"7"} for prediction in read)
    none = DecodingOptions(
        beam_size=20, language_model=language_model, lm_weight=0.0, length_bonus=0.0
    )
    expected = Predictor(bundle, "cpu", DecodingOptions(beam_size=20)).predict_many(pictures)
    assert Predictor(bundle, "cpu", none).predict_many(pictures) == expected


@pytest.mark.parametrize("architecture", ["crnn", "seq2seq"])
def test_many_pictures_are_read_as_each_alone(
    make_bundle: MakeBundle, language_model: Path, architecture: str
) -> None:
    options = DecodingOptions(beam_size=4, language_model=language_model, lm_weight=0.1)
    predictor = Predictor(make_bundle(architecture), "cpu", options)
    pictures = [draw_text(text) for text in ("1", "2345", "67", "890123")]
    for together, picture in zip(predictor.predict_many(pictures), pictures, strict=True):
        alone = predictor.predict(picture)
        assert alone.text == together.text
        assert alone.confidence == pytest.approx(together.confidence, rel=1e-3)
        assert len(alone.symbol_confidences) == len(alone.text)


def test_each_network_of_several_decodes_in_its_own_way(
    make_bundle: MakeBundle, language_model: Path
) -> None:
    bundle = replace(make_bundle(), others=(make_bundle("seq2seq"), make_bundle()))
    decoder = build_decoder(DecodingOptions(beam_size=5, language_model=language_model), bundle)
    searches = [search for search in decoder.searches if search is not None]
    assert [search.ctc_weight for search in searches] == [0.0, 0.3, 0.0]
    assert [search.fusion.length_bonus for search in searches] == [1.0, 0.0, 1.0]
    assert decoder.about["length_bonus"] == [1.0, 0.0, 1.0]
    assert decoder.about["ctc_weight"] == 0.3
    given = build_decoder(DecodingOptions(beam_size=5, ctc_weight=0.7, length_bonus=0.2), bundle)
    assert (given.about["ctc_weight"], given.about["length_bonus"]) == (0.7, 0.2)


def test_views_are_said(make_bundle: MakeBundle) -> None:
    decoder = build_decoder(DecodingOptions(tta=3), make_bundle())
    assert decoder.widths == (1.0, 0.94, 1.06)
    assert (str(decoder), decoder.about["views"]) == ("greedy decoding, 3 views", 3)
    decoder = build_decoder(DecodingOptions(beam_size=4, tta=2), make_bundle())
    assert (str(decoder), decoder.about["views"]) == ("beam of 4, 2 views", 2)


def test_nothing_given_is_greedy(make_bundle: MakeBundle) -> None:
    decoder = build_decoder(DecodingOptions(), make_bundle())
    assert (decoder.searches, decoder.about) == ((None,), {"name": "greedy"})
