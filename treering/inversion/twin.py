"""A decoder inversion that watches the error itself: every picture has a twin whose latent is known.

The error z - z* of an iterate is unknown and the residual does not tell it: where the picture was rounded or
compressed, or where I - J grows (J: the Jacobian of E after clip D), the residual falls while the error rises.  But
there is a picture much like the given one whose latent is known: that which the model decodes from y = E(x).  It is
made, damaged as the given picture was, and encoded; its first error E(twin) - y is known exactly.  Both pictures
then take the same steps.  In every channel the coefficients of the twin's residuals that bring the twin's error down
most (least squares) are those that the given picture's residuals are taken with:

    z_k = y - sum_j c_j r_j,   c = argmin |e' - sum_j c_j r'_j|^2   (primes: the twin's)

For the twin this is the best of all methods whose iterates lie in the span of the residuals: forward steps,
inertia, Anderson and Barzilai-Borwein among them.  An iteration costs two evaluations, and it is accepted only where
it lowers the twin's error by :data:`WORTH`; so a picture that nothing can be gained on keeps the encoder's latent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..models import Model
from ..pictures import images
from ..solvers import rms
from ..types import Solution, Status

Damage = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""What happened to a picture after it was made: uint8 ``[H, W, 3]`` to the same."""

WORTH = 0.02
"""Share of the twin's error (root mean square) that an iteration must take away, or else it is not made."""
RIDGE = 0.1
"""Ridge of the least squares, in units of the mean square of the residuals: errs on the side of small steps."""


def white(noise: float) -> Damage:
    """White noise of so many units of [-1, 1] (root mean square), the same for every picture."""

    def add(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        draws = np.random.default_rng(0).standard_normal(picture.shape)
        noisy = np.rint(picture + 127.5 * noise * draws)
        return np.clip(noisy, 0, 255).astype(np.uint8)

    return add


def invert_with_twin(
    model: Model, target: Tensor, tolerance: Tensor, budget: int, damages: Sequence[Damage | None]
) -> Solution:
    """Latents from ``target`` = E(x) ``[B, C, h, w]``, in at most ``budget`` iterations.

    ``tolerance``: residual ``[B]`` at which to stop.  ``damages``: one a picture; None is rounding alone.
    ``evaluations`` counts both pictures' pairs of decoder and encoder; ``trace`` is that of the given picture.
    No sample depends on its neighbours.
    """
    found = [_invert(model, target[i : i + 1], float(tolerance[i]), budget, damages[i]) for i in range(len(target))]
    if not found:
        return Solution(target, target.new_zeros(0), torch.zeros(0, dtype=torch.int64), (), torch.zeros(budget, 0))
    return Solution(
        torch.cat([one.value for one in found]),
        torch.cat([one.residual for one in found]),
        torch.cat([one.evaluations for one in found]),
        tuple(one.status[0] for one in found),
        torch.cat([one.trace for one in found], 1),
    )


class _Twins:
    """A picture and its twin on their way back, one sample."""

    def __init__(self, model: Model, target: Tensor, damage: Damage | None) -> None:
        self.model, self.target, self.damage = model, target, damage
        self.residuals: list[Tensor] = []  # [C, n] each
        self.twin_residuals: list[Tensor] = []
        self.z = self.value = target
        self.residual = torch.full((1,), math.nan, device=target.device)
        self.evaluations = 0

    def look(self) -> Tensor:
        """The residual at the iterate: its root mean square ``[1]``."""
        decoded = self.model.decode(self.z).clamp(-1, 1)
        r = self.model.encode(decoded) - self.target
        self.evaluations += 1
        if not self.residuals:
            self._decoded = decoded
        self.residuals.append(r[0].flatten(1))
        return rms(r)

    def look_at_twin(self) -> None:
        """The twin's residual at its iterate; at first, the twin is made."""
        if not self.twin_residuals:
            self.twin_target = self.twin_z = self.model.encode(_damaged(self._decoded, self.damage))
            self.twin_error = (self.twin_target - self.target)[0].flatten(1)
            self.left = _norm(self.twin_error)
        r = self.model.encode(self.model.decode(self.twin_z).clamp(-1, 1)) - self.twin_target
        self.evaluations += 1
        self.twin_residuals.append(r[0].flatten(1))

    def step(self) -> bool:
        """Move both to where the twin's error is least; says whether that is worth it."""
        rs, twins = torch.stack(self.residuals, 1), torch.stack(self.twin_residuals, 1)  # [C, m, n]
        c = coefficients(twins, self.twin_error)
        shift, twin_shift = ((c[:, :, None] * r).sum(1) for r in (rs, twins))
        left = _norm(self.twin_error - twin_shift)
        if not left <= (1 - WORTH) * self.left or not bool(torch.isfinite(shift).all()):
            return False
        self.left = left
        self.z = self.target - shift.view_as(self.target)
        self.twin_z = self.twin_target - twin_shift.view_as(self.target)
        return True


def coefficients(residuals: Tensor, error: Tensor) -> Tensor:
    """Least squares ``min |error - sum_j c_j residuals_j|`` in every channel: ``[C, m, n]``, ``[C, n]`` to ``[C, m]``.

    NaN where a number is not finite.
    """
    r, e = residuals.cpu().double(), error.cpu().double()  # a few rows; not every device has float64
    gram = r @ r.transpose(1, 2)
    if not bool(torch.isfinite(gram).all() & torch.isfinite(e).all()):
        return residuals.new_full(residuals.shape[:2], math.nan)
    mean = gram.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
    ridge = (RIDGE * mean + 1e-30) * torch.eye(r.shape[1], dtype=r.dtype)
    solved: Tensor = torch.linalg.solve(gram + ridge, r @ e[:, :, None])
    return solved[:, :, 0].to(residuals)


def _invert(model: Model, target: Tensor, tolerance: float, budget: int, damage: Damage | None) -> Solution:
    twins, status = _Twins(model, target, damage), Status.BUDGET
    trace = torch.full((budget, 1), math.nan)
    for k in range(budget):
        size = twins.look()
        trace[k] = size.cpu()
        if not bool(torch.isfinite(size).all()):
            status = Status.NONFINITE
            break
        twins.value, twins.residual = twins.z, size
        if float(size) <= tolerance:
            status = Status.CONVERGED
            break
        twins.look_at_twin()
        if not twins.step():
            status = Status.GUARDED
            break
        twins.value = twins.z
    evaluations = torch.tensor([twins.evaluations])
    return Solution(twins.value, twins.residual, evaluations, (status,), trace)


def _damaged(decoded: Tensor, damage: Damage | None) -> Tensor:
    """Decoded pixels ``[1, 3, H, W]`` as the file has them: rounded, and damaged as the given picture was."""
    picture = images.to_bytes(decoded.nan_to_num().cpu().numpy())[0]
    shown = picture if damage is None else damage(picture)
    return torch.from_numpy(images.to_float(shown[None])).to(decoded.device)


def _norm(x: Tensor) -> float:
    return float(x.cpu().double().square().sum().sqrt())
