"""From the demo's denoiser to one step, as InstaFlow does it (Liu et al. 2024): reflow, then distillation.

1. Couplings of noise and latent are drawn from the demo: DDIM, its prompts, guidance in it.
2. *Reflow*: velocity regression on them, E ||v(x_s, 1000 s) - (x1 - x0)||^2, from :mod:`.start`: a 2-rectified flow,
   whose paths are straighter, and which needs no guidance.
3. Couplings are drawn from that flow, with a few Euler steps.
4. *Distillation*: x0 + v(x0, 1000) is to be x1, by a smoothed absolute error.

The text encoder stays the demo's.  Every step is a function of its number, as in
:mod:`treering.research.demo.training`.
"""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...models import walk
from ...models.demo import WEIGHTS
from ...models.loading import load_latent_model as load
from ...models.pipeline import LatentModel
from ...models.schedule import Schedule, rectified_flow
from ..demo.training import Plan, Run, device
from . import start
from .couplings import Couplings

_log = logging.getLogger(__name__)

TEACHER_STEPS, TEACHER_GUIDANCE = 8, 3.0
FLOW_STEPS = 3
REFLOW = Plan(steps=150, batch=8, rate=4e-4, warmup=20, ema=0.98, save_every=20, seed=11)
DISTIL = Plan(steps=160, batch=8, rate=3e-4, warmup=20, ema=0.98, save_every=20, seed=12)
SMOOTH = 0.1
"""Latent units below which the distillation's absolute error is a square."""


def teacher_couplings(work: Path) -> Couplings:
    """Pairs of the demo."""
    return Couplings(work / "teacher.npy", 576, seed=11)


def flow_couplings(work: Path) -> Couplings:
    """Pairs of the 2-rectified flow."""
    return Couplings(work / "flow.npy", 384, seed=12)


def demo() -> LatentModel:
    """The shipped demo model."""
    return load(str(WEIGHTS), str(device()))


# ----------------------------------------------------------------------------------- couplings


def draw_teacher(work: Path) -> None:
    """Couplings of the demo model with its own sampler."""
    model = demo()
    sampler = model.schedule(TEACHER_STEPS)
    empty = model.context("")

    def sample(noise: Tensor, captions: list[str]) -> Tensor:
        context = torch.cat([model.context(caption) for caption in captions])
        f = _guided(model.unet, context, empty)
        return _sampled(sampler, f, noise)

    teacher_couplings(work).make(sample)


def draw_flow(work: Path) -> None:
    """Couplings of the 2-rectified flow with few Euler steps, no guidance."""
    model, unet = demo(), trained(work, REFLOW, "reflow")
    sampler = rectified_flow(FLOW_STEPS)

    def sample(noise: Tensor, captions: list[str]) -> Tensor:
        context = torch.cat([model.context(caption) for caption in captions])
        return _sampled(sampler, lambda x, time, rows: _predict(unet, x, time, context), noise)

    flow_couplings(work).make(sample)


def _guided(unet: Any, context: Tensor, empty: Tensor) -> walk.Denoiser:
    both = torch.cat([empty.expand(len(context), -1, -1), context])

    def f(x: Tensor, time: float, rows: Tensor) -> Tensor:
        plain, prompted = _predict(unet, torch.cat([x, x]), time, both).chunk(2)
        return plain + TEACHER_GUIDANCE * (prompted - plain)

    return f


@torch.no_grad()
def _sampled(sampler: Schedule, f: walk.Denoiser, noise: Tensor) -> Tensor:
    noise = noise.to(device(), memory_format=torch.channels_last)
    return walk.sample(sampler, f, noise).cpu()


# ------------------------------------------------------------------------------------ training


def reflow(work: Path) -> None:
    """Velocity regression on the demo's couplings."""
    model = demo()
    if not (work / "reflow.safetensors").exists():
        start.turn(model.unet.requires_grad_(True), model.scheduler().alphas_cumprod)
    run = Run(model.unet.train().requires_grad_(True), REFLOW, work / "reflow.safetensors")
    source = teacher_couplings(work)
    pairs, texts = source.pairs(), _Texts(model, source)

    def loss_at(step: int) -> Tensor:
        rng, chosen = _chosen(REFLOW, step, len(pairs))
        noise, data = _pair(pairs, chosen)
        s = torch.from_numpy((np.arange(len(chosen)) + rng.random(len(chosen))) / len(chosen)).float()  # stratified
        share = s[:, None, None, None].to(noise.device)
        guess = _predict(model.unet, torch.lerp(data, noise, share), 1000 * s, texts(chosen))
        return ((guess - (data - noise)) ** 2).mean()

    run.train(loss_at)


def distil(work: Path) -> None:
    """One step to where the 2-rectified flow gets in several."""
    model, unet = demo(), trained(work, REFLOW, "reflow")
    run = Run(unet.train().requires_grad_(True), DISTIL, work / "distil.safetensors")
    source = flow_couplings(work)
    pairs, texts = source.pairs(), _Texts(model, source)

    def loss_at(step: int) -> Tensor:
        _, chosen = _chosen(DISTIL, step, len(pairs))
        noise, data = _pair(pairs, chosen)
        guess = _predict(unet, noise, torch.full((len(chosen),), 1000.0), texts(chosen))
        error = guess - (data - noise)
        return (error.square() + SMOOTH**2).sqrt().mean() - SMOOTH

    run.train(loss_at)


def trained(work: Path, plan: Plan, name: str) -> Any:
    """The averaged network of a run that is complete."""
    unet = demo().unet
    Run(unet, plan, work / f"{name}.safetensors").use_average()
    return unet.requires_grad_(False)


class _Texts:
    """Text embeddings ``[B, tokens, width]`` of the captions of pairs, each computed once."""

    def __init__(self, model: LatentModel, source: Couplings) -> None:
        self._context, self._caption = cache(model.context), cache(source.caption)

    def __call__(self, indices: NDArray[np.int64]) -> Tensor:
        return torch.cat([self._context(self._caption(int(i))) for i in indices])


def _chosen(plan: Plan, step: int, count: int) -> tuple[np.random.Generator, NDArray[np.int64]]:
    """The step's random generator, and rows of its batch: every pair once in each pass over all."""
    at = step * plan.batch
    rows = [_order(plan.seed, i // count, count)[i % count] for i in range(at, at + plan.batch)]
    return np.random.default_rng([plan.seed, 3, step]), np.array(rows)


@cache
def _order(seed: int, turn: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, 4, turn]).permutation(count)


def _pair(pairs: NDArray[np.float16], chosen: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    both = torch.from_numpy(pairs[chosen].astype(np.float32)).to(device())
    return both[:, 0], both[:, 1]


def _predict(unet: Any, x: Tensor, times: Tensor | float, context: Tensor) -> Tensor:
    """The network's answer ``[B, 4, h, w]`` in float32, computed in bfloat16: two thirds of the time on one core."""
    times = torch.as_tensor(times, device=x.device)
    x = x.contiguous(memory_format=torch.channels_last)
    with torch.autocast(x.device.type, torch.bfloat16):
        answer: Tensor = unet(x, times, encoder_hidden_states=context).sample
    return answer.float()
