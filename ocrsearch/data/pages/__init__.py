"""Pages: where the lines of text are on a scanned or photographed page, and their order."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
