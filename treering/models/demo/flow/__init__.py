"""The demo model's one-step sister: a rectified flow distilled as InstaFlow is, as far as the product needs it.

It has the demo's autoencoder, text encoder and tokenizer, which are not shipped twice.
"""

from __future__ import annotations

from pathlib import Path

from ...builtin import BuiltIn
from .. import SETTINGS, WEIGHTS, random_caption

FOLDER = Path(__file__).parent / "weights"
"""Denoiser, scheduler and index of the pipeline."""

SHARED = ("text_encoder", "tokenizer", "vae")
"""Parts that are the demo's."""

NAME = "demo-flow"

OFFSET = (0.286, -0.016)
"""How its noise lies against its pixels, (down, across) in cells: measured as the demo's, on four pictures."""

MODEL = BuiltIn(
    NAME,
    FOLDER,
    random_caption,
    {**SETTINGS, "model": NAME},
    OFFSET,
    shared=dict.fromkeys(SHARED, WEIGHTS),
)

__all__ = ["FOLDER", "MODEL", "NAME", "SHARED"]
