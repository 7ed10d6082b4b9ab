"""The number type that a machine does fastest, asked of torch, and held against float32 once a model.

Whether a type is quick is a property of the processor, so that a result never depends on a clock: bfloat16 where there
are instructions for it (AMX, AVX512-BF16, or a GPU that says so), float32 elsewhere.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from ..settings import DTYPES

if TYPE_CHECKING:
    from torch import Tensor

    from .pipeline import LatentModel

FAR = 0.05
"""Difference of a recovered noise from that of float32, in shares of its norm, up to which a type will do.

z falls by less than this share; the demo's is 0.0065.
"""


def fastest(device: torch.device) -> str:
    """A name of :data:`treering.settings.DTYPES`."""
    return DTYPES[1] if _has_bfloat16(device) else DTYPES[0]


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    asked = (getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("amx_tile", "avx512_bf16"))
    return any(ask is not None and ask() for ask in asked)


def picture(size: tuple[int, int]) -> Tensor:
    """Waves of many lengths and colours in [-1, 1], ``[1, 3, H, W]``: the same on every machine."""
    y, x = (torch.linspace(0, 1, side) for side in size)
    waves = [
        torch.sin(2 * torch.pi * (k * y[:, None] + (7 * k % 11) * x[None] + c / 3)) / math.sqrt(k)
        for c in range(3)
        for k in (1, 2, 5, 9, 17, 30)
    ]
    stacked: Tensor = torch.stack(waves).view(3, 6, *size).sum(1)
    return (stacked / 3).clamp(-1, 1)[None]


def sample(model: LatentModel, picture: Tensor) -> Tensor:
    """What a model makes of a picture ``[1, 3, H, W]``, read as the first stage of a plan does: ``[1, C, h, w]``."""
    return model.recover(model.encode(picture), "", steps=2).cpu().float()


def agrees(found: Tensor, exact: Tensor) -> bool:
    """Whether a recovered noise is near that of float32; never where a number is not finite."""
    return bool((found - exact).norm() <= FAR * exact.norm())
