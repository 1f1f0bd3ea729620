"""Deployment: a model as an ONNX file, a page for the browser, a web service or a model card.

Start with ``export_onnx``, ``write_page`` and ``build_app``. ``inference`` reads the files.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
