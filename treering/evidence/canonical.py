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


def encoded(content: Mapping[str, Any]) -> bytes:
    """Keys sorted, no spaces, ASCII; raises ``ValueError`` for numbers that JSON lacks."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def digest(content: Mapping[str, Any]) -> bytes:
    """SHA-256 of :func:`encoded`."""
    return hashlib.sha256(encoded(content)).digest()


def write(path: Path, content: Mapping[str, Any], *, overwrite: bool = False, private: bool = False) -> None:
    """A file for people and programs; raises ``InputError``, also where there is one and it is not to be replaced."""
    data = (json.dumps(content, indent=1, allow_nan=False) + "\n").encode("ascii")
    try:
        with files.explained(path):
            files.write(path, data, overwrite=overwrite, private=private)
    except InputError as error:
        if isinstance(error.__cause__, FileExistsError):
            raise InputError(f"{path} exists already; --force replaces it.") from None
        raise


def read(path: Path, form: str, version: int) -> dict[str, Any]:
    """The content of a file of this form and version; raises ``InputError``."""
    with files.explained(path):
        data = files.read(path, MOST)
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        raise InputError(f"{path} is not JSON, so it is no file of {form}.") from None
    if not isinstance(content, dict) or content.get("format") != form:
        raise InputError(f"{path} is no file of {form}.")
    if content.get("version") != version:
        raise InputError(f"{path} is of version {str(content.get('version'))[:20]}, which this treering does not know.")
    return content
