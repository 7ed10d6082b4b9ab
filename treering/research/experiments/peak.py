"""Peak memory of one decoder inversion, measured in a fresh process so that nothing earlier is counted.

On a CPU it is the largest resident set, on a GPU the allocator's peak.
"""

from __future__ import annotations

import contextlib
import gc
import math
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from dataclasses import astuple, dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from ... import inversion
from ...inversion import DecoderInversion
from ...models import load_latent_model as load
from ...models.batching import out_of_memory
from .. import memory
from .bench import Settings

MB = 1e6
_PROCESSES = 3
_ENOUGH = 8
"""Iterations after which memory grows no more: the longest history that a method keeps, and some."""


@dataclass(frozen=True)
class Peak:
    """In megabytes: the process at its peak, the model's own weights, and what the inversion added to the loaded
    process; NaN where memory did not suffice."""

    total_mb: float
    model_mb: float
    above_mb: float


def peak(settings: Settings, plan: DecoderInversion, dtype: str = "float32") -> Peak:
    """Run a few iterations of a plan, each time in a process of its own; the median of three such processes."""
    shorter = replace(plan, budget=min(plan.budget, _ENOUGH))
    if settings.device.startswith("cuda"):
        torch.cuda.empty_cache()  # what this process keeps for later, the others may need
    runs = [_fresh(settings, shorter, dtype) for _ in range(_PROCESSES)]
    columns = zip(*(astuple(run) for run in runs), strict=True)
    return Peak(*(float(np.median(column)) for column in columns))


def _fresh(settings: Settings, plan: DecoderInversion, dtype: str) -> Peak:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        try:
            return pool.submit(_measure, settings.model, settings.device, dtype, plan).result()
        except (BrokenExecutor, MemoryError):  # killed
            return Peak(math.nan, math.nan, math.nan)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            return Peak(math.nan, math.nan, math.nan)


def _measure(name: str, device: str, dtype: str, plan: DecoderInversion) -> Peak:
    model = load(name, device, dtype)
    height, width = model.image_size
    pixels = torch.rand((1, 3, height, width), generator=torch.Generator().manual_seed(0)) * 2 - 1
    model.encode(pixels)  # what the first call allocates for good is not the inversion's
    before = reset(device)
    inversion.invert_decoder(model, pixels, plan)
    after = highest(device)
    return Peak(after / MB, model.weight_bytes / MB, (after - before) / MB)


def reset(device: str) -> float:
    """Forget the peak so far; bytes in use now, NaN where the system cannot forget."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
        return float(torch.cuda.memory_allocated(device))
    gc.collect()
    with contextlib.suppress(ImportError, OSError, AttributeError, TypeError):  # on Windows there is no CDLL(None)
        import ctypes

        ctypes.CDLL(None).malloc_trim(0)  # glibc: what was freed goes back to the system
    try:
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew (Linux, proc(5))
    except OSError:
        return math.nan
    return memory.status("VmRSS")


def highest(device: str) -> float:
    """Peak in bytes."""
    if device.startswith("cuda"):
        return float(torch.cuda.max_memory_allocated(device))
    return memory.peak()


def available() -> float:
    """Bytes that a new process could have (Linux)."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return 1024 * float(next(line for line in lines if line.startswith("MemAvailable")).split()[1])
