"""Label formats: from a folder or a file to a list of samples.

``registry.py`` lists them all. A format is a function that reads and a function that recognises.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
