"""The spectrum of a recovered noise under any pose: exactly in float64, and fast for a screen.

Frequencies are in cycles a picture on each axis, so that a noise of any size can be read for a mark of any other, and
origins are in the centre of the picture, about which poses turn (:mod:`.lattice`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample

from ..errors import InputError
from .affine import Floats, Integers, shift_of

Complexes = NDArray[np.complex128]

OVERSAMPLED = 4
"""Points of the screen's spectrum a cycle a picture."""


@dataclass(frozen=True, eq=False)
class Template:
    """Values to look for: a synchronisation part, or the whole key of one class.

    Every point has a value of its own, drawn from the standard complex normal distribution: only then are scores
    standard normal (:func:`scores`).  Rings, which repeat one value, need another deviation and are not for this room.

    ``channels``: the latent's channels in use.  ``frequency``: int64 ``[U, 2]``, (down, across) in cycles a picture.
    ``values``: complex128 ``[C, U]``, with the origin in the centre of the picture and zero where a channel carries
    nothing; ``used`` says where it does.  ``size``: height and width of the latent as made.
    """

    channels: tuple[int, ...]
    frequency: Integers
    values: Complexes
    used: NDArray[np.bool_]
    size: tuple[int, int]

    @classmethod
    def of(cls, channel: Integers, frequency: Integers, values: Complexes, size: tuple[int, int]) -> Template:
        """From points ``[N]``, ``[N, 2]`` and values ``[N]`` of a latent of this height and width, as imprinted.

        Raises ``InputError`` for a point given twice or none.
        """
        channels, row = np.unique(channel, return_inverse=True)
        points, column = np.unique(frequency, axis=0, return_inverse=True)
        row, column = row.ravel(), column.ravel()
        used = np.zeros((len(channels), len(points)), np.bool_)
        used[row, column] = True
        if not len(values) or len(values) != len(row) or used.sum() != len(values):
            raise InputError("A template needs one value for each of its points, and at least one point.")
        dense = np.zeros(used.shape, np.complex128)
        dense[row, column] = values * _to_centre(frequency, size).conj()
        return cls(tuple(int(c) for c in channels), points, dense, used, size)


def coefficients(
    noise: NDArray[np.float32],
    channel: Integers,
    frequency: Integers,
    pose: Floats,
    size: tuple[int, int] | None = None,
) -> Complexes:
    """What the noise holds at the points of a mark under a pose: complex128 ``[N]``.

    ``noise`` ``[C, h, w]``; ``pose``: affine map ``[2, 3]`` as made to the frame of the noise; ``size``: height and
    width of the latent as made, if it is another.  For the pose as given these are the values of
    :func:`treering.marks.fourier.coefficients`.  A frequency that the noise's grid cannot hold reads zero.  Scores,
    deviations and p-values of classes follow as for a picture as given.
    """
    channels, row = np.unique(channel, return_inverse=True)
    warped = frequency @ np.linalg.inv(pose[:, :2])
    plane = exact(noise[channels], warped)[row.ravel(), np.arange(len(row))]
    moved: Complexes = plane * np.exp(2j * np.pi * (frequency @ shift_of(pose)))
    return moved * _to_centre(frequency, size or (noise.shape[1], noise.shape[2]))


def _to_centre(frequency: Integers, size: tuple[int, int]) -> Complexes:
    """Factors from a transform with its origin in the centre to one with it in the first cell, ``[N]``."""
    start = 0.5 - 0.5 / np.asarray(size)
    factors: Complexes = np.exp(-2j * np.pi * (frequency @ start))
    return factors


def exact(noise: NDArray[np.float32], frequency: Floats) -> Complexes:
    """Orthonormal transform of ``[C, h, w]`` at any frequencies ``[N, 2]`` (cycles a picture, origin in the centre).

    complex128 ``[C, N]``; zero beyond what the grid can hold.
    """
    down, across = (_waves(frequency[:, axis], noise.shape[1 + axis]) for axis in (0, 1))
    planes = [((down @ plane.astype(np.float64)) * across).sum(1) for plane in noise]
    found: Complexes = np.stack(planes, dtype=np.complex128) / math.sqrt(noise.shape[1] * noise.shape[2])
    found[:, ~_held(frequency, noise.shape)] = 0
    return found


def _waves(frequency: Floats, size: int) -> Complexes:
    """exp(-2 pi i k y) over the centres of the cells, ``[N, size]``."""
    place = (np.arange(size) + 0.5) / size - 0.5
    return np.exp(-2j * np.pi * frequency[:, None] * place)


def _held(frequency: Floats, shape: Sequence[int]) -> NDArray[np.bool_]:
    """Which frequencies lie within the grid's own: beyond them a spectrum only repeats itself."""
    limit = np.asarray(shape[-2:]) / 2
    within: NDArray[np.bool_] = np.all(np.abs(frequency) <= limit, axis=-1)
    return within


def scores(noise: NDArray[np.float32], template: Template, matrix: Floats, shift: Floats) -> Floats:
    """z in float64 at every warp ``[n, 2, 2]`` and shift ``[m, 2]`` (shares): ``[n, m]``; 0 where nothing is read."""
    warped = template.frequency @ np.linalg.inv(matrix)  # [n, U, 2]
    flat = exact(noise[list(template.channels)], warped.reshape(-1, 2))
    found = flat.reshape(len(template.channels), *warped.shape[:2]) * template.used[:, None]  # [C, n, U]
    product = (found * template.values.conj()[:, None]).sum(0)
    phase = 2 * np.pi * (template.frequency @ shift.T)  # [U, m]
    height = product.real @ np.cos(phase) - product.imag @ np.sin(phase)
    deviation = np.sqrt(0.5 * (np.abs(found) ** 2).sum((0, 2)))[:, None]
    z: Floats = np.divide(height, deviation, out=np.zeros_like(height), where=deviation > 0)
    return z


class Screen:
    """The oversampled spectrum of one noise, read by cubic interpolation in float32."""

    def __init__(self, noise: NDArray[np.float32], reach: float) -> None:
        self.shape = noise.shape
        ends = [math.ceil(min(reach, size / 2) * OVERSAMPLED) + 2 for size in noise.shape[1:]]
        down, across = (
            torch.from_numpy(_waves(np.arange(-end, end + 1) / OVERSAMPLED, size)).to(torch.complex64)
            for end, size in zip(ends, noise.shape[1:], strict=True)
        )
        planes = down @ torch.from_numpy(np.asarray(noise, np.float32)).to(torch.complex64) @ across.T
        planes = planes / math.sqrt(noise.shape[1] * noise.shape[2])
        self.image = torch.cat([planes.real, planes.imag])[None].contiguous()  # [1, 2 C, K, L]
        self.unit = OVERSAMPLED / np.asarray(ends[::-1])  # a cycle in units of the image, across and down
        limit = np.asarray(noise.shape[:0:-1]) / 2 * self.unit
        self.limit = torch.from_numpy(limit).float() if (limit < 1).any() else None

    def __call__(self, frequency: Tensor, inverse: Floats) -> tuple[Tensor, Tensor]:
        """Real and imaginary part ``[C, n, U]`` at ``B^-T f``: frequencies float32 ``[U, 2]``, ``B^-1 [n, 2, 2]``."""
        grid = frequency @ torch.from_numpy(inverse[:, :, ::-1] * self.unit).float()  # [n, U, 2]
        found = grid_sample(self.image, grid[None], mode="bicubic", align_corners=True)[0]
        if self.limit is not None:
            held = grid.abs() <= self.limit
            found *= held[..., 0] & held[..., 1]
        real, imaginary = found.chunk(2)
        return real, imaginary
