"""Content of the report of a study, as plain values: the page and the JSON show the same facts.

The workflow ``workflows/report.py`` collects the content, and ``study_page.py`` draws it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ocrsearch.evaluation import Confusion
from ocrsearch.reports.coverage import CoverageContent
from ocrsearch.spaces import Values
from ocrsearch.studies import Importances, ParetoTrial, SearchSummary, Separation
from ocrsearch.training import Epochs


@dataclass(frozen=True)
class Rate:
    """An error rate as a fraction, with its 95 % interval; None without the edits of the images."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class SampleImage:
    """Image of a sample.

    Attributes:
        name: name of the sample.
        label: its label.
        split: its split.
        url: data URL of a small copy.
    """

    name: str
    label: str
    split: str
    url: str


@dataclass(frozen=True)
class DataContent:
    """Data of a study.

    Attributes:
        spec: specification of the dataset.
        fingerprint: hash of the samples.
        n_samples: number of samples by split.
        problem: reason why the images cannot be read; empty if they can. Then the fields below are
            empty.
        characters: characters of the training split.
        lengths: minimum, median and maximum number of characters of a label.
        n_skipped: number of invalid samples.
        samples: some images.
    """

    spec: str
    fingerprint: str
    n_samples: dict[str, int]
    problem: str = ""
    characters: tuple[str, ...] = ()
    lengths: tuple[int, float, int] | None = None
    n_skipped: int = 0
    samples: Sequence[SampleImage] = ()


Verdict = Literal["best", "alike", "worse", "unknown"]
"""Whether the validation split can distinguish a trial from the best."""


@dataclass(frozen=True)
class TrialContent:
    """A trial that has finished an epoch.

    Attributes:
        number: number of the trial.
        state: state of the trial.
        n_epochs: number of epochs.
        best_epoch: epoch of the weights.
        rates: validation error rates by name: cer, wer and exact.
        n_parameters: number of weights; None if unknown.
        size_mb: size of the weights in megabytes; None if unknown.
        latency_ms: latency in milliseconds; None if unknown.
        params: searched values by path.
        has_weights: whether its weights exist.
        verdict: comparison with the best trial.
        p_value: p-value of this comparison; None without it.
        architecture: architecture of the network; None if unknown.
    """

    number: int
    state: str
    n_epochs: int
    best_epoch: int
    rates: dict[str, Rate]
    n_parameters: int | None
    size_mb: float | None
    latency_ms: float | None
    params: Values
    has_weights: bool = True
    verdict: Verdict = "unknown"
    p_value: float | None = None
    architecture: str | None = None


@dataclass(frozen=True)
class SplitFigures:
    """Evaluation of the test split.

    Attributes:
        n: number of images.
        rates: error rates by name.
        network: description of the evaluated network.
    """

    n: int
    rates: dict[str, Rate]
    network: str


@dataclass(frozen=True)
class WrongImage:
    """A validation image that the best network reads wrong.

    Attributes:
        name: name of the sample.
        label: its label.
        reading: text that was read.
        confidence: confidence of the network, 0 to 1.
        edits: number of character edits.
        group: group of the sample, empty without groups.
        pairs: confusions, as ``expected → read``.
        url: data URL of a small copy.
    """

    name: str
    label: str
    reading: str
    confidence: float
    edits: int
    group: str
    pairs: tuple[str, ...]
    url: str


@dataclass(frozen=True)
class ErrorsContent:
    """Errors of the best network on the validation split.

    Attributes:
        n_images: number of validation images.
        n_wrong: number of images with an error.
        cer: CER of this reading, as a fraction.
        confusions: edits of characters, the most frequent first.
        images: images with errors, the worst first; there may be fewer than ``n_wrong``.
    """

    n_images: int
    n_wrong: int
    cer: float
    confusions: Sequence[Confusion]
    images: Sequence[WrongImage]


@dataclass(frozen=True)
class DoubtfulLabel:
    """A label that the best networks contradict with one voice.

    Attributes:
        name: name of the sample.
        label: its label.
        reading: text that all of these networks read.
        confidence: lowest confidence of these networks.
    """

    name: str
    label: str
    reading: str
    confidence: float


