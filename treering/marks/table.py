"""A table of many marks: the first values of each in 8 bits, so that a million are searched in a fraction of a second.

The table is a screen and decides nothing.  It holds a prefix of the class values of every mark; the score of a reading
against the prefix picks the best marks, which are then scored in float64 with the true values of all their cells, by
the pattern's own test.  What is reported is corrected for *all* marks of the table: the least p of some of them is
never below the least of all, so p stays valid, whatever the screen leaves out.  For the same reason any order of the
values is allowed that does not depend on this secret; a good one has the most reliable first.

**A table is as secret as the secret**: who has it reads the marks of all its classes, and forges them well enough.
So has the file that it is kept in (:mod:`.cache`), which can be switched off.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from . import cache, making
from . import keys as streams
from .ids import canonical
from .keyring import Keyring, Keys, places
from .making import Job

if TYPE_CHECKING:
    from ..types import Match
    from .bounds import Size
    from .fourier import Cells
    from .matching import Blocks

Complexes = NDArray[np.complex128]
Integers = NDArray[np.int64]
Profile = Sequence[tuple[int, int]]
"""Rings (channel, ring) from the most reliable to the least, measured with other secrets than the one that is read."""

MOST = 1 << 22
"""Marks of a table: a gigabyte."""

SURVIVORS, FEWEST, SHARE = 1000, 100, 0.01
"""Marks that the screen leaves: this share of all, at least the second and at most the first number.

Their true values are what a search takes longest for: .14 s for a thousand, .015 s for a hundred.
"""

_LONG, _SHORT = 256, 128
"""Values in the prefix of a mark, as long as the table has no more than :data:`_LARGE` bytes, and beyond."""

_LARGE = 1 << 28
_KEPT = 1 << 24
"""Bytes from which a table is kept on the disk: smaller ones are made faster than a file is read and checked."""

_ROWS = making.BLOCK
"""Marks that are scored together: they stay in the processor's cache."""

_TRUE = 1 << 7
"""Survivors that are scored together, so that their true values take little memory."""


class Best(NamedTuple):
    """The best mark of a table: its class and nonce, its z by the true values, and how many marks to correct for."""

    key: int
    nonce: int
    z: float
    tests: int


