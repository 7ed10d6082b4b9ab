"""Attacks through networks: an autoencoder, or noise and some steps of a sampler (Zhao et al., NeurIPS 2024).

Every picture goes through at the model's own size, and comes back at its own.  The prompt is empty.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ... import inversion
from ...models import LatentModel
from ...pictures import images
from ..common import Pictures
from . import autoencoders
from .attack import Through

Function = Callable[[LatentModel, Pictures, float, np.random.Generator], Pictures]

OTHER = "vae-other"
"""The attack through an autoencoder that is not the model's."""

STEPS, FINER = 50, 4
"""Steps of the sampler from pure noise, up to so many times as many for a strength that lies between two of them."""


def vae(model: LatentModel, picture: Pictures, times: float, rng: np.random.Generator) -> Pictures:
    """So often through the model's own autoencoder, with 8 bits in between."""
    for _ in range(round(times)):
        pixels = model.decode(model.encode(_tensor(picture, model.image_size)))
        picture = _picture(pixels, picture)
    return picture


def vae_other(model: LatentModel, picture: Pictures, times: float, rng: np.random.Generator) -> Pictures:
    """So often through the autoencoder that the environment names, with 8 bits in between."""
    return _through(autoencoders.other(), picture, times)


def vae_of(folder: Path) -> Function:
    """As :func:`vae_other`, through the autoencoder of this folder."""
    loaded = autoencoders.load(folder)

    def function(model: LatentModel, picture: Pictures, times: float, rng: np.random.Generator) -> Pictures:
        return _through(loaded, picture, times)

    return function


def _through(through: autoencoders.Regenerate, picture: Pictures, times: float) -> Pictures:
    cell = autoencoders.CELL
    height, width = (max(cell, round(side / cell) * cell) for side in picture.shape[:2])
    for _ in range(round(times)):
        picture = _picture(through(_tensor(picture, (height, width))), picture)
    return picture


def diffusion(model: LatentModel, picture: Pictures, strength: float, rng: np.random.Generator) -> Pictures:
    """Noise to so much of the sampler's way, and back by the model."""
    latent = model.encode(_tensor(picture, model.image_size))
    return _picture(model.decode(regenerated(model, latent, strength, rng)), picture)


def twice(model: LatentModel, picture: Pictures, strength: float, rng: np.random.Generator) -> Pictures:
    """:func:`diffusion`, twice."""
    return _rinsed(model, picture, strength, rng, 2)


def four_times(model: LatentModel, picture: Pictures, strength: float, rng: np.random.Generator) -> Pictures:
    """:func:`diffusion`, four times."""
    return _rinsed(model, picture, strength, rng, 4)


def _rinsed(model: LatentModel, picture: Pictures, strength: float, rng: np.random.Generator, times: int) -> Pictures:
    for _ in range(times):
        picture = diffusion(model, picture, strength, rng)
    return picture


def regenerated(model: LatentModel, latent: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    """A latent ``[1, C, h, w]`` with noise up to ``strength`` of the way, and sampled from there."""
    if not strength > 0:
        return latent
    steps = clock(strength)
    start = steps - min(steps, max(1, round(strength * steps)))
    noise = torch.from_numpy(rng.standard_normal(tuple(latent.shape), np.float32)).to(latent.device)
    x, rows = _noisy(model.scheduler(), latent, noise, start, steps), torch.arange(1)
    f = model.denoiser([""])
    for step in model.schedule(steps).steps[start:]:
        x = inversion.apply_step(step, f, x, rows)
    return x


def clock(strength: float) -> int:
    """Steps of the sampler that have this strength among them, or nearly."""
    finer = range(1, FINER + 1)
    return STEPS * min(finer, key=lambda times: (round(abs(strength * STEPS * times % 1 - 0.5), 6) < 0.49, times))


def _noisy(scheduler: Any, latent: Tensor, noise: Tensor, place: int, steps: int) -> Tensor:
    """The latent as it would be before step ``place`` of the sampler, by the scheduler's own rule."""
    scheduler = copy.deepcopy(scheduler)
    scheduler.set_timesteps(steps)
    time = scheduler.timesteps[place : place + 1]
    add = scheduler.scale_noise if hasattr(scheduler, "scale_noise") else scheduler.add_noise
    found: Tensor = add(latent, time, noise) if hasattr(scheduler, "scale_noise") else add(latent, noise, time)
    return found


def _tensor(picture: Pictures, size: tuple[int, int]) -> Tensor:
    """Pixels ``[1, 3, H, W]`` of this size."""
    image = Image.fromarray(picture).resize(size[::-1], Image.Resampling.LANCZOS)  # a copy where the size is the same
    return torch.from_numpy(images.to_float(np.asarray(image)[None]))


def _picture(pixels: Tensor, like: Pictures) -> Pictures:
    found = images.to_bytes(pixels.cpu().numpy())[0]
    return np.asarray(Image.fromarray(found).resize(like.shape[1::-1], Image.Resampling.LANCZOS))


_TIMES, _NOISE = "times", "share of the sampler's way that is noised"

ATTACKS = (
    Through("vae", (1, 2, 4), vae, meaning=_TIMES, low=0, high=100, whole=True),
    Through(
        OTHER,
        (1, 2, 4),
        vae_other,
        meaning=f"{_TIMES} (needs --autoencoder or ${autoencoders.VARIABLE})",
        low=0,
        high=100,
        whole=True,
    ),
    Through("diffusion", (0.04, 0.1, 0.2, 0.3, 0.4, 0.5), diffusion, meaning=_NOISE),
    Through("diffusion-2", (0.02, 0.06, 0.1, 0.2, 0.3), twice, meaning=f"{_NOISE}, each time of two"),
    Through(
        "diffusion-4", (0.01, 0.02, 0.03, 0.04, 0.05, 0.1, 0.2, 0.3), four_times, meaning=f"{_NOISE}, each time of four"
    ),
)
