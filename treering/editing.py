"""Editing a masked part of a picture and keeping the rest.

The picture is run back to its latent z, the masked part of z is sampled anew under another prompt, and the
whole is decoded.  At every step of the sampler what lies outside the mask is put back, as in blended latent
diffusion (Avrahami, Fried and Lischinski 2023, algorithm 1).  There it is z with fresh noise; here it is z run
back through the sampler to that noise level, as in DiffEdit (Couairon et al. 2023, section 3.2), which needs no
more than the sampler's steps.  So the latent outside the mask is z exactly, and how well the background of
the *picture* is kept depends on how well z decodes to it: on the decoder's inversion (Hong et al. 2024).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import inversion, writing
from .errors import InputError
from .inversion import DecoderInversion
from .marks.keyring import plain_noise
from .models import Model
from .pictures import images
from .settings import STEPS

Pictures = NDArray[np.uint8]
Mask = NDArray[np.bool_]

STREAM = 1
"""Stream of the noise that masked parts are filled from: not 0, which drew the pictures, often of the same seeds."""


def edit(
    model: Model,
    pictures: Pictures,
    mask: Mask,
    prompts: Sequence[str] | str,
    seed: int,
    plan: DecoderInversion = inversion.METHODS[inversion.DEFAULT],
    steps: int | None = None,
    guidance: float | None = None,
    paste: bool = False,
) -> Pictures:
    """Fill the masked part of pictures uint8 ``[B, H, W, 3]`` with what the prompts say; the same form.

    ``mask``: bool ``[H, W]``, true where a pixel may change.  ``prompts``: one for each picture, or one for all.
    Picture i depends on ``seed + i``, its prompt and itself alone, not on the others.  ``paste``: see
    :func:`pasted`; without it every pixel has been through the decoder.
    """
    prompts = [prompts] * len(pictures) if isinstance(prompts, str) else prompts
    check(model, pictures, mask, prompts)
    steps, guidance = writing.own(model, steps, guidance)
    if steps < 2:
        raise InputError(f"Editing leads through several steps of the sampler; the model {model.name} takes {steps}.")
    z = inversion.invert_decoder(model, torch.from_numpy(images.to_float(pictures)), plan).value
    if not torch.isfinite(z).all():
        raise InputError(
            f"The decoder inversion {plan.name} gave numbers that are not finite; try another method, or float32."
        )
    known = trajectory(model, z, steps)
    edited = writing.pictures(model, fill(model, known, mask, prompts, seed, guidance))
    return pasted(pictures, edited, mask, model.factor) if paste else edited


def check(model: Model, pictures: Pictures, mask: Mask, prompts: Sequence[str]) -> None:
    """Raise ``InputError`` unless these can be edited together."""
    if len(model.shape) != 3:
        raise InputError(f"The model {model.name} makes clips; pictures alone can be edited.")
    height, width = model.image_size
    if pictures.shape != (len(pictures), height, width, 3) or pictures.dtype != np.uint8:
        given = f"{pictures.dtype} {list(pictures.shape)}"
        raise InputError(f"Pictures must be uint8 [B, {height}, {width}, 3], not {given}.")
    if mask.shape != (height, width) or mask.dtype != np.bool_:
        raise InputError(f"The mask must be bool [{height}, {width}], not {mask.dtype} {list(mask.shape)}.")
    if not mask.any():
        raise InputError("The mask is empty, so nothing may change.")
    if not len(pictures):
        raise InputError("At least one picture is needed.")
    if len(prompts) != len(pictures):
        raise InputError(f"There are {len(prompts)} prompts for {len(pictures)} pictures.")


# ------------------------------------------------------------------------------------ latent


def free_cells(mask: Mask, factor: int) -> Tensor:
    """Which cells of the latent may change: bool ``[H, W]`` to bool ``[h, w]``.

    A cell may if any of its ``factor x factor`` pixels may, so that no masked pixel is stuck with old content;
    the price is a rim of less than a cell's width around the mask.  Where it matters, :func:`pasted` takes it back.
    """
    pixels = torch.from_numpy(mask).float()[None]  # [1, H, W]
    return torch.nn.functional.max_pool2d(pixels, factor)[0] > 0


def trajectory(model: Model, latent: Tensor, steps: int = STEPS) -> list[Tensor]:
    """A latent ``[B, C, h, w]`` at every noise level of the model's sampler, under the empty prompt."""
    return model.levels(latent, steps=steps)


def fill(
    model: Model, known: Sequence[Tensor], mask: Mask, prompts: Sequence[str], seed: int, guidance: float
) -> Tensor:
    """From :func:`trajectory`, the latent with its masked part sampled anew: ``[B, C, h, w]``."""
    noise = plain_noise(model.shape, seed, len(known[0]), STREAM).to(known[0].device)
    return model.resample(known, free_cells(mask, model.factor).to(noise.device), noise, prompts, guidance=guidance)


# ------------------------------------------------------------------------------------ pixels


def pasted(pictures: Pictures, edited: Pictures, mask: Mask, reach: int) -> Pictures:
    """The original pixels outside the mask, ``edited`` inside; all but the mask ``[B, H, W, 3]``.

    The passage from one to the other lies inside the mask.  It takes ``reach`` pixels, or, where the mask is
    narrower, all that there are to its middle.
    """
    if mask.all():
        return edited
    weight = _weight(mask, reach)[..., None]  # [H, W, 1]
    return np.rint(pictures + weight * (edited.astype(np.float64) - pictures)).astype(np.uint8)


def _weight(mask: Mask, reach: int) -> NDArray[np.float64]:
    """Share of the edit in every pixel ``[H, W]``: 0 outside, 1 in the middle, and straight from one to the other.

    How wide the mask is at a pixel is told by the largest disc inside the mask that holds it (its local thickness:
    Hildebrand and Rüegsegger 1997).  The middle is where the pixel's own disc is as large as that, or as ``reach``.
    """
    from scipy.ndimage import distance_transform_edt

    depth = distance_transform_edt(mask)  # pixels to the nearest one that must stay
    largest = np.ones_like(depth)
    for radius in range(2, min(reach, int(depth.max())) + 1):
        largest[distance_transform_edt(depth < radius) <= radius] = radius
    to_middle = distance_transform_edt(depth < largest)
    weight: NDArray[np.float64] = depth / (depth + to_middle)
    return weight
