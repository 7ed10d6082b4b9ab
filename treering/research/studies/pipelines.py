"""What marking and reading cost at published shapes, with random weights: seconds and peak memory, beside diffusers.

Time and memory do not depend on what the weights are; accuracy does, and nothing is said of it here.  On a CPU the same
is done with tiny networks, which shows that it runs and nothing of speed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import torch

from ...inversion import decoder_residual
from ...models.adapter import PipelineModel
from ...models.batching import PARTS, Batching, out_of_memory
from ...models.hub import quiet
from ...models.loading import resolved
from ...models.pipeline import DTYPES
from ..common import Note, write_table
from ..experiments.peak import MB, highest, reset
from ..published_pipelines import SHAPES, random_pipeline

STEPS, BACK, GUIDANCE = 20, 5, 5.0
"""Sampler steps of embedding, those of reading, and guidance of embedding."""
ROWS, TINY_ROWS = (1, 4, 16, 32), (1, 2)
"""Pictures at once."""
TINY_SIDE = 64
HEADER = ("shape", "number type", "at once", "what", "s a picture", "peak MB")
Unit = tuple[str, str, bool]
"""Shape, number type, and whether the network that predicts is compiled."""


def pipelines(output: Path, device: str = "auto", count: int = 1, note: Note = lambda text: None) -> str:
    """Medians of ``count`` calls after a first one; every shape and number type in a process of its own."""
    device, rows, text = resolved(device), list[list[str]](), ""
    for unit in units(device):
        for row in _fresh(device, count, unit):
            rows.append(row)
            note(" | ".join(row))
        text = f"{_title(device)}\n\n{write_table(output / 'pipelines.md', HEADER, rows)}"
        (output / "pipelines.md").write_text(text.rstrip() + "\n", encoding="utf-8")
    return text


def _title(device: str) -> str:
    tiny = "tiny networks: this shows that it runs, and nothing of speed"
    place = torch.cuda.get_device_name(device) if device.startswith("cuda") else f"{device}, {tiny}"
    return f"Random weights: time and memory alone, nothing of accuracy. {place}, torch {torch.__version__}."


def units(device: str) -> Iterator[Unit]:
    """All that is measured."""
    dtypes = ("float32",) if device == "cpu" else ("float32", "bfloat16", "float16")
    for name in SHAPES:
        for dtype in dtypes:
            yield name, dtype, False
        if device.startswith("cuda"):
            yield name, "bfloat16", True


def _fresh(device: str, count: int, unit: Unit) -> list[list[str]]:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        try:
            return pool.submit(measured, device, count, unit).result()
        except (BrokenExecutor, MemoryError):
            return [[unit[0], _number(unit), "", "all", "out of memory", ""]]


def _number(unit: Unit) -> str:
    return f"{unit[1]}{', compiled' if unit[2] else ''}"


def measured(device: str, count: int, unit: Unit) -> list[list[str]]:
    """The rows of one unit."""
    name, dtype, compiled = unit
    tiny = device == "cpu"
    side = TINY_SIDE if tiny else SHAPES[name][0]
    rows = list[list[str]]()
    with quiet():
        try:
            pipe = random_pipeline(name, device, DTYPES[dtype], tiny)
            if compiled:
                part = "unet" if hasattr(pipe, "unet") else "transformer"
                getattr(pipe, part).compile()
            for at_once in TINY_ROWS if tiny else ROWS:
                for what, call in _calls(pipe, name, side, at_once):
                    cost = _cost(call, device, count)
                    rows.append([name, _number(unit), str(at_once), what, *_cells(cost, at_once)])
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            rows.append([name, _number(unit), "", "all further", "out of memory", ""])
    return rows


def _cells(cost: tuple[float, float], at_once: int) -> tuple[str, str]:
    return f"{cost[0] / at_once:.3g}", f"{cost[1]:.0f}"


def _calls(pipe: Any, name: str, side: int, rows: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    """What is measured of so many pictures: diffusers' own call first, then ours at the same steps."""
    model, size = PipelineModel(pipe, name), (side, side)
    shape = model.noise_shape(size)
    model.batching = Batching(dict.fromkeys(PARTS, 2 * rows))
    noise = torch.randn(rows, *shape, generator=torch.Generator().manual_seed(0))
    pixels = torch.rand(rows, 3, *size, generator=torch.Generator().manual_seed(1)) * 2 - 1
    guided = {"guidance_scale": GUIDANCE} if model.caller.doubles else {}
    own = {"height": side, "width": side, "num_inference_steps": STEPS, "output_type": "latent", **guided}
    prompts, scale = ["word1"] * rows, GUIDANCE if guided else 1.0
    yield f"diffusers, {STEPS} steps", lambda: pipe(prompts, **own)
    yield f"embed: sample, {STEPS} steps", lambda: model.sample(noise, prompts, STEPS, scale)
    yield "embed: decode", lambda: model.decode(noise)
    yield "encode", lambda: model.encode(pixels)
    there = noise.to(model.device)
    yield "decoder inversion, an iteration", lambda: decoder_residual(model, there, there)
    yield f"noise inversion, {BACK} steps", lambda: model.recover(noise, "", BACK)


def _cost(call: Callable[[], Any], device: str, count: int) -> tuple[float, float]:
    """Median seconds of a call after a first one, and megabytes at the peak."""
    call()
    reset(device)
    seconds = [_timed(call, device) for _ in range(count)]
    return median(seconds), highest(device) / MB


def _timed(call: Callable[[], Any], device: str) -> float:
    started = time.perf_counter()
    call()
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return time.perf_counter() - started
