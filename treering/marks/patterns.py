"""Patterns: where a mark is written, what it writes, and how it is tested; one object each, in one table.

To add one, write its class below and its line in :data:`KINDS`: the command line, the keyring file and the detector
ask this table.  A pattern that differs in its cells, values or test overrides that method and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

if TYPE_CHECKING:
    from ..types import Match
    from .fourier import Carrier, Cells
    from .matching import Blocks

Complexes = NDArray[np.complex128]
Floats = NDArray[np.float64]
Shape = tuple[int, int, int]

MAX_RING, MAX_CHANNEL, MAX_VALUES = 1023, 4095, 1 << 24
"""Bounds of a pattern, so that a file cannot ask for more memory than there is."""

PAPER_TABLE = (
    (1.1, 0.8, 1.2, 0.9, 0.6, 1.4),
    (1.1, 0.6, 1.1, 1.2, 0.8, 1.2),
    (0.7, 1.2, 1.3, 0.8, 0.9, 1.1),
)
"""Relative ring values v of three keys, rings 1 to 6 (Hong et al. 2024, watermark experiment)."""


class Source(Protocol):
    """The keyring's random values: complex ``[K, D]`` for K classes at these cells; see :mod:`treering.marks.keys`."""

    def __call__(self, cells: Cells, real: bool) -> Complexes:
        """Standard complex normals, or real ones of variance 1."""


SYNC_SHARE, SYNC_OUTER = 0.75, 15
"""Share of the first channel that all classes of a new keyring have in common, so that any pose can be found, and its
last ring: a turned or smaller picture takes higher frequencies out of the latent."""

OUTER, MOST_OUTER = 21, 23
"""Last ring of a new keyring for latents of 32 x 32, which have only its corner; and of any larger one.

``python -m treering.research anysize`` compared 23 with 15 in latents of 48 x 48: log10 p -56 against -22, diversity
.973 against .981.  More rings in larger latents have not been measured.
"""


