"""A mark in the noise of a clip: the same key in every frame, as the part that does not change with time.

The noise of a clip is noise of its frames, ``x_f = sum_s W[f, s] e_s`` with independent e_s and rows of unit length:
``W = I`` for video models, whose frames are drawn independently; two sources on a circle for a picture model that makes
a clip frame by frame (:func:`turning`).  At the cells of a mark the mean over time is replaced by the key, and what is
left of every frame stays:

    x_f = sqrt(a) key + sqrt((1 - a) / (1 - n)) (x_f - mean of x)

``n = |mean row of W|^2`` is the share of the mean in a frame's energy.  With ``a = n`` the noise has exactly the
distribution that unmarked noise has (over keys); a larger share makes the mark stronger in every single frame and its
frequencies more alike in time.  ``a = 1`` is one picture's mark in every frame.

All frames carry the same mark, so that it is read from the mean of any of them, in any order, at any speed: nothing
about time has to be known, searched or paid for (:mod:`treering.reading.clips`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..errors import InputError
from ..settings import MOST_FRAMES
from . import fourier
from .seeds import plain_noise

if TYPE_CHECKING:
    from torch import Tensor

    from .bounds import Shape, Size
    from .fourier import Cells
    from .keyring import Complexes, Keyring

SHARE = 0.5
"""Share of the mark in the energy of its cells in every frame, where frames are independent.

A compromise: with the natural share, 1/8 of eight frames, a single frame of the demo's is not named (log10 p -4);
with all of it nothing at these frequencies changes with time.  ``python -m treering.research clips`` compares them;
no video model with trained weights was at hand."""

TURN = 6.0
"""Degrees that the noise of a picture model turns from frame to frame."""


def independent(shape: Shape, frames: int, seed: int) -> tuple[Tensor, float]:
    """Noise ``[C, F, h, w]`` of a video model, and the share n of its mean."""
    channels, height, width = shape
    _check(frames)
    return plain_noise((channels, frames, height, width), seed)[0], 1 / frames


def turning(shape: Shape, frames: int, seed: int, degrees: float = TURN) -> tuple[Tensor, float]:
    """Noise ``[C, F, h, w]`` that turns slowly from one noise to another and on, and the share n of its mean.

    Frame f is ``cos(f d) a + sin(f d) b``, plain noise each for itself, and like its neighbours to cos(d): what a
    picture model makes of it changes smoothly.
    """
    import torch

    _check(frames)
    angle = torch.arange(frames, dtype=torch.float64) * math.radians(degrees)
    weights = torch.stack([angle.cos(), angle.sin()], 1)  # [F, 2]
    sources = torch.stack([plain_noise(shape, seed, stream=stream)[0] for stream in (0, 1)])  # [2, C, h, w]
    noise = torch.einsum("fs,schw->cfhw", weights.float(), sources)
    return noise, min(1.0, float(weights.mean(0).square().sum()))


def _check(frames: int) -> None:
    if not 1 <= frames <= MOST_FRAMES:
        raise InputError(f"A clip has 1 to {MOST_FRAMES} frames.")


def imprint(plain: Tensor, natural: float, cells: Cells, values: Complexes, share: float = SHARE) -> Tensor:
    """Write key values ``[D]`` into the noise of a clip, both ``[C, F, h, w]``, float32.

    ``natural``: share of the mean over time in the energy of ``plain``.  ``share``: of the mark; never less than that.
    """
    import torch

    if not 0 <= share <= 1:
        raise InputError("The share of a mark in a clip is a number from 0 to 1.")
    frames = plain.transpose(0, 1)  # [F, C, h, w]
    rest = fourier.imprint(frames, cells, torch.zeros(len(values), dtype=torch.complex128))
    key = fourier.imprint(torch.zeros_like(frames[:1]), cells, torch.from_numpy(values))
    share = max(share, natural)
    if share < 1 - 1e-9:
        own = frames - rest
        rest = rest + math.sqrt((1 - share) / (1 - natural)) * (own - own.mean(0, keepdim=True))
        key = math.sqrt(share) * key
    return (rest + key).transpose(0, 1).contiguous()


def noise(
    keyring: Keyring,
    key: int,
    seed: int,
    frames: int,
    *,
    nonce: int = 0,
    size: Size | None = None,
    share: float = SHARE,
    turn: float | None = None,
) -> Tensor:
    """Marked noise of one clip, float32 ``[1, C, F, h, w]``; ``frames``: of the latent.

    ``turn``: degrees from frame to frame, for a picture model; None for independent frames.
    """
    keyring.check_classes([key])
    plain, natural = unmarked(keyring.shape_of(size), seed, frames, turn)
    values = keyring.values([key], nonce, None, size)[0]
    return imprint(plain, natural, keyring.cells(size), values, share)[None]


def unmarked(shape: Shape, seed: int, frames: int, turn: float | None = None) -> tuple[Tensor, float]:
    """Noise ``[C, F, h, w]`` without a mark, and the share n of its mean; see :func:`noise`."""
    return independent(shape, frames, seed) if turn is None else turning(shape, frames, seed, turn)
