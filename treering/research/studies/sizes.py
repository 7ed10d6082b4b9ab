"""What decoder inversion costs at the sizes of published models, with random weights.

Time and memory do not depend on what the weights are; accuracy does, and nothing is said of it here.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from ... import files, report
from ...inversion import decoder_residual
from ...models import LatentModel
from ...models.batching import PARTS as PARTS_OF_MODEL
from ...models.batching import Batching, out_of_memory
from .. import memory
from ..experiments.peak import MB, available, highest, reset
from ..experiments.timing import timed
from ..published import SIZES, random_model

Note = Callable[[str], None]
Unit = tuple[str, str, int, str]
"""Model, number type, pictures at once, and part."""
ENCODER, FREE, BASED, DENOISER = "E(x)", "gradient-free iteration", "gradient-based iteration", "denoiser, guided"
PARTS = (ENCODER, FREE, BASED, DENOISER)


@dataclass(frozen=True)
class Cost:
    """Seconds of a call after the first; megabytes of the weights, of the process at its peak, and of what the call
    added to the loaded model.  NaN where memory did not suffice."""

    seconds: float
    weights: float
    peak: float
    above: float


def units(device: str) -> Iterator[Unit]:
    """All that is measured; a CPU takes pictures one at a time, minutes for 16 frames, which are left out there."""
    half = "bfloat16" if device == "cpu" else "float16"
    for name, size in SIZES.items():
        for frames in sorted({1, size.frames}) if device != "cpu" else (1,):
            for dtype in ("float32", half):
                for part in PARTS if name == "Stable Diffusion 2.1" else (FREE, BASED):
                    yield name, dtype, frames, part


def sizes(output: Path, device: str = "cpu", count: int = 1, note: Note = lambda text: None) -> str:
    """Time and peak memory of every part in a process of its own; medians of ``count`` calls after a first one."""
    header = ("model", "bits", "pictures at once", "what", "seconds", "weights, MB", "peak, MB", "above loaded, MB")
    rows, text = list[list[str]](), ""
    for unit in units(device):
        cost = _fresh(device, count, unit)
        rows.append([*_head(*unit), *_cells(cost)])
        note(" ".join(rows[-1]))
        text = f"{_title(device)}\n\n{report.markdown_table(header, rows)}"
        files.replace(output / "sizes.md", (text.rstrip() + "\n").encode())
    return text


def _title(device: str) -> str:
    place = f"{torch.get_num_threads()} threads" if device == "cpu" else torch.cuda.get_device_name(device)
    left_out = " The 16 frames of LaVie at once are left to a GPU." if device == "cpu" else ""
    return f"Random weights: time and memory alone, nothing of accuracy. {place}, torch {torch.__version__}.{left_out}"


def _head(name: str, dtype: str, frames: int, part: str) -> list[str]:
    height, width = SIZES[name].image
    return [f"{name}, {width}x{height}", "32" if dtype == "float32" else f"16 ({dtype})", str(frames), part]


def _cells(cost: Cost) -> list[str]:
    if math.isnan(cost.peak):
        return ["out of memory", "", "", ""]
    return [f"{cost.seconds:.3g}", *(f"{size:.0f}" for size in (cost.weights, cost.peak, cost.above))]


def _fresh(device: str, count: int, unit: Unit) -> Cost:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        try:
            return pool.submit(_measure, device, count, *unit).result()
        except (BrokenExecutor, MemoryError):
            return Cost(*[math.nan] * 4)


def _measure(device: str, count: int, name: str, dtype: str, frames: int, part: str) -> Cost:
    if device == "cpu":
        _no_more_than_there_is()
    try:
        model = random_model(name, device, dtype)
        model.batching = Batching(dict.fromkeys(PARTS_OF_MODEL, 1 if device == "cpu" else 2 * frames))
        height, width = model.image_size
        pixels = torch.rand((frames, 3, height, width), generator=torch.Generator().manual_seed(0)) * 2 - 1
        call = _call(model, pixels.to(model.device), part)
        model.encode(pixels[:1])  # what the first call allocates for good is not the part's
        before = reset(device)
        seconds = [timed(model, call)[1] for _ in range(1 + count)]
    except RuntimeError as error:
        if out_of_memory(error):
            raise MemoryError from None
        raise
    peak = highest(device)
    return Cost(median(seconds[1:]), model.weight_bytes / MB, peak / MB, (peak - before) / MB)


def _call(model: LatentModel, pixels: Tensor, part: str) -> Callable[[], object]:
    """What is measured, with all that it needs at hand."""
    latent = torch.randn((len(pixels), *model.shape), generator=torch.Generator().manual_seed(1)).to(model.device)

    def gradient() -> None:
        z = latent.clone().requires_grad_(True)
        with model.precision():
            ((model.decode_with_gradient(z) - pixels) ** 2).sum().backward()  # type: ignore[no-untyped-call]

    if part == DENOISER:
        denoiser, rows = model.denoiser(["a lighthouse"] * len(latent), guidance=7.5), torch.arange(len(latent))
        return lambda: denoiser(latent, 500.0, rows)
    return {
        ENCODER: lambda: model.encode(pixels),
        FREE: lambda: decoder_residual(model, latent, torch.zeros_like(latent)),
        BASED: gradient,
    }[part]


def _no_more_than_there_is() -> None:
    """Ask for too much and be told, rather than be killed with whatever else runs (Linux)."""
    with contextlib.suppress(OSError, ImportError):
        import resource

        most = int(memory.status("VmData") + 0.9 * available())
        resource.setrlimit(resource.RLIMIT_DATA, (most, resource.getrlimit(resource.RLIMIT_DATA)[1]))
