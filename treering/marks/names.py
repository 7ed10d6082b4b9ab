"""Names of classes: whom a class belongs to, and which are no longer given out.

They lie in a file of their own beside the keyring, ``NAME.names.json``, because they may be shown to people to whom the
secret may not, and the other way round.  Nothing about a mark depends on them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import files
from ..errors import InputError
from .keyring import Keyring

FORMAT, VERSION = "treering names", 1
LONGEST = 200
"""Letters of a name."""

_MOST = 256 << 20  # bytes: a million names
_LOCK = ".lock"


@dataclass(frozen=True)
class Names:
    """``names``: of classes, by class.  ``retired``: classes that are not given out any more, and since when."""

    keyring: str
    names: Mapping[int, str] = field(default_factory=dict)
    retired: Mapping[int, str] = field(default_factory=dict)

    def of(self, key: int | None) -> str | None:
        """Name of a class; None where it has none."""
        return None if key is None else self.names.get(key)

    def left(self, keys: Sequence[int]) -> Sequence[int]:
        """Those of some classes that are given out; raises ``InputError`` where none is."""
        left = [key for key in keys if key not in self.retired] if self.retired else keys
        if len(left):
            return left
        raise InputError(
            f"Class {self.told(keys[0])}; `treering keys retire {keys[0]} --undo` gives it out again."
            if len(keys) == 1
            else "All of these classes are retired; `treering keys names` lists them."
        )

    def told(self, key: int) -> str:
        """A class for people: its number, its name, and that it is retired.

        >>> Names("", {17: "Anna"}, {17: "2026-11-24"}).told(17)
        '17 "Anna", retired 2026-11-24'
        """
        name = f' "{self.names[key]}"' if key in self.names else ""
        return f"{key}{name}{f', retired {self.retired[key]}' if key in self.retired else ''}"


def path_of(keyring: Path) -> Path:
    """Where the names of a keyring's classes lie."""
    return keyring.with_name(f"{keyring.stem}.names.json")


def load(path: Path, keyring: Keyring) -> Names:
    """Names of the classes of the keyring in the file ``path``, none where nobody gave any.

    Raises ``InputError`` where the names are broken or those of another keyring.
    """
    place = path_of(path)
    if not os.path.lexists(place):
        return Names(keyring.id)
    data = files.content(place, _MOST)
    try:
        found = _parsed(json.loads(data))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise InputError(f"The names in {place} are broken; repair or remove the file.") from None
    if found.keyring != keyring.id:
        raise InputError(f"The names in {place} are those of the keyring {found.keyring}, not of {keyring.id}.")
    return found


def _parsed(content: Any) -> Names:
    if content["format"] != FORMAT or content["version"] != VERSION:
        raise ValueError
    return Names(str(content["keyring"]), _by_class(content["names"]), _by_class(content["retired"]))


def _by_class(table: Mapping[str, Any]) -> dict[int, str]:
    found = {int(key): value for key, value in table.items()}
    if any(key < 0 or not isinstance(value, str) for key, value in found.items()):
        raise ValueError
    return found


def name(path: Path, keyring: Keyring, key: int, text: str) -> Names:
    """Give a class a name, in place of the one that it had; an empty one takes it away.

    Raises ``InputError`` for a class that the keyring lacks, and for a name that is too long or of several lines.
    """
    text = text.strip()
    if len(text) > LONGEST or not text.isprintable():
        raise InputError(f"A name is one line of at most {LONGEST} visible letters.")
    _check(keyring, key)
    return _change(path, keyring, lambda old: (_with(old.names, key, text or None), old.retired))


def retire(path: Path, keyring: Keyring, key: int, since: str | None) -> Names:
    """Give a class out no more, since a day such as ``2026-11-24``; None takes that back.

    Its marks are found as before: pictures that carry it do not go away.
    """
    _check(keyring, key)
    return _change(path, keyring, lambda old: (old.names, _with(old.retired, key, since)))


def _check(keyring: Keyring, key: int) -> None:
    if not 0 <= key < keyring.classes:
        raise InputError(f"The keyring has the classes 0 to {keyring.classes - 1}, not {key}.")


def _with(table: Mapping[int, str], key: int, value: str | None) -> dict[int, str]:
    """The table with another value, sorted."""
    changed = {**table, key: value}
    return {one: text for one, text in sorted(changed.items()) if text is not None}


def _change(
    path: Path, keyring: Keyring, change: Callable[[Names], tuple[Mapping[int, str], Mapping[int, str]]]
) -> Names:
    """Read, change and write, with nobody between."""
    place = path_of(path)
    lock = place.with_name(place.name + _LOCK)
    with files.held(lock):
        try:
            changed = Names(keyring.id, *change(load(path, keyring)))
            with files.explained(place):
                files.write(place, _bytes(changed), private=True)
        finally:
            lock.unlink(missing_ok=True)
    return changed


def _bytes(names: Names) -> bytes:
    content = {"format": FORMAT, "version": VERSION, "keyring": names.keyring}
    tables = {"names": dict(names.names), "retired": dict(names.retired)}
    return (json.dumps(content | tables, ensure_ascii=False, indent=1) + "\n").encode("utf-8")
