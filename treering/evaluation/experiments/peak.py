"""Peak memory of one decoder inversion, measured in a fresh process so that nothing earlier is counted.

On a CPU it is the largest resident set, on a GPU the allocator's peak.
"""

from __future__ import annotations

import contextlib
import sys
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

from ... import inversion
from ...errors import TreeringError
from ...inversion import DecoderInversion
from .bench import Settings

MB = 1e6
_ENOUGH = 8
"""Iterations after which memory grows no more: the longest history that a method keeps, and some."""


@dataclass(frozen=True)
class Peak:
    """In megabytes: the process at its peak, the model's own weights, and what the inversion added to the loaded
    process."""

    total_mb: float
    model_mb: float
    above_mb: float


def peak(settings: Settings, plan: DecoderInversion, dtype: str = "float32") -> Peak:
    """Run a few iterations of a plan in a process of its own; raises ``TreeringError`` if that is killed."""
    shorter = replace(plan, budget=min(plan.budget, _ENOUGH))
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        try:
            return pool.submit(_measure, settings.model, settings.device, dtype, shorter).result()
        except BrokenExecutor as error:
            raise TreeringError(f"There is not enough memory for {plan.name}.") from error


def _measure(name: str, device: str, dtype: str, plan: DecoderInversion) -> Peak:
    import torch

    from ...models import load

    model = load(name, device, dtype)
    networks = (model.vae, model.unet, model.text_encoder)
    size = sum(t.numel() * t.element_size() for net in networks for t in (*net.parameters(), *net.buffers()))
    height, width = model.image_size
    pixels = torch.rand((1, 3, height, width), generator=torch.Generator().manual_seed(0)) * 2 - 1
    before = _reset(device)
    inversion.invert_decoder(model, pixels, plan)
    after = _highest(device)
    return Peak(after / MB, size / MB, (after - before) / MB)


def _reset(device: str) -> float:
    """Forget the peak so far, if the system can; bytes in use now."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)
        return float(torch.cuda.memory_allocated(device))
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew (Linux, proc(5))
    return _highest(device)


def _highest(device: str) -> float:
    """Peak in bytes."""
    if device.startswith("cuda"):
        import torch

        return float(torch.cuda.max_memory_allocated(device))
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * float(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    except (OSError, StopIteration):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return float(unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
