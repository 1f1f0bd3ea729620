"""The tree of errors that a user can cause.

Each message is one line: where, what was found, what is allowed, what to do.
The command line prints it and exits with the class's ``exit_code``.
"""


class OcrSearchError(Exception):
    """Root of all errors that are shown to the user as one line."""

    exit_code = 1


class DataError(OcrSearchError):
    """Labels or pictures that cannot be used."""


class ImageError(DataError):
    """One picture that cannot be read."""


class SpaceError(OcrSearchError):
    """A search space that is wrong, found before anything starts."""


class StudyError(OcrSearchError):
    """A study that is missing, locked, or does not fit what was asked."""


class TrainingError(OcrSearchError):
    """A training that cannot begin, or go on where it was."""


class BundleError(OcrSearchError):
    """A model file that is missing, damaged, or not one of ours."""


class LanguageModelError(OcrSearchError):
    """A language model that is missing, damaged, or cannot be learned."""


class OptionError(OcrSearchError):
    """An option's value that cannot be meant."""

    exit_code = 2


class TrialError(OcrSearchError):
    """A trial that ended without a result; the search goes on."""


class DivergedError(TrialError):
    """The loss became NaN or infinite."""


class InfeasibleError(TrialError):
    """A configuration that cannot work, known before training."""
