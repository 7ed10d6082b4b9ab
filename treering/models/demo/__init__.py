"""The demo model: a small Stable Diffusion pipeline, its world, and the code that trains it."""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
"""The pipeline folder that ships with the package."""