@dataclass(frozen=True)
class TrialPoint:
    """Values of a trial for the charts.

    Attributes:
        number: number of the trial.
        state: state of the trial.
        cer: lowest validation CER.
        size_mb: size of the weights in megabytes; None if unknown.
        latency_ms: latency in milliseconds; None if unknown.
        curve: CER of each epoch; NaN between folds.
    """

    number: int
    state: str
    cer: float
    size_mb: float | None
    latency_ms: float | None
    curve: tuple[float, ...]


@dataclass(frozen=True)
class Command:
    """A command of this program: its name of one or two words, arguments, and option values."""

    name: str
    arguments: tuple[str, ...] = ()
    options: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """Advice for the next step.

    Attributes:
        title: advice in a few words.
        reason: the rule with its numbers.
        commands: commands that do it.
        names: samples that it is about.
        numbers: the numbers behind it.
    """

    title: str
    reason: str
    commands: tuple[Command, ...] = ()
    names: tuple[str, ...] = ()
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class StudyContent:
    """Content of the report of a study.

    Attributes:
        name: name of the study.
        search: what was searched.
        data: the images.
        storage: options that name the database in a command; empty for the default.
        trials: the best trial with weights, and the next best with or without.
        no_trials: reason why there is no trial with weights.
        pareto: Pareto front with several objectives.
        n_validated: number of validation images; None if unknown.
        test: evaluation of the test split; None if it was not evaluated.
        importances: parameter importances; None with too few trials.
        points: all trials with a CER, the best first.
        errors: errors of the best network; None if it could not read the images.
        no_errors_reason: reason why there is no reading.
        coverage: texts that can be left to the best network; None without a reading.
        doubtful: labels to check.
        n_agreeing: number of networks that were compared for it.
        separation: what the validation split distinguishes; None if it is unknown.
        expected_saving: character errors that as many trials again are expected to save; None if
            the trials are too few to tell.
        n_symbols: number of characters in the validation split; None if unknown.
        steps: next steps.
    """

    name: str
    search: SearchSummary
    data: DataContent
    storage: dict[str, object] = field(default_factory=dict)
    trials: Sequence[TrialContent] = ()
    no_trials: str = ""
    pareto: Sequence[ParetoTrial] = ()
    n_validated: int | None = None
    test: SplitFigures | None = None
    importances: Importances | None = None
    points: Sequence[TrialPoint] = ()
    errors: ErrorsContent | None = None
    no_errors_reason: str = ""
    coverage: CoverageContent | None = None
    doubtful: Sequence[DoubtfulLabel] = ()
    n_agreeing: int = 0
    separation: Separation | None = None
    expected_saving: float | None = None
    n_symbols: int | None = None
    steps: Sequence[Step] = ()

    @property
    def best(self) -> TrialContent | None:
        """The best trial; None without one."""
        return self.trials[0] if self.trials else None


def are_comparable(studies: Sequence[StudyContent]) -> bool:
    """Return whether all studies have the same data, so that their figures are comparable."""
    return len({study.data.fingerprint for study in studies}) <= 1


def curve_of(epochs: Epochs) -> tuple[float, ...]:
    """Return the CER of each epoch, with NaN between folds."""
    values: list[float] = []
    for i, record in enumerate(epochs):
        if i and record.fold != epochs[i - 1].fold:
            values.append(float("nan"))
        values.append(record.cer)
    return tuple(values)


def plain_content(studies: Sequence[StudyContent]) -> dict[str, Any]:
    """Return the content as plain values for JSON, without images."""
    return {
        "comparable": are_comparable(studies),
        "studies": [_without_images(asdict(study)) for study in studies],
    }


def _without_images(value: Any) -> Any:
    """Return nested values without the data URLs; NaN becomes None."""
    if isinstance(value, dict):
        return {key: _without_images(v) for key, v in value.items() if key != "url"}
    if isinstance(value, list | tuple):
        return [_without_images(v) for v in value]
    return None if isinstance(value, float) and value != value else value
