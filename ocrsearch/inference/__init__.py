"""Recognition: model files, and recognising text in images and on pages.

Start with ``Predictor``. This package does not depend on studies.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
