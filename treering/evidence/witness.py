"""A picture read for others: the answer, and the signed evidence of it."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from ..reading import Detector, Detectors
from ..types import Detection
from .document import Evidence, Statement
from .signing import Signer

if TYPE_CHECKING:
    from ..pictures.images import Picture
    from ..reading.record import Watch


def witnessed(
    detector: Detector | Detectors, picture: Picture, data: bytes, signer: Signer, watch: Watch | None = None
) -> tuple[Detection, Evidence | None]:
    """Read a picture whose file holds ``data``; the evidence is None where there was nothing to read.

    ``watch``: see :class:`treering.reading.record.Reading`.  Raises ``InputError`` for a reading that there is no
    evidence of: of public values.
    """
    detection, done, keyring, searches = detector.examine(picture.pixels, picture.notes, watch)
    values = done.finding.values
    if picture.too_small or values is None:
        return detection.unless(picture.too_small), None
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    said = data, keyring, detector.settings, detection, values
    paid: dict[str, Any] = {"share": done.share, "size": done.size, "searches": searches}
    statement = Statement.of(*said, **paid, created=now, way=done.finding.way)
    return detection, Evidence.signed(statement, signer)
