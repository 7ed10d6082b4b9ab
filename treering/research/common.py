"""What the studies and the experiments share: their secret, their prompts, how they draw, and their tables."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from .. import report, writing
from ..models import LatentModel
from ..pictures import images

Pictures = NDArray[np.uint8]
Note = Callable[[str], None]

SECRET = bytes(range(32))
"""The studies' own secret: public, so that everybody gets the same figures."""


def jpeg(picture: Pictures, quality: int) -> Pictures:
    """One picture ``[H, W, 3]`` through JPEG and back."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return images.read(buffer.getvalue()).pixels


PROMPTS = (
    "a lighthouse on a rocky coast at sunset",
    "a bowl of oranges on a wooden table",
    "an old man reading a newspaper in a café",
    "a red bicycle against a brick wall",
    "a snowy mountain above a still lake",
    "a cat asleep on a windowsill",
    "a busy street market in the rain",
    "an oil painting of a sailing ship in a storm",
    "a field of sunflowers under a blue sky",
    "a steam train crossing a stone bridge",
    "a portrait of a woman with a green scarf",
    "a loaf of bread and a jug of milk",
    "a desert road that leads to the horizon",
    "two children building a sandcastle",
    "a watercolour of an autumn forest",
    "a robot playing chess in a park",
    "the night skyline of a large city",
    "a dog jumping into a swimming pool",
    "a narrow canal with wooden boats",
    "a vase of tulips, still life",
    "an astronaut on a white horse",
    "a small house at the edge of a cliff",
    "a pencil drawing of an owl",
    "a plate of sushi seen from above",
    "a football match in a full stadium",
    "a violin on an armchair",
    "hot-air balloons over green hills",
    "a dragon in the clouds, fantasy art",
    "a library with tall wooden shelves",
    "a polar bear on drifting ice",
    "a yellow taxi in heavy traffic",
)
"""For models whose world is not known: 31, which is prime, so that no class of pictures always has the same ones."""


def words(model: LatentModel, seed: int) -> str:
    """A prompt for a picture: of the demo's world, or one of :data:`PROMPTS` for other models."""
    return model.captions(seed) if model.captions else PROMPTS[seed % len(PROMPTS)]


def draw(model: LatentModel, noise: Tensor, seed: int) -> tuple[Tensor, Pictures]:
    """Latent ``[1, C, h, w]`` and picture ``[H, W, 3]`` of one noise, as ``embed`` makes them."""
    latent = writing.latents(model, noise, [words(model, seed)])
    return latent, writing.pictures(model, latent)[0]


def decibel(found: Tensor, true: Tensor) -> float:
    """Normalised mean squared error of a latent in dB."""
    return 10 * float(torch.log10(((found - true) ** 2).sum() / (true**2).sum()))


def fixed(value: float, digits: int) -> str:
    """A number with so many digits after the point."""
    return f"{value:.{digits}f}"


def write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table as Markdown to a file; gives the text."""
    text: str = report.markdown_table(header, rows)
    path.write_text(text.rstrip() + "\n", encoding="utf-8")
    return text
