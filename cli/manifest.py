"""The CSV file in which ``embed --manifest`` writes down which class went where: file and key, a row a picture."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

from .console import Failure

HEADER = ["file", "key"]


def check(path: Path, files: Sequence[Path], force: bool) -> None:
    """Refuse, before any work, a file that rows cannot be added to."""
    if not path.parent.is_dir():
        raise Failure(f"{path} cannot be written: its folder does not exist.")
    if not path.exists():
        return
    rows = _rows(path)
    names = {_name(path, file) for file in files}
    kept = [row for row in rows if row and row[0] not in names]
    if len(kept) == len(rows):
        return
    if not force:
        raise Failure(f"{path} has a row for {min(names & {row[0] for row in rows if row})} already; use --force.")
    _replace(path, kept)


def add(path: Path, file: Path, key: int | None) -> None:
    """Add the row of a picture that has been written; the first row makes the file."""
    head = [] if path.exists() else [HEADER]
    with path.open("a", encoding="utf-8", newline="") as stream:
        stream.write(_text([*head, [_name(path, file), "none" if key is None else str(key)]]))


def _name(path: Path, file: Path) -> str:
    """The file as seen from the manifest's folder, so that the two can be moved together."""
    return Path(os.path.relpath(file, path.parent)).as_posix()


def _rows(path: Path) -> list[list[str]]:
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


def _replace(path: Path, rows: Sequence[Sequence[str]]) -> None:
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(_text([HEADER, *rows]), encoding="utf-8")
    temporary.replace(path)
