"""Which pictures a folder holds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from .. import clips
from ..errors import InputError
from ..pictures import images
from .items import FIGURE, RESULTS, Item

_SUFFIXES = images.SUFFIXES | clips.SUFFIXES


def find(folder: Path) -> list[Item]:
    """All pictures and clips in a folder and the folders in it, sorted by name, without labels.

    Hidden files and folders are left out, and so is the figure of an earlier verification.  Links to
    folders are followed, but no folder is looked into twice.  A folder in it that cannot be read is an item
    with a problem.  Nothing is opened: a pipe or a device with a picture's name is an item like others, and
    refused when it is read.  Raises ``InputError`` if the folder itself cannot be read.
    """
    return sorted(walk(folder), key=lambda item: item.name)


def walk(top: Path) -> Iterator[Item]:
    """The same in no order, as it is found, so that no list of them need be held.

    Links to folders come last, so that a picture is named by its own folder.
    """
    own, links = [top], list[Path]()
    seen = set[tuple[int, int]]()
    while own or links:
        folder = own.pop() if own else links.pop(0)
        if not _is_new(folder, seen):
            continue
        ahead = list[Path]()
        try:
            yield from _in_folder(folder, top, own, ahead)
        except OSError as error:
            yield _unreadable(folder, top, error)
        links.extend(sorted(ahead))


def _in_folder(folder: Path, top: Path, own: list[Path], links: list[Path]) -> Iterator[Item]:
    """The pictures in one folder; the folders in it go into the lists."""
    start = "" if folder == top else f"{folder.relative_to(top).as_posix()}/"
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if _is_dir(entry):
                (links if entry.is_symlink() else own).append(Path(entry.path))
            elif os.path.splitext(entry.name)[1].lower() in _SUFFIXES:
                path = Path(entry.path)
                if not _is_own_figure(path):
                    yield Item(path, f"{start}{entry.name}")


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_new(folder: Path, seen: set[tuple[int, int]]) -> bool:
    """Whether this folder, whatever its name, was not seen before; now it is."""
    try:
        status = os.stat(folder)
    except OSError:
        return True  # what is wrong with it comes out when it is read
    place = (status.st_dev, status.st_ino)
    if place in seen and status.st_ino:  # 0 where folders have no numbers
        return False
    seen.add(place)
    return True


def _unreadable(folder: Path, top: Path, error: OSError) -> Item:
    if folder != top:
        name = folder.relative_to(top).as_posix()
        return Item(folder, name, problem=f"The folder {name} cannot be read: {error.strerror or error}.")
    if isinstance(error, FileNotFoundError):
        raise InputError(f"There is no folder {folder}.") from None
    if isinstance(error, NotADirectoryError):
        raise InputError(f"{folder} is not a folder.") from None
    raise InputError(f"The folder {folder} cannot be read: {error.strerror or error}.") from error


def _is_own_figure(path: Path) -> bool:
    return path.name == FIGURE and path.with_name(RESULTS).exists()