class Table:
    """Marks of one keyring: the classes ``keys`` (None: all) times its nonces, one row each.

    ``size``: of the pictures, as everywhere.  ``profile``: see :data:`Profile`; rings that it does not name come after
    it, as do all without one: the first channel from the outermost ring inwards, then the others together from the
    innermost outwards.  ``length``: values in a prefix (None: 256, or 128 where that takes more than 256 MB).
    ``folder``: where tables are kept (None: nowhere).

    Raises ``InputError`` for classes that the keyring does not have, for more than :data:`MOST` marks, and for a
    pattern whose values are public: that has few classes and another test.
    """

    def __init__(
        self,
        keyring: Keyring,
        keys: Keys | None = None,
        *,
        size: Size | None = None,
        profile: Profile = (),
        length: int | None = None,
        folder: Path | None = None,
    ) -> None:
        self.keyring, self.keys, self.tests = keyring, keyring.searched(keys), keyring.count(keys)
        if not fits(keyring, keys):
            raise InputError(f"A table holds 1 to {MOST} marks of a pattern whose values are secret.")
        self.cells = keyring.cells(size)
        self.order = order(self.cells, keyring, profile)[: length or _length(self.tests)]
        self._buffer = self._load(folder)

    @property
    def values(self) -> NDArray[np.int8]:
        """The table, int8 ``[R, W]``: a row for each mark, real parts of the prefix before imaginary ones."""
        return cache.body(self._buffer).view(np.int8).reshape(self.tests, self.width)

    @property
    def width(self) -> int:
        """Bytes of one mark."""
        return len(self.order) * (1 if self.keyring.pattern.real else 2)

    # ------------------------------------------------------------------------------------------ search

    def best(self, coefficients: Complexes) -> Best:
        """The best mark of a reading, the spectrum at the points of the cells, complex ``[N]``."""
        match = self.match(coefficients)
        return Best(match.key, match.nonce, match.z, self.tests)

    def match(self, coefficients: Complexes) -> Match:
        """The same with its p-values, corrected for all marks of the table."""
        import torch

        left = self.survivors(coefficients)
        return self.keyring.pattern.match(torch.from_numpy(coefficients)[None], self.cells, left, self.tests)[0]

    def survivors(self, coefficients: Complexes, count: int | None = None) -> Blocks:
        """The ``count`` marks of the highest scores against their prefixes, with their true values at all cells.

        None: as many as :data:`SURVIVORS` says.
        """
        count = min(max(FEWEST, round(SHARE * self.tests)), SURVIVORS) if count is None else count
        rows = highest(self.scores(coefficients), count).tolist()
        for start in range(0, len(rows), _TRUE):
            marks = [self.mark(row) for row in rows[start : start + _TRUE]]
            keys, nonces = zip(*marks, strict=True)
            yield keys, nonces, self.keyring.values_of(marks, self.cells)

    def mark(self, row: int) -> tuple[int, int]:
        """Class and nonce of a row: all nonces of a class follow each other."""
        place, nonce = divmod(row, self.keyring.nonces)
        return int(self.keys[place]), nonce

    def scores(self, coefficients: Complexes) -> NDArray[np.float32]:
        """Scores of all marks by their prefixes, up to a factor that they share: float32 ``[R]``."""
        template, values = self._template(coefficients), self.values
        found = np.empty(len(values), np.float32)
        block = np.empty((_ROWS, self.width), np.float32)
        for start in range(0, len(values), _ROWS):
            rows = values[start : start + _ROWS]
            block[: len(rows)] = rows
            np.matmul(block[: len(rows)], template, out=found[start : start + len(rows)])
        return found

    def _template(self, coefficients: Complexes) -> NDArray[np.float32]:
        """Weighted means over the cells of the prefix, as the rows of the table have them, at most 1: ``[W]``."""
        import torch

        from . import fourier

        means = fourier.read(torch.from_numpy(coefficients)[None], self.cells).numpy()[0]
        weighted = (means * self._weights)[self.order]
        parts = weighted.real if self.keyring.pattern.real else np.concatenate([weighted.real, weighted.imag])
        largest = float(np.abs(parts).max(initial=0.0))
        return (parts / largest if largest > 0 else parts).astype(np.float32)

    @cached_property
    def _weights(self) -> NDArray[np.float64]:
        return self.keyring.pattern.weights(self.cells)

    # ------------------------------------------------------------------------------------------ making

    def _load(self, folder: Path | None) -> cache.Buffer:
        """From the disk if it is there and whole, else made, and kept there."""
        if folder is None or self.tests * self.width < _KEPT:
            return self._made()
        kept = cache.Kept(folder, self.keyring.id, self._purpose(), streams.table_key(self.keyring.secret))
        buffer = kept.load(self.tests * self.width)
        if buffer is None:
            buffer = self._made()
            kept.save(buffer)
        return buffer

    def _made(self) -> cache.Buffer:
        buffer = cache.new(self.tests * self.width)
        rows = cache.body(buffer).view(np.int8).reshape(self.tests, self.width)
        if self.keyring.derivation == 1:  # another stream; few keyrings have it, and it is not worth a second way
            for start, block in zip(range(0, self.tests, _ROWS), self._first(), strict=True):
                rows[start : start + len(block)] = block
        else:
            classes, where = _numbers(self.keys), places(self.cells)[self.order]
            job = Job(self.keyring.secret, classes, self.keyring.nonces, where, self.width, 0, self.tests)
            making.fill(rows, job)
        return buffer

    def _first(self) -> Iterator[NDArray[np.int8]]:
        """Rows of a keyring of version 1."""
        import torch

        prefix, real = self.cells.take(torch.from_numpy(self.order)), self.keyring.pattern.real
        for start in range(0, self.tests, _ROWS):
            marks = [self.mark(row) for row in range(start, min(start + _ROWS, self.tests))]
            values = self.keyring.values_of(marks, prefix)
            parts = [values.real] if real else [np.sqrt(2) * values.real, np.sqrt(2) * values.imag]
            yield streams.coarse(np.concatenate(parts, 1))

    def _purpose(self) -> bytes:
        """What the table is for, in the one form that the MAC covers: nothing else may be taken for it."""
        purpose = {
            "keyring": self.keyring.id,
            "classes": [len(self.keys), _digest(self.keys)],
            "nonces": self.keyring.nonces,
            "order": _digest(places(self.cells)[self.order].ravel()),
            "length": len(self.order),
        }
        return canonical(purpose)


def fits(keyring: Keyring, keys: Keys | None = None) -> bool:
    """Whether there can be a table of these marks."""
    return keyring.pattern.secret and 0 < keyring.count(keys) <= MOST


def order(cells: Cells, keyring: Keyring, profile: Profile = ()) -> Integers:
    """Cells that carry class values, the most reliable first: int64 ``[<= D]``; see :class:`Table`."""
    place = places(cells)
    classes = np.flatnonzero(~cells.sync[cells.first].numpy())
    if keyring.derivation == 1:  # one long stream a class: what comes early in it is made at once
        return classes[np.argsort(keyring.pattern.first_order(cells)[classes], kind="stable")]
    named = {(int(c), int(r)): i for i, (c, r) in enumerate(profile)}
    rank = np.asarray([named.get((int(c), int(r)), len(named)) for c, r in place[:, :2]], np.int64)
    other = place[:, 0] != place[0, 0]
    ranked: Integers = np.lexsort((place[:, 2], place[:, 0], np.where(other, 1, -1) * place[:, 1], other, rank))
    return ranked[np.isin(ranked, classes)]


def highest(scores: NDArray[np.float32], count: int) -> Integers:
    """Rows of the ``count`` highest scores, in order; of equal ones the first, so that nothing depends on a sort."""
    if len(scores) <= count:
        return np.arange(len(scores))
    least = np.partition(scores, len(scores) - count)[len(scores) - count]
    above = np.flatnonzero(scores > least)
    return np.sort(np.concatenate([above, np.flatnonzero(scores == least)[: count - len(above)]]))


def _length(marks: int) -> int:
    return _LONG if marks * 2 * _LONG <= _LARGE else _SHORT


def _digest(numbers: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(_numbers(numbers), "<i8").data).hexdigest()


def _numbers(numbers: Any) -> Integers:
    if isinstance(numbers, range):
        return np.arange(numbers.start, numbers.stop, numbers.step, dtype=np.int64)
    return np.asarray(numbers, np.int64)
