"""The demo model, as far as the product needs it: its weights, the words of its world, and its name.

Nothing outside this room knows that there is a demo model: :mod:`treering.models.shipped` has it in a table of what
ships with the package.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..builtin import BuiltIn
from .captions import random_caption

if TYPE_CHECKING:
    from ...marks.keyring import Keyring

WEIGHTS = Path(__file__).parent / "weights"
"""The pipeline folder that ships with the package."""

NAME = "demo"

SETTINGS: dict[str, Any] = {"model": NAME, "shape": (4, 32, 32), "image_size": (256, 256)}
"""The fields of a keyring that fit the demo model, known without loading it."""

OFFSET = (0.324, 0.01)
"""How its noise lies against its pixels, (down, across) in cells: measured by ``python -m treering.research poses``."""

PAGES = Path(__file__).parent / "pages.safetensors"
"""What it recovers from reference pages: written by ``python -m treering.research flocks``."""

MODEL = BuiltIn(NAME, WEIGHTS, random_caption, SETTINGS, OFFSET, PAGES)

__all__ = ["MODEL", "NAME", "SETTINGS", "WEIGHTS", "keyring", "random_caption"]


def keyring() -> Keyring:
    """The public keyring of the sample pictures; its secret is no secret."""
    from ...marks.keyring import Keyring

    return Keyring(b"treering's public demo keyring..", public=True, derivation=1, **SETTINGS)
