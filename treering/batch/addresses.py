"""Lists of pictures in Parquet: a column ``file`` of addresses or paths and, if it is known, a column ``key``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import InputError
from . import remote
from .items import UNKNOWN, Item, Label
from .labels import label_of_word

_ROWS = 4096  # read at a time


def find(path: Path) -> Iterator[Item]:
    """The pictures of a list, in its order; ``file`` is an address, or a path relative to the list.

    Rows are read a few thousand at a time.  ``key`` is a class, ``none``, or empty for an unmarked picture; without
    the column nothing is known.  A row that cannot be used is an item with a problem.  Raises ``InputError``.
    """
    parquet = _library()
    try:
        with parquet.ParquetFile(path) as table:
            columns = _columns(table.schema_arrow.names, path)
            number = 0
            for batch in table.iter_batches(_ROWS, columns=list(columns)):
                for row in batch.to_pylist():
                    number += 1
                    yield _item(path, number, [row[name] for name in columns])
    except FileNotFoundError:
        raise InputError(f"There is no list {path}.") from None
    except (OSError, ValueError) as error:  # what the library raises for damaged files, too
        raise InputError(f"The list {path} cannot be read: {remote.reason(error)}.") from error


def _library() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise InputError("Lists in Parquet need more: pip install 'treering[parquet]'") from None
    return pyarrow.parquet


def _columns(names: list[str], path: Path) -> list[str]:
    if "file" not in names:
        raise InputError(f"{path} has no column 'file'.")
    return ["file", "key"] if "key" in names else ["file"]


def _item(path: Path, number: int, row: list[Any]) -> Item:
    file, label = row[0], _label(row[1]) if len(row) > 1 else UNKNOWN
    if not isinstance(file, str) or not file.strip() or "\0" in file:
        return Item(path, f"{path.name}, row {number}", problem=f"{path}, row {number}: the file is missing.")
    if len(row) > 1 and label is UNKNOWN:
        return Item(path, file, problem=f"{path}, row {number}: {row[1]!r} is not a key.")
    if remote.is_address(file):
        return Item(Path(file), file, label, address=file)
    return Item(path.parent / file, Path(file).as_posix(), label)


def _label(value: Any) -> Label:
    if value is None or value == "":
        return None
    return label_of_word(str(value))
