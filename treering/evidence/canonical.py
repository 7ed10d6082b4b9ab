"""JSON in one way only, so that two programs hash and sign the same bytes; and how it is read from strangers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import files
from ..errors import InputError

MOST = 8 << 20
"""Bytes of a file of evidence, a commitment or a revealed mark."""

BRACKETS = 500
"""Lists and objects in one: they bound how deep it goes."""


def encoded(content: Mapping[str, Any]) -> bytes:
    """Keys sorted, no spaces, ASCII; raises ``ValueError`` for numbers that JSON lacks."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def digest(content: Mapping[str, Any]) -> bytes:
    """SHA-256 of :func:`encoded`."""
    return hashlib.sha256(encoded(content)).digest()


def write(path: Path, content: Mapping[str, Any], *, overwrite: bool = False, private: bool = False) -> None:
    """A file for people and programs; raises ``InputError``, also where there is one and it is not to be replaced."""
    data = (json.dumps(content, indent=1, allow_nan=False) + "\n").encode("ascii")
    if len(data) > MOST:
        raise InputError(f"{path} would be larger than {MOST >> 20} MiB, which nobody could read back.")
    try:
        with files.explained(path):
            files.write(path, data, overwrite=overwrite, private=private)
    except InputError as error:
        if isinstance(error.__cause__, FileExistsError):
            raise InputError(f"{path} exists already; --force replaces it.") from None
        raise


def read(path: Path, form: str, version: int) -> dict[str, Any]:
    """The content of a file of this form and version; raises ``InputError``."""
    data = files.content(path, MOST)
    content = parsed(data, f"{path} is not JSON of one meaning, so it is no file of {form}.")
    if content.get("format") != form:
        raise InputError(f"{path} is no file of {form}.")
    if content.get("version") is True or content.get("version") != version:
        raise InputError(f"{path} is of version {str(content.get('version'))[:20]}, which this treering does not know.")
    return content


def parsed(data: bytes | str, sentence: str) -> dict[str, Any]:
    """A JSON object from a stranger in which all programs read the same, else ``InputError`` with the sentence.

    No name comes twice in it, since readers differ in which of the two they take, and every number is one that is
    written back as what it is: what was signed is what is shown.
    """
    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
        if text.count("[") + text.count("{") > BRACKETS:
            raise ValueError
        content = json.loads(text, object_pairs_hook=_once, parse_int=_whole, parse_float=_finite, parse_constant=_no)
    except (ValueError, RecursionError):
        raise InputError(sentence) from None
    if not isinstance(content, dict):
        raise InputError(sentence)
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError
    return found


def _whole(text: str) -> int:
    if len(text) > 20:
        raise ValueError
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if len(text) > 40 or number - number != 0:  # infinite
        raise ValueError
    return number


def _no(text: str) -> float:
    raise ValueError(text)
