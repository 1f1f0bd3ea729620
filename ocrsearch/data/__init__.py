"""Labelled images: read, checked, split and batched for training and evaluation.

Start with ``load_dataset``. Label formats, images, pages and synthesis are subpackages.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
