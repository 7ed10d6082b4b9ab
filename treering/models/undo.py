"""A sampler's steps undone, last one first: where the next model output is needed, and what follows from it.

One step x_{i+1} = a x_i + b f(scale x_i, t) + h, with h from earlier model outputs, is solved for x_i by the solver
room's methods on the residual r(x) = (a x + b f(scale x, t) + h - x_{i+1}) / a.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..solvers import Anderson, Method, rms
from ..types import Status
from .response import Response

SOLVER = Anderson(7)
"""How a step is solved: one evaluation of it is DDIM inversion."""

Walk = Generator[tuple[Tensor, int], Tensor, "Found"]
"""Yields (point, step) where a model output is needed, is sent the output, and returns what was found."""


@dataclass
class Found:
    """First sample ``[B, ...]``; per sample the largest residual of all steps, and why the solver stopped.

    ``levels``: the samples of all steps, noisiest first.
    """

    value: Tensor
    residual: Tensor
    status: tuple[Status, ...]
    levels: list[Tensor] = field(default_factory=list)


def order(response: Response, evaluations: int) -> list[int]:
    """The step of every evaluation of :func:`walk`, known beforehand: the pipeline's loop runs over them."""
    steps = list(reversed(range(len(response.a))))
    if response.remembers:
        return steps * evaluations
    counts = shares(response, evaluations)
    return [step for step in steps for _ in range(counts[step])]


def shares(response: Response, evaluations: int) -> list[int]:
    """Evaluations of every step, ``evaluations`` on average: half of them each, the rest as steps are long.

    The residual of a step falls by about b / a times the slope of the model in every evaluation.
    """
    count, least = len(response.a), (evaluations + 1) // 2
    length = torch.tensor([abs(b / a) * s for a, b, s in zip(response.a, response.b, response.scales, strict=True)])
    ideal = (length / length.sum().clamp_min(1e-12) * count * (evaluations - least)).cumsum(0).round().long()
    return (torch.diff(ideal, prepend=torch.zeros(1, dtype=torch.int64)) + least).tolist()


def walk(response: Response, latent: Tensor, evaluations: int, tolerance: float, method: Method) -> Walk:
    """Latent ``[B, ...]`` to first sample, ``evaluations`` model outputs a step.

    The first guess of a point is what the model output before it leads to; at the first step of all, where there is
    none, it is the cleaner end, as DDIM inversion has it everywhere (Song et al. 2021).  A sampler
    that remembers is walked back several times: in the first pass every earlier model output is taken for the
    step's own, then for what the pass before has found.
    """
    passes, each = (evaluations, [1] * len(response.a)) if response.remembers else (1, shares(response, evaluations))
    book = _Book(len(latent), latent.device, tolerance)
    outputs = dict[int, Tensor]()
    scales = (*response.scales, 1.0)
    x, levels = latent, [latent]
    for turn in range(passes):
        x, levels = latent, [latent]
        book.begin()
        for i in reversed(range(len(response.a))):
            step = _Step(response, i, x, outputs if turn else None)
            near = outputs.get(i, outputs.get(i + 1))
            start = x * (scales[i + 1] / scales[i]) if near is None else x - step.residual(x, near)
            x, outputs[i] = yield from _solve(step, start, i, each[i], book, method)
            levels.append(x)
    return Found(x, book.residual, book.statuses(), levels[::-1])


@dataclass
class _Step:
    """One step to undo: x_{i+1} = a x + b f + h."""

    response: Response
    i: int
    end: Tensor
    outputs: dict[int, Tensor] | None

    def residual(self, x: Tensor, f: Tensor) -> Tensor:
        """(a x + b f + h - end) / a, where h takes f itself for what is not known."""
        a, b = self.response.a[self.i], self.response.b[self.i]
        r = a * x + b * f - self.end
        for j, weight in enumerate(self.response.history[self.i]):
            if weight:
                r = r + weight * (f if self.outputs is None else self.outputs[j])
        return r / a


def _solve(
    step: _Step, x: Tensor, i: int, budget: int, book: _Book, method: Method
) -> Generator[tuple[Tensor, int], Tensor, tuple[Tensor, Tensor]]:
    """What solves the step, and the model output at the best point evaluated."""
    state, value = method.begin(x), x
    least, output = torch.full((len(x),), torch.inf, device=x.device), torch.zeros_like(x)
    moving = torch.ones(len(x), dtype=torch.bool, device=x.device)
    for k in range(budget):
        f = yield x, i
        r = step.residual(x, f)
        size = rms(r)
        new = method.step(state, x, r, (k, budget))
        better = moving & (size < least) & torch.isfinite(new.flatten(1)).all(1)
        keep = better.view(-1, *[1] * (x.ndim - 1))
        value, output = torch.where(keep, new, value), torch.where(keep, f, output)
        least = torch.where(better, size, least)
        moving = moving & (size > book.tolerance * 1e-3) & torch.isfinite(size)
        x = torch.where(moving.view(-1, *[1] * (x.ndim - 1)), new, x)
    book.enter(least)
    return value, output


class _Book:
    """The account of every sample over all steps."""

    def __init__(self, count: int, device: torch.device, tolerance: float) -> None:
        self.tolerance = tolerance
        self.residual = torch.zeros(count, device=device)

    def begin(self) -> None:
        """A new pass: what the one before left open does not count."""
        self.residual = torch.zeros_like(self.residual)

    def enter(self, residual: Tensor) -> None:
        """The residual that one step was left with, ``[B]``."""
        self.residual = torch.maximum(self.residual, residual)

    def statuses(self) -> tuple[Status, ...]:
        """A status for every sample."""
        return tuple(
            Status.CONVERGED if r <= self.tolerance else Status.BUDGET if r < torch.inf else Status.NONFINITE
            for r in self.residual.tolist()
        )
