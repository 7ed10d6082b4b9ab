"""Marked pictures: from a keyring, a class and prompts to pixels."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .errors import InputError
from .marks.keyring import Keyring
from .marks.seeds import draw_marks as draw_marks
from .marks.seeds import plain_noise
from .models import Model
from .pictures import images
from .settings import GUIDANCE, STEPS


def embed(
    model: Model,
    keyring: Keyring,
    key: int | None,
    prompts: Sequence[str] | str,
    seed: int | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    nonce: int | None = None,
    size: tuple[int, int] | None = None,
) -> NDArray[np.uint8]:
    """Make one picture a prompt, marked with class ``key`` (None: unmarked): uint8 ``[B, H, W, 3]``.

    Picture i depends on ``seed + i`` and its prompt alone, not on the others.  Without a seed the
    operating system gives one: pictures of one seed and key begin from the same noise.  ``nonce``: which mark of the
    class; None draws one for each picture, at random, from its seed (:func:`draw_marks` tells which).  ``size``:
    height and width, one of the keyring's sizes (None: its first).  ``steps`` and ``guidance``: None for the model's
    own (:func:`own`).
    """
    keyring.check_fits(model, size)
    prompts = [prompts] if isinstance(prompts, str) else prompts
    seed = secrets.randbits(62) if seed is None else seed
    if not prompts:
        raise InputError("At least one prompt is needed; it may be empty.")
    if key is None:
        noise = plain_noise(keyring.shape_of(size), seed, len(prompts))
    else:
        noise = keyring.noise(key, seed, len(prompts), nonce, size)
    return generate(model, noise, prompts, steps, guidance)


def generate(
    model: Model,
    noise: Tensor,
    prompts: Sequence[str],
    steps: int | None = None,
    guidance: float | None = None,
) -> NDArray[np.uint8]:
    """Noise ``[B, C, h, w]`` to pictures uint8 ``[B, H, W, 3]``."""
    return pictures(model, latents(model, noise, prompts, steps, guidance))


def latents(
    model: Model,
    noise: Tensor,
    prompts: Sequence[str],
    steps: int | None = None,
    guidance: float | None = None,
) -> Tensor:
    """Noise to latents, both ``[B, C, h, w]``, by the model's sampler."""
    if len(prompts) != len(noise):
        raise InputError(f"There are {len(prompts)} prompts for {len(noise)} pictures.")
    steps, guidance = own(model, steps, guidance)
    return model.sample(noise, prompts, steps=steps, guidance=guidance)


def own(model: Model, steps: int | None, guidance: float | None) -> tuple[int, float]:
    """Sampler steps and guidance, the model's own where they are left to it."""
    its_steps, its_guidance = getattr(model, "steps", STEPS), getattr(model, "guidance", GUIDANCE)
    return its_steps if steps is None else steps, its_guidance if guidance is None else guidance


def pictures(model: Model, latent: Tensor) -> NDArray[np.uint8]:
    """Latents ``[B, C, h, w]`` to pictures uint8 ``[B, H, W, 3]``."""
    return images.to_bytes(model.decode(latent).cpu().numpy())
