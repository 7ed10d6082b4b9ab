"""Marks of others beside treering's own, each written from its paper as a pattern with a valid test.

All are read by the same plan of stages with the same search of the pose (:mod:`treering.reading`), so that the pattern
is compared and not the search, and all have as many classes.  A mark that a pose can be searched by has a part common
to all classes, about as large a share of it as treering's own has.

- ``treering``: independent complex values at every frequency of rings 4 to 15 in all channels.
- ``Tree-Ring``: one complex value a ring (Wen et al., NeurIPS 2023).  Its ten values cannot pay for any pose.
- ``RingID-like``: a sign a ring in one channel, and Gaussian noise in another (Ci et al., ECCV 2024).
- ``PRC-like``: a pseudorandom code in the signs of the noise, other signs in every picture (Gunn et al., ICLR 2025).
- ``Gaussian Shading``: an encrypted message in the signs of the noise, read softly (Yang et al., CVPR 2024).
"""

from __future__ import annotations

from ...models import LatentModel
from . import gaussian_shading, prc, ringid, rings
from .mark import CLASSES, Mark

MARKS = {
    "treering": rings.treering,
    "Tree-Ring": rings.tree_ring,
    "RingID-like": ringid.mark,
    "Gaussian Shading": gaussian_shading.mark,
    "PRC-like": prc.mark,
}
"""How to make each mark, from a secret and the model that it is for."""


def make(name: str, secret: bytes, model: LatentModel, classes: int = CLASSES) -> Mark:
    """One of :data:`MARKS`."""
    return MARKS[name](secret, model, classes)


__all__ = ["CLASSES", "MARKS", "Mark", "make"]
