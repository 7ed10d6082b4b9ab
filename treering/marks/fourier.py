"""Fourier geometry: the orthonormal transform, the half plane, and *cells* that carry one value each.

Noise is real, so its spectrum has F(-u) = conj F(u).  A mark is therefore written to a half plane
only, and its conjugate to the mirror points: the noise stays real by construction and what was
written reads back to rounding error.  A cell is a set of half-plane points that carry the same
value: a whole ring of one channel, or a single point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ..errors import InputError

Shape = tuple[int, int, int]
"""Channels, height and width of a latent."""


@dataclass(frozen=True, eq=False)
class Cells:
    """Half-plane points that carry a mark, in the flattened ``[C, h, w]`` spectrum.

    ``index`` and ``mirror``: flat positions, int64 ``[N]``.  ``cell``: the cell of every point, int64
    ``[N]``.  ``count``: points in every cell, int64 ``[D]``.
    """

    shape: Shape
    index: Tensor
    mirror: Tensor
    cell: Tensor
    count: Tensor


def spectrum(noise: Tensor) -> Tensor:
    """Orthonormal FFT ``[..., h, w]`` with zero frequency at ``(h // 2, w // 2)``; complex64."""
    return torch.fft.fftshift(torch.fft.fft2(noise, norm="ortho"), dim=(-2, -1))


def noise(spectrum: Tensor) -> Tensor:
    """Inverse of :func:`spectrum` for a spectrum with conjugate symmetry: real ``[..., h, w]``."""
    return torch.fft.ifft2(torch.fft.ifftshift(spectrum, dim=(-2, -1)), norm="ortho").real


def _frequencies(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Integer frequencies down ``[h, 1]`` and across ``[1, w]``."""
    return torch.arange(height)[:, None] - height // 2, torch.arange(width)[None, :] - width // 2


def half_plane(height: int, width: int) -> tuple[Tensor, Tensor]:
    """One point of every conjugate pair and its mirror point: flat positions, int64 ``[n]`` each.

    Self-conjugate points (zero frequency and, for even sizes, the Nyquist points) are left out.
    """
    down, across = _frequencies(height, width)
    here = torch.arange(height * width).view(height, width)
    there = (-down + height // 2) % height * width + (-across + width // 2) % width
    chosen = here > there
    return here[chosen], there[chosen]


def radius(height: int, width: int) -> Tensor:
    """Distance of every point from zero frequency, ``[h, w]``."""
    down, across = _frequencies(height, width)
    return torch.sqrt((down**2 + across**2).double())


@lru_cache(maxsize=64)
def ring_cells(shape: Shape, channels: tuple[int, ...], inner: int, outer: int) -> Cells:
    """One cell for each channel and ring ``inner`` to ``outer``; ring r is r - 1/2 <= |u| < r + 1/2."""
    index, mirror, distance = _within(shape, inner, outer)
    ring = torch.floor(distance + 0.5).long() - inner
    rings = outer - inner + 1
    return _over_channels(shape, channels, index, mirror, ring, rings)


@lru_cache(maxsize=64)
def disc_cells(shape: Shape, channels: tuple[int, ...], inner: int, outer: int) -> Cells:
    """A cell of its own for every half-plane point of rings ``inner`` to ``outer``."""
    index, mirror, _ = _within(shape, inner, outer)
    return _over_channels(shape, channels, index, mirror, torch.arange(len(index)), len(index))


def _within(shape: Shape, inner: int, outer: int) -> tuple[Tensor, Tensor, Tensor]:
    height, width = shape[1:]
    if not 1 <= inner <= outer <= (min(height, width) - 1) // 2:
        most = (min(height, width) - 1) // 2
        raise InputError(f"Rings {inner} to {outer} do not fit a {height}x{width} latent: use 1 to {most}.")
    index, mirror = half_plane(height, width)
    distance = radius(height, width).flatten()[index]
    inside = (distance >= inner - 0.5) & (distance < outer + 0.5)
    return index[inside], mirror[inside], distance[inside]


def _over_channels(
    shape: Shape, channels: Sequence[int], index: Tensor, mirror: Tensor, cell: Tensor, cells: int
) -> Cells:
    if not channels or len(set(channels)) != len(channels) or not all(0 <= c < shape[0] for c in channels):
        raise InputError(f"Channels {list(channels)} do not fit a latent of {shape[0]} channels.")
    plane = shape[1] * shape[2]
    return Cells(
        shape,
        torch.cat([c * plane + index for c in channels]),
        torch.cat([c * plane + mirror for c in channels]),
        torch.cat([i * cells + cell for i in range(len(channels))]),
        torch.bincount(cell, minlength=cells).repeat(len(channels)),
    )


def join(first: Cells, second: Cells) -> Cells:
    """The cells of both, which must not overlap."""
    return Cells(
        first.shape,
        torch.cat([first.index, second.index]),
        torch.cat([first.mirror, second.mirror]),
        torch.cat([first.cell, second.cell + len(first.count)]),
        torch.cat([first.count, second.count]),
    )


def imprint(plain: Tensor, cells: Cells, values: Tensor) -> Tensor:
    """Write one value to every cell: ``plain`` ``[B, C, h, w]``, ``values`` complex ``[B, D]`` or ``[D]``.

    All other frequencies keep what they had.  Returns float32 ``[B, C, h, w]``.
    """
    _check(plain, cells)
    flat = spectrum(plain.double()).flatten(1)
    written = values.to(flat.dtype).expand(len(flat), -1)[:, cells.cell]  # [B, N]
    flat[:, cells.index] = written
    flat[:, cells.mirror] = written.conj()
    return noise(flat.view(plain.shape)).to(torch.float32)


def coefficients(marked: Tensor, cells: Cells) -> Tensor:
    """The spectrum at the cells' points: noise ``[B, C, h, w]`` to complex128 ``[B, N]``."""
    _check(marked, cells)
    return torch.stack([spectrum(one.double()).flatten()[cells.index] for one in marked])


def _check(noise: Tensor, cells: Cells) -> None:
    if tuple(noise.shape[1:]) != tuple(cells.shape):
        raise InputError(f"Noise of shape {list(noise.shape)} does not fit cells of a latent {list(cells.shape)}.")


def read(coefficients: Tensor, cells: Cells) -> Tensor:
    """Mean over every cell: complex ``[B, N]`` to ``[B, D]``."""
    total = coefficients.new_zeros((len(coefficients), len(cells.count)))
    return total.index_add_(1, cells.cell, coefficients) / cells.count
