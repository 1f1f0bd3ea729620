"""Provenance of a network: the study, data, seed and program versions that its weights come from.

A model file holds it as plain values; ``Provenance`` checks and names them. ``inherited.py`` reads
the data of a model again as it says.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from ocrsearch.data import DataOptions
from ocrsearch.training.records import Epochs, require_fields

MAX_EPOCHS = 100_000
MAX_SPLITS = 10


class Refit(BaseModel):
    """Training on training and validation images together.

    Attributes:
        n: number of images.
        epochs: number of epochs.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="allow")

    n: int
    epochs: int


class Member(BaseModel):
    """A trial whose network is part of an ensemble, and its validation CER as a fraction."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow")

    trial: int
    cer: float


class Provenance(BaseModel):
    """Where the weights of a network come from.

    Fields that were not given have their defaults and are not written; unknown fields are kept.

    Attributes:
        study: name of the study, None for a model of ``ocrsearch train``.
        study_id: id of the study.
        trial: number of the trial.
        seed: seed of the training.
        data: specification of the data.
        data_fingerprint: hash of the samples.
        data_options: options by which the data is read and split; see ``options``.
        versions: versions of Python and of the libraries, by name.
        params: values of the searched parameters, by path.
        epochs: records of the training's epochs.
        init: hash of the pretrained weights, None without them.
        transfer: part of the pretrained weights that was kept; see ``Transfer``.
        splits_seen: splits that the network was trained on, if there is more than the training
            split.
        metrics_of: images that the metrics of the model were measured on, if these are not the
            validation split.
        refit: size of the training on training and validation images, if there was one.
        members: trials of an ensemble, the best first; empty for a single network.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="allow")

    study: str | None = None
    study_id: str | None = None
    trial: int | None = None
    seed: int | None = None
    data: str | None = None
    data_fingerprint: str | None = None
    data_options: dict[str, object] = {}
    versions: dict[str, str] = {}
    params: dict[str, object] = {}
    epochs: Epochs = Field([], max_length=MAX_EPOCHS)
    init: str | None = None
    transfer: dict[str, object] | None = None
    splits_seen: list[str] = Field([], max_length=MAX_SPLITS)
    metrics_of: str | None = None
    refit: Refit | None = None
    members: list[Member] = []

    @classmethod
    def from_plain(cls, values: object) -> Provenance:
        """Return the provenance that plain values describe.

        Raises:
            ValueError: a value has another type, or the learning curves lack figures.
            OptionError: the data options are wrong.
        """
        provenance = cls.model_validate(values)
        require_fields(provenance.epochs, ("train_loss",))
        provenance.options()
        return provenance

    def to_plain(self) -> dict[str, object]:
        """Return plain values, for a model file."""
        return self.model_dump(exclude_unset=True)

    def options(self) -> DataOptions:
        """Return the options by which the data was read and split.

        Raises:
            OptionError: an option is wrong.
        """
        return DataOptions.from_dict(self.data_options)
