"""How pictures are made."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from treering.settings import GUIDANCE, STEPS, Sampling

from .common import Decorator, apply
from .types import FiniteRange


def sampling(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--steps`` and ``--guidance``, given to the command as one ``sampling: Sampling``."""

    @functools.wraps(function)
    def with_sampling(*args: Any, steps: int | None, guidance: float | None, **rest: Any) -> Any:
        return function(*args, sampling=Sampling(steps, guidance), **rest)

    return apply(with_sampling, _SAMPLING)


_SAMPLING: tuple[Decorator, ...] = (
    click.option(
        "--steps",
        type=click.IntRange(1, 1000),
        metavar="N",
        show_default=f"{STEPS}, or the model's own few",
        help="Sampler steps.",
    ),
    click.option(
        "--guidance",
        type=FiniteRange(0, 100),
        metavar="X",
        show_default=f"{GUIDANCE:g}, or 1 where the steps are few",
        help="How closely to follow the prompt.",
    ),
)
