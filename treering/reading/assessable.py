"""Whether there was anything to read: a failure must never look like a picture without a mark."""

from __future__ import annotations

import numpy as np

from .record import Reading

FLAT = 2
"""A picture whose levels differ by no more than this in every channel is of one colour."""


def one_colour(reading: Reading) -> str | None:
    """A sentence if the picture is of one colour, so that no stage has anything to read."""
    if np.ptp(reading.picture.reshape(-1, 3), axis=0).max() <= FLAT:
        return "The picture is of one colour, so there is nothing to read."
    return None


def failure(reading: Reading) -> str | None:
    """Why nothing can be said of a picture in which nothing was found, one sentence; None where it was read."""
    if reading.failed:
        return f"{next(iter(reading.failed.values()))[:-1]}; try another --method, more --steps, or float32."
    return None
