"""Search spaces: which configurations a search may try.

A space is read from a file, chosen by name, or derived from a dataset.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
