"""Where the bytes of a picture are, and how they are read: a file, an object in a bucket, a member of an archive.

Whatever is wrong with one picture is an ``ImageError`` of one sentence.  Connections that are lost and servers that are
busy are asked again, later and later.  A picture that changes while it is read is read once more.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from ..errors import ImageError
from ..pictures import images
from . import archives, remote
from .items import Item
from .stamps import of_file

NEWER = "Changed since it was listed; this is what it was when it was read."
"""The note of a picture that is not what the listing said."""

_TRIES = 2  # of a picture that changes while it is read


@dataclass(frozen=True)
class Opened:
    """The bytes of a picture, its item with the stamp that they have, and what else to know."""

    item: Item
    data: bytes
    notes: tuple[str, ...] = ()


def stamped(item: Item) -> Item:
    """The item with its stamp, which for some sources is known only if one asks; raises ``ImageError``."""
    if item.stamp or not item.address or archives.is_member(item.address):
        return item
    return replace(item, stamp=remote.look(item.address, item.name).stamp)


def read(item: Item) -> Opened:
    """Read all bytes of a picture; raises ``ImageError``."""
    if item.address is None:
        return Opened(item, _file(item))
    if archives.is_member(item.address):
        return Opened(item, archives.read(item.address, item.stamp, item.name))
    return _object(item, item.address)


def _file(item: Item) -> bytes:
    for _ in range(_TRIES):
        before = _state(item)
        data = images.read_bytes(item.path, item.name)
        if _state(item) == before:
            return data
    raise ImageError(f"{item.name} changed while it was read.")


def _state(item: Item) -> str | None:
    try:
        return of_file(os.stat(item.path))
    except (OSError, ValueError):
        return None  # reading says why


def _object(item: Item, address: str) -> Opened:
    stamp = item.stamp or remote.look(address, item.name).stamp
    for _ in range(_TRIES + 1):
        data = remote.read(address, item.name)
        before, stamp = stamp, remote.look(address, item.name).stamp
        if stamp == before:
            return Opened(replace(item, stamp=stamp), data, (NEWER,) if item.stamp not in (None, stamp) else ())
    raise ImageError(f"{item.name} changed while it was read.")
