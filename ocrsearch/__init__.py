"""Find a small text recogniser for labelled images, and read images with it.

Example:
    >>> import ocrsearch
    >>> result = ocrsearch.search(data="captcha:FOLDER", trials=30, timeout="30m")
    >>> study = ocrsearch.load_study(result.study)
    >>> study.trials_dataframe()  # a pandas table, a row for each trial
    >>> study.export("model.pt")  # the best model, with all that recognition needs
    >>> model = ocrsearch.load("model.pt")
    >>> model.predict("image.png").text  # or bytes, a PIL image, an array, a list of these

Functions:
    search(space, data, **options): search on labelled images; call it again to resume. Without
        a space, the space is derived from the images.
    suggest_space(data, **options): that space, as a dict.
    load_study(name): the trials, figures and best model of a study.
    load(model): a recogniser, with ``predict`` and ``predict_page``.
    predict(model, images): load a model and read one image or a list.

Every mistake in an argument, a file or a dataset raises a subclass of ``OcrSearchError`` with one
line of text. All names are imported when they are first used.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ocrsearch.core import (
        BundleError,
        DataError,
        ImageError,
        LanguageModelError,
        OcrSearchError,
        OptionError,
        SpaceError,
        StudyError,
        TrainingError,
    )
    from ocrsearch.data import DataOptions
    from ocrsearch.inference import DecodingOptions, Prediction, Predictor, load, predict
    from ocrsearch.spaces import suggest_space
    from ocrsearch.tuning import SearchOptions, SearchResult, search
    from ocrsearch.workflows import Study, load_study

    __version__: str

_MODULES = {
    "ocrsearch.data.data_options": ("DataOptions",),
    "ocrsearch.inference.decoding": ("DecodingOptions",),
    "ocrsearch.inference.predictor": ("Prediction", "Predictor", "load", "predict"),
    "ocrsearch.workflows.study": ("Study", "load_study"),
    "ocrsearch.core.errors": (
        *("BundleError", "DataError", "ImageError", "LanguageModelError", "OcrSearchError"),
        *("OptionError", "SpaceError", "StudyError", "TrainingError"),
    ),
    "ocrsearch.tuning.api": ("SearchResult", "search"),
    "ocrsearch.tuning.options": ("SearchOptions",),
    "ocrsearch.spaces.suggestion": ("suggest_space",),
}
"""Where each name is imported from when it is first used."""

_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "BundleError",
    "DataError",
    "DataOptions",
    "DecodingOptions",
    "ImageError",
    "LanguageModelError",
    "OcrSearchError",
    "OptionError",
    "Prediction",
    "Predictor",
    "SearchOptions",
    "SearchResult",
    "SpaceError",
    "Study",
    "StudyError",
    "TrainingError",
    "__version__",
    "load",
    "load_study",
    "predict",
    "search",
    "suggest_space",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = importlib.import_module("ocrsearch.core.distribution").program_version()
    elif name in _MODULE_OF:
        value = getattr(_imported(_MODULE_OF[name], name), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def _imported(module: str, name: str) -> ModuleType:
    """Return the module of a name; raise ImportError if the light distribution lacks it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        from ocrsearch.core import is_light, needs_full

        if is_light():
            raise ImportError(needs_full(f"ocrsearch.{name}")) from None
        raise


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
