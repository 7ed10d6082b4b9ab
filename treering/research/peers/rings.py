"""treering's own mark, and the rings of Tree-Ring: both are patterns of :mod:`treering.marks`."""

from __future__ import annotations

from dataclasses import replace

from ...marks.keyring import Keyring
from ...marks.patterns import Pattern
from ...models import LatentModel
from .mark import Mark


def treering(secret: bytes, model: LatentModel, classes: int) -> Mark:
    """The pattern of new keyrings, three quarters of channel 0 common to all classes."""
    pattern = replace(Pattern.synchronised(), channels=tuple(range(model.shape[0]))).widest(model.shape)
    return Mark("treering", _keyring(secret, model, classes, pattern))


def tree_ring(secret: bytes, model: LatentModel, classes: int) -> Mark:
    """Wen et al., section 3.2: rings up to radius 10 in one channel, one complex value each, tested exactly.

    The channel is the first, which the demo model recovers best; published: the last.
    """
    return Mark("Tree-Ring", _keyring(secret, model, classes, Pattern("rings", (0,), inner=1, outer=10)))


def _keyring(secret: bytes, model: LatentModel, classes: int, pattern: Pattern) -> Keyring:
    size = model.image_size
    return Keyring(secret, pattern, model.shape, image_size=size, classes=classes, public=True)
