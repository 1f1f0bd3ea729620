"""Studies: results of searches, in a database and a folder of files.

Everything that reads or writes the database is here. Start with ``load_study`` to read.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