@dataclass(frozen=True)
class Pattern:
    """Where and how a mark is written.

    ``kind``: a name of :data:`KINDS`.  ``channels``: latent channels that carry it; for ``mixed``, those that carry
    rings, while ``noise_channels`` carry noise.  ``inner`` and ``outer``: first and last ring.  ``weight``: a cell
    of n points counts as n to this power in the score.  ``sync_share``: how much of every ring of ``sync_channels``
    is common to all classes of a keyring (0: nothing), up to the ring ``sync_outer`` (0: the last of all).  Raises
    ``InputError`` for what cannot be.
    """

    kind: str = "noise"
    channels: tuple[int, ...] = (0, 1, 2, 3)
    noise_channels: tuple[int, ...] = ()
    inner: int = 4
    outer: int = 15
    weight: float = 0.5
    sync_channels: tuple[int, ...] = (0,)
    sync_share: float = 0.0
    sync_outer: int = 0

    def __post_init__(self) -> None:
        for name in ("channels", "noise_channels", "sync_channels"):
            object.__setattr__(self, name, _channels(name, getattr(self, name)))
        if not isinstance(self.kind, str) or self.kind not in KINDS:
            raise InputError(f"There is no pattern {str(self.kind)[:40]!r}: use one of {', '.join(KINDS)}.")
        self._check_numbers()
        self._object.check(self)
        if self.sync_share:
            self._check_synchronisation()

    def _check_numbers(self) -> None:
        if not (_is_whole(self.inner) and _is_whole(self.outer) and 0 <= self.inner <= self.outer <= MAX_RING):
            raise InputError(f"The rings of a pattern are whole numbers to {MAX_RING}, the first not above the last.")
        if not _is_number(self.weight) or abs(self.weight) > 16:
            raise InputError("The weight of a pattern is a number from -16 to 16.")
        if not _is_number(self.sync_share) or not 0 <= self.sync_share <= 1:
            raise InputError("The synchronisation share of a pattern is a number from 0 to 1.")
        if not (_is_whole(self.sync_outer) and (self.sync_outer == 0 or self.inner <= self.sync_outer <= self.outer)):
            raise InputError(
                "The last ring of the synchronisation part is one of the pattern's rings, or 0 for its last."
            )
        area = math.pi / 2 * (self.outer + 1) ** 2
        if area * (len(self.channels) + len(self.noise_channels)) > MAX_VALUES:
            raise InputError(f"A pattern has at most {MAX_VALUES} values: use fewer rings or channels.")

    def _check_synchronisation(self) -> None:
        fine = {carrier.channel for carrier in self.carriers() if not carrier.whole}
        if not self.secret or not self.sync_channels or not fine.issuperset(self.sync_channels):
            raise InputError("Only channels that carry noise can hold a synchronisation part.")
        whole = self.sync_share == 1 and self.sync_outer in (0, self.outer)
        if whole and set(self.sync_channels).issuperset(c.channel for c in self.carriers()):
            raise InputError("The synchronisation part leaves no values for the classes.")

    @classmethod
    def synchronised(cls) -> Pattern:
        """What new keyrings have: independent values, and a part common to all classes by which a pose is found."""
        return cls(**Noise.defaults)

    def widest(self, shape: Shape) -> Pattern:
        """This pattern with the rings of new keyrings for latents ``[C, h, w]``, if it is of such a kind.

        From the fourth ring to the corners of the spectrum, which alone hold a third of the evidence, up to
        :data:`MOST_OUTER`; small latents from the first.  The usual channels are those of them that a latent has;
        others stay, to be refused where they do not fit.

        >>> [(one.inner, one.outer) for one in (Pattern().widest((4, side, side)) for side in (8, 32, 128))]
        [(1, 4), (4, 21), (4, 23)]
        """
        from . import fourier

        if not self._object.corners:
            return self
        outer = max(1, min(fourier.corner(shape), MOST_OUTER))
        inner = self.inner if outer > self.inner else 1
        usual = self.channels == Pattern.channels
        channels = self.channels[: shape[0]] if usual else self.channels
        return replace(self, channels=channels, inner=inner, outer=outer, sync_outer=min(self.sync_outer, outer))

    @classmethod
    def paper(cls) -> Pattern:
        """The fixed rings of Hong et al. 2024."""
        return cls(kind="paper", **Paper.defaults)

    def as_dict(self) -> dict[str, Any]:
        """Its fields for files and hashes; ``sync_outer`` only where it says something, as none from before have it."""
        told = asdict(self)
        if not self.sync_outer:
            del told["sync_outer"]
        return told

    @property
    def _object(self) -> Kind:
        return KINDS[self.kind]

    @property
    def real(self) -> bool:
        """Whether the values have no imaginary part."""
        return self._object.real

    @property
    def secret(self) -> bool:
        """Whether the values come from the secret, so that the exact test applies."""
        return self._object.most_classes is None

    @property
    def most_classes(self) -> int | None:
        """How many classes there are, where they are a public table; None where there is no end of them."""
        return self._object.most_classes

    def carriers(self) -> tuple[Carrier, ...]:
        """How each channel carries the mark, in the order of the cells."""
        return self._object.carriers(self)

    def cells(self, shape: Shape) -> Cells:
        """The cells of this pattern in a latent ``[C, h, w]``, as far as that has their frequencies."""
        from . import fourier

        return fourier.cells(shape, self.carriers(), self.inner, self.outer)

    def check_fits(self, shape: Shape) -> None:
        """Raise ``InputError`` unless a latent ``[C, h, w]`` has all channels and rings, whole where they carry one
        value each, and as far as its corners where every frequency carries its own."""
        from . import fourier

        fourier.check_rings(shape, self.inner, self.outer, whole=not self._object.corners)
        self.cells(shape)

    def values(self, cells: Cells, keys: Sequence[int], source: Source) -> Complexes:
        """Values of these classes, complex ``[K, D]``."""
        return self._object.values(cells, keys, source)

    def weights(self, cells: Cells) -> Floats:
        """Weight of every cell in the score of a class ``[D]``; 0 for the synchronisation part, which has no class."""
        weights: Floats = cells.count.double().pow(self.weight).numpy()
        return np.where(cells.sync[cells.first].numpy(), 0.0, weights)

    def match(self, coefficients: Any, cells: Cells, blocks: Blocks, searched: int | None = None) -> list[Match]:
        """Best mark of every reading, complex tensor ``[B, N]``, by the pattern's own test.

        ``searched``: marks to correct for, where a screen left only some of them in the blocks.
        """
        return self._object.match(self, coefficients, cells, blocks, searched)

    def first_order(self, cells: Cells) -> NDArray[np.int64]:
        """Where version 1 had the values of these cells in its one stream, int64 ``[D]``: noise after rings."""
        import torch

        from . import fourier

        frequency, rings, _ = fourier.disc(self.inner, self.outer)
        rank = (frequency[:, 0] * (4 * self.outer + 4) + frequency[:, 1]).argsort().argsort()  # by ky, kx alone
        inside = torch.searchsorted(rings, torch.arange(self.inner, self.outer + 1))  # where each ring begins
        channel, ring, position = (of[cells.first] for of in (cells.channel, cells.ring, cells.position))
        order, start = torch.zeros_like(ring), 0
        for carrier in self.carriers():
            place = ring - self.inner if carrier.whole else rank[inside[ring - self.inner] + position]
            order = torch.where(channel == carrier.channel, start + place, order)
            start += len(inside) if carrier.whole else len(rings)
        return order.numpy()


