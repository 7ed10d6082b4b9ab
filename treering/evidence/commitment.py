"""Commitments to marks: what an owner publishes before there is a dispute, and what an expert gets in one.

The root of a hash tree over the seeds of all marks (classes times nonces) tells nothing of any of them.  Later the
owner reveals one seed with its path; whoever has the root sees that this mark was fixed when the root was published,
and can repeat the test for it without the secret.  What gives a root force is an outside timestamp that is older than
the picture.  A revealed mark can be forged from then on.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..marks import keys as streams
from ..marks.keyring import Keyring
from ..marks.patterns import Pattern
from . import canonical, tree

COMMITMENT, REVEALED, VERSION = "treering commitment", "treering revealed mark", 1
_LEAF = b"treering leaf 1"


@dataclass(frozen=True)
class Head:
    """What a root speaks of: a keyring's id, its numbers of classes and nonces, its pattern and its latent family."""

    keyring: str
    classes: int
    nonces: int
    pattern: Mapping[str, Any]
    channels: int
    factor: int
    sizes: Sequence[Sequence[int]]

    @classmethod
    def of(cls, keyring: Keyring) -> Head:
        """Of a keyring of version 2; raises ``InputError`` for one that cannot be committed to."""
        if keyring.derivation == 1 or not keyring.pattern.secret:
            raise InputError(
                "Only marks of version 2 have seeds that can be committed to; `treering keys new` makes them."
            )
        if keyring.classes * keyring.nonces > tree.MOST:
            raise InputError(
                f"{keyring.classes} classes of {keyring.nonces} marks are more than the {tree.MOST} of a commitment; "
                "lower them with `treering keys set`."
            )
        sizes = [list(size) for size in keyring.sizes]
        pattern = {name: list(v) if isinstance(v, tuple) else v for name, v in keyring.pattern.as_dict().items()}
        family: dict[str, Any] = {"channels": keyring.channels, "factor": keyring.factor, "sizes": sizes}
        return cls(keyring.id, keyring.classes, keyring.nonces, pattern, **family)

    @property
    def count(self) -> int:
        """Marks in the tree."""
        return self.classes * self.nonces

    def root(self, top: bytes) -> str:
        """What is published, hexadecimal: the top of the tree together with what it speaks of."""
        return hashlib.sha256(b"treering root 1" + canonical.digest(asdict(self)) + top).hexdigest()


@dataclass(frozen=True)
class Commitment:
    """What is published."""

    head: Head
    root: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"format": COMMITMENT, "version": VERSION, "root": self.root, **asdict(self.head)}

    @classmethod
    def load(cls, path: Path) -> Commitment:
        """Read a published file; raises ``InputError``."""
        content = canonical.read(path, COMMITMENT, VERSION)
        return cls(_head(path, content), _hex(path, content.get("root"), 32).hex())


@dataclass(frozen=True)
class Revealed:
    """One mark for an expert: its class, its nonce, its seed, and what brings it up to the root."""

    head: Head
    key: int
    nonce: int
    seed: bytes
    path: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if not (0 <= self.key < self.head.classes and 0 <= self.nonce < self.head.nonces):
            raise InputError("The revealed mark is none of those that its commitment speaks of.")

    @property
    def root(self) -> str:
        """The root that this mark belongs to, hexadecimal: it is to be compared with the published one."""
        index = self.key * self.head.nonces + self.nonce
        return self.head.root(tree.climbed(_leaf(self.key, self.nonce, self.seed), index, self.path))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        mark = {"class": self.key, "nonce": self.nonce, "mark_seed": self.seed.hex()}
        siblings = [one.hex() for one in self.path]
        return {"format": REVEALED, "version": VERSION, **mark, "path": siblings, **asdict(self.head)}

    @classmethod
    def load(cls, path: Path) -> Revealed:
        """Read a file that an owner gave; raises ``InputError``."""
        content = canonical.read(path, REVEALED, VERSION)
        head, siblings = _head(path, content), content.get("path")
        if not isinstance(siblings, list) or len(siblings) != tree.depth(head.count):
            raise InputError(f"The path in {path} does not fit a tree of {head.count} marks.")
        key, nonce = (_whole(path, content.get(name), name) for name in ("class", "nonce"))
        seed = _hex(path, content.get("mark_seed"), 32)
        return cls(head, key, nonce, seed, tuple(_hex(path, one, 32) for one in siblings))


def commit(keyring: Keyring) -> Commitment:
    """The commitment to all marks of a keyring; a minute for 2^24.  Raises ``InputError``."""
    head = Head.of(keyring)
    return Commitment(head, head.root(tree.root(_leaves(keyring), head.count)))


def reveal(keyring: Keyring, key: int, nonce: int = 0) -> Revealed:
    """One mark of a keyring for an expert.  Raises ``InputError``."""
    head = Head.of(keyring)
    keyring.check_classes([key])
    if not 0 <= nonce < keyring.nonces:
        raise InputError(f"The keyring has the nonces 0 to {keyring.nonces - 1}; there is no nonce {nonce}.")
    _, siblings = tree.path(_leaves(keyring), head.count, key * keyring.nonces + nonce)
    return Revealed(head, key, nonce, streams.mark_seeds(keyring.secret, [(key, nonce)])[0], tuple(siblings))


def _leaves(keyring: Keyring) -> tree.Leaves:
    def leaves(numbers: range) -> list[bytes]:
        marks = [divmod(i, keyring.nonces) for i in numbers]
        seeds = streams.mark_seeds(keyring.secret, marks)
        return [_leaf(*mark, seed) for mark, seed in zip(marks, seeds, strict=True)]

    return leaves


def _leaf(key: int, nonce: int, seed: bytes) -> bytes:
    return hashlib.sha256(_LEAF + struct.pack("<QQ", key, nonce) + seed).digest()


# Reading what strangers wrote


def _head(path: Path, content: Mapping[str, Any]) -> Head:
    numbers: dict[str, Any] = {
        name: _whole(path, content.get(name), name, 1) for name in ("classes", "nonces", "channels", "factor")
    }
    pattern, sizes, name = content.get("pattern"), content.get("sizes"), content.get("keyring")
    if not isinstance(pattern, dict) or not isinstance(sizes, list) or not isinstance(name, str) or not sizes:
        raise InputError(f"{path} does not say of which keyring it speaks.")
    head = Head(name, pattern=pattern, sizes=sizes, **numbers)
    if head.count > tree.MOST:
        raise InputError(f"{path} speaks of more than {tree.MOST} marks.")
    return head


def experts(head: Head) -> Keyring:
    """A keyring without the secret: its cells are those of the marks; raises ``TreeringError`` for what cannot be."""
    try:
        fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in head.pattern.items()}
        pattern = Pattern(**fields)
        sizes = tuple((int(height), int(width)) for height, width in head.sizes)
    except (TypeError, ValueError):
        raise InputError("The commitment has a pattern or sizes that this treering does not know.") from None
    family: dict[str, Any] = {"channels": head.channels, "factor": head.factor, "sizes": sizes}
    return Keyring(bytes(streams.SECRET_BYTES), pattern, classes=head.classes, nonces=head.nonces, **family)


def _whole(path: Path, value: Any, name: str, least: int = 0) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 1 << 63:
        raise InputError(f"{path} has no usable {name}.")
    return value


def _hex(path: Path, value: Any, size: int) -> bytes:
    try:
        data = bytes.fromhex(value)
    except (TypeError, ValueError):
        data = b""
    if len(data) != size:
        raise InputError(f"{path} has a hash that is none.")
    return data
