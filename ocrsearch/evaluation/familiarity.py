"""Familiarity: whether an image looks like the training images of a model.

A network was never shown blank sheets, noise or other writing, and its probabilities for them mean
nothing. So the profile of an image (``data/images/profile.py``) is compared with a Gaussian of the
profiles of training images, by the Mahalanobis distance (Lee et al., 2018, NeurIPS, which compares
features of a network). This works for every architecture and without PyTorch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ocrsearch.data import GrayImage
from ocrsearch.data.images import N_VALUES, image_profile

MIN_IMAGES = 8
"""Smallest number of training images for a comparison."""

MAX_IMAGES = 2000
"""Number of training images that suffice for a Gaussian."""

MIN_SPREAD = 0.05
"""Added to the standard deviation of each value: images of one size may differ a little."""

SHRINKAGE = 0.05
"""Added to the variances of the standardised values, so that few images give a usable Gaussian."""

FAMILIAR = 0.99
"""Fraction of held-out images below the distance from which the familiarity falls."""

Numbers = list[float]


class Familiarity(BaseModel):
    """A Gaussian of the profiles of training images.

    Attributes:
        mean: mean profile.
        whitening: matrix whose product with a deviation from the mean has as its length the
            Mahalanobis distance; a row for each product.
        limit: distance up to which an image is familiar.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    mean: Numbers = Field(min_length=N_VALUES, max_length=N_VALUES)
    whitening: list[Numbers] = Field(min_length=N_VALUES, max_length=N_VALUES)
    limit: float = Field(gt=0)

    def model_post_init(self, _: object) -> None:
        """Check the shape of the matrix."""
        if any(len(row) != N_VALUES for row in self.whitening):
            raise ValueError(f"whitening: must be {N_VALUES} by {N_VALUES}")

    def of(self, image: GrayImage) -> float:
        """Return the familiarity of an image, (H, W) uint8 as read; see ``of_profiles``."""
        return float(self.of_profiles(image_profile(image)))

    def of_profiles(self, profiles: np.ndarray) -> np.ndarray:
        """Return the familiarity of images by their profiles: 1 within the limit, else less.

        It is the density of the Gaussian relative to that at the limit.

        Args:
            profiles: (..., N_VALUES) float64.
        """
        distances = _distances(np.array(self.whitening), profiles - self.mean)
        return np.exp(np.minimum(0.0, (self.limit**2 - distances**2) / 2))


def image_profiles(images: Sequence[GrayImage], n: int | None = None) -> np.ndarray:
    """Return the profiles of images, (N, N_VALUES) float64; of at most n if it is given."""
    step = 1 if n is None else max(1, -(-len(images) // n))
    return np.array([image_profile(image) for image in images[::step]]).reshape(-1, N_VALUES)


def fit_familiarity(train: np.ndarray, val: np.ndarray) -> Familiarity | None:
    """Fit the Gaussian to the profiles of training images.

    The limit is the distance that 99 % of the validation images keep. Each half of the training
    images is also compared with the other half, and the larger limit is used, because there are
    often few validation images.

    Args:
        train: (N, N_VALUES) profiles of training images; MAX_IMAGES are enough.
        val: (M, N_VALUES) profiles of validation images; there may be none.

    Returns:
        The Gaussian; None with fewer than MIN_IMAGES training images.
    """
    if len(train) < MIN_IMAGES:
        return None
    mean, whitening = _gaussian(train)
    held_out = []
    for own, other in ((train[::2], train[1::2]), (train[1::2], train[::2])):
        own_mean, own_whitening = _gaussian(own)
        held_out.append(_distances(own_whitening, other - own_mean))
    limits = [1.0, np.quantile(np.concatenate(held_out), FAMILIAR)]
    if len(val):
        limits.append(np.quantile(_distances(whitening, val - mean), FAMILIAR))
    limit = float(max(limits))
    return Familiarity(mean=mean.tolist(), whitening=whitening.tolist(), limit=limit)


def _gaussian(profiles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and whitening matrix of profiles, (N, N_VALUES)."""
    mean, spread = profiles.mean(0), profiles.std(0) + MIN_SPREAD
    covariance = np.cov(((profiles - mean) / spread).T) + SHRINKAGE * np.eye(N_VALUES)
    return mean, np.linalg.inv(np.linalg.cholesky(covariance)) / spread


def _distances(whitening: np.ndarray, deviations: np.ndarray) -> np.ndarray:
    """Return the Mahalanobis distances of deviations from the mean, (..., N_VALUES)."""
    return np.asarray(np.linalg.norm(deviations @ whitening.T, axis=-1))
