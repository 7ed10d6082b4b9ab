"""The CSV file in which ``embed --manifest`` writes down which class went where: file and key, a row a picture."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

from .console import Failure

HEADER = ["file", "key"]


def check(path: Path, files: Sequence[Path], force: bool) -> frozenset[str]:
    """Refuse, before any work, a file that rows cannot be added to; names of the rows that will be replaced."""
    if not path.parent.is_dir():
        raise Failure(f"{path} cannot be written: its folder does not exist.")
    if os.path.realpath(path) in map(os.path.realpath, files):
        raise Failure(f"{path} cannot be both a picture and the manifest.")
    names = {_name(path, file) for file in files}
    twice = names & {row[0] for row in _rows(path) if row}
    if twice and not force:
        raise Failure(f"{path} has a row for {min(twice)} already; use --force.")
    return frozenset(twice)


def add(path: Path, file: Path, key: int | None, replaced: frozenset[str] = frozenset()) -> None:
    """Add the row of a picture that has been written, in place of an older one; the first row makes the file."""
    from treering import files

    name = _name(path, file)
    row = [name, "none" if key is None else str(key)]
    if name in replaced:
        kept = [old for old in _rows(path) if old and old[0] != name]
        return files.replace(path, _text([HEADER, *kept, row]).encode())
    head = [] if path.exists() and path.stat().st_size else [HEADER]
    with files.Journal(path) as journal:
        journal.append([_text([line]).encode() for line in (*head, row)])


def _name(path: Path, file: Path) -> str:
    """The file as seen from the manifest's folder, so that the two can be moved together."""
    name = Path(os.path.relpath(file, path.parent)).as_posix()
    try:
        name.encode()
    except UnicodeEncodeError:
        raise Failure(f"The name {name!r} is not valid Unicode, so no manifest can tell it.") from None
    return name


def _rows(path: Path) -> list[list[str]]:
    if not path.exists() or (path.is_file() and not path.stat().st_size):
        return []
    try:
        text = path.read_text(encoding="utf-8-sig")
        header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    except (ValueError, csv.Error):
        header, rows = [], []
    if header != HEADER:
        raise Failure(f"{path} is not a manifest that rows can be added to: its first line must be file,key.")
    if not text.endswith("\n"):
        raise Failure(f"{path} is not a manifest that rows can be added to: its last line has no end.")
    return rows


def _text(rows: Sequence[Sequence[str]]) -> str:
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()
