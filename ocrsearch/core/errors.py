"""The tree of errors that a user can cause.

Each message is one line: where, what was found, what is allowed, what to do. It names arguments
as Python has them. An argument to change is marked by backticks: "raise `max_invalid`". The command
line replaces each mark by its own option, prints the line and exits with the class's
``exit_code``. The same marks are allowed in warnings and notes.
"""


class OcrSearchError(Exception):
    """Root of all errors that are shown to the user as one line.

    Attributes:
        option: wrong argument, such as ``max_invalid``; empty if the error is about no
            argument.
        problem: value found, values allowed, advice.
    """

    exit_code = 1

    def __init__(self, problem: str = "", option: str = "") -> None:
        super().__init__(f"{option}: {problem}" if option else problem)
        self.option, self.problem = option, problem


class DataError(OcrSearchError):
    """Labels or images cannot be used."""


class ImageError(DataError):
    """An image cannot be read."""


class SpaceError(OcrSearchError):
    """A search space is wrong. Raised before the search starts."""


class StudyError(OcrSearchError):
    """A study is missing, locked, or does not match the request."""


class TrainingError(OcrSearchError):
    """A training cannot start or be resumed."""


class CheckpointError(TrainingError):
    """A checkpoint of the right training has unusable contents."""


class BundleError(OcrSearchError):
    """A model file is missing, damaged, or not a model file of ocrsearch."""


class LanguageModelError(OcrSearchError):
    """A language model is missing, damaged, or cannot be learned."""


class OptionError(OcrSearchError):
    """An option, or an argument from Python, has a wrong value."""

    exit_code = 2


class TrialError(OcrSearchError):
    """A trial ended without a result. The search continues."""


class DivergedError(TrialError):
    """The loss became NaN or infinite."""


class InfeasibleError(TrialError):
    """A configuration cannot be trained, as is known before training."""
