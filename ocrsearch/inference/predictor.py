"""Recognition with a bundle: images in, texts out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast, overload

from ocrsearch.core import ImageError, OptionError, shown
from ocrsearch.data import GrayImage, LabelledImages, Progress
from ocrsearch.data.images import is_blank, read_pages, shrink_line
from ocrsearch.inference.decoding import DecodingOptions, build_decoder
from ocrsearch.inference.inputs import Picture, read_input
from ocrsearch.inference.networks import Network
from ocrsearch.inference.opening import load_model, open_networks
from ocrsearch.inference.reader import Reader, read_together
from ocrsearch.models.decoding import Hypothesis
from ocrsearch.training import Model

if TYPE_CHECKING:
    from ocrsearch.evaluation import Confusion, ConfusionMatrix, Metrics
    from ocrsearch.inference.pages import PagePrediction

CHUNK = 256
CHUNK_PIXELS = 64_000_000
"""Maximum number of images, and of their pixels, that are held in memory at a time."""


@dataclass(frozen=True)
class Prediction:
    """Recognition result for an image of a line.

    Attributes:
        text: recognised text, NFC.
        confidence: probability that the text has no error, 0 to 1: that of the network, calibrated,
            times the familiarity. It is 0 for an empty text, since no label is empty.
        symbol_confidences: confidence of each character of the text by the network, 0 to 1.
        blank: whether the image has no contrast. If so, the text is empty and the confidence 0.
        familiarity: how much the image looks like the training images, 0 to 1; 1 if the model
            does not know.
        network_confidence: probability that the network gives the text, 0 to 1.
        check: whether a person should check the text, because its confidence is below the
            threshold of the model; None if the model has no threshold.
    """

    text: str
    confidence: float
    symbol_confidences: tuple[float, ...]
    blank: bool = False
    familiarity: float = 1.0
    network_confidence: float | None = None
    check: bool | None = None


@dataclass(frozen=True)
class Evaluation:
    """Evaluation of a recogniser on labelled images.

    Attributes:
        metrics: error rates.
        intervals: 95 % confidence interval of each rate, low and high.
        confusions: counts of character edits, the most frequent first.
        matrix: confusion matrix; None if a label has several characters, or if there are too many
            classes.
        names: names of the images.
        references: labels of the images.
        predictions: prediction for each image.
    """

    metrics: Metrics
    intervals: dict[str, tuple[float, float]]
    confusions: list[Confusion]
    matrix: ConfusionMatrix | None
    names: list[str]
    references: list[str]
    predictions: list[Prediction]

    def worst(self) -> list[int]:
        """Return the indices of wrong predictions, the worst first.

        They are sorted by edits per character of the label, then by confidence, both descending.
        """
        from rapidfuzz.distance import Levenshtein  # loads much that reading does not need

        def badness(i: int) -> tuple[float, float]:
            reference, prediction = self.references[i], self.predictions[i]
            edits = Levenshtein.distance(reference, prediction.text)
            return edits / max(1, len(reference)), prediction.confidence

        pairs = zip(self.references, self.predictions, strict=True)
        wrong = [i for i, (reference, read) in enumerate(pairs) if read.text != reference]
        return sorted(wrong, key=badness, reverse=True)


class Predictor:
    """A recogniser, loaded on a device and ready for images."""

    def __init__(
        self,
        bundle: Model,
        device: str = "auto",
        decoding: DecodingOptions | None = None,
        networks: Sequence[Network] | None = None,
    ) -> None:
        """Build the networks of a recogniser.

        Args:
            bundle: recogniser from a model file.
            device: "auto", "cpu" or "cuda".
            decoding: decoding options; greedy by default.
            networks: networks of its members; those of ``open_networks`` by default.

        Raises:
            OcrSearchError: see ``build_decoder``.
        """
        self.bundle = bundle
        self.decoder = build_decoder(decoding or DecodingOptions(), bundle)
        networks = open_networks(bundle, device) if networks is None else networks
        parts = zip(networks, bundle.members, self.decoder.searches, strict=True)
        readers = [Reader(network, m.config.images, search) for network, m, search in parts]
        self._readers = [r.at_width(width) for width in self.decoder.widths for r in readers]

    @overload
    def predict(self, picture: Picture) -> Prediction: ...  # type: ignore[overload-overlap]
    @overload
    def predict(self, picture: Sequence[Picture]) -> list[Prediction]: ...
    def predict(self, picture: Picture | Sequence[Picture]) -> Prediction | list[Prediction]:
        """Recognise the text in an image of a line, or in each of several images.

        Args:
            picture: path of a file, bytes of a file, open file, PIL image, array or tensor (see
                ``read_input``), or a list or tuple of these.

        Returns:
            The prediction; for a list, a list of predictions in the same order.

        Raises:
            ImageError: a file or an image cannot be read.
            DataError: a value has the wrong type, or an array the wrong shape or range.
        """
        if isinstance(picture, list | tuple):
            return self.predict_many(picture)
        return self.predict_many([cast(Picture, picture)])[0]

    def predict_many(self, pictures: Sequence[Picture]) -> list[Prediction]:
        """Recognise many images, in batches of similar width; see ``predict``."""
        places = [f"image {i} of {len(pictures)}" for i in range(1, len(pictures) + 1)]
        where = ["image"] if len(pictures) == 1 else places
        pairs = zip(pictures, where, strict=True)
        return self._read([shrink_line(read_input(picture, place)) for picture, place in pairs])

    def predict_files(self, paths: Sequence[Path]) -> Iterator[tuple[Path, list[Prediction] | str]]:
        """Recognise files of line images, up to 256 images at a time.

        Args:
            paths: image files. Each page of a TIFF or PDF file counts as a line.

        Yields:
            Each path with the predictions for its pages, or with an error message if the file
            cannot be read.
        """
        images: list[GrayImage] = []
        owners: list[list[Prediction]] = []  # for each image, the list that takes its prediction
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
        """Append the prediction of each image to its owner, then clear both lists."""
        for owner, prediction in zip(owners, self._read(images), strict=True):
            owner.append(prediction)
        owners.clear()
        images.clear()

    def predict_page(self, picture: Picture) -> PagePrediction:
        """Find the lines of a page in any orientation and recognise them.

        Args:
            picture: image of a page, see ``predict``. If a file has several pages, the first page
                is used.

        Raises:
            ImageError: the file cannot be read.
            DataError: an array has the wrong shape or type.
        """
        from ocrsearch.inference.pages import read_page  # single lines do not need it

        if isinstance(picture, str | os.PathLike):
            page = next(read_pages(Path(picture)))
        else:
            page = read_input(picture, "page")
        return read_page(page, self._read_lines)

    def evaluate(self, data: LabelledImages, progress: Progress | None = None) -> Evaluation:
        """Recognise labelled images and compare the predictions with the labels.

        Characters outside the charset of the recogniser count as errors.

        Args:
            data: images and their labels.
            progress: called with the number of recognised images.
        """
        from ocrsearch.evaluation import (
            bootstrap_intervals,
            build_confusion_matrix,
            compute_metrics,
            count_confusions,
        )

        predictions = self._read(list(data.images), progress)
        texts = [p.text for p in predictions]
        reads_one = self.bundle.config.model.reads_one
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
        pairs = zip(images, hypotheses, strict=True)
        return [self._prediction(hypothesis, image) for image, hypothesis in pairs]

    def _read_lines(self, images: Sequence[GrayImage]) -> list[Prediction]:
        """Read lines of a page, whose familiarity is unknown: they are cut as no label was."""
        hypotheses = read_together(self._readers, images)
        pairs = zip(images, hypotheses, strict=True)
        return [self._prediction(hypothesis, image, 1.0) for image, hypothesis in pairs]

    def _prediction(
        self, hypothesis: Hypothesis, image: GrayImage, familiarity: float | None = None
    ) -> Prediction:
        """Return the prediction for an image; without a familiarity it is computed."""
        trust = self.bundle.trust
        lowest = trust.min_confidence
        if is_blank(image):
            check = None if lowest is None else True
            return Prediction("", 0.0, (), blank=True, check=check)
        if familiarity is None:
            familiarity = trust.familiarity_of(image)
        read = self.bundle.charset.decode_in_order(hypothesis.ids)
        confidence = trust.calibrated(hypothesis.confidence) * familiarity if read.text else 0.0
        return Prediction(
            read.text,
            confidence,
            tuple(hypothesis.symbol_confidences[i] for i in read.order),
            familiarity=familiarity,
            network_confidence=hypothesis.confidence,
            check=None if lowest is None else confidence < lowest,
        )


def load(
    path: str | Path, device: str = "auto", decoding: DecodingOptions | None = None
) -> Predictor:
    """Load the recogniser from a model file without running code from the file.

    Args:
        path: path of the model file.
        device: "auto", "cpu" or "cuda".
        decoding: decoding options; greedy by default.

    Raises:
        BundleError: the file is missing or not a model.
        OptionError: an argument has the wrong type.
        OcrSearchError: see ``build_decoder``.
    """
    if not isinstance(path, str | os.PathLike):
        raise OptionError(f"must be the path of a model file, got {shown(path)}", "model")
    if decoding is not None and not isinstance(decoding, DecodingOptions):
        problem = f"must be ocrsearch.DecodingOptions(beam_size=10, ...), got {shown(decoding)}"
        raise OptionError(problem, "decoding")
    return Predictor(load_model(Path(path)), device, decoding)


@overload
def predict(  # type: ignore[overload-overlap]
    model: str | Path | Predictor,
    picture: Picture,
    device: str = "auto",
    decoding: DecodingOptions | None = None,
) -> Prediction: ...
@overload
def predict(
    model: str | Path | Predictor,
    picture: Sequence[Picture],
    device: str = "auto",
    decoding: DecodingOptions | None = None,
) -> list[Prediction]: ...
def predict(
    model: str | Path | Predictor,
    picture: Picture | Sequence[Picture],
    device: str = "auto",
    decoding: DecodingOptions | None = None,
) -> Prediction | list[Prediction]:
    """Load a model and recognise an image or a list of images.

    See ``load`` and ``Predictor.predict`` for the arguments. To recognise images repeatedly,
    ``load`` the model once and call its ``predict``.
    """
    predictor = model if isinstance(model, Predictor) else load(model, device, decoding)
    return predictor.predict(picture)
