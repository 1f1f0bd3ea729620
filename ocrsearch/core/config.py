"""Configuration of one trial: image preparation, network and training, without the data.

A configuration and a seed fully determine a training run. All models are frozen and reject
unknown keys. Each architecture has its own configuration class, selected by ``architecture``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from ocrsearch.core.renamed import current_content

FRAME_STRIDE = 4
"""Number of columns of the scaled image per encoder time step."""


def _not_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("boolean", "must be a number, not true or false")
    return value


Integer = Annotated[int, BeforeValidator(_not_boolean)]
"""Integer. Numeric text is converted, booleans are rejected."""

Number = Annotated[float, BeforeValidator(_not_boolean)]
"""Real number. Numeric text is converted because YAML reads 1e-3 as text."""


class Frozen(BaseModel):
    """Base class of all configurations: immutable, without unknown keys, infinities or NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PreprocessConfig(Frozen):
    """Image preprocessing before scaling, applied in field order in training and inference.

    All steps except ``margin`` work on the ink, whether it is dark on light or light on dark.
    """

    normalize_polarity: bool = Field(
        False, description="Invert images with light ink on dark paper."
    )
    remove_ruling: bool = Field(
        False, description="Remove long thin near-horizontal lines but keep strokes across them."
    )
    crop: bool = Field(False, description="Crop the image to its ink, with a narrow border.")
    contrast: Literal["none", "stretch", "clahe"] = Field(
        "none", description="Stretch grey levels to the full range, globally or locally (CLAHE)."
    )
    threshold: Number = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="Weight of Sauvola's binarised image in the result; 1 leaves no grey.",
    )
    margin: Number = Field(
        0.0, ge=0.0, le=1.0, description="Left and right border as a fraction of the height."
    )


class ImageConfig(Frozen):
    """Image size and preprocessing."""

    height: Integer = Field(32, ge=16, le=128, description="Height in pixels.")
    width_scale: Number = Field(
        1.0,
        ge=0.25,
        le=4.0,
        description="Factor on the width after scaling; higher values give more time steps.",
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
        description="Channels at depth i: conv_base * conv_growth**i, rounded to 8.",
    )
    conv_pooling: Literal["early", "spread"] = Field(
        "early",
        description="Place of the 2 x 2 pooling: after each of the first convolutions, or "
        "after every second convolution as far as the depth allows.",
    )
    conv_dropout: Number = Field(
        0.0,
        ge=0.0,
        lt=1.0,
        description="Channel dropout between convolutions, off until the network begins to read.",
    )
    linear_width: Integer = Field(
        128, ge=8, le=2048, description="Width of the linear layer after the convolutions."
    )
    dropout: Number = Field(
        0.1, ge=0.0, lt=1.0, description="Dropout after the linear and the recurrent layers."
    )


class EncoderConfig(TowerConfig):
    """Conv tower, linear layer and recurrent layers for architectures that read text lines."""

    rnn_cell: Literal["lstm", "gru"] = Field("lstm", description="Recurrent cell.")
    rnn_layers: Integer = Field(1, ge=1, le=6, description="Bidirectional recurrent layers.")
    hidden_size: Integer = Field(
        128, ge=8, le=1024, description="Hidden size per direction of the RNN."
    )
    rnn_batch_norm: bool = Field(
        False, description="Batch norm after each recurrent layer; helps on long lines."
    )


class DecoderConfig(Frozen):
    """Recurrent decoder for the seq2seq architecture."""

    attention: Literal["additive", "location_aware", "none"] = Field(
        "additive",
        description="Attention: 'location_aware' also sees its previous weights; 'none' is the "
        "plain encoder-decoder, which passes on only the last encoder state.",
    )
    ctc_weight: Number = Field(
        0.1, ge=0.0, le=1.0, description="Weight of the auxiliary CTC loss on the encoder."
    )
    scheduled_sampling: Number = Field(
        0.0,
        ge=0.0,
        le=0.5,
        description="Scheduled sampling: probability that a decoder input is the previous "
        "prediction instead of the label, in training; rises from 0 over the first 500 batches.",
    )


