"""Who asks, and what they may know: tokens, names of the host, origins, and how often."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import re
import stat
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .. import files
from ..errors import InputError
from .limits import Limits
from .problems import Problem

_TOKEN = re.compile(r"[!-~]{16,512}")
_LARGEST = 1 << 20
_REMEMBERED = 10_000
ANSWERS = "answers"
"""The word after a token whose bearer gets answers without details."""


@dataclass(frozen=True)
class Token:
    """A bearer's right.  ``digest``: SHA-256 of the token, which itself is not kept.  ``details``: p, pose and more."""

    digest: bytes
    details: bool = True


@dataclass(frozen=True)
class Caller:
    """Who asks: a name for counting, and whether they may know details."""

    name: str
    details: bool


def is_loopback(host: str) -> bool:
    """Whether an address is of this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def read_tokens(path: Path) -> tuple[Token, ...]:
    """Tokens of a file: one a line, of 16 or more letters without spaces; ``answers`` may follow, ``#`` is a remark.

    Raises ``InputError``, also where others than the owner can read the file.
    """
    with files.explained(path):
        mode = os.stat(path).st_mode
        data = files.read(path, _LARGEST)
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise InputError(f"Others can read the token file {path}; make it yours alone with: chmod 600 {path}")
    lines = [line.split() for line in data.decode("utf-8", "replace").splitlines()]
    tokens = tuple(_token(words, path) for words in lines if words and not words[0].startswith("#"))
    if not tokens:
        raise InputError(f"The token file {path} has no token: write one of 16 or more letters on a line.")
    return tokens


def _token(words: list[str], path: Path) -> Token:
    if not _TOKEN.fullmatch(words[0]):
        raise InputError(f"A token in {path} has fewer than 16 letters, or others than those of ASCII.")
    if words[1:] not in ([], [ANSWERS]):
        raise InputError(f"A line of {path} has more than a token and the word {ANSWERS}.")
    return Token(hashlib.sha256(words[0].encode()).digest(), details=not words[1:])


@dataclass
class Access:
    """The rules.

    ``hosts``: names that requests may call this server by, with port.  ``tokens``: none where the machine itself is
    trusted.  ``anonymous``: callers without a token get answers without details.  ``scheme``: of this server's own
    pages.
    """

    hosts: frozenset[str]
    tokens: tuple[Token, ...] = ()
    anonymous: bool = False
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # name: pictures left, when that was

    @classmethod
    def of(cls, host: str, port: int, names: Iterable[str], **others: object) -> Access:
        """For an address that is listened on; ``names``: further names, with or without a port."""
        own = ["localhost", "127.0.0.1", "[::1]"] if is_loopback(host) else [f"[{host}]" if ":" in host else host]
        every = [name if _has_port(name) else f"{name}:{port}" for name in (*own, *names)]
        # Without a port where that is the scheme's own, here or at a proxy.
        bare = [name for name in (*names, *(own if port in (80, 443) else ())) if not _has_port(name)]
        return cls(frozenset(name.lower() for name in (*every, *bare)), **others)  # type: ignore[arg-type]

    # Where from

    def check_names(self, headers: Mapping[str, str]) -> None:
        """Refuse requests that were meant for another host, or come from another site's page: ``Problem``."""
        host = headers.get("host", "").lower()
        if host not in self.hosts:
            raise Problem(421, "This server does not go by that name.")
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}"):
            raise Problem(403, "Pages of other sites may not ask this server.")
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise Problem(403, "Pages of other sites may not ask this server.")

    # Who

    def caller(self, headers: Mapping[str, str], address: str) -> Caller:
        """Who asks; raises ``Problem`` where that is not enough."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if given and scheme.lower() == "bearer":
            if token := self._known(given.strip()):
                return Caller(f"token {token.digest.hex()[:16]}", token.details)
            raise Problem(401, "This token is not known here.")
        if not self.tokens:
            return Caller(address, details=True)
        if self.anonymous:
            return Caller(address, details=False)
        raise Problem(401, "A token is needed: send it as Authorization: Bearer TOKEN.")

    def _known(self, given: str) -> Token | None:
        """The token; takes the same time whichever it is."""
        digest, found = hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest(), None
        for token in self.tokens:
            if hmac.compare_digest(token.digest, digest):
                found = token
        return found

    # How often

    def spend(self, caller: Caller, pictures: int, now: float | None = None) -> None:
        """Count pictures of a caller who may not know details: a detector that answers without end shows how to
        remove marks.  Raises ``Problem``."""
        if caller.details:
            return
        now = time.monotonic() if now is None else now
        most = float(self.limits.per_minute)
        left, when = self._buckets.pop(caller.name, (most, now))
        left = min(most, left + (now - when) * most / 60)
        enough = left >= pictures
        self._buckets[caller.name] = (left - pictures if enough else left, now)
        while len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)
        if not enough:
            wait = int((pictures - left) * 60 / most) + 1
            raise Problem(429, f"Callers like you may have {most:g} pictures a minute read.", retry=wait)


def _has_port(name: str) -> bool:
    return bool(re.search(r":[0-9]+$", name))
