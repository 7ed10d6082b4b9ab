"""From a secret to values: seeds, streams, and what version 1 did instead.  Knows no plane and no file.

Version 2 goes down a tree: secret, class seed, mark seed (a class and a nonce), stream (a channel and a ring).
Every arrow is SHAKE-256 under a label of its own, so that any number of classes needs no table, a value depends on
nothing but its place, and a mark can be shown to an expert without the secret.  Numbers go in as little-endian.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Complexes = NDArray[np.complex128]
Places = NDArray[np.int64]
"""Where values stand, ``[D, 3]``: channel, ring, and position in the stream of that channel and ring."""

SECRET_BYTES = 32
_SEED_BYTES = 32
_STREAM = b"treering stream 2"
STEP = 1 / 31
"""Step of a coarse value, in standard deviations of its real or imaginary part."""
_BLOCK = 1 << 15  # values drawn together: they stay in the cache


def class_seed(secret: bytes, key: int) -> bytes:
    """Seed of class ``key``, 0 to 2^64 - 1."""
    return _derive(b"treering class 2", secret, key)


def mark_seed(seed: bytes, nonce: int = 0) -> bytes:
    """Seed of one mark of a class, from the class seed."""
    return _derive(b"treering mark 2", seed, nonce)


def synchronisation_seed(secret: bytes, variant: int = 0) -> bytes:
    """Seed of what all marks of a keyring have in common."""
    return _derive(b"treering synchronisation 2", secret, variant)


def mark_seeds(secret: bytes, marks: Sequence[tuple[int, int]]) -> list[bytes]:
    """Seeds of many marks (class, nonce): as :func:`class_seed` and :func:`mark_seed`, in a tight loop."""
    shake, number, tree = hashlib.shake_256, struct.Struct("<Q").pack, b"treering class 2" + secret
    last, seed, seeds = -1, b"", []
    for key, nonce in marks:
        if key != last:  # a class has one seed, whatever the number of its nonces
            last, seed = key, b"treering mark 2" + shake(tree + number(key)).digest(_SEED_BYTES)
        seeds.append(shake(seed + number(nonce)).digest(_SEED_BYTES))
    return seeds


def _derive(label: bytes, parent: bytes, number: int) -> bytes:
    return hashlib.shake_256(label + parent + number.to_bytes(8, "little")).digest(_SEED_BYTES)


def mac_key(secret: bytes) -> bytes:
    """Key of the MAC over a keyring file."""
    return hashlib.shake_256(b"treering keyring mac 2" + secret).digest(32)


def table_key(secret: bytes) -> bytes:
    """Key of the MAC over a table of marks that is kept on the disk."""
    return hashlib.shake_256(b"treering table mac 2" + secret).digest(32)


# Version 2


def draw(seeds: Sequence[bytes], places: Places) -> Complexes:
    """Standard complex normals (E|z|^2 = 1) at these places, for each seed: ``[K, D]``.

    Only the streams that are needed are hashed, each only as far as it is needed.
    """
    streams, gather = _plan(places)
    values = np.empty((len(seeds), len(places)), np.complex128)
    rows = max(1, _BLOCK // max(1, sum(size for _, size in streams) // 8))
    for start in range(0, len(seeds), rows):
        block = normals(_words(seeds[start : start + rows], streams))
        values[start : start + rows] = block if gather is None else block[:, gather]
    return values


def _plan(places: Places) -> tuple[list[tuple[bytes, int]], Places | None]:
    """What to hash for each stream and how many bytes of it; then where every value lies (None: as they come)."""
    streams, number = np.unique(places[:, :2], axis=0, return_inverse=True)
    number = number.reshape(-1)  # numpy 2.0 gave it another shape
    length = np.zeros(len(streams), np.int64)
    np.maximum.at(length, number, places[:, 2] + 1)
    gather = (np.cumsum(length) - length)[number] + places[:, 2]
    plain = len(gather) == length.sum() and np.array_equal(gather, np.arange(len(gather)))
    parts = [
        (int(c).to_bytes(4, "little") + int(r).to_bytes(4, "little"), 8 * int(n)) for (c, r), n in _zip(streams, length)
    ]
    return parts, None if plain else gather


def _zip(streams: Places, length: Places) -> Iterator[tuple[Places, int]]:
    return zip(streams, length.tolist(), strict=True)


def _words(seeds: Sequence[bytes], streams: Sequence[tuple[bytes, int]]) -> NDArray[np.uint32]:
    shake = hashlib.shake_256
    data = b"".join([shake(head + part).digest(size) for head in map(_STREAM.__add__, seeds) for part, size in streams])
    return np.frombuffer(data, "<u4").reshape(len(seeds), -1, 2)


def draw_coarse(seeds: Sequence[bytes], places: Places) -> NDArray[np.int8]:
    """Values as :func:`draw` to 8 bits, real parts before imaginary ones: int8 ``[K, 2 D]``.

    For screens, which decide nothing: made in float32, so the last step of a value may differ between machines.
    """
    streams, gather = _plan(places)
    words = _words(seeds, streams)
    return _coarse_normals(words if gather is None else words[:, gather])


def coarse(parts: NDArray[Any]) -> NDArray[np.int8]:
    """Normal numbers in standard deviations to steps of :data:`STEP`, clipped at 127 of them (4.1 deviations)."""
    rounded: NDArray[np.int8] = np.clip(np.rint(parts / STEP), -127, 127).astype(np.int8)
    return rounded


def _coarse_normals(words: NDArray[np.uint32]) -> NDArray[np.int8]:
    """As :func:`normals`, in float32 and 8 bits: pairs of words ``[K, D, 2]`` to ``[K, 2 D]``."""
    half, unit = np.float32(0.5), np.float32(2.0**-32)
    radius = (words[..., 0].astype(np.float32) + half) * unit  # in (0, 1], as the largest are rounded up
    np.sqrt(np.log(radius, out=radius) * np.float32(-2), out=radius)  # of parts with variance 1
    angle = words[..., 1].astype(np.float32) * (unit * np.float32(2 * np.pi))
    return coarse(np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], 1))


def normals(words: NDArray[np.uint32]) -> Complexes:
    """Pairs of 32-bit words ``[..., 2]`` to standard complex normals, by Box and Muller (1958)."""
    uniform = (words + 0.5) * 2.0**-32  # in (0, 1)
    radius, angle = np.sqrt(-np.log(uniform[..., 0])), 2 * np.pi * uniform[..., 1]
    values = np.empty(radius.shape, np.complex128)
    np.multiply(radius, np.cos(angle), out=values.real)
    np.multiply(radius, np.sin(angle), out=values.imag)
    return values


# Version 1


def draw_first(secret: bytes, keys: Sequence[int], order: Places, real: bool) -> Complexes:
    """Values as version 1 had them, one long stream a class, at the places ``order`` ``[D]`` of it: ``[K, D]``.

    ``real``: its real and imaginary parts are values of their own, of variance 1.
    """
    size = int(order.max()) + 1
    if real:
        parts = _first(secret, keys, (size + 1) // 2).view(np.float64)
        return parts[:, order] * np.sqrt(2) + 0j
    return _first(secret, keys, size)[:, order]


def _first(secret: bytes, keys: Sequence[int], size: int) -> Complexes:
    start = hashlib.shake_256(b"treering class values 1" + secret)
    blocks = []
    for key in keys:
        stream = start.copy()
        stream.update(int(key).to_bytes(8, "little"))
        blocks.append(stream.digest(16 * size))
    words = np.frombuffer(b"".join(blocks), "<u8").reshape(len(blocks), size, 2)
    uniform = ((words >> np.uint64(11)) + 0.5) * 2.0**-53  # in (0, 1)
    values: Complexes = np.sqrt(-np.log(uniform[..., 0])) * np.exp(2j * np.pi * uniform[..., 1])
    return values
