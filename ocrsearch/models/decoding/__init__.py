"""Decoding: from the output of a network to text, greedily or by beam search."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
