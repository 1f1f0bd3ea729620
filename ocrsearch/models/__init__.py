"""Networks: one class for each architecture, a ``Recogniser`` with its loss and its decoding.

Start with ``build_network``. ``layers.py`` computes shapes and sizes without building a network,
and without torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
