"""The configuration of one trial: a network and its training, without the data.

A configuration and a seed determine a result. All models are frozen and refuse
unknown keys. Each architecture has its own class, told apart by ``architecture``.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

FRAME_STRIDE = 4
"""Columns of the scaled picture for each frame of the encoder."""


class Frozen(BaseModel):
    """Base of all configuration classes: immutable, unknown keys, infinities and NaN refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ImageConfig(Frozen):
    """How a picture is scaled before the network sees it."""

    height: int = Field(32, ge=16, le=128, description="Height in pixels.")
    width_scale: float = Field(
        1.0,
        ge=0.25,
        le=4.0,
        description="Width is scaled as the height is, times this; more gives more frames.",
    )


class TowerConfig(Frozen):
    """Conv tower and linear layer, shared by all architectures."""

    conv_depth: int = Field(5, ge=2, le=12, description="Number of 3 x 3 convolutions.")
    conv_base: int = Field(32, ge=8, le=256, description="Channels of the first convolution.")
    conv_growth: float = Field(
        1.5,
        ge=1.0,
        le=3.0,
        description="Channels at depth i are conv_base * conv_growth**i, rounded to 8.",
    )
    conv_dropout: float = Field(
        0.0, ge=0.0, lt=1.0, description="Dropout of whole channels between convolutions."
    )
    linear_width: int = Field(
        128, ge=8, le=2048, description="Width of the layer behind the convolutions."
    )
    dropout: float = Field(
        0.1, ge=0.0, lt=1.0, description="Dropout behind the linear and the recurrent layers."
    )


class EncoderConfig(TowerConfig):
    """Conv tower, linear layer and recurrent layers, of the architectures that read lines."""

    rnn_cell: Literal["lstm", "gru"] = Field("lstm", description="Recurrent cell.")
    rnn_layers: int = Field(1, ge=1, le=6, description="Bidirectional recurrent layers.")
    hidden_size: int = Field(
        128, ge=8, le=1024, description="Hidden size of each direction of the RNN."
    )


class DecoderConfig(Frozen):
    """Recurrent decoder of the seq2seq architecture."""

    attention: Literal["additive", "none"] = Field(
        "additive",
        description="'none' is the plain encoder-decoder that hands over its last state.",
    )
    ctc_weight: float = Field(
        0.1, ge=0.0, le=1.0, description="Weight of the CTC loss on the encoder, in training."
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


class TrainingConfig(Frozen):
    """How a network is trained. Epochs are the unit of fidelity."""

    optimizer: OptimizerName = Field("adamw", description="Optimiser, by name.")
    learning_rate: float = Field(
        2e-3, gt=0.0, le=1.0, description="Constant rate between warm-up and decay."
    )
    weight_decay: float = Field(1e-4, ge=0.0, le=1.0, description="Decoupled where it can be.")
    batch_size: int = Field(16, ge=1, le=4096, description="Pictures in a batch.")
    epochs: int = Field(20, ge=1, le=10_000, description="Most epochs of a trial.")
    warmup_steps: int = Field(50, ge=0, description="Batches over which the rate rises from 0.")
    decay_share: float = Field(
        0.25, ge=0.0, le=1.0, description="Share of the epochs, at the end, in which it falls."
    )
    patience: int = Field(
        8, ge=1, description="Epochs without gain after which the final decay begins early."
    )
    clip_norm: float = Field(5.0, gt=0.0, description="Largest norm of the gradient.")
    augment: float = Field(0.5, ge=0.0, le=1.0, description="Strength of augmentation; 0 is none.")


class Config(Frozen):
    """One point of a space, resolved and validated."""

    images: ImageConfig = ImageConfig()
    model: ModelConfig = CrnnConfig()
    training: TrainingConfig = TrainingConfig()

    def identity(self) -> str:
        """Return a hash of the content: equal configurations have equal identities."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()
