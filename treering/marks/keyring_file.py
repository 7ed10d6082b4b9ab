"""The keyring file: format, versions, bounds, MAC and permissions.  Knows nothing of planes and values.

Version 2 is JSON: every field of the keyring, its id, and ``mac``, HMAC-SHA256 over the canonical JSON of all the
others, under a key that only the secret gives.  So nobody changes a keyring who cannot read it; that says nothing
of a keyring that somebody else made, or that is public.  Version 1 had no MAC; it is read for ever.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import hmac
import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from .. import files
from ..errors import InputError, KeyringError
from . import keys
from .ids import canonical
from .keyring import Keyring
from .patterns import Pattern

FORMAT, VERSION = "treering keyring", 2
MAX_BYTES, MAX_BRACKETS = 1 << 20, 500
"""A file with more is no keyring; brackets bound the depth of what is parsed."""

_NOTICE = "This keyring is PUBLIC: anyone can read, forge or remove its marks."
_FIELDS = tuple(one.name for one in fields(Keyring) if one.name not in ("secret", "pattern", "accepted"))
_HEAD = ("format", "version", "id", "pattern", "secret")
_PATTERN = tuple(one.name for one in fields(Pattern) if one.name != "sync_outer")
_FIRST_FIELDS = ("shape", "image_size", "classes", "model", "steps")
_FIRST_PATTERN = ("kind", "channels", "noise_channels", "inner", "outer", "weight")
_PATIENCE = 5.0  # seconds that the winner of a race has to write its file


# Writing


def content(keyring: Keyring) -> dict[str, Any]:
    """What the file holds, the secret and the MAC among it."""
    body: dict[str, Any] = {"format": FORMAT, "version": VERSION, "id": keyring.id}
    if keyring.public:
        body["notice"] = _NOTICE
    body |= {name: getattr(keyring, name) for name in _FIELDS}
    if keyring.accepted < 1:
        body["accepted"] = keyring.accepted
    body |= {"pattern": keyring.pattern.as_dict(), "secret": keyring.secret.hex()}
    return body | {"mac": mac(body, keyring.secret)}


def shown(keyring: Keyring) -> dict[str, Any]:
    """What may be shown: the file without secret and MAC, with the latent and picture size it comes to."""
    rest = {name: value for name, value in content(keyring).items() if name not in ("secret", "mac")}
    return rest | {"shape": keyring.shape, "image_size": keyring.image_size}


def mac(body: dict[str, Any], secret: bytes) -> str:
    """HMAC-SHA256 over every field but ``mac``, in hexadecimal digits."""
    rest = {name: value for name, value in body.items() if name != "mac"}
    return hmac.new(keys.mac_key(secret), canonical(rest), hashlib.sha256).hexdigest()


def _bytes(keyring: Keyring) -> bytes:
    return (json.dumps(content(keyring), indent=2) + "\n").encode("ascii")


def save(keyring: Keyring, path: Path, overwrite: bool = False) -> None:
    """Write the file: mode 0600, under a temporary name, then renamed.

    A file that exists is replaced only with ``overwrite``: a lost secret cannot be made again.
    """
    try:
        _create(keyring, path, overwrite)
    except FileExistsError:
        raise KeyringError(f"{path} exists already; a lost keyring cannot be made again.") from None


def _create(keyring: Keyring, path: Path, overwrite: bool) -> None:
    keyring.check()  # rings and channels that do not fit are refused before anything is written
    if os.path.lexists(path) and not overwrite:
        raise FileExistsError
    try:
        files.make_folder(path.parent)
    except InputError as error:
        cause = error.__cause__
        raise (_unwritten(path, cause) if isinstance(cause, OSError) else KeyringError(str(error))) from cause
    try:
        files.write(path, _bytes(keyring), overwrite=overwrite, private=True)
    except FileExistsError:  # for the callers, who differ in what they do then
        raise
    except OSError as error:
        raise _unwritten(path, error) from error


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unwritten(path, error) from error


def _unwritten(path: Path, error: OSError) -> KeyringError:
    return KeyringError(f"The keyring {path} cannot be written: {error.strerror or error}.")


def create_or_load(path: Path, make: Callable[[], Keyring]) -> tuple[Keyring, bool]:
    """The keyring at ``path``, made if there is none, and whether it was made here.

    Of several processes that find none, one makes it and all use that one.
    """
    if not os.path.lexists(path):
        keyring = make()
        try:
            _create(keyring, path, overwrite=False)
        except FileExistsError:  # somebody was faster
            _wait(path)
        else:
            return keyring, True
    return load(path), False


def _wait(path: Path) -> None:
    """Until a file that was claimed has content: on file systems without hard links the two are not one step."""
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until and path.exists() and not path.stat().st_size:
        time.sleep(0.02)


def rewrite(keyring: Keyring, path: Path) -> Path:
    """Put a changed keyring in place of the file, which keeps its mode; returns the file that a link led to."""
    target = Path(os.path.realpath(path))
    keyring.check()
    with _explained(path):
        mode = stat.S_IMODE(target.stat().st_mode)
        files.write(target, _bytes(keyring), overwrite=True, private=True)
        if keyring.public and mode != 0o600:
            target.chmod(mode)
    return target


def upgrade(path: Path) -> tuple[Keyring, bool]:
    """Rewrite a file of version 1 as version 2, same secret, same marks; says whether there was something to do."""
    keyring, version = _read(path, upgrading=True)
    if version == VERSION:
        return keyring, False
    rewrite(keyring, path)
    return keyring, True


# Reading


def load(path: Path) -> Keyring:
    """Read a file; refuses unknown versions, broken or changed content, and secrets that others can read.

    Raises ``KeyringError``: one sentence, which never repeats what stood in a field.
    """
    return _read(path)[0]


def load_to_change(path: Path) -> Keyring:
    """As :func:`load`, of version 2 alone: nothing protects the fields of the other."""
    keyring, version = _read(path)
    if version < VERSION:
        raise KeyringError(f"The keyring {path} is of version {version}; run: treering keys upgrade {path}")
    return keyring


def _read(path: Path, upgrading: bool = False) -> tuple[Keyring, int]:
    data, mode = _open(path)
    body = _parsed(path, data)
    version = body.get("version")
    if type(version) is not int or version not in _READERS:
        raise KeyringError(f"The keyring {path} has version {_short(version)}; this treering reads versions 1 and 2.")
    keyring = _built(path, body, _READERS[version])
    if body.get("id") != keyring.id:
        raise KeyringError(f"The keyring {path} is damaged: its id does not fit its content.")
    if version > 1:
        _check_mac(path, body, keyring)
    if os.name == "posix" and mode & 0o077:
        _check_open(path, keyring, version, upgrading)
    return keyring, version


def _open(path: Path) -> tuple[bytes, int]:
    """Content and permissions; of a regular file only, as others need not end."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        handle = os.open(path, flags)
        with os.fdopen(handle, "rb") as file:
            mode = os.fstat(handle).st_mode
            if stat.S_ISDIR(mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if not stat.S_ISREG(mode):
                raise KeyringError(f"The keyring {path} cannot be read: it is not a file.")
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise KeyringError(f"There is no keyring {path}; `treering keys new` makes one.") from None
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        reason = getattr(error, "strerror", None) or error
        raise KeyringError(f"The keyring {path} cannot be read: {reason}.") from error
    if len(data) > MAX_BYTES:
        raise KeyringError(f"{path} is not a treering keyring: it has more than {MAX_BYTES} bytes.")
    return data, stat.S_IMODE(mode)


def _parsed(path: Path, data: bytes) -> dict[str, Any]:
    try:
        if data.count(b"[") + data.count(b"{") > MAX_BRACKETS:
            raise ValueError
        body = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_once,
            parse_int=_number,
            parse_float=_decimal,
            parse_constant=_refuse,
        )
    except UnicodeDecodeError:
        raise _damaged(path, "it is not text") from None
    except json.JSONDecodeError as error:
        raise _damaged(path, f"it is not valid JSON (line {error.lineno})") from None
    except (ValueError, RecursionError):
        raise _damaged(path, "a value is not of the form that is needed") from None
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise KeyringError(f"{path} is not a treering keyring.")
    return body


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object in which no name comes twice: readers differ in which of the two they take."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError
    return found


