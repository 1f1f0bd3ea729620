"""Configurations: there and back, identities, and what they refuse."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ocrsearch.core.config import (
    AugmentConfig,
    ClassifierConfig,
    Config,
    CrnnConfig,
    DecoderConfig,
    EncoderConfig,
    ImageConfig,
    PreprocessConfig,
    Seq2SeqConfig,
    TowerConfig,
    TrainingConfig,
)

TOWER: dict[str, Any] = {
    "conv_depth": st.integers(2, 12),
    "conv_base": st.integers(8, 256),
    "conv_growth": st.floats(1.0, 3.0),
    "linear_width": st.integers(8, 2048),
    "dropout": st.floats(0.0, 1.0, exclude_max=True),
}
ENCODERS = st.builds(
    EncoderConfig,
    **TOWER,
    rnn_cell=st.sampled_from(["lstm", "gru"]),
    rnn_layers=st.integers(1, 6),
    hidden_size=st.integers(8, 1024),
)
DECODERS = st.builds(
    DecoderConfig,
    attention=st.sampled_from(["additive", "location_aware", "none"]),
    ctc_weight=st.floats(0.0, 1.0),
    scheduled_sampling=st.floats(0.0, 0.5),
)
CONFIGS = st.builds(
    Config,
    images=st.builds(
        ImageConfig,
        height=st.integers(16, 128),
        width_scale=st.floats(0.25, 4.0),
        preprocess=st.builds(
            PreprocessConfig,
            crop=st.booleans(),
            contrast=st.sampled_from(["none", "stretch", "clahe"]),
            threshold=st.floats(0.0, 1.0),
        ),
    ),
    model=st.builds(CrnnConfig, encoder=ENCODERS)
    | st.builds(Seq2SeqConfig, encoder=ENCODERS, decoder=DECODERS)
    | st.builds(ClassifierConfig, encoder=st.builds(TowerConfig, **TOWER)),
    training=st.builds(
        TrainingConfig,
        optimizer=st.sampled_from(["adamw", "adam", "nadam", "radam", "rmsprop", "sgd"]),
        learning_rate=st.floats(0.0, 1.0, exclude_min=True),
        weight_decay=st.floats(0.0, 1.0),
        batch_size=st.integers(1, 4096),
        epochs=st.integers(1, 10_000),
        augment=st.builds(AugmentConfig, strength=st.floats(0.0, 1.0), elastic=st.floats(0.0, 1.0)),
    ),
)


def test_a_classifier_concatenates_nothing() -> None:
    with pytest.raises(ValidationError, match=r"training\.augment\.concat: found 0\.5, must be 0"):
        Config.model_validate(
            {"model": {"architecture": "classifier"}, "training": {"augment": {"concat": 0.5}}}
        )


@pytest.mark.parametrize(
    "model",
    [{"architecture": "classifier"}, {"architecture": "seq2seq", "decoder": {"ctc_weight": 0}}],
)
def test_consistency_needs_a_ctc_head(model: dict[str, object]) -> None:
    with pytest.raises(
        ValidationError, match=r"training\.consistency: found 0\.2, must be 0 for a"
    ):
        Config.model_validate({"model": model, "training": {"consistency": 0.2}})
    for suited in ({"architecture": "crnn"}, {"architecture": "seq2seq"}):
        Config.model_validate({"model": suited, "training": {"consistency": 0.2}})


@given(CONFIGS)
def test_dump_and_back_gives_the_same_configuration(config: Config) -> None:
    for back in (
        Config.model_validate(config.model_dump()),
        Config.model_validate(json.loads(json.dumps(config.model_dump(mode="json")))),
        Config.model_validate_json(config.model_dump_json()),
    ):
        assert back == config
        assert back.identity() == config.identity()


@given(CONFIGS, CONFIGS)
def test_identity_is_equal_where_the_configurations_are(a: Config, b: Config) -> None:
    assert (a.identity() == b.identity()) == (a == b)


@pytest.mark.parametrize(
    ("content", "same"),
    [
        ({}, {"model": {"architecture": "crnn"}}),
        ({}, Config().model_dump()),
        ({"training": {"learning_rate": 1}}, {"training": {"learning_rate": 1.0}}),
        ({"training": {"learning_rate": 7e-4}}, {"training": {"learning_rate": "7e-4"}}),
        (
            {"training": {"epochs": 3, "batch_size": 8}},
            {"training": {"batch_size": 8, "epochs": 3}},
        ),
    ],
)
def test_equal_content_has_one_identity(content: dict[str, Any], same: dict[str, Any]) -> None:
    a, b = Config.model_validate(content), Config.model_validate(same)

    assert a == b
    assert a.identity() == b.identity()


def variations() -> list[Config]:
    """Return configurations of which each differs from the default in one value."""
    changes: list[dict[str, Any]] = [
        {"images": {"height": 33}},
        {"images": {"width_scale": 1.25}},
        {"model": {"architecture": "seq2seq"}},
        {"model": {"architecture": "seq2seq", "decoder": {"attention": "none"}}},
        {"model": {"architecture": "crnn", "encoder": {"rnn_cell": "gru"}}},
        {"training": {"learning_rate": 2.000001e-3}},
        {"training": {"epochs": 21}},
        {},
    ]
    return [Config.model_validate(change) for change in changes]


def test_each_value_counts_in_the_identity() -> None:
    assert len({config.identity() for config in variations()}) == len(variations())


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ({"trainng": {}}, "trainng"),
        ({"training": {"learning_rte": 0.1}}, "training.learning_rte"),
        ({"model": {"architecture": "crnn", "decoder": {}}}, "model.crnn.decoder"),
        ({"model": {"architecture": "crn"}}, "model"),
        ({"model": {}}, "model"),
        ({"images": {"height": 15}}, "images.height"),
        ({"images": {"height": 129}}, "images.height"),
        ({"images": {"height": 32.5}}, "images.height"),
        ({"images": {"width_scale": 0.0}}, "images.width_scale"),
        ({"images": {"width_scale": float("nan")}}, "images.width_scale"),
        ({"training": {"learning_rate": 0.0}}, "training.learning_rate"),
        ({"training": {"learning_rate": -1e-3}}, "training.learning_rate"),
        ({"training": {"learning_rate": "fast"}}, "training.learning_rate"),
        ({"training": {"batch_size": 0}}, "training.batch_size"),
        ({"training": {"epochs": 0}}, "training.epochs"),
        ({"training": {"augment": 0.5}}, "training.augment"),
        ({"training": {"augment": {"strength": 1.1}}}, "training.augment.strength"),
        ({"training": {"augment": {"elastic": -0.1}}}, "training.augment.elastic"),
        ({"training": {"augment": {"rotate": 1.0}}}, "training.augment.rotate"),
        ({"images": {"preprocess": {"contrast": "gamma"}}}, "images.preprocess.contrast"),
        ({"images": {"preprocess": {"threshold": 2}}}, "images.preprocess.threshold"),
        ({"images": {"preprocess": {"crop_to_ink": True}}}, "images.preprocess.crop_to_ink"),
        ({"training": {"optimizer": "adamx"}}, "training.optimizer"),
        ({"training": {"clip_grad_norm": float("nan")}}, "training.clip_grad_norm"),
        ({"training": {"clip_grad_norm": float("inf")}}, "training.clip_grad_norm"),
        ({"training": None}, "training"),
    ],
)
def test_wrong_content_is_refused(content: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Config.model_validate(content)

    assert ".".join(map(str, caught.value.errors()[0]["loc"])) == where


def test_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Config().training.epochs = 3  # type: ignore[misc]


def test_parts_can_be_told_by_the_tag() -> None:
    assert isinstance(Config.model_validate({"model": {"architecture": "crnn"}}).model, CrnnConfig)
    seq2seq = Config.model_validate({"model": {"architecture": "seq2seq"}}).model
    assert isinstance(seq2seq, Seq2SeqConfig)
    assert seq2seq.decoder == DecoderConfig()
