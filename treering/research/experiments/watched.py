"""A model that remembers which latents it was asked to decode, and when: the path of any decoder inversion."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...inversion import DecoderInversion, Safeguarded, invert_decoder, profile
from ...models import LatentModel
from ...pictures import images
from ...solvers import Rates
from ...types import Solution
from .timing import finish, timed


def rate_text(rate: float, schedule: Rates) -> str:
    """``0.1 scheduled`` or ``0.01 fixed``."""
    return f"{rate:g} {'scheduled' if schedule == 'cosine' else 'fixed'}"


def runs(schedule: Rates, budgets: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Which budgets one path serves: all of them at a fixed rate, each its own where the rate depends on it."""
    return [(budget,) for budget in budgets] if schedule == "cosine" else [budgets]


class Watched(LatentModel):
    """Shares the networks of a model; notes every decoded latent ``[1, C, h, w]`` and the seconds until then."""

    def __init__(self, model: LatentModel) -> None:
        self.__dict__.update(model.__dict__)
        self.decoded: list[Tensor] = []
        self.seconds: list[float] = []
        self._started = time.perf_counter()

    def decode_with_gradient(self, latent: Tensor) -> Tensor:
        """As the model's; the methods all decode through it."""
        finish(self)
        self.decoded.append(latent.detach().clone())
        self.seconds.append(time.perf_counter() - self._started)
        return super().decode_with_gradient(latent)


@dataclass(frozen=True)
class Path:
    """The iterates of one picture, first to last, with the seconds from the start to each of them."""

    latents: tuple[Tensor, ...]
    seconds: tuple[float, ...]
    solution: Solution

    def after(self, iterations: int) -> tuple[Tensor, float]:
        """The iterate after so many iterations (or at the end), and the seconds that it took."""
        i = min(iterations, len(self.latents) - 1)
        return self.latents[i], self.seconds[i]


def follow(model: LatentModel, picture: NDArray[np.uint8], plan: DecoderInversion) -> Path:
    """Invert the decoder for one picture uint8 ``[H, W, 3]`` and keep the path."""
    pixels = torch.from_numpy(images.to_float(picture[None]))
    if isinstance(plan.method, Safeguarded):
        profile(model)  # measured once a model: no part of any picture's path
    finish(model)
    watched = Watched(model)
    solution, seconds = timed(model, lambda: invert_decoder(watched, pixels, plan))
    ended = (*watched.decoded, solution.value) if plan.keep == "last" or plan.method is None else watched.decoded
    return Path(tuple(ended), (*watched.seconds, seconds)[: len(ended)], solution)
