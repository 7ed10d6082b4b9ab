"""What an integrity check found."""

from __future__ import annotations

from dataclasses import dataclass, field

MOST = 3
"""So many kinds of damage are named; a wrecked file would give thousands."""


MOST_PARTS = 1 << 20
"""So many chunks, segments or blocks are followed: as many as the largest picture has blocks of 8 x 8 pixels."""


class TooManyPartsError(Exception):
    """A file of more parts than any writer makes: following them would cost more than the picture."""


@dataclass
class Found:
    """What is wrong with a file.

    damage: clauses ("the end is missing"), in order, none twice.  trailing: bytes after the end of the picture,
    which no reader looks at.  scans: passes of a JPEG over the picture.  parts: chunks and the like.
    """

    damage: list[str] = field(default_factory=list)
    trailing: int = 0
    scans: int = 0
    parts: int = 0

    def add(self, clause: str) -> None:
        """Note a kind of damage, once."""
        if clause not in self.damage and len(self.damage) < MOST:
            self.damage.append(clause)

    def count(self) -> None:
        """One more part; TooManyPartsError where there are too many."""
        self.parts += 1
        if self.parts > MOST_PARTS:
            raise TooManyPartsError
