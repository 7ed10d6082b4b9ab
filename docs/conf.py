"""How the pages are built: ``sphinx-build -W docs out/docs`` with the extra ``treering[docs]``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import treering

project = "treering"
release = treering.__version__
copyright = "the treering engineers, Apache-2.0"
extensions = ["myst_parser"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"treering {release}"
html_show_sourcelink = False
html_copy_source = False
nitpicky = True
