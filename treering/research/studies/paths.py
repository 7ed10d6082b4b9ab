"""Stable Diffusion's own way against the pipeline called by itself, on the demo model, call by call in turn."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch

from ...marks.keyring import Keyring
from ...models import LatentModel, demo
from ...models.adapter import PipelineModel
from ...models.hub import quiet
from ...reading import Detector
from ..common import Note, draw, fixed, write_table

Pair = tuple[Callable[[], Any], Callable[[], Any]]
HEADER = ("what", "own way, s", "pipeline called, s", "median of the ratios")


def paths(model: LatentModel, keyring: Keyring, output: Path, count: int, note: Note) -> str:
    """Medians of ``count`` pairs, processor seconds; both do the same work on the same numbers."""
    import diffusers

    with quiet():
        pipe = diffusers.StableDiffusionPipeline.from_pretrained(demo.WEIGHTS, torch_dtype=torch.float32)
        pipe.set_progress_bar_config(disable=True)
        rows = [_row(name, *calls, count) for name, calls in _calls(model, PipelineModel(pipe), keyring).items()]
    for row in rows:
        note(" | ".join(row))
    return write_table(output / "paths.md", HEADER, rows)


def _calls(own: LatentModel, called: PipelineModel, keyring: Keyring) -> dict[str, Pair]:
    latent, picture = draw(own, keyring.noise(1, 1), 1)
    pixels = own.decode(latent).clamp(-1, 1)
    readers = [Detector(model, keyring, effort="fast") for model in (own, called)]
    return {
        "encode": (lambda: own.encode(pixels), lambda: called.encode(pixels)),
        "decode": (lambda: own.decode(latent), lambda: called.decode(latent)),
        "noise, 2 steps": (lambda: own.recover(latent, steps=2), lambda: called.recover(latent, steps=2)),
        "noise, 5 steps": (lambda: own.recover(latent, steps=5), lambda: called.recover(latent, steps=5)),
        "detect, as given": (lambda: readers[0](picture[None]), lambda: readers[1](picture[None])),
    }


def _row(name: str, own: Callable[[], Any], called: Callable[[], Any], count: int) -> list[str]:
    own(), called()  # what is probed once is not counted
    pairs = [(_seconds(own), _seconds(called)) for _ in range(count)]
    ours, theirs = (fixed(median(pair[i] for pair in pairs), 4) for i in (0, 1))
    return [name, ours, theirs, fixed(median(b / a for a, b in pairs), 2)]


def _seconds(call: Callable[[], Any]) -> float:
    started = time.process_time()
    call()
    return time.process_time() - started
