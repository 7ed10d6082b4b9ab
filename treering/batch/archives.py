"""Pictures in a ZIP or TAR, without unpacking it: what there is, and the bytes of one.

An archive from a stranger writes nothing to the disk, and what it says of itself is not believed: names are labels
alone, sizes are limits, links and archives in it are not followed.  Members are found again by where they begin.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import struct
import tarfile
import threading
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import quote

from ..errors import ImageError, InputError
from ..pictures import images
from . import remote
from .items import Item
from .stamps import of_file

ZIPS, TARS = (".zip",), (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
"""Names that archives end in."""

MOST = 5_000_000
"""Members of an archive at most."""

_DIRECTORY = 1 << 29  # bytes of the list of members of a ZIP
_HEADER = 1 << 20  # bytes of one header of a TAR
_RATIO, _SMALL = 200, 1 << 24  # packed so many times smaller, and larger than this, is no picture
_KEPT = 4  # archives that are held open
_LINK = 0o120000
BROKEN = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,  # encrypted
    NotImplementedError,
    OverflowError,
    RecursionError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    zipfile.BadZipFile,
    tarfile.TarError,
)


def is_archive(name: str) -> bool:
    """Whether a file with this name is an archive that can be read."""
    return name.lower().endswith((*ZIPS, *TARS))


def is_member(address: str) -> bool:
    """Whether this is the address of a picture in an archive."""
    return address.startswith(("zip://", "tar://"))


def _address(kind: str, start: int, size: int, name: str, archive: str) -> str:
    return f"{kind}://{start}-{size}/{quote(name, safe='/', errors='surrogatepass')}::{archive}"


@dataclass(frozen=True)
class _Member:
    """What a member says of itself.  ``start``: of its header (ZIP) or of its bytes (TAR)."""

    name: str
    start: int
    size: int
    problem: str | None


# Listings


def find(archive: str) -> Iterator[Item]:
    """All pictures in an archive, in its own order, without labels.

    A member that cannot be used is an item with a problem.  Raises ``InputError`` if the archive cannot be read.
    """
    zipped = archive.lower().endswith(ZIPS)
    try:
        with opened(archive) as file:
            stamp = _stamp(archive, file)
            for member in (_zip_members if zipped else _tar_members)(file, archive):
                yield _item(member, "zip" if zipped else "tar", archive, stamp)
    except BROKEN as error:
        raise InputError(f"The archive {archive} cannot be read: {remote.reason(error)}.") from error


def _item(member: _Member, kind: str, archive: str, stamp: str) -> Item:
    address = _address(kind, member.start, member.size, member.name, archive)
    problem = member.problem and f"{member.name!r} {member.problem}"
    return Item(Path(archive), member.name, problem=problem, address=address, stamp=f"{stamp}/{member.start}")


def _is_wanted(name: str) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    if any(part.startswith(".") and part not in (".", "..") for part in path.parts) or "__MACOSX" in path.parts:
        return False
    return path.suffix.lower() in images.SUFFIXES or is_archive(name)


def _problem(name: str, size: int, is_link: bool) -> str | None:
    """Why a member is not read, as the end of a sentence."""
    parts = name.replace("\\", "/").split("/")
    if ".." in parts or parts[0] == "" or ":" in parts[0] or any(ord(letter) < 32 for letter in name):
        return "is a name that leads out of the archive, so it is not read."
    if is_link:
        return "is a link, so it is not followed."
    if is_archive(name):
        return "is an archive in an archive, so it is not opened."
    if size > images.MAX_BYTES:
        return f"is larger than {images.MAX_BYTES} bytes, so it is not read."
    return None


def _zip_members(file: IO[bytes], archive: str) -> Iterator[_Member]:
    _check_directory(file, archive)
    names = set[str]()
    with zipfile.ZipFile(file) as entries:
        for info in entries.infolist():
            if info.is_dir() or not _is_wanted(info.filename):
                continue
            problem = _problem(info.filename, info.file_size, (info.external_attr >> 16) & 0o170000 == _LINK)
            problem = problem or _zip_problem(info) or ("is there twice." if info.filename in names else None)
            names.add(info.filename)
            yield _Member(info.filename, info.header_offset, info.file_size, problem)


def _zip_problem(info: zipfile.ZipInfo) -> str | None:
    if info.header_offset < 0:
        return "does not lie in the archive, so it is not read."
    if info.flag_bits & 1:
        return "is encrypted, so it is not read."
    if info.file_size > _SMALL and info.file_size > _RATIO * max(info.compress_size, 1):
        return f"is packed more than {_RATIO} times smaller than a picture can be, so it is not read."
    return None


def _check_directory(file: IO[bytes], archive: str) -> None:
    """Refuse a list of members that would not fit into memory, before it is read."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - (1 << 16) - 22 - 20))
    tail = file.read()
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or len(tail) < place + 22:
        return  # which zipfile says
    size = struct.unpack_from("<L", tail, place + 12)[0]
    if size == 0xFFFFFFFF and tail[max(0, place - 20) : place - 16] == b"PK\x06\x07":
        file.seek(struct.unpack_from("<Q", tail, place - 12)[0])
        size = struct.unpack_from("<Q", file.read(56).ljust(56, b"\0"), 40)[0]
    if size > _DIRECTORY:
        raise InputError(f"The archive {archive} lists too many members: {size >> 20} MiB of names.")
    file.seek(0)