# The table


class Kind:
    """What a pattern does; a mark of this one has one complex value a ring, in ``channels``."""

    summary = "one complex value for each ring"
    real = False
    corners = False
    """Whether a ring of which a latent has only the corners can carry a mark: each frequency has a value of its own."""
    most_classes: int | None = None
    defaults: Mapping[str, Any] = {}
    """Fields of a :class:`Pattern` that a new one of this kind has unless others are asked for."""

    def check(self, pattern: Pattern) -> None:
        """Raise ``InputError`` for settings that this pattern cannot have."""
        if pattern.noise_channels:
            raise InputError("The pattern 'mixed' needs noise channels, and no other pattern has them.")

    def carriers(self, pattern: Pattern) -> tuple[Carrier, ...]:
        """How each channel carries the mark."""
        return self._carriers(pattern, pattern.channels, whole=True)

    def _carriers(self, pattern: Pattern, channels: tuple[int, ...], whole: bool) -> tuple[Carrier, ...]:
        from .fourier import Carrier

        share = dict.fromkeys(pattern.sync_channels, pattern.sync_share)
        if whole:
            return tuple(Carrier(channel, True) for channel in channels)
        return tuple(Carrier(channel, False, share.get(channel, 0.0), pattern.sync_outer) for channel in channels)

    def values(self, cells: Cells, keys: Sequence[int], source: Source) -> Complexes:
        """Values of these classes at the cells, complex ``[K, D]``."""
        return source(cells, self.real)

    def match(
        self, pattern: Pattern, coefficients: Any, cells: Cells, blocks: Blocks, searched: int | None = None
    ) -> list[Match]:
        """Best class of every reading, complex tensor ``[B, N]``, by the exact test."""
        from . import fourier, matching

        means, points = fourier.read(coefficients, cells).numpy(), coefficients.numpy()
        weights, cell = pattern.weights(cells), cells.cell.numpy()
        return matching.match(points, means, blocks, weights, cell, self.real, searched=searched)


class Real(Kind):
    """One real value a ring."""

    summary = "one real value for each ring: survives rotation and mirroring best"
    real = True


