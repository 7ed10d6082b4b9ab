"""Settings from a file: ``treering.toml``, or ``[tool.treering]`` in ``pyproject.toml``.

They stand in for options that are not given.  The nearest file counts: in the current folder or above it, else your
own beside your keyring.  A file that belongs to somebody else is not used, as it could bend what is found.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from treering import files
from treering.errors import InputError

from .options import KEYRING_VARIABLE

VARIABLE = "TREERING_CONFIG"
"""Names a file of settings; ``off``: none is used."""

FILE, PROJECT = "treering.toml", "pyproject.toml"
LARGEST = 1 << 20

KINDS: dict[str, type | tuple[type, ...]] = {
    "keyring": (str, list),
    "model": (str, list),
    "fpr": (int, float),
    "device": str,
    "dtype": str,
    "effort": str,
}
"""What may be set, and of which kind it is: the options of the same names."""

SEVERAL = ("keyring", "model")
"""What some commands take more than once."""

PATHS = ("keyring",)
"""What is a path from the folder of the file."""


@dataclass(frozen=True)
class Configuration:
    """Settings and the file that they come from; None where there is none."""

    path: Path | None
    settings: dict[str, Any]

    def default_map(self, commands: dict[str, tuple[str, ...]]) -> dict[str, Any]:
        """The settings as click wants them: for every command, and those below it."""
        values = self.settings | {
            f"{name}s": _several(self.settings[name]) for name in SEVERAL if name in self.settings
        }
        if isinstance(values.get("model"), tuple):  # commands that take one find no model of that name
            values["model"] = ", ".join(values["model"])
        return {name: values | {below: dict(values) for below in inner} for name, inner in commands.items()}


def _several(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def load() -> Configuration:
    """The nearest settings.  Raises ``InputError`` where a file is named that is none, or says what cannot be set."""
    named = os.environ.get(VARIABLE, "")
    if named == "off":
        return Configuration(None, {})
    if named:
        table = _table(Path(named))
        if table is None:
            raise InputError(f"The settings {named} have no table [tool.treering].")
        return _read(Path(named), table)
    for path in _places():
        table = _table(path) if _is_ours(path) else None
        if table is not None:
            return _read(path, table)
    return Configuration(None, {})


def _places() -> Iterator[Path]:
    here = Path.cwd()
    for folder in (here, *here.parents):
        yield folder / FILE
        yield folder / PROJECT
    yield Path(click.get_app_dir("treering")) / FILE


def _is_ours(path: Path) -> bool:
    """Whether there is a file that nobody else wrote or can write."""
    try:
        status = path.stat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and (os.name != "posix" or _is_safe(status))


def _is_safe(status: os.stat_result) -> bool:
    return status.st_uid in (os.getuid(), 0) and not status.st_mode & stat.S_IWOTH


def _table(path: Path) -> dict[str, Any] | None:
    """What the file says of treering; None where it says nothing."""
    import sys

    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        text = files.read(path, LARGEST)
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        if getattr(error, "errno", None) == errno.EFBIG:
            if path.name == PROJECT:  # another program's, most likely
                return None
            raise InputError(f"The settings {path} are larger than 1 MiB.") from None
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"The settings {path} cannot be read: {reason}.") from None
    if path.name == PROJECT and b"treering" not in text:
        return None
    try:
        table: dict[str, Any] = tomllib.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"The settings {path} are not TOML: {str(error)[:200]}.") from None
    if path.name != PROJECT:
        return table
    tools = table.get("tool")
    own = tools.get("treering") if isinstance(tools, dict) else None
    return own if isinstance(own, dict) else None


def _read(path: Path, table: dict[str, Any]) -> Configuration:
    for name, value in table.items():
        if name not in KINDS:
            raise InputError(f"The settings {path} have {_short(name)}, which is none; there are {', '.join(KINDS)}.")
        if not isinstance(value, KINDS[name]) or isinstance(value, bool) or not _are_words(value):
            raise InputError(f"The settings {path} have no usable {name!r}: it is {_short(value)}.")
    less = {"keyring"} if os.environ.get(KEYRING_VARIABLE) else set()  # the environment says it nearer to the call
    return Configuration(path, {name: _placed(path, name, value) for name, value in table.items() if name not in less})


def _are_words(value: Any) -> bool:
    return not isinstance(value, list) or (bool(value) and all(isinstance(one, str) for one in value))


def _placed(path: Path, name: str, value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_placed(path, name, one) for one in value)
    return str(path.parent / os.path.expanduser(value)) if name in PATHS else value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
