"""From a secret to the values of a class, and the keyring file.

The values of class k are SHAKE-256(secret, domain, k) turned into standard complex normals: any
class from 0 up, without a table.  The secret is never printed: ``repr`` leaves it out, the file is
private to its owner, and what may be shown or logged is the key id, a hash.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import files
from ..errors import InputError, KeyringError, ModelError

if TYPE_CHECKING:
    from torch import Tensor

    from .fourier import Cells

Kind = Literal["rings", "real", "noise", "mixed", "paper"]
KINDS: tuple[Kind, ...] = ("rings", "real", "noise", "mixed", "paper")
FORMAT, VERSION = "treering keyring", 1
SECRET_BYTES = 32
_DOMAIN = b"treering class values 1"

PAPER_TABLE = (
    (1.1, 0.8, 1.2, 0.9, 0.6, 1.4),
    (1.1, 0.6, 1.1, 1.2, 0.8, 1.2),
    (0.7, 1.2, 1.3, 0.8, 0.9, 1.1),
)
"""Relative ring values v of three keys, rings 1 to 6 (Hong et al. 2024, watermark experiment)."""


@dataclass(frozen=True)
class Pattern:
    """Where and how a mark is written.

    ``kind``: ``rings``, one complex value a ring; ``real``, one real value a ring; ``noise``, one
    complex value for every half-plane point; ``mixed``, rings in ``channels`` and noise in
    ``noise_channels``; ``paper``, the fixed real rings of Hong et al. 2024, which are public and
    hide nothing.  ``inner`` and ``outer``: first and last ring.  ``weight``: a cell of n points counts
    as n to this power in the score.
    """

    kind: Kind = "noise"
    channels: tuple[int, ...] = (0, 1, 2, 3)
    noise_channels: tuple[int, ...] = ()
    inner: int = 4
    outer: int = 15
    weight: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        object.__setattr__(self, "noise_channels", tuple(self.noise_channels))
        if self.kind not in KINDS:
            raise InputError(f"There is no pattern {self.kind!r}: use one of {', '.join(KINDS)}.")
        if bool(self.noise_channels) != (self.kind == "mixed"):
            raise InputError("The pattern 'mixed' needs noise channels, and no other pattern has them.")
        if set(self.channels) & set(self.noise_channels):
            raise InputError("A channel carries either rings or noise, not both.")
        if self.kind == "paper" and (self.inner, self.outer, self.channels) != (1, 6, (0,)):
            raise InputError("The pattern 'paper' is fixed: channel 0, rings 1 to 6.")

    @classmethod
    def paper(cls) -> Pattern:
        """The fixed rings of Hong et al. 2024."""
        return cls("paper", (0,), (), 1, 6)

    @property
    def real(self) -> bool:
        """Whether the values have no imaginary part."""
        return self.kind in ("real", "paper")

    @property
    def secret(self) -> bool:
        """Whether the values come from the secret, so that the exact test applies."""
        return self.kind != "paper"

    def cells(self, shape: tuple[int, int, int]) -> Cells:
        """The cells of this pattern in a latent ``[C, h, w]``."""
        from . import fourier

        if self.kind == "noise":
            return fourier.disc_cells(shape, self.channels, self.inner, self.outer)
        cells = fourier.ring_cells(shape, self.channels, self.inner, self.outer)
        if self.kind == "mixed":
            return fourier.join(cells, fourier.disc_cells(shape, self.noise_channels, self.inner, self.outer))
        return cells


class Fits(Protocol):
    """What a keyring asks of a model: its name, latent ``(C, h, w)`` and picture ``(H, W)``."""

    name: str
    shape: tuple[int, int, int]
    image_size: tuple[int, int]


@dataclass(frozen=True)
class Keyring:
    """A secret and what is needed to read marks made with it.

    ``shape``: latent ``[C, h, w]``.  ``classes``: how many classes a search covers.  ``image_size``:
    height and width of the pictures.  ``steps``: sampler steps of the reading.
    """

    secret: bytes = field(repr=False)
    pattern: Pattern = Pattern()
    shape: tuple[int, int, int] = (4, 32, 32)
    classes: int = 100
    model: str = "demo"
    image_size: tuple[int, int] = (256, 256)
    steps: int = 10
    public: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(self.shape))
        object.__setattr__(self, "image_size", tuple(self.image_size))
        if len(self.secret) != SECRET_BYTES:
            raise KeyringError(f"A secret has {SECRET_BYTES} bytes, this one has {len(self.secret)}.")
        if self.classes < 1 or self.steps < 1:
            raise KeyringError("A keyring needs at least one class and one step.")
        if self.pattern.kind == "paper" and self.classes > len(PAPER_TABLE):
            raise KeyringError(f"The pattern 'paper' has {len(PAPER_TABLE)} classes.")

    @classmethod
    def new(cls, **settings: Any) -> Keyring:
        """A keyring with a fresh secret from the operating system."""
        return cls(secret=secrets.token_bytes(SECRET_BYTES), **settings)

    @classmethod
    def for_model(cls, model: Any, **settings: Any) -> Keyring:
        """A fresh keyring that fits a ``treering.models.LatentModel``."""
        return cls.new(shape=model.shape, image_size=model.image_size, model=model.name, **settings)

    @classmethod
    def demo(cls) -> Keyring:
        """The public keyring of the sample pictures; its secret is no secret."""
        return cls(secret=b"treering's public demo keyring..", public=True)

    @property
    def id(self) -> str:
        """Public name: 16 hexadecimal digits of a hash of the secret and the pattern."""
        what = json.dumps([asdict(self.pattern), self.shape], sort_keys=True).encode()
        return hashlib.sha256(b"treering key id 1" + self.secret + what).hexdigest()[:16]

    def check_fits(self, model: Fits) -> None:
        """Raise ``ModelError`` unless these marks fit the model's latents."""
        if tuple(self.image_size) != tuple(model.image_size) and self.shape == model.shape:
            ours, theirs = _times(self.image_size), _times(model.image_size)
            raise ModelError(f"The keyring is for pictures of {ours}, the model {model.name} makes {theirs}.")
        if tuple(self.shape) != tuple(model.shape):
            raise ModelError(
                f"The keyring is for latents of {_times(self.shape)}, the model {model.name} has {_times(model.shape)}."
            )

    def with_secret(self, secret: bytes) -> Keyring:
        """The same settings under another secret."""
        return replace(self, secret=secret)

    def cells(self) -> Cells:
        """Where the mark is written."""
        return self.pattern.cells(self.shape)

    def weights(self) -> NDArray[np.float64]:
        """Weight of every cell in the score, ``[D]``."""
        counts: NDArray[np.float64] = self.cells().count.numpy().astype(np.float64)
        return counts**self.pattern.weight

    def values(self, keys: Sequence[int] | range) -> NDArray[np.complex128]:
        """Values of classes ``[K, D]``; variance 1 under a random secret (but for ``paper``)."""
        size = len(self.cells().count)
        if self.pattern.kind == "paper":
            return _paper_values(keys)
        if self.pattern.kind == "real":
            return _normals(self.secret, keys, (size + 1) // 2).view(np.float64)[:, :size] * np.sqrt(2) + 0j
        return _normals(self.secret, keys, size)

    def blocks(self, keys: Sequence[int] | range | None = None, rows: int = 4096) -> Iterator[tuple[Any, Any]]:
        """Classes to search and their values, a block at a time, so that memory stays flat."""
        keys = range(self.classes) if keys is None else keys
        for start in range(0, len(keys), rows):
            block = keys[start : start + rows]
            yield block, self.values(block)

    def noise(self, key: int, seed: int, count: int = 1) -> Tensor:
        """Marked noise float32 ``[count, C, h, w]``; picture i is made from seed ``seed + i`` alone.

        Ready for an existing pipeline: ``pipe(prompt, latents=keyring.noise(2, seed=7).to(pipe.unet.dtype))``.
        """
        import torch

        from . import fourier

        if not 0 <= key < self.classes:
            raise InputError(f"The keyring has the classes 0 to {self.classes - 1}; there is no class {key}.")
        values = torch.from_numpy(self.values([key])[0])
        return fourier.imprint(plain_noise(self.shape, seed, count), self.cells(), values)

    # ---------------------------------------------------------------------------------- file

    def as_dict(self, secret: bool = False) -> dict[str, Any]:
        """What the file holds; without the secret unless asked."""
        head: dict[str, Any] = {"format": FORMAT, "version": VERSION, "id": self.id}
        if self.public:
            head["notice"] = "This keyring is PUBLIC: anyone can read, forge or remove its marks."
        body = {
            "public": self.public,
            "classes": self.classes,
            "model": self.model,
            "shape": list(self.shape),
            "image_size": list(self.image_size),
            "steps": self.steps,
            "pattern": asdict(self.pattern),
        }
        return head | body | ({"secret": self.secret.hex()} if secret else {})

    def save(self, path: Path | str, overwrite: bool = False) -> None:
        """Write the file: mode 0600, under a temporary name, then renamed.

        A file that exists is replaced only with ``overwrite``: a lost secret cannot be made again.
        """
        self.cells()  # rings and channels that do not fit are refused before anything is written
        path, text = Path(path), json.dumps(self.as_dict(secret=True), indent=2) + "\n"
        if path.exists() and not overwrite:
            raise KeyringError(f"{path} exists already; a lost keyring cannot be made again.")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write(path, text.encode(), overwrite=overwrite, private=True)
        except OSError as error:
            raise KeyringError(f"The keyring {path} cannot be written: {error.strerror or error}.") from error

    @classmethod
    def load(cls, path: Path | str) -> Keyring:
        """Read a file; refuses unknown versions, broken content and secrets that others can read."""
        path = Path(path)
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                data = file.read(1 << 20)
        except FileNotFoundError:
            raise KeyringError(f"There is no keyring {path}; `treering keys new` makes one.") from None
        except OSError as error:
            raise KeyringError(f"The keyring {path} cannot be read: {error.strerror or error}.") from error
        keyring = _parse(path, data)
        if os.name == "posix" and not keyring.public and stat.S_IMODE(mode) & 0o077:
            raise KeyringError(f"Other users can read the keyring {path}; run: chmod 600 {path}")
        return keyring


def _times(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def plain_noise(shape: tuple[int, int, int], seed: int, count: int = 1, stream: int = 0) -> Tensor:
    """Unmarked noise float32 ``[count, C, h, w]``, one generator for every picture.

    ``stream``: noise of one seed and several streams is independent; pictures are drawn from stream 0.
    """
    import torch

    if seed < 0:
        raise InputError("A seed must not be negative.")
    # Philox takes the whole seed; torch's CPU generator looks at 32 bits, which can be tried one by one.
    spawned = (stream,) if stream else ()
    sources = (np.random.SeedSequence(seed + i, spawn_key=spawned) for i in range(count))
    generators = (np.random.Generator(np.random.Philox(source)) for source in sources)
    return torch.from_numpy(np.stack([generator.standard_normal(shape, np.float32) for generator in generators]))


def _normals(secret: bytes, keys: Sequence[int] | range, size: int) -> NDArray[np.complex128]:
    """Standard complex normals ``[K, size]`` (E|z|^2 = 1) by Box and Muller from SHAKE-256."""
    start = hashlib.shake_256(_DOMAIN + secret)
    blocks = []
    for key in keys:
        stream = start.copy()
        stream.update(int(key).to_bytes(8, "little"))
        blocks.append(stream.digest(16 * size))
    words = np.frombuffer(b"".join(blocks), "<u8").reshape(len(blocks), size, 2)
    uniform = ((words >> np.uint64(11)) + 0.5) * 2.0**-53  # in (0, 1)
    values: NDArray[np.complex128] = np.sqrt(-np.log(uniform[..., 0])) * np.exp(2j * np.pi * uniform[..., 1])
    return values


def _paper_values(keys: Sequence[int] | range) -> NDArray[np.complex128]:
    """80 (1 + 2 (v - 1)) in the unnormalised FFT of a 64 x 64 latent, so divided by 64 here."""
    if any(not 0 <= key < len(PAPER_TABLE) for key in keys):
        raise InputError(f"The pattern 'paper' has {len(PAPER_TABLE)} classes, counted from 0.")
    table = np.asarray([PAPER_TABLE[key] for key in keys], np.complex128)
    return 80 / 64 * (1 + 2 * (table - 1))


def _parse(path: Path, data: bytes) -> Keyring:
    try:
        content = json.loads(data)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise KeyringError(f"{path} is not a treering keyring.")
        if content.get("version") != VERSION:
            raise KeyringError(
                f"The keyring {path} has version {content.get('version')!r}; this treering reads version {VERSION}."
            )
        pattern: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in content["pattern"].items()}
        keyring = Keyring(
            secret=bytes.fromhex(content["secret"]),
            pattern=Pattern(**pattern),
            shape=_whole(content["shape"], 3),  # type: ignore[arg-type]
            classes=int(content["classes"]),
            model=str(content["model"]),
            image_size=_whole(content["image_size"], 2),  # type: ignore[arg-type]
            steps=int(content["steps"]),
            public=content["public"] is True,
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, InputError) as error:
        raise KeyringError(f"The keyring {path} is damaged: {_reason(error)}.") from None
    if content.get("id") != keyring.id:
        raise KeyringError(f"The keyring {path} is damaged: its id does not fit its content.")
    return keyring


def _whole(values: Any, count: int) -> tuple[int, ...]:
    numbers = tuple(int(value) for value in values)
    if len(numbers) != count or min(numbers) < 1:
        raise ValueError(f"{count} positive numbers are needed")
    return numbers


def _reason(error: Exception) -> str:
    """What is wrong, without quoting content that may hold the secret."""
    if isinstance(error, json.JSONDecodeError):
        return f"it is not valid JSON (line {error.lineno})"
    if isinstance(error, UnicodeDecodeError):
        return "it is not text"
    if isinstance(error, KeyError):
        return f"{error.args[0]!r} is missing"
    return "a value is not of the form that is needed"
