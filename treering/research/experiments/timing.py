"""Seconds that count all of the work, also where a GPU goes on after the call has returned."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import torch

from ...models import LatentModel

Result = TypeVar("Result")


def finish(model: LatentModel) -> None:
    """Wait until the model's device has done all that it was asked to."""
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)


def timed(model: LatentModel, work: Callable[[], Result]) -> tuple[Result, float]:
    """What ``work`` gives, and its seconds."""
    finish(model)
    started = time.perf_counter()
    result = work()
    finish(model)
    return result, time.perf_counter() - started
