"""Studies: results of searches, stored in a database and a folder of files.

All access to the database is in this package. Start with ``load_study`` to read a study.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
