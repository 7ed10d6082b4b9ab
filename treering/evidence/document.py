"""Evidence: what was read from a picture, how p was computed, the recovered values themselves, and a signature.

The values are what the test is about: with the keyring, or with one revealed mark and no secret at all, anybody can
repeat it without model or GPU.  That they come from this picture is what the signer says; with the model it can be
repeated too.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..marks.keyring import Keyring
from ..reading.evidence import Values
from ..reading.record import Way
from ..settings import Reading
from ..types import Detection, Match
from . import canonical
from .signing import Signer, holds

FORM, VERSION = "treering evidence", 1
Complexes = NDArray[np.complex128]
Size = tuple[int, int]

LARGEST, MOST_SEARCHES = 1 << 14, 1 << 16
"""Pixels of a side, and searches that share an error budget, beyond which evidence is not believed."""


@dataclass(frozen=True)
class Statement:
    """What is signed: plain JSON under ``content``, with the recovered values ``[N]`` in it."""

    content: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        data: bytes,
        keyring: Keyring,
        settings: Reading,
        detection: Detection,
        values: Complexes,
        *,
        share: float,
        created: str,
        size: Size | None = None,
        searches: int = 1,
        way: Way | None = None,
    ) -> Statement:
        """Of a picture's bytes and its reading.

        ``values``: the coefficients that the class was read from, ``[N]``, in the order of the keyring's points.
        ``share``: of the error budget of the stage that decided.  ``settings``: how it was read.  ``created``: when,
        as the signer says.  ``size``: height and width that the picture was read in (None: the keyring's first).
        ``searches``: sizes, keyrings and models that p pays for.  ``way``: how the values came out of the picture, for
        who would read them again.
        """
        check_secret(keyring)
        size = size or keyring.image_size
        searched = Values(in_size(keyring, size), settings.keys)
        z = best(searched, values).z
        test: dict[str, Any] = {"share": share, "tests": searched.classes, "z": z, "log10_p": detection.log10_p}
        test |= {"size": size, "searches": searches}
        answer = {name: value for name, value in detection.as_dict().items() if name != "seconds"}
        return cls(
            {
                "picture": {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)},
                "keyring": _keyring(keyring),
                "answer": _plain(answer),
                "test": _plain(test),
                "settings": _plain({**asdict(settings), "keys": _keys(settings.keys)}),
                "values": base64.b64encode(np.asarray(values, "<c16").tobytes()).decode(),
                "versions": _versions(),
                "created": created,
                **({} if way is None else {"reading": way.as_dict()}),
            }
        )

    @property
    def values(self) -> Complexes:
        """The recovered values, complex ``[N]``; raises ``InputError``."""
        try:
            data = base64.b64decode(self.content["values"], validate=True)
            values = np.frombuffer(data, "<c16").astype(np.complex128)
        except (KeyError, TypeError, ValueError, binascii.Error):
            raise InputError("The evidence holds no recovered values.") from None
        if not np.isfinite(values).all():
            raise InputError("The evidence holds values that are no numbers.")
        return values

    def settings(self) -> Reading:
        """How the picture was read; raises ``InputError``, also for what no command would do."""
        given = self.content.get("settings")
        if not isinstance(given, dict) or set(given) - {one.name for one in fields(Reading)}:
            raise InputError("The evidence does not say how the picture was read, or in a way that is not known here.")
        values: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in given.items()}
        try:
            keys = _classes(given.get("keys"))
            return _bounded(Reading(**{**values, "keys": keys}))
        except (TypeError, ValueError, KeyError, OverflowError):
            raise InputError("The evidence does not say how the picture was read.") from None

    def way(self) -> Way | None:
        """How the values came out of the picture; None where that is not said, as by earlier versions.

        Raises ``InputError`` for what no reading does.
        """
        given = self.content.get("reading")
        if given is None:
            return None
        try:
            method, steps = given["method"], given["steps"]
            poses = [_pose(given[name]) for name in ("undone", "within")]
            if method in METHODS and type(steps) is int and 1 <= steps <= 1000:
                return Way(method, steps, *poses)
        except (KeyError, TypeError, ValueError):
            pass
        raise InputError("The evidence does not say how its values were read.")

    def says(self, part: str, name: str) -> Any:
        """One field; raises ``InputError`` where it is missing."""
        try:
            return self.content[part][name]
        except (KeyError, TypeError):
            raise InputError(f"The evidence does not say its {part}'s {name}.") from None

    @property
    def size(self) -> Size | None:
        """Height and width that the picture was read in; None where that is not said; raises ``InputError``."""
        given = self._test("size", None)
        if given is None:
            return None
        whole = isinstance(given, list | tuple) and len(given) == 2 and all(type(one) is int for one in given)
        if not whole or not all(0 < one <= LARGEST for one in given):
            raise InputError("The evidence is of a picture of no usable size.")
        return given[0], given[1]

    @property
    def searches(self) -> int:
        """Sizes, keyrings and models that p pays for; raises ``InputError``."""
        given = self._test("searches", 1)
        if type(given) is not int or not 1 <= given <= MOST_SEARCHES:
            raise InputError("The evidence does not say for how many searches its p-value pays.")
        return given

    @property
    def pairs(self) -> int:
        """Keyrings and models that were searched together."""
        try:
            given = self.content["answer"].get("searched")
        except (KeyError, TypeError, AttributeError):
            given = None
        return min(max(1, len(given)), MOST_SEARCHES) if isinstance(given, list | tuple) else 1

    def _test(self, name: str, otherwise: Any) -> Any:
        """A field of the test that older evidence does not have."""
        test = self.content.get("test")
        return test.get(name, otherwise) if isinstance(test, Mapping) else otherwise

    def number(self, part: str, name: str) -> float:
        """One field that is a finite number; raises ``InputError``."""
        value = self.says(part, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:
            raise InputError(f"The evidence has no usable {name} of its {part}.")
        return float(value)


@dataclass(frozen=True)
class Evidence:
    """A statement with its signature: the public key and the signature, hexadecimal."""

    statement: Statement
    public: str
    signature: str

    @classmethod
    def signed(cls, statement: Statement, signer: Signer) -> Evidence:
        """Sign a statement."""
        return cls(statement, signer.public, signer.sign(_bytes(statement)))

    @classmethod
    def load(cls, path: Path) -> Evidence:
        """Read a file from anybody; raises ``InputError``.  Nothing is checked yet."""
        content = canonical.read(path, FORM, VERSION)
        statement, signature = content.get("statement"), content.get("signature")
        if not isinstance(statement, dict) or not isinstance(signature, dict):
            raise InputError(f"{path} is no whole evidence: a statement or its signature is missing.")
        return cls(Statement(statement), str(signature.get("public_key")), str(signature.get("signature")))

    @property
    def genuine(self) -> bool:
        """Whether the owner of :attr:`public` signed this very statement."""
        try:
            return holds(self.public, self.signature, _bytes(self.statement))
        except (ValueError, RecursionError):  # numbers that JSON lacks; what was not read from a file
            return False

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        signature = {"algorithm": "ed25519", "public_key": self.public, "signature": self.signature}
        return {"format": FORM, "version": VERSION, "statement": dict(self.statement.content), "signature": signature}

    def save(self, path: Path, overwrite: bool = False) -> None:
        """Write the file; raises ``InputError``."""
        canonical.write(path, self.as_dict(), overwrite=overwrite)


def in_size(keyring: Keyring, size: Size | None) -> Keyring:
    """The keyring for pictures of one of its sizes alone (None: as it is); raises ``InputError`` for another size."""
    if size is None:
        return keyring
    keyring.check_size(size)
    return replace(keyring, sizes=(size,))


def check_secret(keyring: Keyring) -> None:
    """Raise ``InputError`` for a keyring whose marks are no evidence."""
    if not keyring.pattern.secret:
        raise InputError("There is no evidence for a pattern whose values are public: anybody can write it.")


def best(searched: Values, values: Complexes) -> Match:
    """The best class of recovered values ``[N]``, as the reading itself looks for it.

    Raises ``InputError`` where they are of another number than the keyring's points.
    """
    if len(values) != len(searched.cells.index):
        raise InputError("The evidence has another number of values than the keyring has points.")
    return searched.match(values)


def _keys(keys: Sequence[int] | None) -> Any:
    """Classes that were searched: as a span where they are one, so that a million of them take no room."""
    if isinstance(keys, range) and keys.step == 1:
        return {"first": keys.start, "last": keys.stop - 1}
    return keys


def _classes(given: Any) -> Sequence[int] | None:
    """The other way round."""
    if isinstance(given, dict):
        keys: Sequence[int] = range(given["first"], given["last"] + 1)
    elif given is None:
        return None
    else:
        keys = tuple(given)
    if any(type(key) is not int for key in (keys if isinstance(keys, tuple) else (given["first"], given["last"]))):
        raise TypeError
    if isinstance(keys, tuple) and len(set(keys)) < len(keys):
        raise ValueError
    return keys


def _bounded(reading: Reading) -> Reading:
    """The settings, if they are such as the commands take: a stranger's file decides no more than they would."""
    whole = {"iterations": 100_000, "steps": 1000}
    for name, most in whole.items():
        value = getattr(reading, name)
        if value is not None and not (type(value) is int and 1 <= value <= most):
            raise ValueError
    if not isinstance(reading.prompt, str) or isinstance(reading.fpr, bool):
        raise TypeError
    if isinstance(reading.guidance, bool) or not abs(reading.guidance) <= 1000:
        raise ValueError
    return reading


METHODS = ("encoder", "plan")
"""Decoder inversions that values are read by: the encoder alone, or that of the settings."""


def _pose(given: Any) -> NDArray[np.float64] | None:
    """A pose ``[2, 3]`` from a stranger, such as some picture can have; raises ``ValueError``."""
    if given is None:
        return None
    pose = np.asarray(given, np.float64)
    if pose.shape != (2, 3) or not np.isfinite(pose).all() or np.abs(pose).max() > 100:
        raise ValueError
    if abs(np.linalg.det(pose[:, :2])) < 1e-3:
        raise ValueError
    return pose


def _bytes(statement: Statement) -> bytes:
    return b"treering evidence 1\n" + canonical.encoded(statement.content)


def _keyring(keyring: Keyring) -> dict[str, Any]:
    shown = keyring.as_dict()
    return {name: _plain(value) for name, value in shown.items() if name != "secret"}


def _plain(value: Any) -> Any:
    """As JSON has it, so that what is read back is what was signed."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | range):
        return [_plain(one) for one in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


def _versions() -> dict[str, str]:
    import platform
    from importlib.metadata import version

    from .. import __version__

    names = ("torch", "diffusers", "numpy")
    return {"treering": __version__, "python": platform.python_version(), **{name: version(name) for name in names}}