class ArchitectureConfig(Frozen):
    """Base class of the architectures: the texts that a network can write.

    Attributes:
        reads_one: whether the network reads a single character, whatever the width of the image.
        separates_repeats: whether the network writes a blank between equal characters, as CTC does.
            Such a text needs more time steps than characters.
        has_decoder: whether a decoder writes the text, one character after the other.
        has_beam_search: whether beam search can find other texts than greedy decoding.
    """

    reads_one: ClassVar[bool] = False
    separates_repeats: ClassVar[bool] = False
    has_decoder: ClassVar[bool] = False
    has_beam_search: ClassVar[bool] = False

    @property
    def has_joint_ctc(self) -> bool:
        """Whether a CTC head, trained beside the decoder, can take part in decoding."""
        return False

    @property
    def has_ctc_head(self) -> bool:
        """Whether a CTC head is trained."""
        return self.separates_repeats or self.has_joint_ctc

    @property
    def has_attention(self) -> bool:
        """Whether the network attends to time steps, with weights that can be drawn."""
        return False


class CrnnConfig(ArchitectureConfig):
    """CRNN: conv tower, linear layer, recurrent layers, CTC."""

    separates_repeats: ClassVar[bool] = True
    has_beam_search: ClassVar[bool] = True

    architecture: Literal["crnn"] = "crnn"
    encoder: EncoderConfig = EncoderConfig()


class Seq2SeqConfig(ArchitectureConfig):
    """Encoder of the CRNN with a recurrent decoder."""

    has_decoder: ClassVar[bool] = True
    has_beam_search: ClassVar[bool] = True

    architecture: Literal["seq2seq"] = "seq2seq"
    encoder: EncoderConfig = EncoderConfig()
    decoder: DecoderConfig = DecoderConfig()

    @property
    def has_attention(self) -> bool:
        """Whether the decoder attends to time steps, with weights that can be drawn."""
        return self.decoder.attention != "none"

    @property
    def has_joint_ctc(self) -> bool:
        """Whether the CTC head was trained."""
        return self.decoder.ctc_weight > 0


class ClassifierConfig(ArchitectureConfig):
    """Conv tower and linear layer for images with a single character."""

    reads_one: ClassVar[bool] = True

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
    """Random augmentation of training images: a strength per kind and a common factor."""

    strength: Number = Field(
        0.5, ge=0.0, le=1.0, description="Common factor on all kinds but concat; 0 disables them."
    )
    shear: Number = Field(1.0, ge=0.0, le=1.0, description="Slant.")
    scale: Number = Field(1.0, ge=0.0, le=1.0, description="Size, width and height separately.")
    rotation: Number = Field(1.0, ge=0.0, le=1.0, description="Tilt of the line.")
    translate: Number = Field(1.0, ge=0.0, le=1.0, description="Position in the image.")
    elastic: Number = Field(0.0, ge=0.0, le=1.0, description="Smooth random distortion.")
    stroke_width: Number = Field(1.0, ge=0.0, le=1.0, description="Thinner or thicker strokes.")
    blobs: Number = Field(0.0, ge=0.0, le=1.0, description="Blobs in ink or paper colour.")
    brightness: Number = Field(
        0.0, ge=0.0, le=1.0, description="Contrast, gamma and a brightness gradient."
    )
    blur: Number = Field(1.0, ge=0.0, le=1.0, description="Gaussian blur.")
    noise: Number = Field(1.0, ge=0.0, le=1.0, description="Gaussian pixel noise.")
    mask: Number = Field(
        0.0, ge=0.0, le=1.0, description="Covered spans, so that a text is read from its context."
    )
    concat: Number = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="Probability of concatenating another line on the right, with no space "
        "between the labels; for digit strings and other text without words.",
    )


class TrainingConfig(Frozen):
    """Training recipe. The epoch is the unit of fidelity for pruning."""

    optimizer: OptimizerName = Field("adamw", description="Name of the optimiser.")
    learning_rate: Number = Field(
        2e-3, gt=0.0, le=1.0, description="Constant learning rate between warm-up and decay."
    )
    weight_decay: Number = Field(
        1e-4, ge=0.0, le=1.0, description="Weight decay, decoupled where the optimiser can."
    )
    batch_size: Integer = Field(16, ge=1, le=4096, description="Images per batch.")
    epochs: Integer = Field(20, ge=1, le=10_000, description="Maximum number of epochs per trial.")
    warmup_steps: Integer = Field(
        50, ge=0, le=10_000_000, description="Batches until the learning rate is reached from 0."
    )
    decay_fraction: Number = Field(
        0.25, ge=0.0, le=1.0, description="Fraction of the epochs used for the final decay."
    )
    decay_patience: Integer = Field(
        8,
        ge=1,
        le=10_000,
        description="Epochs without improvement before the final decay starts early.",
    )
    clip_grad_norm: Number = Field(
        5.0, gt=0.0, le=1e12, description="Maximum norm of the gradient."
    )
    consistency: Number = Field(
        0.0,
        ge=0.0,
        le=10.0,
        description="Weight of the difference between two augmented views of an image. An epoch "
        "then has half of the images, each in two views.",
    )
    augment: AugmentConfig = AugmentConfig()

    def decay_epochs(self, n_epochs: int) -> int:
        """Return the number of epochs in the final decay of a training of ``n_epochs`` epochs."""
        return round(n_epochs * self.decay_fraction)


