"""The configuration of one trial: a network and its training, without the data.

A configuration and a seed determine a result. All models are frozen and refuse
unknown keys. Each architecture has its own class, told apart by ``architecture``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

FRAME_STRIDE = 4
"""Columns of the scaled picture for each frame of the encoder."""


def _not_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("boolean", "must be a number, not true or false")
    return value


Integer = Annotated[int, BeforeValidator(_not_boolean)]
"""An integer; text that is one is converted, a boolean is refused."""

Number = Annotated[float, BeforeValidator(_not_boolean)]
"""A real number; text that is one is converted, since YAML takes 1e-3 for text."""


class Frozen(BaseModel):
    """Base of all configuration classes: immutable, unknown keys, infinities and NaN refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PreprocessConfig(Frozen):
    """What is done to a picture before it is scaled, in this order, in training and recognition.

    All but ``margin`` work on the ink, whether it is darker or lighter than its paper.
    """

    normalize_polarity: bool = Field(
        False, description="Turn pictures with light ink on dark paper into dark on light."
    )
    remove_ruling: bool = Field(
        False, description="Take out long thin lines near the horizontal; strokes across stay."
    )
    crop: bool = Field(False, description="Cut the picture to its ink, with a little paper round.")
    contrast: Literal["none", "stretch", "clahe"] = Field(
        "none", description="Stretch grey levels to the full range, in all or locally (CLAHE)."
    )
    threshold: Number = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="Share of Sauvola's black and white in the picture; 1 leaves no grey.",
    )
    margin: Number = Field(
        0.0, ge=0.0, le=1.0, description="Border left and right, as a share of the height."
    )


class ImageConfig(Frozen):
    """How a picture is prepared before the network sees it."""

    height: Integer = Field(32, ge=16, le=128, description="Height in pixels.")
    width_scale: Number = Field(
        1.0,
        ge=0.25,
        le=4.0,
        description="Width is scaled as the height is, times this; more gives more frames.",
    )
    preprocess: PreprocessConfig = PreprocessConfig()


class TowerConfig(Frozen):
    """Conv tower and linear layer, shared by all architectures."""

    conv_depth: Integer = Field(5, ge=2, le=12, description="Number of 3 x 3 convolutions.")
    conv_base: Integer = Field(32, ge=8, le=256, description="Channels of the first convolution.")
    conv_growth: Number = Field(
        1.5,
        ge=1.0,
        le=3.0,
        description="Channels at depth i are conv_base * conv_growth**i, rounded to 8.",
    )
    conv_pooling: Literal["early", "spread"] = Field(
        "early",
        description="Where the picture is halved: behind each of the first convolutions, or behind "
        "every other one, as far as the depth allows.",
    )
    conv_dropout: Number = Field(
        0.0,
        ge=0.0,
        lt=1.0,
        description="Dropout of whole channels between convolutions, once the network reads.",
    )
    linear_width: Integer = Field(
        128, ge=8, le=2048, description="Width of the layer behind the convolutions."
    )
    dropout: Number = Field(
        0.1, ge=0.0, lt=1.0, description="Dropout behind the linear and the recurrent layers."
    )


class EncoderConfig(TowerConfig):
    """Conv tower, linear layer and recurrent layers, of the architectures that read lines."""

    rnn_cell: Literal["lstm", "gru"] = Field("lstm", description="Recurrent cell.")
    rnn_layers: Integer = Field(1, ge=1, le=6, description="Bidirectional recurrent layers.")
    hidden_size: Integer = Field(
        128, ge=8, le=1024, description="Hidden size of each direction of the RNN."
    )
    rnn_norm: bool = Field(
        False, description="Batch norm behind each recurrent layer: for long lines."
    )


class DecoderConfig(Frozen):
    """Recurrent decoder of the seq2seq architecture."""

    attention: Literal["additive", "location", "none"] = Field(
        "additive",
        description="'location' also sees where it has looked before; 'none' is the plain "
        "encoder-decoder that hands over its last state.",
    )
    ctc_weight: Number = Field(
        0.1, ge=0.0, le=1.0, description="Weight of the CTC loss on the encoder, in training."
    )
    sampling: Number = Field(
        0.0,
        ge=0.0,
        le=0.5,
        description="Share of the decoder's inputs that are its own reading instead of the "
        "label's symbol, in training; it rises from 0 over the first 500 batches.",
    )


class CrnnConfig(Frozen):
    """Conv tower, linear, recurrent layers, CTC."""

    architecture: Literal["crnn"] = "crnn"
    encoder: EncoderConfig = EncoderConfig()


