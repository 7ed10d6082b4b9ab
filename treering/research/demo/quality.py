"""What the demo model is worth: reconstruction, and whether its pictures follow their prompts.

``python -m treering.research demo measure`` writes ``quality.json`` and ``contact-sheet.jpg`` beside
the model card.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from . import data, scenes

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

_log = logging.getLogger(__name__)

Pictures = NDArray[np.uint8]

HELD_OUT = 64
SEEDS = 8
STEPS, GUIDANCE = 20, 3.0


def _colour(pictures: Pictures) -> NDArray[np.float64]:
    return pictures.reshape(len(pictures), -1, 3).mean(1) / 255


def luminance(pictures: Pictures) -> NDArray[np.float64]:
    """Mean luminance of every picture, 0 to 1 (Rec. 709 weights on sRGB values)."""
    return np.asarray(_colour(pictures) @ (0.2126, 0.7152, 0.0722))


def blueness(pictures: Pictures) -> NDArray[np.float64]:
    """Mean blue minus mean red."""
    colour = _colour(pictures)
    return np.asarray(colour[:, 2] - colour[:, 0])


def greenness(pictures: Pictures) -> NDArray[np.float64]:
    """Mean green minus the mean of red and blue, in the lower half."""
    colour = _colour(pictures[:, pictures.shape[1] // 2 :])
    return np.asarray(colour[:, 1] - colour[:, (0, 2)].mean(1))


def whiteness(pictures: Pictures) -> NDArray[np.float64]:
    """Share of the middle band that is bright and without colour."""
    band = pictures[:, pictures.shape[1] // 4 : pictures.shape[1] * 5 // 8].astype(np.int16)
    white = (band.min(-1) > 170) & (band.max(-1) - band.min(-1) < 40)
    return np.asarray(white.mean((1, 2)))


Measure = Callable[[Pictures], NDArray[np.float64]]

PAIRS: tuple[tuple[str, Measure, str, str], ...] = (
    ("luminance", luminance, "mountains by day, clouds", "mountains at night, stars"),
    ("blueness", blueness, "the sea at day, a clear sky", "a desert at sunset, the sun"),
    ("greenness", greenness, "green hills by day, trees", "sand dunes in a desert by day"),
    ("whiteness", whiteness, "snowy mountains by day, a clear sky", "rocky mountains by day, a clear sky"),
)
"""A measure, a prompt that should make it large and one that should make it small."""

SHEET = (
    "snowy mountains reflected in a lake by day, pine trees, the sun",
    "rocky mountains at sunset, the sun, clouds",
    "green hills by day, trees, clouds",
    "a desert at sunset, the sun",
    "the sea at dawn, the sun, a clear sky",
    "mountains at night, the moon, stars",
)


def _pipeline(folder: Path) -> StableDiffusionPipeline:
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(folder, use_safetensors=True, safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to("cuda" if torch.cuda.is_available() else "cpu", torch.float32)


def _draw(pipeline: StableDiffusionPipeline, prompt: str, seeds: range) -> Pictures:
    images = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        size = scenes.SIZE
        answer = pipeline(prompt, size, size, STEPS, guidance_scale=GUIDANCE, generator=generator, output_type="np")
        images.append((answer.images[0] * 255).round().astype(np.uint8))
    return np.stack(images)


@torch.no_grad()
def reconstruction(pipeline: StableDiffusionPipeline) -> dict[str, float]:
    """Mean PSNR in dB over held-out scenes, and the mean absolute error in pixels of [-1, 1]."""
    psnr, errors = [], []
    for i in range(0, HELD_OUT, 8):
        pictures, _ = data.held_out(range(i, i + 8))
        pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
        pixels = pixels.to(pipeline.device)
        decoded = pipeline.vae.decode(pipeline.vae.encode(pixels).latent_dist.mode()).sample.clamp(-1, 1)
        square = ((decoded - pixels) ** 2).mean((1, 2, 3))
        psnr.append(10 * torch.log10(4 / square))
        errors.append((decoded - pixels).abs().mean((1, 2, 3)))
    return {
        "psnr_mean": float(torch.cat(psnr).mean()),
        "psnr_min": float(torch.cat(psnr).min()),
        "mean_absolute_error": float(torch.cat(errors).mean()),
    }


def distance(pictures: Pictures) -> float:
    """Mean pairwise root mean square distance of pictures ``[N, H, W, 3]``, 0 to 1."""
    values = pictures.astype(np.float32) / 255
    pairs = [np.sqrt(((values[i] - values[j]) ** 2).mean()) for i, j in combinations(range(len(values)), 2)]
    return float(np.mean(pairs))


def measure(folder: Path, beside: Path | None = None) -> None:
    """Measure the pipeline in ``folder``; results go to ``beside`` (default: the folder above it)."""
    beside = beside or folder.parent
    pipeline = _pipeline(folder)
    result: dict[str, object] = {"reconstruction": reconstruction(pipeline)}
    follows: dict[str, dict[str, float]] = {}
    spread: dict[str, float] = {}
    for name, value, high, low in PAIRS:
        pictures = {prompt: _draw(pipeline, prompt, range(SEEDS)) for prompt in (high, low)}
        more, less = value(pictures[high]), value(pictures[low])
        order = float((more[:, None] > less[None, :]).mean())
        follows[name] = {high: float(more.mean()), low: float(less.mean()), "right_order": order}
        spread |= {prompt: distance(drawn) for prompt, drawn in pictures.items()}
        _log.info("%s: %s", name, follows[name])
    result |= {"prompts": follows, "distance_between_seeds": spread}
    (beside / "quality.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    rows = [np.concatenate(list(_draw(pipeline, prompt, range(4))), 1) for prompt in SHEET]
    sheet = Image.fromarray(np.concatenate(rows))
    sheet.resize((sheet.width * 3 // 4, sheet.height * 3 // 4)).save(beside / "contact-sheet.jpg", quality=88)
    _log.info("%s", json.dumps(result["reconstruction"]))
