"""Right-to-left recognisers: readings, confidences, language models, lexicons, and old models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocrsearch.core.errors import DataError, OptionError
from ocrsearch.data.charset import Bidi, Charset
from ocrsearch.data.data_options import DataOptions
from ocrsearch.data.dataset import load_dataset
from ocrsearch.data.prepared import open_dataset, save_dataset
from ocrsearch.data.samples import GrayImage, LabelledImages, PackedImages
from ocrsearch.inference.bundle import Bundle, load_bundle, save_bundle
from ocrsearch.inference.decoding import DecodingOptions, build_decoder
from ocrsearch.inference.predictor import Predictor
from ocrsearch.models.decoding.automata import Lexicon
from ocrsearch.models.decoding.ngrams import load_ngrams, save_ngrams
from ocrsearch.reports.drawings import attention_maps
from ocrsearch.workflows.language_model import learn_language_model

LETTERS = "אבגדהוזחטי"

MakeBundle = Callable[..., Bundle]


def reading(bundle: Bundle, bidi: Bidi, letters: str = LETTERS) -> Bundle:
    return replace(bundle, charset=Charset(letters, bidi))


@pytest.fixture(scope="module")
def picture() -> GrayImage:
    rng = np.random.default_rng(3)
    image = np.full((20, 80), 255, np.uint8)
    for x, y, x2, y2 in rng.integers(0, (80, 20, 80, 20), (10, 4)):
        cv2.line(image, (int(x), int(y)), (int(x2), int(y2)), 0, 2)
    return image


@pytest.mark.parametrize("architecture", ["crnn", "seq2seq"])
def test_readings_are_logical_with_confidences_in_their_order(
    make_bundle: MakeBundle, picture: GrayImage, architecture: str
) -> None:
    bundle = make_bundle(architecture)
    seen = Predictor(reading(bundle, "off"), "cpu").predict(picture)
    read = Predictor(reading(bundle, "auto-rtl"), "cpu").predict(picture)

    assert len(set(seen.text)) > 1
    assert read.text == seen.text[::-1]
    assert read.symbol_confidences == seen.symbol_confidences[::-1]
    assert read.confidence == seen.confidence


def test_brackets_and_digits_in_a_reading(make_bundle: MakeBundle, picture: GrayImage) -> None:
    bundle = make_bundle()
    letters = "א1(2)3ב45ג"
    seen = Predictor(reading(bundle, "off", letters), "cpu").predict(picture)
    model = Predictor(reading(bundle, "rtl", letters), "cpu")
    read = model.predict(picture)

    assert model.bundle.charset.visual(read.text) == seen.text
    assert sorted(read.symbol_confidences) == sorted(seen.symbol_confidences)


def test_evaluation_compares_logical_texts(make_bundle: MakeBundle, picture: GrayImage) -> None:
    predictor = Predictor(reading(make_bundle(), "auto-rtl"), "cpu")
    text = predictor.predict(picture).text
    data = LabelledImages(["a.png"], [text], PackedImages.pack([picture]))

    assert predictor.evaluate(data).metrics.cer == 0.0
    other = LabelledImages(["a.png"], [text[::-1]], PackedImages.pack([picture]))
    assert predictor.evaluate(other).metrics.cer > 0.0


def test_several_networks_agree_on_a_logical_text(
    make_bundle: MakeBundle, picture: GrayImage
) -> None:
    bundle = reading(make_bundle(), "auto-rtl")
    alone = Predictor(bundle, "cpu").predict(picture)
    together = Predictor(replace(bundle, others=(bundle,)), "cpu").predict(picture)

    assert together.text == alone.text
    assert together.symbol_confidences == pytest.approx(alone.symbol_confidences, rel=1e-3)


def test_attention_rows_follow_the_line(make_bundle: MakeBundle, picture: GrayImage) -> None:
    bundle = reading(make_bundle("seq2seq"), "auto-rtl")
    (drawn,) = attention_maps(bundle, [(picture, "אבג")])

    assert list(drawn.symbols) == ["ג", "ב", "א", "end"]


def test_the_order_travels_in_the_model_file(make_bundle: MakeBundle, tmp_path: Path) -> None:
    save_bundle(reading(make_bundle(), "rtl"), tmp_path / "model.pt")

    assert load_bundle(tmp_path / "model.pt").charset == Charset(LETTERS, "rtl")


@pytest.mark.parametrize("values", [{}, {"group": "", "split_seed": 3}])
def test_models_of_older_programs_reorder_nothing(values: dict[str, object]) -> None:
    assert Charset.from_content({"symbols": list(LETTERS)}).bidi == "off"
    assert DataOptions.from_dict(values).bidi == ("off" if values else "auto")


def test_an_order_that_there_is_not() -> None:
    with pytest.raises(
        OptionError, match="bidi: must be 'auto', 'rtl', 'ltr' or 'off', got 'left'"
    ):
        DataOptions(bidi="left")
    with pytest.raises(DataError, match="bidi is 'x'"):
        Charset.from_content({"symbols": ["a"], "bidi": "x"})


# --- data sets --------------------------------------------------------------------------------


def hebrew(folder: Path, texts: list[str]) -> str:
    folder.mkdir()
    for i, text in enumerate(texts):
        image = np.full((20, 60), 255, np.uint8)
        image[5:15, 5 : 20 + i] = 0
        assert cv2.imwrite(str(folder / f"{i:02d}.png"), image)
        (folder / f"{i:02d}.gt.txt").write_text(text, encoding="utf-8")
    return f"gt:{folder}"


def test_a_data_set_is_trained_in_visual_order(tmp_path: Path) -> None:
    spec = hebrew(tmp_path / "data", ["אב (12)", "\u200fבא\u200f"] * 8)
    dataset = load_dataset(spec)
    save_dataset(dataset, tmp_path / "saved")
    charset = open_dataset(tmp_path / "saved").charset

    assert charset.bidi == "auto-rtl"
    assert charset.symbols == tuple(" ()12אב")  # direction marks are not read
    ids = charset.encode("אב (12)")
    assert "".join(charset.symbols[i] for i in ids) == "(12) בא"
    assert charset.decode(ids) == "אב (12)"


def test_the_order_is_part_of_what_data_is(tmp_path: Path) -> None:
    spec = hebrew(tmp_path / "rtl", ["אב", "בא"] * 8)
    found = {bidi: load_dataset(spec, DataOptions(bidi=bidi)) for bidi in ("auto", "rtl", "off")}

    assert len({dataset.fingerprint for dataset in found.values()}) == 3
    assert found["off"].charset.encode("אב") == [0, 1]
    latin = hebrew(tmp_path / "ltr", ["ab", "ba"] * 8)
    same = {load_dataset(latin, DataOptions(bidi=bidi)).fingerprint for bidi in ("auto", "off")}
    assert len(same) == 1


# --- language models and lexicons -------------------------------------------------------------


def test_a_language_model_counts_in_the_order_of_reading(
    make_bundle: MakeBundle, tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("אב\nאג\n", encoding="utf-8")
    ngrams = learn_language_model(None, [corpus], 2, DataOptions()).ngrams
    save_ngrams(ngrams, tmp_path / "lm.npz")

    assert load_ngrams(tmp_path / "lm.npz").charset == ngrams.charset
    assert ngrams.charset.encode("אב") == [1, 0]
    options = DecodingOptions(beam_size=2, language_model=tmp_path / "lm.npz")
    build_decoder(options, reading(make_bundle(), "auto-rtl"))
    build_decoder(options, make_bundle())  # it knows none of the letters
    with pytest.raises(OptionError, match=r"counted with `bidi` auto, the model .* `bidi` off"):
        build_decoder(options, reading(make_bundle(), "off"))


def test_words_of_a_lexicon_are_found_in_what_is_read() -> None:
    charset = Charset("אבגדש ", "auto-rtl")
    lexicon = Lexicon(["אבג דש"], charset)

    def score(text: str) -> float:
        return float(lexicon.score_texts([charset.encode(text)])[0])

    assert [score(text) for text in ("אבג", "דש אבג", "גבא", "אבג שד")] == [0.0, 0.0, -1.0, -1.0]
