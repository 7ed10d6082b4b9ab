"""The keyring: a secret, and what is needed to write and read marks made with it.

The values of a class come from the secret alone: any class from 0 up, without a table.  The secret is never printed:
``repr`` leaves it out, the file is private to its owner, and what may be shown or logged is the key id, a hash.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, KeyringError
from . import bounds, fitting, ids
from . import keys as streams
from .bounds import MAX_CLASSES, Shape, Size
from .fitting import Fits, plane
from .patterns import Pattern
from .seeds import draw_nonce
from .seeds import plain_noise as plain_noise

if TYPE_CHECKING:
    from torch import Tensor

    from ..types import Match
    from .fourier import Cells

Keys = Sequence[int] | range
Complexes = NDArray[np.complex128]

MAX_SEARCH = 1 << 24
"""Classes times nonces that a search may cover."""

NONCES, MARKS = 64, 1 << 17
"""Nonces of a new keyring, as long as its classes times nonces are no more marks than this: then a power of two less.

``treering experiment averaging`` measures what they are good for, ``treering experiment nonces`` what they cost.
"""


_PATTERN = Pattern()


@dataclass(frozen=True, init=False)
class Keyring:
    """A secret and what is needed to read marks made with it.

    ``classes``: how many a search covers.  ``nonces``: how many marks a class has (1: one, as without nonces).
    ``variants``: of the synchronisation part.  The latent family: ``channels`` and ``factor``, the pixels a latent
    cell is wide, and ``sizes``, the pictures' heights and widths, the first being the default; where nothing is said,
    the latents of Stable Diffusion.  ``steps``: sampler steps of the reading.  ``model``: its name, or empty for a
    keyring that is not tied to one.  ``root``: of the commitment tree, hexadecimal, or empty.  ``derivation``: how
    values come from the secret; 1 for keyrings made before there were nonces and sizes.  ``accepted``: share of all
    secrets that would have been taken when this one was drawn (:mod:`treering.reading.flocks`), by which a detector
    divides its p-values.

    ``shape`` ``(C, h, w)`` and ``image_size`` may be given in place of channels, factor and sizes.  Raises
    ``KeyringError`` for what cannot be.
    """

    secret: bytes = field(repr=False)
    pattern: Pattern = _PATTERN
    classes: int = 100
    nonces: int = 1
    variants: int = 1
    channels: int = 4
    factor: int = 8
    sizes: tuple[Size, ...] = ((256, 256),)
    steps: int = 10
    model: str = ""
    public: bool = False
    root: str = ""
    derivation: int = 2
    accepted: float = 1.0

    def __init__(
        self,
        secret: bytes,
        pattern: Pattern = _PATTERN,
        shape: tuple[int, ...] | None = None,
        *,
        image_size: Size | None = None,
        **settings: Any,
    ) -> None:
        settings |= {
            "secret": secret,
            "pattern": pattern,
            **bounds.family(shape, image_size, settings.get("factor", type(self).factor)),
        }
        for one in fields(self):
            object.__setattr__(self, one.name, settings.pop(one.name, one.default))
        if settings:
            raise TypeError(f"A keyring has no {', '.join(settings)}.")
        self._check()

    def _check(self) -> None:
        if not isinstance(self.secret, bytes) or len(self.secret) != streams.SECRET_BYTES:
            count = len(self.secret) if isinstance(self.secret, bytes) else "other content"
            raise KeyringError(f"A secret has {streams.SECRET_BYTES} bytes, this one has {count}.")
        for name, value in bounds.checked(self.__dict__).items():
            object.__setattr__(self, name, value)
        most = self.pattern.most_classes
        if most is not None and self.classes > most:
            raise KeyringError(f"The pattern '{self.pattern.kind}' has {most} classes.")
        if self.derivation == 1:
            self._check_first()

    def _check_first(self) -> None:
        if self.nonces > 1 or self.variants > 1 or self.pattern.sync_share:
            raise KeyringError("A keyring of version 1 has no nonces and no synchronisation; make a new one for them.")
        if len({self.shape_of(size) for size in self.sizes}) > 1:
            raise KeyringError("A keyring of version 1 has latents of one size; make a new one for other sizes.")

    @classmethod
    def new(cls, **settings: Any) -> Keyring:
        """A keyring with a fresh secret from the operating system.

        Unless told otherwise it has as many rings as :meth:`Pattern.widest` says, a synchronisation part and, with
        one, as many nonces as :func:`usual_nonces` says.
        """
        chosen = "pattern" in settings or settings.get("derivation", 2) == 1
        if settings.get("derivation", 2) == 2:
            pattern = settings.setdefault("pattern", Pattern.synchronised())
            settings.setdefault("nonces", usual_nonces(settings.get("classes", cls.classes), pattern))
        keyring = cls(secrets.token_bytes(streams.SECRET_BYTES), **settings)
        return keyring if chosen else keyring.widest()

    def widest(self) -> Keyring:
        """The same with as many rings as the latents of its default size bear."""
        return replace(self, pattern=self.pattern.widest(self.shape))

    @classmethod
    def for_model(cls, model: Fits, **settings: Any) -> Keyring:
        """A fresh keyring that fits a ``treering.models.Model``."""
        return cls.new(shape=plane(model.shape), image_size=model.image_size, model=model.name, **settings)

    def with_secret(self, secret: bytes) -> Keyring:
        """The same settings under another secret."""
        return Keyring(**{one.name: getattr(self, one.name) for one in fields(self)} | {"secret": secret})

    @property
    def id(self) -> str:
        """Public name: 16 hexadecimal digits of a hash of the secret and of what fixes the values."""
        return ids.of(self)

    # ---------------------------------------------------------------------------------- sizes

    @property
    def image_size(self) -> Size:
        """Height and width of the pictures, unless another size is named."""
        return self.sizes[0]

    @property
    def shape(self) -> Shape:
        """Latent ``(C, h, w)`` of :attr:`image_size`."""
        return self.shape_of(self.image_size)

    def shape_of(self, size: Size | None) -> Shape:
        """Latent ``(C, h, w)`` of pictures of this size (None: the default); raises ``InputError``."""
        height, width = self.image_size if size is None else size
        if min(height, width) < self.factor or height % self.factor or width % self.factor:
            raise InputError(
                f"Pictures of {width}x{height} are no multiple of the {self.factor} pixels of a latent cell."
            )
        return self.channels, height // self.factor, width // self.factor

    def check_size(self, size: Size) -> None:
        """Raise ``InputError`` unless this is one of the keyring's sizes."""
        fitting.check_size(self, size)

    def check_fits(self, model: Fits, size: Size | None = None) -> None:
        """Raise ``ModelError`` unless these marks fit the model's latents, those of its own size and of this one."""
        fitting.check(self, model, size)

    def check(self) -> None:
        """Raise ``InputError`` unless the latents of the default size have all rings, and those of all sizes some."""
        self.pattern.check_fits(self.shape)
        for size in self.sizes:
            self.cells(size)

    # ---------------------------------------------------------------------------------- values

    def cells(self, size: Size | None = None) -> Cells:
        """The cells of the pattern in latents of this picture size."""
        shape = self.shape_of(size)
        if self.derivation == 1:
            self.pattern.check_fits(shape)
        return self.pattern.cells(shape)

    def weights(self, size: Size | None = None) -> NDArray[np.float64]:
        """Weight of every cell in the score of a class ``[D]``; 0 for the synchronisation part."""
        return self.pattern.weights(self.cells(size))

    def values(
        self, keys: Keys, nonce: int = 0, cells: Cells | None = None, size: Size | None = None, variant: int = 0
    ) -> Complexes:
        """Secret values of classes, complex ``[K, D]``.

        ``cells``: only these (``keyring.cells().take(which)``), and no stream is drawn further than they need.
        Classes beyond the keyring's are fine: what a class is does not depend on how many are searched.
        """
        self._check_nonce(nonce)
        return self.values_of([(key, nonce) for key in keys], self.cells(size) if cells is None else cells, variant)

    def synchronisation(self, variant: int = 0, size: Size | None = None) -> tuple[Cells, Complexes]:
        """What all marks of the keyring have in common: its cells, and their values complex ``[S]``."""
        from torch import nonzero

        cells = self.cells(size)
        common = cells.take(nonzero(cells.sync[cells.first]).flatten())
        return common, self._common(common, variant)

    def values_of(self, marks: Sequence[tuple[int, int]], cells: Cells, variant: int = 0) -> Complexes:
        """Values of marks (class, nonce) at these cells, complex ``[R, D]``."""
        keys = [key for key, _ in marks]
        if keys and not (min(keys) >= 0 and max(keys) < MAX_CLASSES):
            raise InputError(f"Classes are numbers from 0 to {MAX_CLASSES - 1}.")

        def source(cells: Cells, real: bool) -> Complexes:
            if self.derivation == 1:
                return streams.draw_first(self.secret, keys, self.pattern.first_order(cells), real)
            drawn = streams.draw(streams.mark_seeds(self.secret, marks), places(cells))
            return drawn.real * np.sqrt(2) + 0j if real else drawn

        values = self.pattern.values(cells, keys, source)
        common = cells.sync[cells.first].numpy()
        if common.any():
            values[:, common] = self._common(cells, variant)[common]
        return values

    def _common(self, cells: Cells, variant: int) -> Complexes:
        if not 0 <= variant < self.variants:
            raise InputError(f"The keyring has the variants 0 to {self.variants - 1}; there is no variant {variant}.")
        return streams.draw([streams.synchronisation_seed(self.secret, variant)], places(cells))[0]

    def noise(
        self, key: int, seed: int, count: int = 1, nonce: int | None = None, size: Size | None = None, variant: int = 0
    ) -> Tensor:
        """Marked noise float32 ``[count, C, h, w]``; picture i is made from seed ``seed + i`` alone.

        ``nonce``: None for the one that the picture's seed stands for (:func:`treering.marks.seeds.draw_marks`).

        Ready for an existing pipeline: ``pipe(prompt, latents=keyring.noise(2, seed=7).to(pipe.unet.dtype))``.
        """
        import torch

        from . import fourier

        self.check_classes([key])
        plain, cells = plain_noise(self.shape_of(size), seed, count), self.cells(size)
        if nonce is not None or self.nonces == 1:
            return fourier.imprint(
                plain, cells, torch.from_numpy(self.values([key], nonce or 0, cells, None, variant)[0])
            )
        marks = [(key, draw_nonce(seed + i, self.nonces)) for i in range(count)]
        values = torch.from_numpy(self.values_of(marks, cells, variant))
        return torch.cat([fourier.imprint(plain[i : i + 1], cells, values[i]) for i in range(count)])

    # ---------------------------------------------------------------------------------- search

    def check_classes(self, keys: Keys | None) -> None:
        """Raise ``InputError`` unless the keyring has these classes (None: all), at least one."""
        if keys is None:
            return
        if not _count(keys):
            raise InputError("At least one class is to be searched.")
        low, high = (
            (min(keys[0], keys[-1]), max(keys[0], keys[-1])) if isinstance(keys, range) else (min(keys), max(keys))
        )
        if low < 0 or high >= self.classes:
            wrong = low if low < 0 else high
            raise InputError(f"The keyring has the classes 0 to {self.classes - 1}; there is no class {wrong}.")

    def _check_nonce(self, nonce: int) -> None:
        if not 0 <= nonce < self.nonces:
            raise InputError(f"The keyring has the nonces 0 to {self.nonces - 1}; there is no nonce {nonce}.")

    def blocks(
        self, keys: Keys | None = None, rows: int = 4096, cells: Cells | None = None, size: Size | None = None
    ) -> Iterator[tuple[Sequence[int], Complexes]]:
        """Classes to search (None: all) and their values, a block at a time, so that memory stays flat.

        Every nonce of a class is a row of its own.  Raises ``InputError`` for classes that the keyring does not have
        and for more than ``MAX_SEARCH`` classes times nonces.
        """
        return ((classes, values) for classes, _, values in self.marks(keys, rows, cells, size))

    def marks(
        self, keys: Keys | None = None, rows: int = 4096, cells: Cells | None = None, size: Size | None = None
    ) -> Iterator[tuple[Sequence[int], Sequence[int], Complexes]]:
        """As :meth:`blocks`, with the nonces: classes ``[R]``, nonces ``[R]``, values complex ``[R, D]``."""
        self.count(keys)
        return self._blocks(self.searched(keys), rows, self.cells(size) if cells is None else cells)

    def searched(self, keys: Keys | None = None) -> Keys:
        """The classes of a search; all, if none are named."""
        return range(self.classes) if keys is None else keys

    def count(self, keys: Keys | None = None) -> int:
        """Classes times nonces of a search; raises ``InputError`` as :meth:`blocks`."""
        self.check_classes(keys)
        if (tests := _count(self.searched(keys)) * self.nonces) > MAX_SEARCH:
            what = "classes" if self.nonces == 1 else "classes times nonces"
            raise InputError(f"{tests} {what} are more than the {MAX_SEARCH} of one search; name fewer with --keys.")
        return tests

    def _blocks(self, keys: Keys, rows: int, cells: Cells) -> Iterator[tuple[Sequence[int], Sequence[int], Complexes]]:
        for start in range(0, len(keys) * self.nonces, rows):
            places = range(start, min(start + rows, len(keys) * self.nonces))
            classes = [int(keys[i // self.nonces]) for i in places]
            nonces = [i % self.nonces for i in places]
            yield classes, nonces, self.values_of(list(zip(classes, nonces, strict=True)), cells)

    def match(self, noise: Tensor, keys: Keys | None = None, size: Size | None = None) -> list[Match]:
        """The best of these classes for every noise ``[B, C, h, w]``, by the pattern's own test."""
        from . import fourier

        cells = self.cells(size)
        coefficients = fourier.coefficients(noise.cpu(), cells)
        return self.pattern.match(coefficients, cells, self.marks(keys, cells=cells))

    # ---------------------------------------------------------------------------------- file

    def as_dict(self) -> dict[str, Any]:
        """What may be shown: everything but the secret."""
        from . import keyring_file

        return keyring_file.shown(self)

    def save(self, path: Path | str, overwrite: bool = False) -> None:
        """Write the file, for its owner alone; see :func:`treering.marks.keyring_file.save`."""
        from . import keyring_file

        keyring_file.save(self, Path(path), overwrite)

    @classmethod
    def load(cls, path: Path | str) -> Keyring:
        """Read a file; see :func:`treering.marks.keyring_file.load`."""
        from . import keyring_file

        return keyring_file.load(Path(path))


def usual_nonces(classes: int, pattern: Pattern = _PATTERN) -> int:
    """Nonces of a new keyring with so many classes: 1 without a synchronisation part, as then every mark that is
    searched makes the search of a pose longer.

    >>> from treering.marks.patterns import Pattern
    >>> [usual_nonces(n, Pattern.synchronised()) for n in (1, 100, 2048, 10_000, 10**6)]
    [64, 64, 64, 8, 1]
    """
    fits = max(1, MARKS // classes) if classes > 0 and pattern.sync_share else 1
    return min(NONCES, 1 << (fits.bit_length() - 1))


def _count(keys: Keys) -> int:
    try:
        return len(keys)
    except OverflowError:  # a range beyond what len can say
        return MAX_CLASSES


def places(cells: Cells) -> streams.Places:
    """Where the value of every cell stands: channel, ring and position, int64 ``[D, 3]``."""
    from torch import stack

    first = cells.first
    return stack([cells.channel[first], cells.ring[first], cells.position[first]], 1).numpy()
