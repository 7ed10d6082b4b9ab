"""Pixels to latent: the root of r(z) = E(clip D(z)) - E(x), after Hong et al. 2024, eq. (3).

The decoder's output is clipped as the picture was, so that the residual at the true latent is rounding alone.

A small residual is not the goal by itself: E(D(z)) = E(x) does not make D(z) = x where x was rounded
or compressed, and a method that fits the rounding amplifies it.  The stopping rule is the discrepancy
principle (Morozov 1966): stop where the residual is as small as rounding makes it.  Where that is not enough,
the steps are fitted to a picture whose latent is known: see :mod:`treering.inversion.twin`.
"""

from __future__ import annotations

import math

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
    noise in units of [-1, 1]; if neither, JPEG that shows in the pixels is taken into account.  Only the method
    :class:`Safeguarded` makes use of it, and only on models whose profile does not trust forward steps.
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
    tolerance = plan.floor * rounding_floor(model, pixels, target)
    if not profile(model).trusted:
        damages = [damage or _seen(picture) for picture in pixels]
        return invert_with_twin(model, target, tolerance, plan.budget, damages)

    def residual(z: Tensor, rows: Tensor) -> Tensor:
        return decoder_residual(model, z, target[rows])

    return solve(residual, target, method.forward, tolerance, plan.budget, plan.patience, plan.keep)


def _seen(pixels: Tensor) -> Damage | None:
    """JPEG, if it shows in pixels ``[3, H, W]``."""
    tables = jpeg_noise.of_pixels(images.to_bytes(pixels[None].float().cpu().numpy())[0])
    return tables.again if tables else None


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
