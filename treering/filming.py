"""Marked clips: from a keyring, a class and a prompt to frames.

A video model makes the clip as a whole; a picture model makes its frames one by one, from noise that turns slowly.
"""

from __future__ import annotations

import secrets
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import writing
from .errors import InputError
from .marks import clips
from .marks.fitting import plane
from .marks.keyring import Keyring
from .marks.seeds import draw_marks
from .models import Model
from .models.adapter import PipelineModel
from .pictures import images
from .settings import GUIDANCE, STEPS

Frames = NDArray[np.uint8]


def embed_clip(
    model: Model,
    keyring: Keyring,
    key: int | None,
    prompt: str,
    frames: int,
    seed: int | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    nonce: int | None = None,
    *,
    turn: float = clips.TURN,
    share: float = clips.SHARE,
    **call: Any,
) -> Frames:
    """One clip marked with class ``key`` (None: unmarked): uint8 ``[F, H, W, 3]``.

    ``frames``: how many; a video model that makes clips of certain lengths alone raises ``InputError``.  ``seed``,
    ``nonce``, ``steps`` and ``guidance``: as for :func:`treering.embed`.  ``turn``: degrees that a picture model's
    noise turns from frame to frame.  ``share``: see :mod:`treering.marks.clips`.  ``call``: what else the call of a
    video pipeline takes.
    """
    seed = secrets.randbits(62) if seed is None else seed
    steps, guidance = writing.own(model, steps, guidance)
    if isinstance(model, PipelineModel) and model.clips:
        noise = _of_pipeline(model, keyring, key, frames, seed, nonce, share)
        return _whole(model, noise, keyring.image_size, frames, prompt, steps, guidance, call)
    keyring.check_fits(model)
    noise = _noise(keyring, key, frames, seed, nonce, share, turn)
    return _by_frames(model, noise, prompt, steps, guidance)


def unmarked_clip(
    model: Model, prompt: str, frames: int, seed: int, steps: int = STEPS, guidance: float = GUIDANCE
) -> Frames:
    """A clip without a mark, which needs no keyring: uint8 ``[F, H, W, 3]``, of the model's own size."""
    if isinstance(model, PipelineModel) and model.clips:
        shape = _shape(model, None, frames)
        noise = clips.unmarked(plane(shape), seed, shape[1], None)[0][None]
        return _whole(model, noise, None, frames, prompt, steps, guidance, {})
    channels, height, width = model.shape
    noise = clips.unmarked((channels, height, width), seed, frames, clips.TURN)[0][None]
    return _by_frames(model, noise, prompt, steps, guidance)


def _whole(
    model: PipelineModel,
    noise: Tensor,
    size: tuple[int, int] | None,
    frames: int,
    prompt: str,
    steps: int,
    guidance: float,
    call: dict[str, Any],
) -> Frames:
    """Noise ``[1, C, F, h, w]`` to frames, all at once."""
    asked = model.layout(size, frames).asked
    latent = model.sample(noise, prompt, steps=steps, guidance=guidance, **asked, **call)
    return _bytes(model.decode(latent)[0])


def _shape(model: PipelineModel, size: tuple[int, int] | None, frames: int) -> tuple[int, ...]:
    """Latent ``(C, F, h, w)`` of a clip of so many frames, which the model must be able to make."""
    shape, made = model.noise_shape(size, frames), model.layout(size, frames).frames
    if len(shape) != 4:
        raise InputError(f"The model {model.name} makes pictures, not clips.")
    if made != frames:
        raise InputError(f"The model {model.name} makes clips of {made} frames where {frames} are asked for.")
    return shape


def _by_frames(model: Model, noise: Tensor, prompt: str, steps: int, guidance: float) -> Frames:
    """Noise ``[1, C, F, h, w]`` to frames, one at a time, so that memory does not grow with their number."""
    made = [writing.generate(model, one, [prompt], steps, guidance)[0] for one in noise.unbind(2)]
    return np.stack(made)


def _of_pipeline(
    model: PipelineModel, keyring: Keyring, key: int | None, frames: int, seed: int, nonce: int | None, share: float
) -> Tensor:
    shape = _shape(model, keyring.image_size, frames)
    check_planes(keyring, shape, model.name)
    return _noise(keyring, key, shape[1], seed, nonce, share, None)


def check_planes(keyring: Keyring, shape: tuple[int, ...], name: str) -> None:
    """Raise ``InputError`` unless a keyring is for one frame ``(C, h, w)`` of a clip's latent ``(C, F, h, w)``."""
    if tuple(keyring.shape) != plane(shape):
        ours, theirs = ("x".join(map(str, one)) for one in (keyring.shape, plane(shape)))
        raise InputError(f"The keyring is for latents of {ours}, the frames of {name} have {theirs}.")


def _noise(
    keyring: Keyring, key: int | None, frames: int, seed: int, nonce: int | None, share: float, turn: float | None
) -> Tensor:
    """Noise of a clip ``[1, C, F, h, w]``, marked or not."""
    if key is None:
        return clips.unmarked(keyring.shape, seed, frames, turn)[0][None]
    keyring.check_classes([key])
    if nonce is None:
        ((_, nonce),) = draw_marks(keyring, [key], 1, seed)
    return clips.noise(keyring, key, seed, frames, nonce=nonce, share=share, turn=turn)


def _bytes(pixels: Tensor) -> Frames:
    """Pixels ``[3, F, H, W]`` in [-1, 1] to uint8 ``[F, H, W, 3]``."""
    return images.to_bytes(torch.clamp(pixels, -1, 1).transpose(0, 1).cpu().numpy())
