"""The demo model, as far as the product needs it: its weights, the words of its world, and its name.

Nothing outside this room knows that there is a demo model; loading asks here for a name that is built in.
"""

from __future__ import annotations

from pathlib import Path

from .captions import random_caption

WEIGHTS = Path(__file__).parent / "weights"
"""The pipeline folder that ships with the package."""

NAME = "demo"

__all__ = ["NAME", "WEIGHTS", "random_caption"]
