"""Tree of the errors that a user can cause.

Each message is one line: where, what was found, what is allowed, what to do. The command line
prints it and exits with the ``exit_code`` of the class.
"""


class OcrSearchError(Exception):
    """Root of all errors shown to the user as a single line.

    Attributes:
        option: Name of the invalid option as a Python argument, such as ``max_bad``. Empty if
            the error does not concern a single option.
        problem: Value found and values allowed.
    """

    exit_code = 1

    def __init__(self, problem: str = "", option: str = "") -> None:
        super().__init__(f"{option}: {problem}" if option else problem)
        self.option, self.problem = option, problem

    def for_command_line(self) -> str:
        """Return the message with the option in command-line form, such as ``--max-bad``."""
        option = self.option.replace("_", "-")
        return f"--{option}: {self.problem}" if option else self.problem


class DataError(OcrSearchError):
    """Labels or images that cannot be used."""


class ImageError(DataError):
    """Image that cannot be read."""


class SpaceError(OcrSearchError):
    """Invalid search space, detected before the search starts."""


class StudyError(OcrSearchError):
    """Missing, locked or incompatible study."""


class TrainingError(OcrSearchError):
    """Training that cannot start or resume."""


class CheckpointError(TrainingError):
    """Checkpoint of this training run with unusable contents."""


class BundleError(OcrSearchError):
    """Missing, damaged or foreign model file."""


class LanguageModelError(OcrSearchError):
    """Language model that is missing, damaged or cannot be estimated."""


class OptionError(OcrSearchError):
    """Invalid value for a command-line option or a Python argument."""

    exit_code = 2


class TrialError(OcrSearchError):
    """Trial that ended without a result. The search continues."""


class DivergedError(TrialError):
    """Loss that became NaN or infinite."""


class InfeasibleError(TrialError):
    """Configuration that cannot work, detected before training."""
