"""A rectified flow's network to begin with: the demo's denoiser, turned into nearly the velocity that is wanted.

Notation: x_s = (1 - s) x1 + s x0 with noise x0, data x1 and s from 1 (noise) to 0; the flow predicts x1 - x0 and is
told 1000 s.  The denoiser was trained on x_t = alpha x1 + sigma x0 and predicts v = alpha x0 - sigma x1 (Salimans and
Ho 2022).  At the time with sigma / (alpha + sigma) = s both inputs agree up to a factor, and

    x1 - x0 = -(alpha + sigma) v + (alpha - sigma) x_t.

So the last layer's sign is turned and the time embedding fitted to the other clock; the second term, a multiple of the
input between -1 and 1, and the factor, between 1 and 1.41, are left to training.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch
from torch import Tensor

_log = logging.getLogger(__name__)

FITTED = 1500
"""Steps of the time embedding's fit: some seconds."""


def clock(alphas_cumprod: Tensor) -> Tensor:
    """The denoiser's time for s = 0, 1/1000, ..., 1: float32 ``[1001]``, between its own steps where it must be."""
    signal, spread = alphas_cumprod.double().sqrt(), (1 - alphas_cumprod.double()).sqrt()
    share = (spread / (signal + spread)).numpy()
    times = np.interp(np.linspace(0, 1, 1001), share, np.arange(len(share)))
    return torch.from_numpy(times).float()


def turn(unet: Any, alphas_cumprod: Tensor) -> None:
    """Make a velocity-predicting denoiser the start of a rectified flow, in place."""
    with torch.no_grad():
        unet.conv_out.weight.neg_()
        unet.conv_out.bias.neg_()
    _fit_clock(unet, clock(alphas_cumprod))


def _fit_clock(unet: Any, times: Tensor) -> None:
    """The time embedding at 1000 s becomes what it was at the denoiser's time of s."""
    device = unet.conv_out.weight.device
    with torch.no_grad():
        wanted = unet.time_embedding(unet.time_proj(times.to(device)))
    features = unet.time_proj(torch.arange(len(times), dtype=torch.float32, device=device))
    parameters = list(unet.time_embedding.parameters())
    optimizer = torch.optim.Adam(parameters, lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, FITTED)
    for _ in range(FITTED):
        loss = ((unet.time_embedding(features) - wanted) ** 2).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    _log.info("time embedding fitted: %.1e of its variance is left", float(loss.detach() / wanted.var()))
