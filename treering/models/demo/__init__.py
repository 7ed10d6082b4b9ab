"""The demo model, as far as the product needs it: its weights, the words of its world, and its name.

Nothing outside this room knows that there is a demo model; loading finds it in a table of what ships with the package.
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

from ..builtin import BuiltIn
from .captions import random_caption

WEIGHTS = Path(__file__).parent / "weights"
"""The pipeline folder that ships with the package."""

NAME = "demo"

SETTINGS = MappingProxyType({"model": NAME, "shape": (4, 32, 32), "image_size": (256, 256)})
"""The fields of a keyring that fit the demo model."""

MODEL = BuiltIn(NAME, WEIGHTS, random_caption, SETTINGS)

__all__ = ["MODEL", "NAME", "SETTINGS", "WEIGHTS", "random_caption"]
