"""Decoding: CTC best path, beam searches, and the language model and lexicon they can use."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
