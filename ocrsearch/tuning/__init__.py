"""The search: chooses configurations, has workers train them, and decides when to stop.

Start with ``search``. The coordinator runs the loop; the engines start the workers.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
