"""Pixels to latent: the root of r(z) = E(clip D(z)) - E(x), after Hong et al. 2024, eq. (3).

The decoder's output is clipped as the picture was, so that the residual at the true latent is rounding alone.

A small residual is not the goal by itself: E(D(z)) = E(x) does not make D(z) = x where x was rounded
or compressed, and a method that fits the rounding amplifies it.  The stopping rule is the discrepancy
principle (Morozov 1966): stop where the residual is as small as rounding makes it.  Where that is not enough,
the steps are fitted to a picture whose latent is known: see :mod:`treering.inversion.twin`.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..models import Model
from ..pictures import images, jpeg_noise
from ..solvers import rms, solve
from ..types import Solution, Status
from .baselines import gradient
from .methods import DecoderInversion, Gradient, Safeguarded
from .trust import profile
from .twin import Damage, invert_with_twin, white

ROUNDING = 2 / 255
"""One level of an 8-bit picture, in pixels of [-1, 1]."""

KNOWN = 1 / 3
"""Share of what a known damage does to a latent at which the residual is small enough: at all of it, pictures that were
hurt a little would be left where there was still something to gain (``python -m treering.research autoencoder``).
"""


def invert_decoder(
    model: Model,
    pixels: Tensor,
    plan: DecoderInversion,
    noise: float = 0.0,
    damage: Damage | None = None,
) -> Solution:
    """Latent whose picture is ``pixels``: ``[B, 3, H, W]`` in [-1, 1] to ``[B, C, h, w]``.

    What is known of the pictures' way here, besides rounding, which is always assumed: ``damage``, what was done to
    them (such as :meth:`treering.pictures.jpeg_noise.JpegTables.again`), or else ``noise``, root mean square of white
    noise in units of [-1, 1]; if neither, JPEG whose tables show in the pixels is taken into account.  Only the method
    :class:`Safeguarded` makes use of it: where forward steps are trusted, they stop at :data:`KNOWN` of what the damage
    does to a latent; elsewhere the picture's twin is damaged in the same way.
    ``evaluations`` counts pairs of decoder and encoder (or decoder and its gradient).
    """
    target = model.encode(pixels)
    if plan.method is None:
        return _untouched(target)
    if isinstance(plan.method, Gradient):
        return gradient(model, pixels, target, plan.method, plan.budget)
    if isinstance(plan.method, Safeguarded):
        return _safeguarded(model, pixels, target, plan, plan.method, damage or (white(noise) if noise else None))
    tolerance = plan.floor * rounding_floor(model, pixels, target) if plan.floor else 0.0

    def residual(z: Tensor, rows: Tensor) -> Tensor:
        return decoder_residual(model, z, target[rows])

    return solve(residual, target, plan.method, tolerance, plan.budget, plan.patience, plan.keep)


def _safeguarded(
    model: Model,
    pixels: Tensor,
    target: Tensor,
    plan: DecoderInversion,
    method: Safeguarded,
    damage: Damage | None,
) -> Solution:
    floor, damages = rounding_floor(model, pixels, target), [damage or _seen(picture) for picture in pixels]
    if not profile(model).trusted:
        return invert_with_twin(model, target, plan.floor * floor, plan.budget, damages)
    known = torch.stack([_damage_floor(model, pixels[i], target[i], one) for i, one in enumerate(damages)])
    tolerance = plan.floor * torch.maximum(floor, KNOWN * known.to(floor))

    def residual(z: Tensor, rows: Tensor) -> Tensor:
        return decoder_residual(model, z, target[rows])

    return solve(residual, target, method.forward, tolerance, plan.budget, plan.patience, plan.keep)


def _seen(pixels: Tensor) -> Damage | None:
    """JPEG, if it shows in pixels ``[3, H, W]``."""
    tables = jpeg_noise.of_pixels(images.to_bytes(pixels[None].float().cpu().numpy())[0])
    return tables.again if tables else None


def _damage_floor(model: Model, pixels: Tensor, target: Tensor, damage: Damage | None) -> Tensor:
    """Root mean square change of E under a damage of pixels ``[3, H, W]``, a scalar; 0 for none.

    The picture has been through it already, so that it is damaged on a grid moved by half a block.
    """
    if damage is None:
        return target.new_zeros(())
    picture, moved = images.to_bytes(pixels[None].float().cpu().numpy())[0], (jpeg_noise.SHIFT, jpeg_noise.SHIFT)
    again = np.roll(damage(np.roll(picture, moved, (0, 1))), (-moved[0], -moved[1]), (0, 1))
    shown = torch.from_numpy(images.to_float(again[None])).to(pixels)
    return rms(model.encode(shown) - target[None])[0]


def decoder_residual(model: Model, z: Tensor, target: Tensor) -> Tensor:
    """r(z) = E(clip D(z)) - E(x), with ``target`` E(x); all ``[B, C, h, w]``."""
    return model.encode(model.decode(z).clamp(-1, 1)) - target


def rounding_floor(model: Model, pixels: Tensor, target: Tensor) -> Tensor:
    """Root mean square change of E under rounding-sized noise, ``[B]``; one more evaluation of E."""
    generator = torch.Generator().manual_seed(0)
    noise = (torch.rand(pixels.shape[1:], generator=generator) - 0.5) * ROUNDING
    return rms(model.encode(pixels + noise.to(pixels)) - target)


def _untouched(latent: Tensor) -> Solution:
    count = len(latent)
    nothing = torch.full((count,), math.nan)
    evaluations = torch.zeros(count, dtype=torch.int64)
    return Solution(latent, nothing, evaluations, (Status.BUDGET,) * count, torch.zeros(0, count))