class _Bounded:
    """A file for the tarfile module, of which no single read is large: headers are small, whatever they say."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        """So many bytes, or ``tarfile.ReadError``."""
        if not 0 <= size <= _HEADER:
            raise tarfile.ReadError("a header is too large")
        return self._file.read(size)


def _tar_members(file: IO[bytes], archive: str) -> Iterator[_Member]:
    data = _unpacked(file)
    packed = data is not file
    with tarfile.open(fileobj=_Bounded(data), mode="r:") as entries:  # type: ignore[call-overload]
        for number in range(MOST):
            info = entries.next()
            entries.members.clear()  # which tarfile would keep, all of them
            if info is None:
                return
            if not info.isdir() and _is_wanted(info.name):
                is_link = not info.isreg() or info.issparse()
                yield _Member(info.name, info.offset_data, info.size, _problem(info.name, info.size, is_link))
            if packed and info.size > images.MAX_BYTES:
                problem = f"is larger than {images.MAX_BYTES} bytes, so the archive is not read any further."
                yield _Member(f"{info.name}, member {number + 1}", info.offset_data, 0, problem)
                return
    raise InputError(f"The archive {archive} has more than {MOST} members.")


# One member


@dataclass
class _Open:
    """An archive that is held open; one thread at a time reads."""

    file: IO[bytes]
    data: Any  # what members are read from: a ZipFile, or bytes that are not packed
    stamp: str
    members: dict[int, zipfile.ZipInfo] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def close(self) -> None:
        """Close the file; whoever still reads gets an error, and is asked again."""
        self.file.close()


_open: OrderedDict[tuple[str, str], _Open] = OrderedDict()
_lock = threading.Lock()


def read(address: str, stamp: str | None, name: str) -> bytes:
    """The bytes of a member; raises ``ImageError``."""
    kind, _, rest = address.partition("://")
    place, _, archive = rest.partition("::")
    start, size = map(int, place.partition("/")[0].split("-"))
    try:
        source = _held(kind, archive)
        if stamp != f"{source.stamp}/{start}" or not _is_same(archive, source):
            _forget(kind, archive)
            raise ImageError(f"{name}: the archive {archive} changed after it was listed.")
        with source.lock:
            data = _zip_bytes(source, start) if kind == "zip" else _tar_bytes(source, start, size)
    except InputError as error:
        raise ImageError(f"{name} cannot be read: {error}") from error
    except BROKEN as error:
        _forget(kind, archive)
        raise ImageError(f"{name} cannot be read from the archive: {remote.reason(error)}.") from error
    if not data:
        raise ImageError(f"{name} is empty.")
    if len(data) > images.MAX_BYTES:
        raise ImageError(f"{name} is larger than {images.MAX_BYTES} bytes, so it is not read.")
    return data


def _zip_bytes(source: _Open, start: int) -> bytes:
    with source.data.open(source.members[start]) as member:
        return bytes(member.read(images.MAX_BYTES + 1))


def _tar_bytes(source: _Open, start: int, size: int) -> bytes:
    source.data.seek(start)
    data = source.data.read(min(size, images.MAX_BYTES + 1))
    if len(data) < size <= images.MAX_BYTES:
        raise EOFError("it is cut short")
    return bytes(data)


def _held(kind: str, archive: str) -> _Open:
    with _lock:
        if (kind, archive) not in _open:
            while len(_open) >= _KEPT:
                _open.popitem(last=False)[1].close()
            _open[kind, archive] = _prepared(kind, archive)
        _open.move_to_end((kind, archive))
        return _open[kind, archive]


def _prepared(kind: str, archive: str) -> _Open:
    file = opened(archive)
    try:
        if kind == "tar":
            return _Open(file, _unpacked(file), _stamp(archive, file))
        _check_directory(file, archive)
        data = zipfile.ZipFile(file)
        return _Open(file, data, _stamp(archive, file), {info.header_offset: info for info in data.infolist()})
    except BaseException:
        file.close()
        raise


def _forget(kind: str, archive: str) -> None:
    with _lock:
        if source := _open.pop((kind, archive), None):
            source.close()


def _is_same(archive: str, source: _Open) -> bool:
    return remote.is_address(archive) or of_file(os.stat(archive)) == source.stamp


# The archive itself


def opened(archive: str) -> IO[bytes]:
    """The archive, a file or an object, open to be read anywhere; raises ``OSError`` or ``InputError``."""
    if not remote.is_address(archive):
        if not os.path.isfile(archive):
            raise InputError(f"There is no archive {archive}.")
        return open(archive, "rb")
    fs, path = remote.filesystem(archive)
    try:
        file: IO[bytes] = remote.patiently(lambda: fs.open(path, "rb"))
        return file
    except FileNotFoundError:
        raise InputError(f"There is no archive {archive}.") from None
    except PermissionError:
        raise InputError(f"No permission to read {archive}.") from None


def _stamp(archive: str, file: IO[bytes]) -> str:
    if remote.is_address(archive):
        return str(remote.look(archive, archive).stamp)
    return of_file(os.fstat(file.fileno()))


def _unpacked(file: IO[bytes]) -> IO[bytes]:
    """The bytes of a TAR that may be packed: going forward is cheap, going back begins anew."""
    file.seek(0)
    head = file.read(6)
    file.seek(0)
    packers: tuple[tuple[bytes, Callable[..., Any]], ...] = (
        (b"\x1f\x8b", lambda one: gzip.GzipFile(fileobj=one)),
        (b"BZh", bz2.BZ2File),
        (b"\xfd7zXZ\0", lzma.LZMAFile),
    )
    return next((unpack(file) for start, unpack in packers if head.startswith(start)), file)
