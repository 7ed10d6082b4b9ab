"""Frames of a clip to latents, a few at a time, so that memory does not grow with the length of the clip.

For autoencoders of pictures, which know nothing of the frames beside: the residual of one frame is no other frame's
business, and a method without gradients holds nothing between chunks but what it found.  (Causal autoencoders go
through a clip in chunks themselves: their own ``encode`` and ``decode`` are called once.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from ..errors import InputError
from ..models import LatentModel
from ..types import Solution
from .decoder import invert_decoder
from .methods import DecoderInversion


def invert_clip(model: LatentModel, frames: Tensor, plan: DecoderInversion, rows: int = 1) -> Solution:
    """Frames ``[F, 3, H, W]`` in [-1, 1] to latents ``[F, C, h, w]``, ``rows`` frames at a time.

    A frame's latent is the same as by itself.  Raises ``InputError`` for a clip without frames.
    """
    return joined([invert_decoder(model, chunk, plan) for chunk in _chunks(frames, rows)])


def _chunks(frames: Tensor, rows: int) -> Iterator[Tensor]:
    if not len(frames) or rows < 1:
        raise InputError("A clip has at least one frame, and at least one is inverted at a time.")
    yield from torch.split(frames, rows)


def joined(parts: Iterable[Solution]) -> Solution:
    """The account of several batches as one; traces of methods that stopped sooner end in NaN."""
    parts = list(parts)
    longest = max(len(part.trace) for part in parts)
    traces = [part.trace.new_full((longest, len(part.value)), torch.nan) for part in parts]
    for trace, part in zip(traces, parts, strict=True):
        trace[: len(part.trace)] = part.trace
    return Solution(
        torch.cat([part.value for part in parts]),
        torch.cat([part.residual for part in parts]),
        torch.cat([part.evaluations for part in parts]),
        tuple(status for part in parts for status in part.status),
        torch.cat(traces, 1),
    )
