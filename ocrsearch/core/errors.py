"""The tree of errors that a user can cause.

Each message is one line: where, what was found, what is allowed, what to do.
The command line prints it and exits with the class's ``exit_code``.
"""


class OcrSearchError(Exception):
    """Root of all errors that are shown to the user as one line.

    Attributes:
        option: name of the option that is wrong, as an argument from Python: ``max_bad``; empty
            if there is no single one.
        problem: what was found and what is allowed.
    """

    exit_code = 1

    def __init__(self, problem: str = "", option: str = "") -> None:
        super().__init__(f"{option}: {problem}" if option else problem)
        self.option, self.problem = option, problem

    def for_command_line(self) -> str:
        """Return the message with the option as the command line has it, ``--max-bad``."""
        option = self.option.replace("_", "-")
        return f"--{option}: {self.problem}" if option else self.problem


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


class CheckpointError(TrainingError):
    """A checkpoint of the right training whose contents cannot be used."""


class BundleError(OcrSearchError):
    """A model file that is missing, damaged, or not one of ours."""


class LanguageModelError(OcrSearchError):
    """A language model that is missing, damaged, or cannot be learned."""


class OptionError(OcrSearchError):
    """A wrong value of an option, or of an argument from Python."""

    exit_code = 2


class TrialError(OcrSearchError):
    """A trial that ended without a result; the search goes on."""


class DivergedError(TrialError):
    """The loss became NaN or infinite."""


class InfeasibleError(TrialError):
    """A configuration that cannot work, known before training."""
