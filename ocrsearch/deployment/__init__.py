"""Deployment: a recogniser as one ONNX file that is read without PyTorch.

Start with ``export_onnx``. ``inference`` reads the file. ``write_page`` puts it into a page for the
browser.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
