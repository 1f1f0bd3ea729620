"""Deployment: a model outside this program, as an ONNX file, a web service or a model card.

Start with ``export_onnx`` and ``build_app``. ``inference`` reads the files.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
