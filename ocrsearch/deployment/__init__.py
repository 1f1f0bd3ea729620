"""Deployment: a model outside this program, as a web service and with a model card.

Start with ``service.py: build_app``. This package reads models through ``ocrsearch.inference``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
