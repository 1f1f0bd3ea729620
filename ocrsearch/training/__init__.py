"""Training of one network: epochs, checkpoints, model files and pretrained weights.

Start with ``Trainer``; ``Session`` makes it resumable.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
