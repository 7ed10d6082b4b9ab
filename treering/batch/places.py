"""What a source of pictures is, by its name alone: a folder, an address, an archive, a list."""

from __future__ import annotations

import hashlib
import heapq
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from ..errors import InputError
from ..pictures import images
from . import addresses, archives, remote, sources
from .items import Item
from .labels import labels_from_manifest

Kind = Literal["folder", "archive", "address", "parquet", "manifest"]

LARGEST_SAMPLE = 1_000_000
"""Pictures of a sample at most: they are held in memory."""


def kind_of(source: str) -> Kind:
    """What a source is; raises ``InputError`` for what is none."""
    if archives.is_archive(source) and not os.path.isdir(source):
        return "archive"
    if remote.is_address(source):
        return "address"
    path = Path(source)
    if path.is_dir():
        return "folder"
    if path.suffix.lower() in images.SUFFIXES and path.exists():
        raise InputError(f"{source} is a picture; read it with `treering detect {source}`.")
    if not path.exists():
        raise InputError(f"There is no folder or manifest {source}.")
    return "parquet" if path.suffix.lower() in (".parquet", ".pq") else "manifest"


def find(source: str, keyrings: Sequence[str] = ()) -> Iterable[Item]:
    """The pictures of a source, without labels but for those of lists, which may name the ``keyrings``.

    Raises ``InputError``, also while it goes on.
    """
    kind = kind_of(source)
    if kind == "archive":
        return archives.find(source)
    if kind == "address":
        return remote.find(source)
    if kind == "folder":
        return sources.walk(Path(source))
    return addresses.find(Path(source)) if kind == "parquet" else labels_from_manifest(Path(source), None, keyrings)


def short_name(source: str) -> str:
    """What results of a source may be called: its last part."""
    if remote.is_address(source):
        return source.rstrip("/").rpartition("/")[2].partition("?")[0] or "bucket"
    return Path(source).resolve().name or "root"


# Fewer of them


def since(items: Iterable[Item], moment: float) -> Iterator[Item]:
    """Those that were changed at this moment (seconds since 1970) or later, or of which that is not known."""
    return (item for item in items if (when := _modified(item)) is None or when >= moment)


def _modified(item: Item) -> float | None:
    if item.modified is not None or item.address or item.problem:
        return item.modified
    try:
        return os.stat(item.path).st_mtime
    except (OSError, ValueError):
        return None


def sample(items: Iterable[Item], count: int, seed: int = 0) -> list[Item]:
    """``count`` of the items, each set of them as likely as any other; the same for the same seed and names.

    Which they are depends on nothing else: neither on the order of the listing nor, for most, on items that are added.
    """
    if not 0 < count <= LARGEST_SAMPLE:
        raise InputError(f"A sample has 1 to {LARGEST_SAMPLE} pictures.")
    key = hashlib.sha256(str(seed).encode()).digest()
    ranked = ((_rank(item, key), number, item) for number, item in enumerate(items))
    return [item for _, _, item in sorted(heapq.nsmallest(count, ranked), key=lambda one: one[1])]


def _rank(item: Item, key: bytes) -> bytes:
    name = item.name.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(name, digest_size=16, key=key).digest()