def _number(text: str) -> int:
    if len(text) > 20:
        raise ValueError
    return int(text)


def _decimal(text: str) -> float:
    number = float(text)
    if len(text) > 40 or number - number != 0:  # infinite
        raise ValueError
    return number


def _refuse(text: str) -> float:
    raise ValueError(text)


def _damaged(path: Path, why: str) -> KeyringError:
    return KeyringError(f"The keyring {path} is damaged: {why}.")


def _short(version: Any) -> str:
    return str(version) if type(version) is int else "of an unknown form"


def _built(path: Path, body: dict[str, Any], reader: Callable[[dict[str, Any]], Keyring]) -> Keyring:
    try:
        return reader(body)
    except KeyError as error:
        raise _damaged(path, f"{error.args[0]!r} is missing") from None
    except _Unknown as error:
        raise _damaged(path, f"it has a field that is not known, number {error.args[0]}") from None
    except (KeyringError, InputError) as error:
        raise _damaged(path, str(error).rstrip(".")) from None
    except (ValueError, TypeError, AttributeError, OverflowError):
        raise _damaged(path, "a value is not of the form that is needed") from None


class _Unknown(Exception):
    """A field that this version does not have; its place and not its name, which may be anything."""


def _known(body: dict[str, Any], known: tuple[str, ...]) -> None:
    for number, name in enumerate(body, 1):
        if name not in known:
            raise _Unknown(number)


