"""The ground that everything stands on: configuration, errors, files and the machine.

Nothing here knows about images, networks or studies. Text and files from outside are read within
limits, and are made harmless before they are shown.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