class Seq2SeqConfig(Frozen):
    """The same encoder with a recurrent decoder."""

    architecture: Literal["seq2seq"] = "seq2seq"
    encoder: EncoderConfig = EncoderConfig()
    decoder: DecoderConfig = DecoderConfig()


class ClassifierConfig(Frozen):
    """Conv tower and linear layer, one symbol a picture."""

    architecture: Literal["classifier"] = "classifier"
    encoder: TowerConfig = TowerConfig()


ModelConfig = Annotated[
    CrnnConfig | Seq2SeqConfig | ClassifierConfig, Field(discriminator="architecture")
]

ARCHITECTURE_NAMES: tuple[str, ...] = tuple(
    model.model_fields["architecture"].default for model in get_args(get_args(ModelConfig)[0])
)

OptimizerName = Literal["adamw", "adam", "nadam", "radam", "rmsprop", "sgd"]


class AugmentConfig(Frozen):
    """How training pictures are changed at random: a strength for each kind, and one for all."""

    strength: Number = Field(
        0.5, ge=0.0, le=1.0, description="Multiplies all kinds but join; 0 is no augmentation."
    )
    shear: Number = Field(1.0, ge=0.0, le=1.0, description="Slant.")
    scale: Number = Field(1.0, ge=0.0, le=1.0, description="Size, of width and height apart.")
    rotation: Number = Field(1.0, ge=0.0, le=1.0, description="Tilt of the line.")
    shift: Number = Field(1.0, ge=0.0, le=1.0, description="Place in the picture.")
    elastic: Number = Field(0.0, ge=0.0, le=1.0, description="Smooth random distortion.")
    stroke: Number = Field(1.0, ge=0.0, le=1.0, description="Thinner or thicker strokes.")
    blots: Number = Field(0.0, ge=0.0, le=1.0, description="Spots of ink or paper.")
    brightness: Number = Field(
        0.0, ge=0.0, le=1.0, description="Contrast, gamma, and a gradient of brightness."
    )
    blur: Number = Field(1.0, ge=0.0, le=1.0, description="Gaussian blur.")
    noise: Number = Field(1.0, ge=0.0, le=1.0, description="Gaussian noise of each pixel.")
    join: Number = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="Probability that another line is put to the right of one, and its label "
        "behind that one's with nothing between: for digit strings and other text without words.",
    )


class TrainingConfig(Frozen):
    """How a network is trained. Epochs are the unit of fidelity."""

    optimizer: OptimizerName = Field("adamw", description="Optimiser, by name.")
    learning_rate: Number = Field(
        2e-3, gt=0.0, le=1.0, description="Constant rate between warm-up and decay."
    )
    weight_decay: Number = Field(1e-4, ge=0.0, le=1.0, description="Decoupled where it can be.")
    batch_size: Integer = Field(16, ge=1, le=4096, description="Pictures in a batch.")
    epochs: Integer = Field(20, ge=1, le=10_000, description="Most epochs of a trial.")
    warmup_steps: Integer = Field(
        50, ge=0, le=10_000_000, description="Batches over which the rate rises from 0."
    )
    decay_share: Number = Field(
        0.25, ge=0.0, le=1.0, description="Share of the epochs, at the end, in which it falls."
    )
    patience: Integer = Field(
        8,
        ge=1,
        le=10_000,
        description="Epochs without gain after which the final decay begins early.",
    )
    clip_norm: Number = Field(5.0, gt=0.0, le=1e12, description="Largest norm of the gradient.")
    augment: AugmentConfig = AugmentConfig()


class Config(Frozen):
    """One point of a space, resolved and validated."""

    images: ImageConfig = ImageConfig()
    model: ModelConfig = CrnnConfig()
    training: TrainingConfig = TrainingConfig()

    @model_validator(mode="after")
    def _joins_what_it_reads(self) -> Self:
        if self.model.architecture == "classifier" and self.training.augment.join > 0:
            raise ValueError(
                f"training.augment.join: found {self.training.augment.join:g}, must be 0 for a "
                "classifier, which reads one symbol"
            )
        return self

    def identity(self, init: str | None = None) -> str:
        """Return a hash of the content: equal configurations have equal identities.

        Args:
            init: hash of the weights that training starts from, if there are any.
        """
        content = self.model_dump(mode="json")
        canonical = json.dumps({**content, "init": init} if init else content, sort_keys=True)
        return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return ``{"a.b": 1}`` for ``{"a": {"b": 1}}``."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        path = f"{prefix}{key}"
        flat.update(flatten(value, f"{path}.") if isinstance(value, dict) else {path: value})
    return flat
