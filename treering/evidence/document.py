"""Evidence: what was read from a picture, how p was computed, the recovered values themselves, and a signature.

The values are what the test is about: with the keyring, or with one revealed mark and no secret at all, anybody can
repeat it without model or GPU.  That they come from this picture is what the signer says; with the model it can be
repeated too.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..marks.keyring import Keyring
from ..settings import Reading
from ..types import Detection, Match
from . import canonical
from .signing import Signer, holds

FORM, VERSION = "treering evidence", 1
Complexes = NDArray[np.complex128]


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
    ) -> Statement:
        """Of a picture's bytes and its reading.

        ``values``: the coefficients that the class was read from, ``[N]``, in the order of the keyring's points.
        ``share``: of the error budget of the stage that decided.  ``settings``: how it was read.  ``created``: when,
        as the signer says.
        """
        searched = len(keyring.searched(settings.keys)) * keyring.nonces
        z = best(keyring, settings, values).z
        test = {"share": share, "tests": searched, "z": z, "log10_p": detection.log10_p}
        answer = {name: value for name, value in detection.as_dict().items() if name != "seconds"}
        return cls(
            {
                "picture": {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)},
                "keyring": _keyring(keyring),
                "answer": _plain(answer),
                "test": _plain(test),
                "settings": _plain(asdict(settings)),
                "values": base64.b64encode(np.asarray(values, "<c16").tobytes()).decode(),
                "versions": _versions(),
                "created": created,
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
        """How the picture was read; raises ``InputError``."""
        given = self.content.get("settings")
        known = {one.name for one in fields(Reading)}
        if not isinstance(given, dict) or set(given) - known:
            raise InputError("The evidence does not say how the picture was read, or in a way that is not known here.")
        values: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in given.items()}
        try:
            return Reading(**values)
        except (TypeError, ValueError):
            raise InputError("The evidence does not say how the picture was read.") from None

    def says(self, part: str, name: str) -> Any:
        """One field; raises ``InputError`` where it is missing."""
        try:
            return self.content[part][name]
        except (KeyError, TypeError):
            raise InputError(f"The evidence does not say its {part}'s {name}.") from None


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
        except ValueError:  # numbers that JSON lacks
            return False

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        signature = {"algorithm": "ed25519", "public_key": self.public, "signature": self.signature}
        return {"format": FORM, "version": VERSION, "statement": dict(self.statement.content), "signature": signature}

    def save(self, path: Path, overwrite: bool = False) -> None:
        """Write the file; raises ``InputError``."""
        canonical.write(path, self.as_dict(), overwrite=overwrite)


def best(keyring: Keyring, settings: Reading, values: Complexes) -> Match:
    """The best class of recovered values ``[N]``; raises ``InputError`` where they are of another number."""
    import torch

    cells = keyring.cells()
    if len(values) != len(cells.index):
        raise InputError("The evidence has another number of values than the keyring has points.")
    marks = keyring.marks(settings.keys, cells=cells)
    return keyring.pattern.match(torch.from_numpy(values)[None], cells, marks)[0]


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
