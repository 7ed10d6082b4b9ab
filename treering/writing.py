"""Marked pictures: from a keyring, a class and prompts to pixels."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import inversion
from .errors import InputError
from .marks.keyring import Keyring
from .marks.seeds import draw_marks as draw_marks
from .marks.seeds import plain_noise
from .models import LatentModel
from .models.schedule import probe
from .pictures import images
from .settings import GUIDANCE, STEPS


def embed(
    model: LatentModel,
    keyring: Keyring,
    key: int | None,
    prompts: Sequence[str] | str,
    seed: int | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    nonce: int | None = None,
) -> NDArray[np.uint8]:
    """Make one picture a prompt, marked with class ``key`` (None: unmarked): uint8 ``[B, H, W, 3]``.

    Picture i depends on ``seed + i`` and its prompt alone, not on the others.  Without a seed the
    operating system gives one: pictures of one seed and key begin from the same noise.  ``nonce``: which mark of the
    class; None draws one for each picture, at random, from its seed (:func:`draw_marks` tells which).  ``steps`` and
    ``guidance``: None for the model's own (:func:`own`).
    """
    keyring.check_fits(model)
    prompts = [prompts] if isinstance(prompts, str) else prompts
    seed = secrets.randbits(62) if seed is None else seed
    if not prompts:
        raise InputError("At least one prompt is needed; it may be empty.")
    if key is None:
        noise = plain_noise(keyring.shape, seed, len(prompts))
    else:
        noise = _noise(keyring, key, seed, len(prompts), nonce)
    return generate(model, noise, prompts, steps, guidance)


def _noise(keyring: Keyring, key: int, seed: int, count: int, nonce: int | None) -> Tensor:
    """Marked noise ``[count, C, h, w]``, each with its own nonce unless one is named."""
    if nonce is not None or keyring.nonces == 1:
        return keyring.noise(key, seed, count, nonce or 0)
    marks = draw_marks(keyring, [key], count, seed)
    return torch.cat([keyring.noise(key, seed + i, nonce=one) for i, (_, one) in enumerate(marks)])


def generate(
    model: LatentModel,
    noise: Tensor,
    prompts: Sequence[str],
    steps: int | None = None,
    guidance: float | None = None,
) -> NDArray[np.uint8]:
    """Noise ``[B, C, h, w]`` to pictures uint8 ``[B, H, W, 3]``."""
    return pictures(model, latents(model, noise, prompts, steps, guidance))


def latents(
    model: LatentModel,
    noise: Tensor,
    prompts: Sequence[str],
    steps: int | None = None,
    guidance: float | None = None,
) -> Tensor:
    """Noise to latents, both ``[B, C, h, w]``, by the model's sampler."""
    if len(prompts) != len(noise):
        raise InputError(f"There are {len(prompts)} prompts for {len(noise)} pictures.")
    steps, guidance = own(model, steps, guidance)
    return inversion.sample(probe(model.scheduler(), steps), model.denoiser(prompts, guidance), noise.to(model.device))


def own(model: LatentModel, steps: int | None, guidance: float | None) -> tuple[int, float]:
    """Sampler steps and guidance, the model's own where they are left to it."""
    its_steps, its_guidance = getattr(model, "steps", STEPS), getattr(model, "guidance", GUIDANCE)
    return its_steps if steps is None else steps, its_guidance if guidance is None else guidance


def pictures(model: LatentModel, latent: Tensor) -> NDArray[np.uint8]:
    """Latents ``[B, C, h, w]`` to pictures uint8 ``[B, H, W, 3]``."""
    return images.to_bytes(model.decode(latent).cpu().numpy())