class Noise(Kind):
    """One complex value a frequency."""

    summary = "one complex value for each point: strongest evidence, no rotation"
    corners = True
    defaults: Mapping[str, Any] = {"outer": OUTER, "sync_share": SYNC_SHARE, "sync_outer": SYNC_OUTER}

    def carriers(self, pattern: Pattern) -> tuple[Carrier, ...]:
        """A value for each frequency in all channels."""
        return self._carriers(pattern, pattern.channels, whole=False)


class Mixed(Kind):
    """Rings in some channels, noise in others."""

    summary = "rings in --channels, noise in --noise-channels"

    def check(self, pattern: Pattern) -> None:
        """Raise ``InputError`` unless both kinds of channels are named, and none twice."""
        if not pattern.noise_channels:
            raise InputError("The pattern 'mixed' needs noise channels, and no other pattern has them.")
        if set(pattern.channels) & set(pattern.noise_channels):
            raise InputError("A channel carries either rings or noise, not both.")

    def carriers(self, pattern: Pattern) -> tuple[Carrier, ...]:
        """Rings first."""
        rings = self._carriers(pattern, pattern.channels, whole=True)
        return rings + self._carriers(pattern, pattern.noise_channels, whole=False)


class Paper(Kind):
    """The real rings of Hong et al. 2024, which are public and hide nothing."""

    summary = "the fixed rings of Hong et al. 2024: known to all, for reproduction only"
    real = True
    most_classes = len(PAPER_TABLE)
    defaults: Mapping[str, Any] = {"channels": (0,), "inner": 1, "outer": 6}

    def check(self, pattern: Pattern) -> None:
        """Raise ``InputError`` unless it is as published."""
        super().check(pattern)
        if any(getattr(pattern, name) != value for name, value in self.defaults.items()):
            raise InputError("The pattern 'paper' is fixed: channel 0, rings 1 to 6.")

    def values(self, cells: Cells, keys: Sequence[int], source: Source) -> Complexes:
        """80 (1 + 2 (v - 1)) in the unnormalised FFT of a 64 x 64 latent, so divided by 64 here."""
        if any(not 0 <= key < len(PAPER_TABLE) for key in keys):
            raise InputError(f"The pattern 'paper' has {len(PAPER_TABLE)} classes, counted from 0.")
        rings = cells.ring[cells.first].numpy() - 1
        table = np.asarray([PAPER_TABLE[key] for key in keys], np.complex128).reshape(-1, len(PAPER_TABLE[0]))
        values: Complexes = 80 / 64 * (1 + 2 * (table[:, rings] - 1))
        return values

    def match(
        self, pattern: Pattern, coefficients: Any, cells: Cells, blocks: Blocks, searched: int | None = None
    ) -> list[Match]:
        """Best class by the classical test: the exact one has no meaning where values are public."""
        from . import matching

        keys, _, values = zip(*blocks, strict=True)
        every = [int(key) for block in keys for key in block]
        return matching.match_public(coefficients.numpy(), every, np.concatenate(values), cells.cell.numpy())


KINDS: dict[str, Kind] = {"rings": Kind(), "real": Real(), "noise": Noise(), "mixed": Mixed(), "paper": Paper()}
"""All patterns, by the name that keyrings and commands know them by."""


# Checks of plain values


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _channels(name: str, value: Any) -> tuple[int, ...]:
    """A tuple of different channels; how many a latent has is asked later."""
    if not isinstance(value, tuple | list) or not all(map(_is_whole, value)):
        raise InputError(f"The {name.replace('_', ' ')} of a pattern are whole numbers.")
    if len(set(value)) != len(value) or any(not 0 <= channel <= MAX_CHANNEL for channel in value):
        raise InputError(f"The {name.replace('_', ' ')} of a pattern lie between 0 and {MAX_CHANNEL}, each named once.")
    return tuple(value)
