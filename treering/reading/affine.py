"""Affine maps of pictures: how a picture as made lies in the picture as given.

Coordinates are (y, x) in shares of the picture: a side is 1, the origin in the centre.  A map is ``float64 [2, 3]``,
``given = map[:, :2] @ made + map[:, 2]``; with ``B`` its linear part and ``s`` the shift *as made*, it is
``given = B (made + s)``.  Turns happen in pixels, so that the ratio of width to height enters where a map is made or
taken apart, and nowhere else.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def linear(mirror: bool, angle: float, span: float, aspect: float = 1.0, ratio: float = 1.0) -> Floats:
    """The linear part ``B`` of a pose, ``[2, 2]``, in shares.

    Mirrored left to right first, then made wider by sqrt(aspect) and lower by as much, then turned counter-clockwise
    by ``angle`` degrees, then enlarged so that the frame as given spans ``span`` sides of the picture as made.
    ``ratio``: width by height of both pictures.
    """
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    turn = np.array([[cosine, -sine * ratio], [sine / ratio, cosine]])
    stretch = np.array([1 / math.sqrt(aspect), (-1 if mirror else 1) * math.sqrt(aspect)])
    return turn * stretch / span


def affine(matrix: Floats, shift: Floats) -> Floats:
    """The map as made to as given ``[2, 3]`` of ``given = B (made + s)``."""
    return np.concatenate([matrix, (matrix @ shift)[:, None]], 1)


def shift_of(pose: Floats) -> Floats:
    """The shift as made of an affine map: ``s`` of ``given = B (made + s)``, ``[2]``."""
    return np.linalg.solve(pose[:, :2], pose[:, 2]).astype(np.float64)


def chain(second: Floats, first: Floats) -> Floats:
    """The affine map ``[2, 3]`` that does ``first``, then ``second``."""
    return np.concatenate([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2:] + second[:, 2:]], 1)


def invert(pose: Floats) -> Floats:
    """The affine map ``[2, 3]`` back."""
    back = np.linalg.inv(pose[:, :2])
    return np.concatenate([back, -back @ pose[:, 2:]], 1)


def factors(matrix: Floats, ratio: float = 1.0) -> tuple[bool, float, float, float]:
    """Mirror, angle in (-180, 180], span and aspect of a linear part: :func:`linear` backwards, shear left out."""
    pixels = matrix * np.array([[1, 1 / ratio], [ratio, 1]])
    down, across = np.linalg.norm(pixels, axis=0).tolist()
    angle = math.degrees(math.atan2(pixels[1, 0], pixels[0, 0]))
    return bool(np.linalg.det(pixels) < 0), angle, 1 / math.sqrt(down * across), across / down


NATURAL = (1.0, 0.015, 0.012)
"""How near a pose is taken for a natural one: degrees of a quarter turn, ln of span and aspect, shift in shares."""


def natural(pose: Floats, ratio: float = 1.0) -> Floats:
    """The pose that people make, near an affine map ``[2, 3]``: about the centre, whole quarter turns, full size.

    A search knows a place to a quarter of a cell, and two pixels are a third of the evidence; a picture that was
    turned in a viewer was turned about its centre.  What is not near is left as it is.
    """
    turn, log, move = NATURAL
    mirror, angle, span, aspect = factors(pose[:, :2], ratio)
    quarter = 90 * round(angle / 90)
    matrix = linear(
        mirror,
        quarter if abs(angle - quarter) <= turn else angle,
        1.0 if abs(math.log(span)) <= log else span,
        1.0 if abs(math.log(aspect)) <= log else aspect,
        ratio,
    )
    shift = pose[:, 2] if np.abs(pose[:, 2]).max() > move else np.zeros(2)
    return np.concatenate([matrix, shift[:, None]], 1)
