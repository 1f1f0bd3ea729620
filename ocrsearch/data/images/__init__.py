"""Images: from files of any kind to grey line images of a fixed height.

Also augmentation, documents of several pages, and finding the ink.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
