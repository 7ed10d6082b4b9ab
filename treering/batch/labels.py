"""What is known of pictures beforehand: by the names of folders, or by a manifest."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from .. import files
from ..errors import InputError
from ..types import Key
from .items import UNKNOWN, Item, Label
from .notes import LARGEST

_LABEL = re.compile(r"(?:(?:key|class)[-_ ]?)?([0-9]{1,19})", re.IGNORECASE)
_UNMARKED = ("none", "unmarked")
_NO_END = "unexpected end of data"  # what the csv module says of a quote that is never closed


def _label(text: str) -> Label:
    """The class that a word names (``2``, ``key-2``, ``none``, ``unmarked``), or ``UNKNOWN``."""
    if text.lower() in _UNMARKED:
        return None
    match = _LABEL.fullmatch(text)
    return int(match[1]) if match else UNKNOWN


def labels_from_folders(items: Iterable[Item]) -> list[Item]:
    """The items, labelled by the nearest folder named ``2``, ``key-2``, ``none`` or ``unmarked``.

    Only folders below the one that was searched count.
    """
    return [replace(item, label=_folder_label(item.name)) for item in items]


def _folder_label(name: str) -> Label:
    labels = (_label(part) for part in reversed(name.split("/")[:-1]))
    return next((label for label in labels if label is not UNKNOWN), UNKNOWN)


def labels_from_manifest(path: Path, items: Iterable[Item] | None = None, keyrings: Sequence[str] = ()) -> list[Item]:
    """The pictures that a manifest names, labelled; or the given items, labelled by it.

    A manifest is a CSV file with the columns ``file``, relative to the manifest, and ``key``: a class,
    or ``none`` or nothing for an unmarked picture; with ``keyrings``, names of those that are searched, a column
    ``keyring`` may say whose class it is.  Items that it does not name stay ``UNKNOWN``.  A row that
    cannot be used is an item with a problem that says where and why, after the others.  Raises ``InputError`` if
    the file cannot be read, has no such header, or names none of the items.
    """
    named = list(_manifest(path, keyrings))
    if items is None:
        return named
    wrong = [item for item in named if item.problem]
    labels = {os.path.realpath(item.path): item.label for item in named if not item.problem}
    labelled = [replace(item, label=labels.get(os.path.realpath(item.path), UNKNOWN)) for item in items]
    if labelled and not wrong and all(item.label is UNKNOWN for item in labelled):
        raise InputError(f"The manifest {path} names none of the pictures; its paths are relative to its own folder.")
    return labelled + wrong


def _manifest(path: Path, keyrings: Sequence[str]) -> Iterator[Item]:
    rows = _rows(path)
    line, header = next(rows, (1, []))
    if isinstance(header, str):
        raise InputError(f"{path}, line {line}: {header}")
    columns = [name.strip().lower() for name in header]
    for name in ("file", "key"):
        if columns.count(name) != 1:
            raise InputError(f"{path}, line {line}: the header must have one column {name!r}, as in: file,key")
    lines: dict[str, int] = {}
    for line, row in rows:
        yield _whose(_item(path, line, row, columns, lines), f"{path}, line {line}", row, columns, keyrings)


def _item(path: Path, line: int, row: list[str] | str, columns: Sequence[str], lines: dict[str, int]) -> Item:
    """One row; ``lines`` says where files were named already."""
    problem, name, key = _cells(row, columns)
    label = _label(key) if key else None
    if not problem and not name.strip():
        problem = "the file is missing."
    if not problem and label is UNKNOWN:
        problem = f"{key!r} is not a key; write a number from 0 up, or none."
    item = Item(path.parent / name, Path(name).as_posix() if name.strip() else f"{path.name}, line {line}", label)
    first = line if problem else lines.setdefault(os.path.abspath(item.path), line)
    if first != line:
        problem = f"{item.name} was named in line {first} already."
    return replace(item, label=UNKNOWN, problem=f"{path}, line {line}: {problem}") if problem else item


def _whose(item: Item, place: str, row: list[str] | str, columns: Sequence[str], keyrings: Sequence[str]) -> Item:
    """The item with the keyring of its class, where several are searched and the row names one."""
    if item.problem or not keyrings or "keyring" not in columns or not isinstance(item.label, int):
        return item
    name = row[columns.index("keyring")].strip()
    if name and name not in keyrings:
        problem = f"{place}: {name!r} is none of the keyrings {', '.join(keyrings)}."
        return replace(item, label=UNKNOWN, problem=problem)
    return replace(item, label=Key(name, item.label)) if name else item


def _cells(row: list[str] | str, columns: Sequence[str]) -> tuple[str | None, str, str]:
    """What is wrong with a row, the file, and the key."""
    if isinstance(row, str):
        return row, "", ""
    if len(row) != len(columns):
        return f"the number of columns is {len(row)}, but the header has {len(columns)}.", "", ""
    file, key = row[columns.index("file")], row[columns.index("key")].strip()
    if "\0" in file:
        return "the name of the file has a zero byte.", "", ""
    if any("\udc80" <= letter <= "\udcff" for letter in file + key):
        return "this is not text in UTF-8.", "", ""
    return None, file, key


def _rows(path: Path) -> Iterator[tuple[int, list[str] | str]]:
    """Line number and cells of every row that is not empty; a sentence for one that is not CSV."""
    # Bytes that are not text stand there as lone surrogates, for one row to fail by.
    text = io.TextIOWrapper(io.BytesIO(_bytes(path)), "utf-8-sig", "surrogateescape", newline="")
    reader = csv.reader(text, strict=True, skipinitialspace=True)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            sentence = f"this is not CSV ({error})."
            if str(error) == _NO_END:  # all that follows was taken for one row, so that nothing is known of it
                raise InputError(f"{path}, line {reader.line_num}: {sentence}") from None
            yield reader.line_num, sentence
        else:
            if any(cell.strip() for cell in row):
                yield reader.line_num, row


def _bytes(path: Path) -> bytes:
    """What the manifest holds."""
    try:
        data = files.read(path, LARGEST)
    except FileNotFoundError:
        raise InputError(f"There is no manifest {path}.") from None
    except OSError as error:
        raise InputError(f"The manifest {path} cannot be read: {error.strerror or error}.") from error
    if b"\0" in data[:100]:  # UTF-16, as some spreadsheets write it
        raise InputError(f"The manifest {path} is not text in UTF-8.")
    return data
