"""How much a server takes on."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InputError


@dataclass(frozen=True)
class Limits:
    """Limits of a request, of a caller and of the whole.

    ``size``: bytes of a request's body; ``pixels``: of a picture; ``pictures``: of a request; ``seconds``: for the
    body to arrive, and again for the answer.  ``queue``: pictures that wait or are read.  ``memory``: bytes of all
    bodies together.  ``per_minute``: pictures a minute of a caller who may not know details.  ``connections``: at
    once.  ``head``: seconds until the head of a request is there.  Raises ``InputError`` for what is not above zero.
    """

    size: int = 32 << 20
    pixels: int = 40_000_000
    pictures: int = 16
    seconds: float = 120.0
    queue: int = 64
    memory: int = 512 << 20
    per_minute: int = 30
    connections: int = 1000
    head: float = 20.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise InputError(f"The limit {name} must be above zero.")
