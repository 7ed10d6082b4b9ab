"""What a model's autoencoder is like, asked of the model itself, once: whether plain forward steps may be trusted.

A synthetic picture is encoded, decoded and rounded, so that its latent is known; then a few forward steps of size 1
are taken from what the encoder makes of it.  To first order the error of each is I - J times the one before
(J: the Jacobian of E after clip D), so the ratio of two is the growth of I - J, the data's rounding included.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..models import Model
from ..pictures import images

STEPS = 3
TRUSTED = 0.97
"""Growth up to which forward steps are trusted.  (The demo model and a trained public autoencoder are far from it,
on either side: ``python -m treering.research autoencoder`` prints both.)"""
_CACHE = "_decoder_profile"
_DISCS = 60


@dataclass(frozen=True)
class Profile:
    """``errors``: the latent's error after 0, 1, ... forward steps of size 1, in units of the encoder's."""

    errors: tuple[float, ...]

    @property
    def growth(self) -> float:
        """The largest ratio of an error to the one before; infinite where a number failed."""
        pairs = zip(self.errors, self.errors[1:], strict=False)
        ratios = [new / old if old > 0 and math.isfinite(new / old) else math.inf for old, new in pairs]
        return max(ratios, default=math.inf)

    @property
    def trusted(self) -> bool:
        """Whether every forward step lowered the error."""
        return self.growth <= TRUSTED


def profile(model: Model) -> Profile:
    """The model's profile: measured when first asked for, then kept on the model, under its fingerprint."""
    kept: dict[str, Profile] = vars(model).setdefault(_CACHE, {})
    name = str(model.fingerprint)
    if name not in kept:
        kept[name] = measure(model)
    return kept[name]


def measure(model: Model) -> Profile:
    """Measure it: ``STEPS`` + 2 evaluations of the encoder and ``STEPS`` + 1 of the decoder, on one picture."""
    true = model.encode(probe_picture(model.image_size))
    shown = images.to_float(images.to_bytes(model.decode(true).float().nan_to_num().cpu().numpy()))
    z = target = model.encode(torch.from_numpy(shown))
    errors = [_error(z, true)]
    for _ in range(STEPS):
        z = z - (model.encode(model.decode(z).clamp(-1, 1)) - target)
        errors.append(_error(z, true))
    first = errors[0] or 1.0
    return Profile(tuple(error / first for error in errors))


def _error(z: Tensor, true: Tensor) -> float:
    return float((z - true).float().square().mean().sqrt())


def probe_picture(size: tuple[int, int], seed: int = 0) -> Tensor:
    """A picture ``[1, 3, H, W]`` in [-1, 1] with what photographs have: edges, and detail at every scale.

    Overlapping textured discs whose radii follow a power law ("dead leaves": Lee, Mumford and Huang 2001), over
    noise with a 1/f spectrum; the same for the same size and seed on every machine, up to rounding.
    """
    height, width = size
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(height) / height, torch.arange(width) / width, indexing="ij")
    picture = 0.3 * _texture(generator, height, width, 1.0)
    for _ in range(_DISCS):
        u: Any = torch.rand(5, generator=generator).tolist()
        radius = 0.031 / math.sqrt(u[0] * (1 - 0.0039) + 0.0039)  # 1/r^3 between 1/32 and 1/2 of the side
        inside = (y - u[1]) ** 2 + (x - u[2]) ** 2 < radius**2
        if u[3] < 0.5:  # half of them are cut off straight
            inside &= (y - u[1]) * math.cos(2 * math.pi * u[4]) + (x - u[2]) * math.sin(2 * math.pi * u[4]) > 0
        colour = 0.45 * torch.randn(3, generator=generator) @ _OPPONENT
        leaf = colour[:, None, None] + 0.1 * _texture(generator, height, width, 0.8)
        picture = torch.where(inside, leaf, picture)
    return picture.clamp(-1, 1)[None]


_OPPONENT = torch.tensor([[0.8, 0.8, 0.8], [0.4, 0.0, -0.4], [0.15, -0.3, 0.15]])
"""Brightness varies most, then blue against red, then green: ``[3, 3]``, a row each, in RGB."""


def _texture(generator: torch.Generator, height: int, width: int, power: float) -> Tensor:
    """Coloured noise ``[3, H, W]`` of unit brightness whose amplitude falls as 1/f^power."""
    fy, fx = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None]
    frequency = (fy**2 + fx**2).sqrt().clamp(min=1 / max(height, width))
    white = torch.randn(3, height, width, generator=generator)
    noise = torch.fft.irfft2(torch.fft.rfft2(white) / frequency**power, s=(height, width))
    noise = noise - noise.mean((1, 2), keepdim=True)
    noise = noise / noise.std((1, 2), keepdim=True).clamp(min=1e-6)
    return torch.einsum("chw,cd->dhw", noise, _OPPONENT)
