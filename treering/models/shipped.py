"""The models that ship with the package, by name, and which of them is meant where none is named; needs no torch."""

from __future__ import annotations

from . import demo
from .builtin import BuiltIn
from .demo import flow

BUILT_IN: dict[str, BuiltIn] = {model.name: model for model in (demo.MODEL, flow.MODEL)}
"""Models that ship with the package, by name."""
DEFAULT = demo.NAME
"""The model that is meant where none is named."""
