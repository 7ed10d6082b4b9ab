"""The manifest that says which class went into which picture, written by any number of processes.

A picture and its row are two files, and a kill can come between them.  So whoever adds one holds a lock,
``.NAME.lock`` beside the manifest, and first writes into it what is about to happen: the name, the class, and a hash
of the pixels.  Then the picture gets its name, then the row is written, then the note is erased.  Whoever takes the
lock next and finds a note *mends*: where the picture with these pixels is there, its row is added (or changed), so
that nothing that was made is lost; where it is not, there was no picture, and there is no row.  What has no note is
left alone: a picture without a row was made without this manifest, a row without a picture was moved by its owner.
Where a file system has no locks, one process at a time may write a manifest.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from .. import files
from ..errors import ImageError, InputError
from ..pictures import images
from .notes import A_NUMBERED, CHECKED, HEADER, LARGEST, Note, Pixels, digest, is_claim, is_telling, noted


class TakenError(ImageError):
    """There is a picture or a row of this name already."""


class Manifest:
    """The CSV file ``path`` with the columns file and key, a row a picture; made with the first row.

    Rows of pictures that were checked have more columns (:data:`~treering.batch.notes.CHECKED`); then all rows have.

    ``mended``: sentences on what a process that was stopped had left undone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mended: list[str] = []
        self._file = Path(os.path.realpath(path)) if path.is_symlink() else path
        self._lock = self._file.with_name(f".{self._file.name}.lock")

    def mend(self, target: Path | None = None) -> list[list[str]]:
        """Finish what a process that was stopped had begun; the rows then, and no half of one that others write.

        ``target``: the picture that is to be written, or any name in its folder.  Raises ``InputError`` where rows
        cannot be added, and for a lock file that is not of our making.
        """
        if not self._file.parent.is_dir():
            raise InputError(f"{self.path} cannot be written: its folder does not exist.")
        with self._alone(target or self.path.with_name(A_NUMBERED)):
            return self._rows()

    def check(self, picture: Path, force: bool) -> None:
        """Refuse, before any work, a picture whose row cannot be added; raises ``InputError``."""
        if os.path.realpath(self.path) == os.path.realpath(picture):
            raise InputError(f"{self.path} cannot be both a picture and the manifest.")
        name = self._name(picture)
        if not force and any(row[:1] == [name] for row in self.mend(picture)):
            raise InputError(f"{self.path} has a row for {name} already; use --force.")

    def named(self, folder: Path) -> list[str]:
        """Names of the pictures in this folder that have a row, whether they are still there or not."""
        start = self._name(folder / "x")[:-1]
        names = (row[0] for row in self.mend(folder / A_NUMBERED) if row and row[0].startswith(start))
        return [name.removeprefix(start) for name in names]

    def add(
        self,
        picture: Path,
        pixels: Pixels,
        key: int | None,
        write: Callable[[], None],
        overwrite: bool = False,
        evidence: str = "",
    ) -> None:
        """Write the picture, by ``write``, and its row: both or neither, now or when a kill is mended.

        ``pixels``: uint8 ``[H, W, 3]``, as they will be read again.  ``evidence``: see :class:`Note`.
        Raises ``TakenError`` where there is such a picture or row and ``overwrite`` is not set, else ``InputError`` or
        whatever ``write`` raises.
        """
        name = self._name(picture)
        with self._alone(picture) as handle:
            there = os.path.lexists(picture)
            if not overwrite and (there or any(row[:1] == [name] for row in self._rows())):
                raise TakenError(f"{picture} exists already; use --force to overwrite it.")
            note = Note(name, "none" if key is None else str(key), digest(pixels), not there, evidence)
            try:
                with files.explained(self._lock):
                    files.write_all(handle, note.encoded())
                write()
                self._put(note)
            except BaseException:
                self._settle(handle, note)
                raise
            with files.explained(self._lock):
                os.ftruncate(handle, 0)

    @contextlib.contextmanager
    def _alone(self, target: Path) -> Iterator[int]:
        """The lock, after mending; it goes in the end, unless a note is in it.  Those who wait make a new one."""
        with files.held(self._lock) as handle:
            try:
                self._mend(handle, target)
                yield handle
            finally:
                with contextlib.suppress(OSError):  # Windows keeps open files
                    if not os.fstat(handle).st_size:
                        self._lock.unlink()

    # After a kill, or an error

    def _mend(self, handle: int, target: Path) -> None:
        """Finish what the process began that held the lock before, if it did not come to its end."""
        if note := noted(handle, self._lock):
            picture = self._picture(note)
            if sentence := self._finish(note):
                self.mended.append(sentence)
            elif note.new and any(is_claim(picture, place) for place in (target, self.path.with_name(A_NUMBERED))):
                with files.explained(picture):
                    picture.unlink()
        with files.explained(self._lock):
            os.ftruncate(handle, 0)
            os.lseek(handle, 0, os.SEEK_SET)

    def _finish(self, note: Note) -> str | None:
        """Bring picture and row together; says what was done, if anything was."""
        self._drop_torn(note)
        header, rows = self._table()
        if not self._shows(note) or (len(header) >= len(note.header) and note.row(header) in rows):
            return None
        self._put(note)
        return f"The row of {note.file}, which a stopped process had left out, was written to {self.path}."

    def _settle(self, handle: int, note: Note) -> None:
        """After an error: the row if it can be written, else no picture; else the note stays for the next start."""
        with contextlib.suppress(OSError, InputError):
            try:
                self._finish(note)
            except (OSError, InputError):
                if not note.new:
                    raise
                self._drop_torn(note)
                if self._shows(note):
                    self._picture(note).unlink()
            os.ftruncate(handle, 0)

    def _picture(self, note: Note) -> Path:
        return self.path.parent / note.file

    def _shows(self, note: Note) -> bool:
        try:
            return digest(images.read(self._picture(note)).pixels) == note.pixels
        except ImageError:
            return False

    def _drop_torn(self, note: Note) -> None:
        """Cut off a row (with the header, if it is the first) that a kill left unfinished."""
        try:
            handle = files.open_file(self._file, os.O_RDWR)
        except OSError:
            return
        try:
            size, start = os.fstat(handle).st_size, _text([CHECKED])
            header = CHECKED if os.read(handle, len(start)) == start else note.header
            row = note.row(header)
            whole = _text([header, row])
            os.lseek(handle, max(size - len(whole), 0), os.SEEK_SET)
            last = os.read(handle, len(whole)).rpartition(b"\n")[-1]  # or the end of it, if it is too long to be ours
            ours = whole if len(last) == size else _text([row])
            if last and ours.startswith(last):
                files.truncate(handle, size - len(last))
        finally:
            os.close(handle)

    # Rows

    def _put(self, note: Note) -> None:
        found, rows = self._table()
        header = max(found, note.header, key=len)
        row, rows = note.row(header), [row for row in rows if row]
        kept = [row for row in rows if row[0] != note.file]
        fresh = not self._file.exists() or not self._file.stat().st_size
        if not fresh and (len(kept) < len(rows) or found != header):
            wide = [(row + [""] * len(header))[: len(header)] for row in kept]
            return files.replace(self._file, _text([header, *wide, row]))
        with files.Journal(self._file) as journal:
            journal.append([_text([header, row] if fresh else [row])])

    def _rows(self) -> list[list[str]]:
        return self._table()[1]

    def _table(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows; the narrow header where there are none yet."""
        if not os.path.lexists(self._file):
            return HEADER, []
        if not self._file.is_file():
            raise InputError(f"{self.path} is not a file, so no rows can be added to it.")
        if not self._file.stat().st_size:
            return HEADER, []
        try:
            with files.explained(self.path):
                data = files.read(self._file, LARGEST)
            text = io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", newline="")
            header, *rows = csv.reader(text, strict=True)
        except (ValueError, csv.Error):
            header, rows = [], []
        if header not in (HEADER, CHECKED):
            raise InputError(
                f"{self.path} is not a manifest that rows can be added to: its first line must be file,key."
            )
        if not data.endswith((b"\n", b"\r")):
            raise InputError(f"{self.path} is not a manifest that rows can be added to: its last line has no end.")
        return header, rows

    def _name(self, picture: Path) -> str:
        """The file as seen from the manifest's folder, so that the two can be moved together."""
        name = Path(os.path.relpath(picture, self.path.parent)).as_posix()
        try:
            name.encode()
        except UnicodeEncodeError:
            raise InputError(f"The name {name!r} is not valid Unicode, so no manifest can tell it.") from None
        if not is_telling(name):
            raise InputError(f"The name {name!r} has control characters, so no manifest can tell it.")
        return name


def _text(rows: Iterable[Sequence[str]]) -> bytes:
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue().encode()
