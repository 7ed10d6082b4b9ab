"""Pictures in buckets and on servers, through fsspec: what there is, and the bytes of one.

Credentials and endpoints are the drivers' own business (their environment and files); treering asks for none and
writes none down.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import unquote

from ..errors import ImageError, InputError
from ..pictures import images
from .items import Item

DRIVERS = {
    "s3": ("s3fs", "s3"),
    "gs": ("gcsfs", "gcs"),
    "gcs": ("gcsfs", "gcs"),
    "http": ("aiohttp", "https"),
    "https": ("aiohttp", "https"),
}
"""Schemes of addresses, what must be installed for each, and the extra that brings it."""

TRIES, PAUSE, LONGEST = 5, 0.25, 8.0
"""How often something is tried, and the seconds between two of them: each time twice as many, up to the last number."""

_STAMPS = ("ETag", "etag", "generation", "md5Hash", "Content-MD5", "LastModified", "Last-Modified", "mtime", "updated")
_MODIFIED = ("LastModified", "last_modified", "mtime", "updated", "created")
_PERMANENT = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, ValueError, TypeError)
_PATIENCE = 60.0  # seconds without a byte after which a connection is lost

T = TypeVar("T")


@dataclass(frozen=True)
class Look:
    """What is known of an object without reading it: bytes, and what changes when they do; None where untold."""

    size: int | None
    stamp: str | None


def is_address(text: str) -> bool:
    """Whether this is an address, and not a path."""
    scheme, mark, _ = text.partition("://")
    return bool(mark) and scheme.isalnum()


def filesystem(address: str) -> tuple[Any, str]:
    """The fsspec file system of an address and the path in it; raises ``InputError``."""
    scheme = address.partition("://")[0].lower()
    fs = _opened(scheme)
    return fs, fs._strip_protocol(address)


@lru_cache(maxsize=8)
def _opened(scheme: str) -> Any:
    if scheme not in DRIVERS and scheme != "memory":
        raise InputError(f"Addresses begin with s3://, gs:// or https://, not {scheme}://.")
    module, extra = DRIVERS.get(scheme, ("fsspec", ""))
    try:
        __import__(module)
        import fsspec
    except ImportError:
        raise InputError(f"For addresses {scheme}:// more is needed: pip install 'treering[{extra}]'") from None
    return fsspec.filesystem(scheme, use_listings_cache=False, **_options(scheme))


def _options(scheme: str) -> dict[str, Any]:
    """Time limits; retries are ours, so that they are the same for all drivers."""
    if scheme == "s3":
        limits = {"connect_timeout": _PATIENCE, "read_timeout": _PATIENCE, "retries": {"max_attempts": 1}}
        return {"config_kwargs": limits}
    if scheme in ("http", "https"):
        import aiohttp

        return {"client_kwargs": {"timeout": aiohttp.ClientTimeout(sock_connect=_PATIENCE, sock_read=_PATIENCE)}}
    return {}


# One object


def read(address: str, name: str) -> bytes:
    """All bytes of an object; raises ``ImageError``, also for more than a picture may have."""
    size = look(address, name).size if address.startswith("http") else None
    if size == 0:
        raise ImageError(f"{name} is empty.")
    if size is not None and size > images.MAX_BYTES:
        raise _too_large(name)
    data = _asked(address, name, lambda fs, path: _bytes(fs, path, size))
    if not data:
        raise ImageError(f"{name} is empty.")
    if len(data) > images.MAX_BYTES:
        raise _too_large(name)
    return data


def _bytes(fs: Any, path: str, size: int | None) -> bytes:
    if size is not None:  # a server that takes no ranges: what it said it has, and no more
        return bytes(fs.cat_file(path))
    try:
        return bytes(fs.cat_file(path, start=0, end=images.MAX_BYTES + 1))
    except OSError as error:
        if "range" in str(error).lower():  # there is no first byte
            return b""
        raise


def _too_large(name: str) -> ImageError:
    return ImageError(f"{name} is larger than {images.MAX_BYTES} bytes, so it is not read.")


def look(address: str, name: str) -> Look:
    """Ask for an object without reading it; raises ``ImageError``."""
    return look_of(_asked(address, name, lambda fs, path: fs.info(path)))


def look_of(info: dict[str, Any]) -> Look:
    """What a listing says of an object."""
    stamp = next((str(info[name]) for name in _STAMPS if info.get(name)), None)
    size = info.get("size")
    return Look(size, stamp and f"{stamp.strip(chr(34))}-{size}")


def _asked(address: str, name: str, ask: Callable[[Any, str], T]) -> T:
    fs, path = filesystem(address)
    try:
        return patiently(lambda: ask(fs, path))
    except FileNotFoundError:
        raise ImageError(f"{name} does not exist.") from None
    except PermissionError:
        raise ImageError(f"No permission to read {name}.") from None
    except Exception as error:
        raise ImageError(f"{name} cannot be read: {reason(error)}.") from error


def patiently(work: Callable[[], T]) -> T:
    """Do this, again and again where it fails for a reason that may pass."""
    for number in range(TRIES):
        try:
            return work()
        except _PERMANENT:
            raise
        except Exception:  # drivers raise their own: timeouts, lost connections, servers that are busy
            if number == TRIES - 1:
                raise
            time.sleep(min(LONGEST, PAUSE * 2**number) * random.uniform(0.5, 1.5))
    raise AssertionError


def reason(error: BaseException) -> str:
    """What a driver says, as the end of a sentence, without the addresses that it may repeat."""
    text = " ".join(str(error).split()).rstrip(".")
    return text[:200] or type(error).__name__


# Listings


def find(address: str) -> Iterator[Item]:
    """All pictures below an address, in the order of the listing, without labels.

    As :func:`~.sources.find` for a folder: hidden ones are left out.  Raises ``InputError``.
    """
    fs, top = filesystem(address)
    top = top.rstrip("/")
    scheme = address.partition("://")[0].lower()
    for info in _entries(fs, top, scheme, address):
        path = str(info["name"])
        name = _name(path, top)
        if name and PurePosixPath(name).suffix.lower() in images.SUFFIXES and not _is_hidden(name):
            whole = path if is_address(path) else f"{scheme}://{path.lstrip('/')}"
            yield Item(Path(name), name, address=whole, stamp=look_of(info).stamp, modified=_modified(info))


def _name(path: str, top: str) -> str | None:
    """What results call it; None for what is not below the address, wherever a listing may lead."""
    if not path.startswith(f"{top}/"):
        return None
    name = path[len(top) + 1 :]
    return unquote(name) if is_address(path) else name


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _modified(info: dict[str, Any]) -> float | None:
    for name in _MODIFIED:
        value: Any = info.get(name)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
    return None


def _entries(fs: Any, top: str, scheme: str, address: str) -> Iterator[dict[str, Any]]:
    try:
        yield from _pages(fs, top) if scheme == "s3" else _walk(fs, top)
    except FileNotFoundError:
        raise InputError(f"There is no bucket or folder {address}.") from None
    except PermissionError:
        raise InputError(f"No permission to list {address}.") from None
    except (InputError, GeneratorExit):
        raise
    except Exception as error:
        raise InputError(f"{address} cannot be listed: {reason(error)}.") from error


def _pages(fs: Any, top: str) -> Iterator[dict[str, Any]]:
    """Objects of a bucket, a thousand at a time: s3fs would hold all of them in memory."""
    bucket, _, prefix = top.partition("/")
    mark: dict[str, str] = {}
    while True:
        given = {"Bucket": bucket, "Prefix": f"{prefix}/" if prefix else "", **mark}
        page = patiently(lambda given=given: fs.call_s3("list_objects_v2", **given))  # type: ignore[misc]
        for entry in page.get("Contents", ()):
            yield {**entry, "name": f"{bucket}/{entry['Key']}", "size": entry["Size"]}
        if not page.get("IsTruncated"):
            return
        mark = {"ContinuationToken": page["NextContinuationToken"]}


def _walk(fs: Any, top: str) -> Iterator[dict[str, Any]]:
    """Objects folder by folder; no folder is looked into twice, and none that does not lie below."""
    waiting, seen = [top], {top}
    while waiting:
        folder = waiting.pop()
        entries = patiently(lambda folder=folder: fs.ls(folder, detail=True))  # type: ignore[misc]
        for entry in sorted(entries, key=lambda entry: str(entry["name"])):
            name = str(entry["name"]).rstrip("/")
            if entry.get("type") == "directory" or str(entry["name"]).endswith("/"):
                if name.startswith(f"{top}/") and name not in seen:
                    seen.add(name)
                    waiting.append(name)
            else:
                yield entry
