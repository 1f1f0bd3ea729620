"""Images: from files of any type to grey line images of a fixed height.

Also augmentation, multi-page documents and detection of ink.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