def _second(body: dict[str, Any]) -> Keyring:
    if not isinstance(body["pattern"], dict):
        raise TypeError
    _known(body, (*_HEAD, *_FIELDS, "accepted", "notice", "mac"))
    if (body.get("notice", _NOTICE), "notice" in body) != (_NOTICE, body["public"] is True):
        raise ValueError
    _known(body["pattern"], (*_PATTERN, "sync_outer"))
    last = {"sync_outer": body["pattern"]["sync_outer"]} if "sync_outer" in body["pattern"] else {}
    pattern = Pattern(**{name: body["pattern"][name] for name in _PATTERN}, **last)
    chosen = {"accepted": body["accepted"]} if "accepted" in body else {}  # few files have it, and none of old
    return Keyring(bytes.fromhex(body["secret"]), pattern, **{name: body[name] for name in _FIELDS}, **chosen)


def _first(body: dict[str, Any]) -> Keyring:
    """Version 1: one latent and one picture size, no MAC."""
    if not isinstance(body["pattern"], dict):
        raise TypeError
    settings = {name: body[name] for name in _FIRST_FIELDS}
    for name, count in (("shape", 3), ("image_size", 2)):
        if not isinstance(settings[name], list) or [type(n) for n in settings[name]] != [int] * count:
            raise ValueError
    _known(body["pattern"], _FIRST_PATTERN)
    return Keyring(
        bytes.fromhex(body["secret"]),
        Pattern(**body["pattern"]),
        public=body["public"] is True,
        derivation=1,
        **settings,
    )


_READERS = {1: _first, 2: _second}


def _check_mac(path: Path, body: dict[str, Any], keyring: Keyring) -> None:
    if not isinstance(given := body.get("mac"), str):
        raise _damaged(path, "'mac' is missing")
    if not hmac.compare_digest(given.encode("utf-8", "replace"), mac(body, keyring.secret).encode()):
        raise _damaged(path, "its MAC does not fit, so it was changed by other means than `treering keys`")


def _check_open(path: Path, keyring: Keyring, version: int, upgrading: bool) -> None:
    """A file that others can read must say that it is public, under a MAC that agrees."""
    if not keyring.public:
        raise KeyringError(f"Other users can read the keyring {path}; run: chmod 600 {path}")
    if version == 1 and not upgrading:
        raise KeyringError(
            f"Other users can read the keyring {path}, and its old form does not prove that it is public; "
            f"run: treering keys upgrade {path}, or: chmod 600 {path}"
        )
