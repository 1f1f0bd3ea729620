"""Networks: one module for each architecture, the encoder they share, and their losses.

Start with ``build_network``. ``layers.py`` knows shapes and sizes without building a network.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
