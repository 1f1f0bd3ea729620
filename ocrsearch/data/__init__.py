"""Labelled images: which images have which text, in which split, as what a network is trained on.

Start with ``load_dataset``. Label formats, images, pages and synthesis have packages of their own.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
