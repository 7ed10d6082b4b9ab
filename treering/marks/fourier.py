"""Fourier geometry: the orthonormal transform, the half plane, and *cells* that carry one value each.

Noise is real, so its spectrum has F(-u) = conj F(u).  A mark is therefore written to a half plane
only, and its conjugate to the mirror points: the noise stays real by construction and what was
written reads back to rounding error.  A cell is a set of half-plane points that carry the same
value: a whole ring of one channel, or a single frequency.

Frequencies (ky, kx) are whole numbers of cycles a picture.  The half plane is ky > 0, and kx > 0 where
ky = 0.  Ring r holds (2r - 1)^2 <= 4 (ky^2 + kx^2) < (2r + 1)^2, that is |k| rounded, in the canonical
order: sorted by ky, then kx.  A latent h x w has those with |ky| < h/2 and |kx| < w/2; which value a
frequency carries does not depend on the latent.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import InputError

Shape = tuple[int, int, int]
"""Channels, height and width of a latent."""


class Carrier(NamedTuple):
    """How one channel carries a mark.

    ``whole``: one value for each ring, else one for each frequency.  ``share``: how much of every ring belongs to
    the synchronisation part, 0 to 1; frequency i of a ring does where floor((i + 1) share) > floor(i share).
    ``last``: last ring that has such a part (0: the last of all).
    """

    channel: int
    whole: bool
    share: float = 0.0
    last: int = 0


@dataclass(frozen=True, eq=False)
class Cells:
    """Half-plane points that carry a mark, in the flattened ``[C, h, w]`` spectrum.

    For each of N points, int64 ``[N]``: ``index`` and ``mirror``, flat positions; ``cell``, the cell it belongs
    to; ``channel``; ``ring``; ``position``, where its value stands in the stream of its channel and ring.
    ``frequency``: (ky, kx), int64 ``[N, 2]``.  ``sync``: whether it is of the synchronisation part, bool ``[N]``.
    ``count``: points in each of D cells, int64 ``[D]``.  The points of a cell lie together, cells in order.
    """

    shape: Shape
    index: Tensor
    mirror: Tensor
    cell: Tensor
    channel: Tensor
    frequency: Tensor
    ring: Tensor
    position: Tensor
    sync: Tensor
    count: Tensor

    @property
    def first(self) -> Tensor:
        """The first point of every cell, int64 ``[D]``; ``cells.ring[cells.first]`` is the ring of every cell."""
        return self.count.cumsum(0) - self.count

    def take(self, which: Tensor) -> Cells:
        """Some of the cells, int64 ``[K]``, in this order: a screen draws no more values than it compares."""
        count = self.count[which]
        start = torch.repeat_interleave(self.first[which] - (count.cumsum(0) - count), count)
        points = start + torch.arange(len(start))
        chosen = {name: getattr(self, name)[points] for name in _OF_POINTS}
        return replace(self, **chosen | {"cell": torch.repeat_interleave(torch.arange(len(which)), count)}, count=count)


_OF_POINTS = tuple(f.name for f in fields(Cells) if f.name not in ("shape", "cell", "count"))


def spectrum(noise: Tensor) -> Tensor:
    """Orthonormal FFT ``[..., h, w]`` with zero frequency at ``(h // 2, w // 2)``; complex64."""
    return torch.fft.fftshift(torch.fft.fft2(noise, norm="ortho"), dim=(-2, -1))


def noise(spectrum: Tensor) -> Tensor:
    """Inverse of :func:`spectrum` for a spectrum with conjugate symmetry: real ``[..., h, w]``."""
    return torch.fft.ifft2(torch.fft.ifftshift(spectrum, dim=(-2, -1)), norm="ortho").real


# Frequencies


def half_plane(height: int, width: int) -> Tensor:
    """One frequency (ky, kx) of every conjugate pair that a plane has, sorted: int64 ``[n, 2]``.

    Zero and, for even sizes, the Nyquist lines are left out.
    """
    down = torch.arange((height + 1) // 2)
    across = torch.arange(-((width - 1) // 2), (width + 1) // 2)
    points = torch.cartesian_prod(down, across).view(-1, 2)
    return points[(points[:, 0] > 0) | (points[:, 1] > 0)]


def rings(frequency: Tensor) -> Tensor:
    """Ring of every frequency (ky, kx): int64 ``[..., 2]`` to ``[...]``."""
    # No integer lies at the edge of a ring, (r - 1/2)^2, so rounding cannot move a frequency into another.
    return torch.floor(frequency.double().square().sum(-1).sqrt() + 0.5).long()


@lru_cache(maxsize=64)
def disc(inner: int, outer: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rings ``inner`` to ``outer`` whole, ring after ring in canonical order.

    Frequency int64 ``[n, 2]``, its ring ``[n]``, and its position in that ring ``[n]``.
    """
    points = half_plane(2 * outer + 2, 2 * outer + 2)
    ring = rings(points)
    order = torch.argsort(ring, stable=True)
    order = order[(ring[order] >= inner) & (ring[order] <= outer)]
    ring = ring[order]
    before = torch.searchsorted(ring, ring)  # points of the rings further in
    return points[order], ring, torch.arange(len(ring)) - before


def exists(frequency: Tensor, height: int, width: int) -> Tensor:
    """Whether a plane has these frequencies ``[n, 2]``: bool ``[n]``; Nyquist is left out."""
    return (2 * frequency.abs() < torch.tensor([height, width])).all(1)


def corner(shape: Shape) -> int:
    """The last ring of which a latent has any frequency: that of the corners of its spectrum."""
    return int(rings(torch.tensor([[(side - 1) // 2 for side in shape[1:]]])))


def check_rings(shape: Shape, inner: int, outer: int, whole: bool = True) -> None:
    """Raise ``InputError`` unless a latent has these rings; ``whole``: all of each, not the corners alone."""
    most = (min(shape[1:]) - 1) // 2 if whole else corner(shape)
    if not 1 <= inner <= outer <= most:
        advice = f"use 1 to {most}" if most >= 1 else "such a latent is too small"
        raise InputError(f"Rings {inner} to {outer} do not fit a {shape[1]}x{shape[2]} latent: {advice}.")


# Cells


@lru_cache(maxsize=64)
def cells(shape: Shape, carriers: tuple[Carrier, ...], inner: int, outer: int) -> Cells:
    """The cells of a mark, as far as the latent ``shape`` has their frequencies: by channel, ring and frequency.

    Raises ``InputError`` where it has none, or not these channels.
    """
    channels = [carrier.channel for carrier in carriers]
    if not channels or len(set(channels)) != len(channels) or not all(0 <= c < shape[0] for c in channels):
        raise InputError(f"Channels {channels} do not fit a latent of {shape[0]} channels.")
    return _joined(shape, [_of_channel(shape, carrier, inner, outer) for carrier in carriers])


def _of_channel(shape: Shape, carrier: Carrier, inner: int, outer: int) -> Cells:
    height, width = shape[1:]
    frequency, ring, position = disc(inner, outer)
    here = exists(frequency, height, width)
    if not here.any():
        raise InputError(f"Rings {inner} to {outer} have no frequency in a {height}x{width} latent.")
    frequency, ring, position = frequency[here], ring[here], position[here]
    index, mirror = (carrier.channel * height * width + _flat(k, height, width) for k in (frequency, -frequency))
    cell = torch.unique_consecutive(ring, return_inverse=True)[1] if carrier.whole else torch.arange(len(ring))
    return Cells(
        shape,
        index,
        mirror,
        cell,
        torch.full_like(ring, carrier.channel),
        frequency,
        ring,
        torch.zeros_like(position) if carrier.whole else position,
        _synchronisation(position, carrier.share) & (ring <= (carrier.last or outer)),
        torch.bincount(cell),
    )


def _flat(frequency: Tensor, height: int, width: int) -> Tensor:
    return (frequency[:, 0] + height // 2) * width + frequency[:, 1] + width // 2


def _synchronisation(position: Tensor, share: float) -> Tensor:
    at = position.double()
    return torch.floor((at + 1) * share) > torch.floor(at * share)


def _joined(shape: Shape, parts: list[Cells]) -> Cells:
    points = {name: torch.cat([getattr(part, name) for part in parts]) for name in _OF_POINTS}
    count = torch.cat([part.count for part in parts])
    return Cells(shape=shape, cell=torch.repeat_interleave(torch.arange(len(count)), count), count=count, **points)


# Writing and reading


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
