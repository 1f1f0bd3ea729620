"""Configuration of the documentation site: ``make docs`` builds it, with warnings as errors."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from generated import write_reference

from ocrsearch import __version__

write_reference(Path(__file__).parent / "reference")

project = "ocrsearch"
author = "the ocrsearch authors"
copyright = author  # noqa: A001 - the name that Sphinx reads
release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"ocrsearch {release}"
myst_heading_anchors = 4
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_class_signature = "mixed"
autodoc_default_options = {"exclude-members": "__init__, __new__"}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
suppress_warnings = [
    "myst.xref_missing",  # links to source files; a test checks all links
    "misc.highlighting_failure",  # the drawing of the packages, which GitHub shows as a picture
]
