"""Signatures by Ed25519 (RFC 8032): who said so, as far as one knows whose key it is.  Needs ``cryptography``."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import files
from ..errors import InputError, KeyringError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_MOST = 1 << 20
_PATIENCE = 5.0  # seconds that the winner of a race has to write its file
_KEY, _SIGNATURE = re.compile("[0-9a-f]{64}"), re.compile("[0-9a-f]{128}")


def _library() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise InputError("Signatures need a further package: pip install 'treering[evidence]'.") from None
    return ed25519


class Signer:
    """A private key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def new(cls) -> Signer:
        """A fresh key."""
        return cls(_library().Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path) -> Signer:
        """Read a PEM file (PKCS8, not encrypted) that its owner alone can read; raises ``KeyringError``."""
        ed25519 = _library()
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization

        try:
            data, mode = files.read(path, _MOST), path.stat().st_mode
        except OSError as error:
            raise KeyringError(f"The signing key {path} cannot be read: {error.strerror or error}.") from None
        if os.name == "posix" and mode & 0o077:
            raise KeyringError(f"Others can read the signing key {path}; run: chmod 600 {path}")
        try:
            key = serialization.load_pem_private_key(data, None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise KeyringError(
                f"{path} is no signing key: it is no PEM file of a private key without a password."
            ) from None
        if not isinstance(key, ed25519.Ed25519PrivateKey):
            raise KeyringError(f"{path} is a key of another kind; signatures are by Ed25519.")
        return cls(key)

    def save(self, path: Path) -> None:
        """Write a PEM file for its owner alone; raises ``InputError`` where there is one."""
        from cryptography.hazmat.primitives import serialization as form

        data = self._key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
        with files.explained(path):
            files.make_folder(path.parent)
            files.write(path, data, overwrite=False, private=True)

    @classmethod
    def create_or_load(cls, path: Path) -> tuple[Signer, bool]:
        """The key in the file; where there is none, a fresh one is written, and the second value is True."""
        if not os.path.lexists(path):
            signer = cls.new()
            try:
                signer.save(path)
            except InputError as error:
                if not isinstance(error.__cause__, FileExistsError):
                    raise
                _wait(path)  # another process was faster: then there is one to load
            else:
                return signer, True
        return cls.load(path), False

    @property
    def public(self) -> str:
        """The public key, 64 hexadecimal digits."""
        data: bytes = self._key.public_key().public_bytes_raw()
        return data.hex()

    def sign(self, data: bytes) -> str:
        """The signature, 128 hexadecimal digits."""
        return self._key.sign(data).hex()


def _wait(path: Path) -> None:
    """Until a file that was claimed has content: on file systems without hard links the two are not one step."""
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until and path.exists() and not path.stat().st_size:
        time.sleep(0.02)


def holds(public: str, signature: str, data: bytes) -> bool:
    """Whether the owner of a public key signed these bytes."""
    ed25519 = _library()
    from cryptography.exceptions import InvalidSignature

    if not (_KEY.fullmatch(public) and _SIGNATURE.fullmatch(signature)):
        return False  # fromhex would pass over spaces, and one key would have many names
    try:
        key = ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
        key.verify(bytes.fromhex(signature), data)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True
