"""Where the numbers of a latent are in what a pipeline packs, scales and normalises: found by sending indices through.

A pipeline takes ``latents=`` in one order (*given*), loops over samples in another (*looped*), and hands its
autoencoder a third, scaled and shifted (*decoded*), which is the picture's geometry.  Both ways are affine in every
number, so two constant tensors give gain and shift, and the digits of an index, one tensor each, give the order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..errors import ModelError

Shape = tuple[int, ...]


class NotTheNoise(ModelError):
    """What is given as ``latents=`` is no part of what the sampler begins with."""

    def __init__(self) -> None:
        super().__init__("its sampler does not begin with what is given as latents=, so that cannot carry a mark")


@dataclass(frozen=True)
class Map:
    """``out[k] = gain[k] * in[index[k]] + shift[k]`` over flattened tensors of one sample."""

    index: Tensor
    gain: Tensor
    shift: Tensor


@dataclass(frozen=True)
class Layout:
    """One size of one pipeline.

    ``shape``: latent ``(C, h, w)`` or ``(C, F, h, w)``.  ``given``, ``looped``: shapes of one sample of ``latents=``
    and of what the scheduler sees.  ``tail``: from looped to the latent as the autoencoder takes it.  ``head``: from
    given to looped.  ``size`` and ``frames``: of the picture or clip; ``frames`` is None for a picture.  ``asked``:
    the arguments with which the pipeline is asked for that.  ``rows``: of the loop's tensors that are one sample.
    ``decode``: what else the pipeline gave its autoencoder.  ``number``: number type that it was given.
    """

    shape: Shape
    given: Shape
    looped: Shape
    head: Map
    tail: Map
    size: tuple[int, int]
    frames: int | None
    asked: dict[str, int]
    framewise: bool
    decoded: Shape
    decode: tuple[tuple[Any, ...], dict[str, Any]] = field(default=((), {}))
    number: torch.dtype = torch.float32
    decoder: str = ""
    rows: int = 1

    @property
    def alone(self) -> bool:
        """Whether a call can make one sample only, because its frames take the place of a batch in the loop."""
        return self.rows > 1

    def to_looped(self, latent: Tensor) -> Tensor:
        """Latent or noise ``[B, *shape]`` in the order of the loop ``[B, *looped]``; what no picture shows is noise."""
        flat = latent.flatten(1).float()
        out = self._rest(len(flat)).to(flat.device)
        out[:, self.tail.index.to(flat.device)] = flat
        return out.view(len(flat), *self.looped)

    def _rest(self, rows: int) -> Tensor:
        numbers = math.prod(self.looped)
        if numbers == len(self.tail.index):
            return torch.zeros(rows, numbers)
        source = torch.Generator().manual_seed(0)
        return torch.randn(numbers, generator=source).expand(rows, -1).clone()

    def from_looped(self, sample: Tensor) -> Tensor:
        """The loop's samples ``[B, *looped]`` as latents ``[B, *shape]``, float32."""
        rows = sample.numel() // math.prod(self.looped)
        flat = sample.reshape(rows, -1).float()
        return flat[:, self.tail.index.to(flat.device)].view(rows, *self.shape)

    def to_given(self, noise: Tensor) -> Tensor:
        """Noise ``[B, *shape]`` in the order that ``latents=`` wants ``[B, *given]``."""
        return self.reordered(self.to_looped(noise))

    def reordered(self, sample: Tensor) -> Tensor:
        """The loop's samples ``[B, *looped]`` in the order that ``latents=`` wants ``[B, *given]``."""
        looped = sample.reshape(-1, math.prod(self.looped))
        out = torch.zeros(len(looped), math.prod(self.given), device=looped.device)
        out[:, self.head.index.to(looped.device)] = looped
        return out.view(len(looped), *self.given)

    def to_autoencoder(self, latent: Tensor) -> Tensor:
        """Latents ``[B, *shape]`` scaled and shifted for the autoencoder, in its own axes."""
        scaled = latent * self._like(self.tail.gain, latent) + self._like(self.tail.shift, latent)
        if self.framewise:
            scaled = scaled.transpose(1, 2).flatten(0, 1)  # [B, C, F, h, w] to [B F, C, h, w]
        return scaled.reshape(-1, *self.decoded[1:])

    def from_autoencoder(self, mode: Tensor, rows: int) -> Tensor:
        """The reverse, for what the encoder answers: latents ``[B, *shape]``."""
        if self.framewise:
            mode = mode.view(rows, -1, *mode.shape[1:]).transpose(1, 2)
        latent = mode.reshape(rows, *self.shape)
        return (latent - self._like(self.tail.shift, latent)) / self._like(self.tail.gain, latent)

    def _like(self, values: Tensor, latent: Tensor) -> Tensor:
        return values.view(self.shape).to(latent.device)


def find(
    send: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], given: int, looped: int, half: bool
) -> tuple[Map, Map]:
    """Head and tail maps of a pipeline whose ``latents=`` has ``given`` numbers and whose loop has ``looped``.

    ``send(x, y)``: ``x`` ``[given]`` goes in as ``latents=``, ``y`` ``[looped]`` comes out of the loop; answers what
    the loop and the autoencoder saw, flattened.  ``half``: whether numbers arrive with 8 bits.
    Raises ``ModelError`` where what arrives is not a scaled and shifted order of what was sent, of class
    ``NotTheNoise`` where nothing of ``x`` arrives.
    """
    sizes = (given, looped)
    zero = send(*(torch.zeros(n) for n in sizes))
    one = send(*(torch.ones(n) for n in sizes))
    if torch.equal(zero[0], one[0]):
        raise NotTheNoise
    base = 8 if half else 256
    count = max(1, math.ceil(math.log(max(*sizes, 2), base) - 1e-9))
    found = [torch.zeros_like(part, dtype=torch.int64) for part in zero]
    for place in range(count):
        digits = [torch.arange(n) // base**place % base for n in sizes]
        arrived = send(*(2.0 * d / (base - 1) - 1.0 for d in digits))
        for part, (x, z, o) in enumerate(zip(arrived, zero, one, strict=True)):
            found[part] += base**place * _digit(x, z, o, base)
    return _map(found[0], zero[0], one[0], given, "latents="), _map(found[1], zero[1], one[1], looped, "samples")


def _digit(x: Tensor, zero: Tensor, one: Tensor, base: int) -> Tensor:
    x, zero, one = (value.cpu().double() for value in (x, zero, one))  # not every device has float64
    unit = (x - zero) / (one - zero)
    digit = (unit + 1) * (base - 1) / 2
    if not bool((digit - digit.round()).abs().max() < 0.3):  # NaN too
        raise ModelError("This pipeline does more than scale, shift and reorder its latents.")
    return digit.round().long().clamp(0, base - 1)


def _map(index: Tensor, zero: Tensor, one: Tensor, size: int, what: str) -> Map:
    if not len(index) or int(index.max()) >= size or len(torch.unique(index)) != len(index):
        raise ModelError(f"This pipeline does not hand all of its {what} on.")
    return Map(index, (one - zero).float(), zero.float())


def candidates(looped: Shape, drawn: Sequence[Shape]) -> list[Shape]:
    """Shapes that ``latents=`` may want: first that of the loop, then of what the pipeline draws itself."""
    return list(dict.fromkeys([looped, *(shape for shape in drawn if math.prod(shape) >= math.prod(looped) > 0)]))
