"""Label formats: read a folder or a file as a list of samples.

``specs.py`` lists them and reads data specifications. A format consists of a reader and a
detector.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
