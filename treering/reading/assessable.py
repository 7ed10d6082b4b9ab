"""Whether there is anything to read: a failure must never look like a picture without a mark."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..types import Solution, Status

FLAT = 2
"""A picture whose levels differ by no more than this in every channel is of one colour."""


def unreadable(pictures: NDArray[np.uint8], solution: Solution, noise: Tensor) -> list[str | None]:
    """Why nothing can be said of a picture in which nothing was found, one sentence or None each.

    ``pictures``: uint8 ``[B, H, W, 3]``.  ``noise``: what was recovered, ``[B, C, h, w]``.
    """
    finite = torch.isfinite(noise.flatten(1)).all(1).tolist()
    latent = torch.isfinite(solution.value.flatten(1)).all(1).tolist()
    return [_reason(pictures[i], solution.status[i], latent[i], finite[i]) for i in range(len(pictures))]


def _reason(picture: NDArray[np.uint8], status: Status, latent: bool, noise: bool) -> str | None:
    if np.ptp(picture.reshape(-1, 3), axis=0).max() <= FLAT:
        return "The picture is of one colour, so there is nothing to read."
    if not latent or status is Status.NONFINITE:
        return "The decoder inversion gave numbers that are not finite; try another --method, or float32."
    if not noise:
        return "The noise inversion gave numbers that are not finite; try more --steps, or float32."
    return None
