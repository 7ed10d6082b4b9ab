"""Ids of keyrings: hashes of the secret and of what fixes the values, never of what use may change."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .keyring import Keyring


def of(keyring: Keyring) -> str:
    """Public name of a keyring: 16 hexadecimal digits."""
    return (_first if keyring.derivation == 1 else _second)(keyring)


def canonical(content: Any) -> bytes:
    """JSON in the one form that is hashed: sorted, without spaces, ASCII, finite."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _first(keyring: Keyring) -> str:
    pattern = asdict(keyring.pattern)
    del pattern["sync_channels"], pattern["sync_share"], pattern["sync_outer"]
    what = json.dumps([pattern, keyring.shape], sort_keys=True).encode()
    return hashlib.sha256(b"treering key id 1" + keyring.secret + what).hexdigest()[:16]


def _second(keyring: Keyring) -> str:
    pattern = keyring.pattern.as_dict()
    pattern |= {name: float(pattern[name]) for name in ("weight", "sync_share")}
    what = canonical({"derivation": keyring.derivation, "pattern": pattern})
    return hashlib.sha256(b"treering key id 2" + keyring.secret + what).hexdigest()[:16]
