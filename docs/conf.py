"""Sphinx configuration: furo, MyST Markdown, and pages filled from the code itself."""

from __future__ import annotations

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]

from realtime_style import __version__  # noqa: E402

project = "realtime-style"
author = "the realtime-style developers"
copyright = "the realtime-style developers"  # noqa: A001 - Sphinx's name
version = release = __version__

extensions = ["myst_parser", "generated"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"realtime-style {__version__}"
