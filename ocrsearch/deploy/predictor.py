"""Recognition with a bundle: pictures in, texts out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from rapidfuzz.distance import Levenshtein

from ocrsearch.data.dataset import LabelledImages
from ocrsearch.data.documents import read_pages
from ocrsearch.data.images import read_image, shrink_line, to_gray
from ocrsearch.data.layout import find_lines
from ocrsearch.data.samples import GrayImage
from ocrsearch.data.usable import Progress
from ocrsearch.deploy.bundle import Bundle, load_bundle
from ocrsearch.deploy.decoding import DecodingOptions, build_decoder
from ocrsearch.deploy.pages import PageLine, PagePrediction
from ocrsearch.deploy.reader import Reader, read_together
from ocrsearch.errors import DataError, ImageError
from ocrsearch.models.decoding import Hypothesis
from ocrsearch.training.confusions import (
    Confusion,
    ConfusionMatrix,
    build_confusion_matrix,
    count_confusions,
)
from ocrsearch.training.device import limit_threads, select_device
from ocrsearch.training.metrics import Metrics, bootstrap_intervals, compute_metrics

Picture = str | Path | Image.Image | np.ndarray

CHUNK = 256
CHUNK_PIXELS = 64_000_000
"""Pictures, and their pixels, that are read and held at a time."""


@dataclass(frozen=True)
class Prediction:
    """What was read in a picture.

    Attributes:
        text: NFC.
        confidence: probability of the text as read, 0 to 1.
        symbol_confidences: of each symbol of the text, 0 to 1.
    """

    text: str
    confidence: float
    symbol_confidences: tuple[float, ...]


@dataclass(frozen=True)
class Evaluation:
    """Error rates on labelled pictures, their 95 % intervals, and what was read.

    Attributes:
        metrics: error rates.
        intervals: of each rate, low and high.
        confusions: the most frequent first.
        matrix: None where labels have more than one symbol.
        names: of the pictures.
        references: their labels.
        predictions: what was read in them.
    """

    metrics: Metrics
    intervals: dict[str, tuple[float, float]]
    confusions: list[Confusion]
    matrix: ConfusionMatrix | None
    names: list[str]
    references: list[str]
    predictions: list[Prediction]

    def worst(self) -> list[int]:
        """Return which were read wrong: by edits per symbol, then by confidence, falling."""

        def badness(i: int) -> tuple[float, float]:
            reference, prediction = self.references[i], self.predictions[i]
            edits = Levenshtein.distance(reference, prediction.text)
            return edits / max(1, len(reference)), prediction.confidence

        pairs = zip(self.references, self.predictions, strict=True)
        wrong = [i for i, (reference, read) in enumerate(pairs) if read.text != reference]
        return sorted(wrong, key=badness, reverse=True)


class Predictor:
    """A recogniser ready to read."""

    def __init__(
        self, bundle: Bundle, device: str = "auto", decoding: DecodingOptions | None = None
    ) -> None:
        """Build the networks of a bundle.

        Args:
            bundle: the recogniser.
            device: "auto", "cpu" or "cuda".
            decoding: how to decode; greedily if nothing is given.

        Raises:
            OcrSearchError: see ``build_decoder``.
        """
        self.bundle = bundle
        self.decoder = build_decoder(decoding or DecodingOptions(), bundle)
        limit_threads()
        place = select_device(device)
        readers = [
            Reader(member, place, search)
            for member, search in zip(bundle.members, self.decoder.searches, strict=True)
        ]
        self._readers = [r.at_width(width) for width in self.decoder.widths for r in readers]

    def predict(self, picture: Picture) -> Prediction:
        """Read one picture of a line of text.

        Args:
            picture: a file, a Pillow image, or (H, W) or (H, W, 3 or 4) uint8.

        Raises:
            ImageError: a file that cannot be read.
            DataError: an array of another shape or type.
        """
        return self.predict_many([picture])[0]

    def predict_many(self, pictures: Sequence[Picture]) -> list[Prediction]:
        """Read many pictures, in batches of similar width; see ``predict``."""
        return self._read([_load(picture) for picture in pictures])

    def predict_files(self, paths: Sequence[Path]) -> Iterator[tuple[Path, list[Prediction] | str]]:
        """Read files of line pictures, some hundred pictures at a time.

        Args:
            paths: pictures, and TIFF or PDF of several pages, each page a line.

        Yields:
            Each file with what was read on its pages, or why it was not.
        """
        images: list[GrayImage] = []
        owners: list[list[Prediction]] = []  # of each of these images
        waiting: list[tuple[Path, list[Prediction] | str]] = []
        for path in paths:
            predictions: list[Prediction] = []
            reason = None
            try:
                for page in read_pages(path):
                    images.append(shrink_line(page))
                    owners.append(predictions)
                    if len(images) >= CHUNK or sum(i.size for i in images) >= CHUNK_PIXELS:
                        self._read_for(owners, images)
                        yield from waiting
                        waiting.clear()
            except ImageError as error:
                reason = str(error)
            waiting.append((path, reason or predictions))
        self._read_for(owners, images)
        yield from waiting

    def _read_for(self, owners: list[list[Prediction]], images: list[GrayImage]) -> None:
        """Read images, give each prediction to its owner, and clear both lists."""
        for owner, prediction in zip(owners, self._read(images), strict=True):
            owner.append(prediction)
        owners.clear()
        images.clear()

    def predict_page(self, picture: Picture) -> PagePrediction:
        """Find the lines of a page and read them.

        Args:
            picture: of a page, see ``predict``; of a file of several pages the first.

        Raises:
            ImageError: a file that cannot be read.
            DataError: an array of another shape or type.
        """
        if isinstance(picture, str | Path):
            page = next(read_pages(Path(picture)))
        else:
            page = _load(picture)
        layout = find_lines(page)
        predictions = self._read([line.image for line in layout.lines])
        lines = tuple(
            PageLine(p.text, p.confidence, p.symbol_confidences, line.box)
            for line, p in zip(layout.lines, predictions, strict=True)
        )
        height, width = page.shape
        return PagePrediction(width, height, layout.skew_degrees, lines)

    def evaluate(self, data: LabelledImages, progress: Progress | None = None) -> Evaluation:
        """Read labelled pictures and compare.

        A symbol that the recogniser does not know counts as an error, as it is one.

        Args:
            data: pictures and what they show.
            progress: told how many are recognised.
        """
        predictions = self._read(list(data.images), progress)
        texts = [p.text for p in predictions]
        reads_one = self.bundle.config.model.architecture == "classifier"
        single = data.texts and (reads_one or all(len(text) == 1 for text in data.texts))
        return Evaluation(
            compute_metrics(data.texts, texts),
            bootstrap_intervals(data.texts, texts),
            count_confusions(data.texts, texts),
            build_confusion_matrix(data.texts, texts) if single else None,
            data.names,
            data.texts,
            predictions,
        )

    def _read(
        self, images: Sequence[GrayImage], progress: Progress | None = None
    ) -> list[Prediction]:
        hypotheses = read_together(self._readers, images, progress)
        return [self._prediction(hypothesis) for hypothesis in hypotheses]

    def _prediction(self, hypothesis: Hypothesis) -> Prediction:
        read = self.bundle.charset.decode_in_order(hypothesis.ids)
        confidences = tuple(hypothesis.symbol_confidences[i] for i in read.order)
        return Prediction(read.text, hypothesis.confidence, confidences)


def load(
    path: str | Path, device: str = "auto", decoding: DecodingOptions | None = None
) -> Predictor:
    """Return the recogniser of a model file; nothing in the file is run.

    Args:
        path: of the model file.
        device: "auto", "cpu" or "cuda".
        decoding: how to decode; greedily if nothing is given.

    Raises:
        BundleError: no such file, or not a model.
        OcrSearchError: see ``build_decoder``.
    """
    return Predictor(load_bundle(Path(path)), device, decoding)


def _load(picture: Picture) -> GrayImage:
    if isinstance(picture, str | Path):
        return read_image(Path(picture))
    if isinstance(picture, Image.Image):
        if 0 in picture.size:
            raise DataError(f"a picture must not be empty, found {picture.size} pixels")
        return to_gray(picture)
    fits = picture.dtype == np.uint8 and (
        picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] in (3, 4))
    )
    if not fits or picture.size == 0:
        raise DataError(
            f"a picture as an array must be (H, W) or (H, W, 3 or 4) uint8, "
            f"found {picture.shape} {picture.dtype}"
        )
    return to_gray(Image.fromarray(picture))