class Config(Frozen):
    """Complete, validated configuration of a trial: one point of a search space."""

    images: ImageConfig = ImageConfig()
    model: ModelConfig = CrnnConfig()
    training: TrainingConfig = TrainingConfig()

    @model_validator(mode="before")
    @classmethod
    def _accept_former_names(cls, values: Any) -> Any:
        return current_content(values) if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _reject_unsuited_training(self) -> Self:
        if self.model.reads_one and self.training.augment.concat > 0:
            raise ValueError(
                f"training.augment.concat: found {self.training.augment.concat:g}, must be 0 for a "
                f"{self.model.architecture}, which reads a single character"
            )
        if self.training.consistency > 0 and not self.model.has_ctc_head:
            raise ValueError(
                f"training.consistency: found {self.training.consistency:g}, must be 0 for a "
                f"{self.model.architecture} without a CTC head"
            )
        return self

    def identity(self, init: str | None = None) -> str:
        """Return a hash of the content. Equal configurations have equal identities.

        Args:
            init: Hash of the pretrained weights, if there are any.
        """
        content = self.model_dump(mode="json")
        canonical = json.dumps({**content, "init": init} if init else content, sort_keys=True)
        return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()


class RecipeConfig(Frozen):
    """Constants of the training recipe, with which a network leaves the plateau.

    At first a network reads nothing, often for many epochs. These constants are no part of a space
    or of a stored configuration; only ablations change them. docs/measurements/recipe.md has the
    measurements.
    """

    # Without it two of four configurations never read captchas (exact match 0.49 instead of 0.96).
    flat_start: bool = Field(
        True, description="Begin with a loss that spreads the characters of a label over the ink."
    )
    # On the plateau a network writes nothing but blanks (CER 1) or the most frequent characters.
    # Half of all characters right is out of reach for it, with any charset.
    reads_below_cer: Number = Field(
        0.5,
        ge=0.0,
        allow_inf_nan=True,
        description="CER at which a network reads: the flat start ends, and from the next epoch "
        "on channels are dropped and images fully augmented. Infinite for the first epoch.",
    )
    # Decoding takes time. With 10 the flat start ends at most nine batches late.
    reading_interval: Integer = Field(
        10, ge=1, description="Number of batches after which a training batch is decoded."
    )
    # Full strength from the first batch on delays reading: exact match 0.16 instead of 0.21 after
    # a quarter of the epochs, and 0.84 instead of 0.91 at the end.
    plateau_strength: Number = Field(
        0.25, ge=0.0, le=1.0, description="Largest augmentation strength until a network reads."
    )
    # The head gives the convolutions a gradient while the RNN has learned nothing. With a weight
    # of 1 the network stays on the plateau: exact match 0.01 after 20 epochs, and 0.92 with 0.3.
    column_head_weight: Number = Field(
        0.3, ge=0.0, description="Weight of the CTC loss on the feature columns of a CRNN."
    )
    # CTC makes the blank so likely that no symbol is learned. An offset of 3 divides its odds by
    # 20. Without it captchas and receipts were read later.
    blank_offset: Number = Field(
        3.0, ge=0.0, description="Reduction of the blank's log probability in the first batch."
    )
    # Afterwards CTC needs the true blank to separate equal symbols.
    blank_offset_steps: Integer = Field(
        300, ge=1, description="Number of batches in which the offset falls linearly to 0."
    )
    # With a constant learning rate the mean reads 10 to 40 % better than the latest weights. Before
    # a network reads, and at the end of the decay, it does not.
    average_weights: bool = Field(
        True,
        description="Validate and save the mean of the weights over the batches of an epoch, once "
        "a network reads.",
    )
    # Predictions of an untrained decoder are of no use as its inputs.
    sampling_steps: Integer = Field(
        500, ge=1, description="Number of batches in which scheduled sampling rises from 0."
    )


DEFAULT_RECIPE = RecipeConfig()
"""The recipe of every training that is not an ablation."""


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return ``{"a.b": 1}`` for ``{"a": {"b": 1}}``."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        path = f"{prefix}{key}"
        flat.update(flatten(value, f"{path}.") if isinstance(value, dict) else {path: value})
    return flat
