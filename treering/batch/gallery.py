"""Where the pictures go that are made: names that nobody else takes, and a row for each in a manifest."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .. import files
from ..errors import ImageError, InputError
from ..pictures import images
from .manifest import Manifest, TakenError
from .notes import NUMBERED, Pixels

_NOT_PNG = (images.SUFFIXES | {".gif", ".avif", ".jpe", ".jfif"}) - {".png"}


@dataclass(frozen=True)
class Gallery:
    """The files of pictures to come.

    ``numbered``: the names may change if somebody else takes them meanwhile.  Several processes may write into one
    folder and one manifest.
    """

    files: tuple[Path, ...]
    numbered: bool
    manifest: Manifest | None
    force: bool

    @classmethod
    def plan(cls, output: Path, count: int, manifest: Path | None = None, force: bool = False) -> Gallery:
        """Names for ``count`` pictures, in a folder that is made if need be or for the one file ``output``.

        All that can be refused is refused here, before work is done: raises ``InputError``.  What writers that
        died left in the folders is removed, or mended (:attr:`Manifest.mended`).
        """
        _check_name(output)
        if str(manifest) == "-":
            raise InputError("A manifest is not written to standard output; name a file.")
        numbered = not is_file(output)
        folder = output if numbered else output.parent
        if not numbered:
            _check_single(output, count, force)
        _check_folder(folder)
        rows = None if manifest is None else Manifest(manifest)
        for place in {folder, *([manifest.parent] if manifest else [])}:
            files.clean(place)
        names = _numbered(folder, count, rows) if numbered else (output,)
        if rows:
            rows.check(names[0], force or numbered)
        return cls(names, numbered, rows, force)

    def add(self, pixels: Pixels, file: Path, key: int | None, evidence: str = "") -> Path:
        """Write a picture uint8 ``[H, W, 3]`` and its row, and tell where: under the next free number, if need be.

        ``evidence``: what reading it back has shown, for the manifest (:class:`~treering.batch.notes.Note`).
        Raises ``ImageError`` or ``InputError``; then there is neither picture nor row, or both.
        """
        while True:
            try:
                self._add(pixels, file, key, evidence)
            except ImageError as error:
                if not (self.numbered and _is_taken(error, file)):
                    raise
            else:
                return file
            (file,) = _numbered(file.parent, 1, self.manifest)

    def _add(self, pixels: Pixels, file: Path, key: int | None, evidence: str) -> None:
        overwrite = self.force and not self.numbered

        def write() -> None:
            images.write(pixels, file, overwrite=overwrite)

        if self.manifest is None:
            return write()
        self.manifest.add(file, pixels, key, write, overwrite, evidence)


def _is_taken(error: ImageError, file: Path) -> bool:
    """Whether this is the complaint that there is such a file, and not one about the disk."""
    if isinstance(error, TakenError) or isinstance(error.__cause__, FileExistsError):
        return True
    return error.__cause__ is None and os.path.lexists(file)


def is_file(output: Path) -> bool:
    """Whether this is one picture, and not a folder of them."""
    return output.suffix.lower() == ".png" and not output.is_dir()


def _numbered(folder: Path, count: int, manifest: Manifest | None) -> tuple[Path, ...]:
    """The numbers after the largest in the folder and, of this folder, in the manifest."""
    with files.explained(folder):
        names = os.listdir(folder)
    start = 1 + max(map(_number, [*names, *(manifest.named(folder) if manifest else ())]), default=0)
    return tuple(folder / f"picture-{number:04d}.png" for number in range(start, start + count))


def _number(name: str) -> int:
    match = NUMBERED.fullmatch(name)
    return int(match[1]) if match else 0


def _check_name(output: Path) -> None:
    if str(output) == "-":
        raise InputError("Pictures are not written to standard output; name a folder or a .png file.")
    if output.name.lower() in _NOT_PNG | {".png"} and not output.is_dir():
        raise InputError(f"{output} is a suffix without a name; name a folder, or a file such as picture.png.")


def _check_single(path: Path, count: int, force: bool) -> None:
    if count > 1:
        raise InputError(f"{path} is one file, but {count} pictures are to be made; give a folder.")
    if os.path.exists(path) and not os.path.isfile(path):
        raise InputError(f"{path} is a pipe or a device, so no picture is written there.")
    if os.path.lexists(path) and not force:
        raise InputError(f"{path} exists already; use --force to overwrite it.")


def _check_folder(folder: Path) -> None:
    if folder.is_file() or (folder.suffix.lower() in _NOT_PNG and not folder.exists()):
        raise InputError(f"{folder} is not a folder, and pictures are written as .png files.")
    files.make_folder(folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"No permission to write into {folder}.")
