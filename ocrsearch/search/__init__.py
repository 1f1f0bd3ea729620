"""The search: space, study, coordinator and workers. Calling this package runs a search.

``ocrsearch.search`` is both the function that users call and the package with its parts. When any
module of a subpackage is imported, Python binds the subpackage to its name in the parent, over a
function of the same name. So the package itself takes the call: ``ocrsearch.search`` is the same
object before and after any import. See ``ocrsearch.search.api.search`` for the arguments.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocrsearch.search.api import SearchResult


class _CallablePackage(ModuleType):
    """A package that is called as its function ``search``."""

    def __call__(self, *args: Any, **kwargs: Any) -> SearchResult:
        """Search a space on labelled images; see ``ocrsearch.search.api.search``."""
        from ocrsearch.search.api import search

        return search(*args, **kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        from ocrsearch.search.api import search

        return inspect.signature(search)

    def __reduce__(self) -> tuple[Callable[[str], ModuleType], tuple[str]]:
        return importlib.import_module, (self.__name__,)  # for process pools


sys.modules[__name__].__class__ = _CallablePackage
