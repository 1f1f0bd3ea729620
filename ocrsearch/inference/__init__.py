"""Recognition: a model file, and the text in an image or on a page.

Start with ``Predictor``. Nothing here knows about studies.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
