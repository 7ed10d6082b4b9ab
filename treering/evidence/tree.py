"""A hash tree (Merkle 1987) over numbered leaves, with labels of their own for leaves, nodes and places left empty.

Leaves come in pieces, so that memory stays flat: 2^24 of them need no more than some thousand hashes at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

MOST = 1 << 24
"""Leaves of a tree."""

_PIECE = 1 << 14
_NODE, _NONE = b"treering node 1", hashlib.sha256(b"treering empty 1").digest()

Leaves = Callable[[range], Sequence[bytes]]
"""The hashes of leaves with these numbers, 32 bytes each."""


def depth(count: int) -> int:
    """Levels above the leaves."""
    return (count - 1).bit_length()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(_NODE + left + right).digest()


def _empty(level: int) -> bytes:
    """What stands for a part of the tree without leaves, so many levels high."""
    value = _NONE
    for _ in range(level):
        value = _node(value, value)
    return value


def _levels(row: list[bytes], height: int, bottom: int) -> Iterator[list[bytes]]:
    """A row of hashes and those above it, up to one; ``bottom``: how high the row itself stands."""
    yield row
    for level in range(height):
        if len(row) % 2:
            row = [*row, _empty(bottom + level)]
        row = [_node(row[i], row[i + 1]) for i in range(0, len(row), 2)]
        yield row


def _top(row: list[bytes], height: int, bottom: int) -> bytes:
    *_, last = _levels(row, height, bottom)
    return last[0]


def _heights(count: int) -> tuple[int, int]:
    """Levels within a piece, and above the pieces."""
    low = min(depth(count), depth(_PIECE))
    return low, depth(count) - low


def _pieces(leaves: Leaves, count: int) -> list[bytes]:
    low, _ = _heights(count)
    starts = range(0, count, _PIECE)
    return [_top(list(leaves(range(start, min(start + _PIECE, count)))), low, 0) for start in starts]


def root(leaves: Leaves, count: int) -> bytes:
    """The hash at the top of a tree of ``count`` leaves."""
    low, high = _heights(count)
    return _top(_pieces(leaves, count), high, low)


def path(leaves: Leaves, count: int, index: int) -> tuple[bytes, list[bytes]]:
    """The root, and what a leaf needs to be brought up to it: its sibling, then that of their parent, and so on."""
    low, high = _heights(count)
    pieces = _pieces(leaves, count)
    start = index // _PIECE * _PIECE
    row = list(leaves(range(start, min(start + _PIECE, count))))
    within = _siblings(row, low, 0, index - start)
    return _top(pieces, high, low), within + _siblings(pieces, high, low, index // _PIECE)


def _siblings(row: list[bytes], height: int, bottom: int, index: int) -> list[bytes]:
    found = []
    for level, hashes in enumerate(_levels(row, height, bottom)):
        if level < height:
            other = index ^ 1
            found.append(hashes[other] if other < len(hashes) else _empty(bottom + level))
            index //= 2
    return found


def climbed(leaf: bytes, index: int, siblings: Sequence[bytes]) -> bytes:
    """The root to which these siblings bring a leaf."""
    for other in siblings:
        leaf = _node(other, leaf) if index % 2 else _node(leaf, other)
        index //= 2
    return leaf
