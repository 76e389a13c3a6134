"""Configure Sphinx for `make docs`. The build needs no network, and warnings stop it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from reference import fill_in

import trf_bridge

project = "trf_bridge"
version = release = trf_bridge.__version__
author = "trf_bridge contributors"
language = "en"

extensions = ["myst_parser"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
nitpicky = True
smartquotes = False  # messages and settings are copied from the pages

html_theme = "furo"
html_title = f"trf_bridge {version}"
html_show_copyright = False
html_show_sourcelink = False
html_copy_source = False


def setup(app: Any) -> None:
    """Fill in the generated parts before a page is parsed."""
    app.connect("source-read", _fill_in)


def _fill_in(app: Any, name: str, source: list[str]) -> None:
    source[0] = fill_in(source[0])
