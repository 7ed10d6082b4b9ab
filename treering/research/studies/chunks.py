"""Decoder inversion of a clip: memory by the number of frames, in chunks and by gradients.

The autoencoder is of the shape that Stable Diffusion 1.4 and LaVie have, with random weights: time and memory do not
depend on what they are.  Published for LaVie, 16 frames (Hong et al. 2024): 7.13 GB gradient-free in 16 bits, 64.7 GB
gradient-based in 32 bits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ... import inversion
from ...inversion import DecoderInversion
from ...models import LatentModel
from ...models.batching import Batching, out_of_memory
from ...solvers import ForwardStep
from ..common import Note, write_table
from ..experiments.peak import MB, highest, reset
from ..published import SIZES, Size, fill, networks
from .sizes import _no_more_than_there_is as no_more_than_there_is

FREE, BASED, BASED_CHUNKS = "gradient-free, a frame at a time", "gradient-based, all frames", "gradient-based, a frame"
MOST = 16
"""Frames of LaVie's clips."""

HEADER = ("what", "frames", "seconds an iteration", "weights, MB", "above loaded, MB", "above, MB a frame")


@dataclass(frozen=True)
class Cost:
    """Seconds of one iteration over all frames, and megabytes: of the weights, and above the loaded model."""

    seconds: float
    weights: float
    above: float


def chunks(output: Path, count: int, note: Note, size: tuple[int, int] | None = None) -> str:
    """One iteration each, in a process of its own; by gradients up to ``count`` frames at once.

    ``size``: height and width of the frames (None: LaVie's, 320x512, minutes a row on two cores).
    """
    size = size or SIZES["LaVie"].image
    rows, text = list[list[str]](), ""
    for what, frames in _units(count):
        cost = _fresh(what, frames, size)
        rows.append([what, str(frames), *_cells(cost, frames)])
        note(" | ".join(rows[-1]))
        table = write_table(output / "chunks.md", HEADER, rows)
        text = f"Frames of {size[1]}x{size[0]}, float32, {torch.get_num_threads()} threads.\n\n{table}"
        (output / "chunks.md").write_text(text, encoding="utf-8")
    return text


def _units(count: int) -> Iterator[tuple[str, int]]:
    yield from ((FREE, frames) for frames in (1, 4, MOST))
    yield from ((BASED, 2**i) for i in range(max(1, count).bit_length()) if 2**i <= count)
    yield BASED_CHUNKS, 4


def _cells(cost: Cost, frames: int) -> list[str]:
    if math.isnan(cost.above):
        return ["out of memory", "", "", ""]
    return [f"{cost.seconds:.3g}", *(f"{value:.0f}" for value in (cost.weights, cost.above, cost.above / frames))]


def _fresh(what: str, frames: int, size: tuple[int, int]) -> Cost:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        try:
            return pool.submit(_measure, what, frames, size, torch.get_num_threads()).result()
        except (BrokenExecutor, MemoryError):
            return Cost(*[math.nan] * 3)


def _measure(what: str, frames: int, size: tuple[int, int], threads: int) -> Cost:
    torch.set_num_threads(threads)
    no_more_than_there_is()
    try:
        model = autoencoder(size)
        pixels = torch.rand((frames, 3, *size), generator=torch.Generator().manual_seed(0)) * 2 - 1
        model.encode(pixels[:1, :, :64, :64])  # what the first call allocates for good is not the inversion's
        before, started = reset("cpu"), time.perf_counter()
        _iterate(model, pixels, what)
        seconds = time.perf_counter() - started
    except RuntimeError as error:
        if out_of_memory(error):
            raise MemoryError from None
        raise
    return Cost(seconds, _weights(model) / MB, (highest("cpu") - before) / MB)


def _iterate(model: LatentModel, pixels: Tensor, what: str) -> None:
    if what == FREE:
        inversion.invert_clip(model, pixels, DecoderInversion(ForwardStep(1.0), 1))
        return
    rows = len(pixels) if what == BASED else 1
    for chunk in torch.split(pixels, rows):
        z = torch.randn(len(chunk), 4, chunk.shape[2] // 8, chunk.shape[3] // 8, requires_grad=True)
        loss: Any = ((model.decode_with_gradient(z) - chunk) ** 2).sum()
        loss.backward()


def autoencoder(size: tuple[int, int]) -> LatentModel:
    """A model whose autoencoder is of full size, and whose other networks are next to nothing."""
    import diffusers
    from transformers import CLIPTextConfig, CLIPTextModel

    vae = fill(networks(Size(size, 1, (8, 1, 1), {"cross_attention_dim": 8}))[0].to_empty(device="cpu"))
    unet = diffusers.UNet2DConditionModel(
        sample_size=(size[0] // 8, size[1] // 8), block_out_channels=(32,), layers_per_block=1, cross_attention_dim=8,
        down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",), attention_head_dim=8,
    )  # fmt: skip
    text = CLIPTextModel(CLIPTextConfig(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1))
    model = LatentModel("autoencoder", vae, unet, text, None, diffusers.DDIMScheduler()).to("cpu", "float32")
    model.batching = Batching({"encoder": 1, "decoder": 1})
    return model


def _weights(model: LatentModel) -> float:
    return float(sum(p.numel() * p.element_size() for p in model.vae.parameters()))
