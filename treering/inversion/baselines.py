"""The baseline that differentiates the decoder, to be compared with."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..models import Model
from ..solvers import factor
from ..types import Solution, Status
from .methods import Gradient


def gradient(model: Model, pixels: Tensor, start: Tensor, method: Gradient, budget: int) -> Solution:
    """Latent by Adam on ||D(z) - x||^2: pixels ``[B, 3, H, W]`` and start ``[B, C, h, w]`` to the same form as start.

    One picture at a time, so that no picture depends on another.
    """
    values, traces = [], []
    for i in range(len(pixels)):
        x, z0 = pixels[i : i + 1].to(start.device), start[i : i + 1]
        z = z0.clone().requires_grad_(True)
        optimizer = torch.optim.Adam([z], lr=method.rate)
        errors = []
        for k in range(budget):
            optimizer.param_groups[0]["lr"] = method.rate * factor(method.schedule, k, budget)
            optimizer.zero_grad()
            with model.precision():
                # the sum, because the mean's gradient underflows in float16
                loss: Tensor = ((model.decode_with_gradient(z) - x) ** 2).sum()
                loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            errors.append((float(loss.detach()) / x.numel()) ** 0.5)
        values.append(z.detach())
        traces.append(torch.tensor(errors))
    trace = torch.stack(traces, 1)
    count = len(pixels)
    last = trace[-1] if budget else torch.full((count,), math.nan)
    status = tuple(Status.BUDGET if math.isfinite(value) else Status.NONFINITE for value in last.tolist())
    return Solution(torch.cat(values), last, torch.full((count,), budget), status, trace)
