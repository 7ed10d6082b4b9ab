"""What the rest of the library may ask of a model, whatever kind it is.

Pixels are float32 ``[B, 3, H, W]`` in [-1, 1].  A latent is *already scaled and shifted*, as the denoiser sees it;
noise has unit variance; both are float32 ``[B, C, h, w]``, of clips ``[B, C, F, h, w]``.  No row of a batch depends
on the others (on a CPU to the last bit, elsewhere up to rounding).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ..types import Solution
    from .batching import Batching


@runtime_checkable
class Model(Protocol):
    """A latent diffusion model: its way from noise to pixels, and its ways back.

    ``tf32``: whether a GPU may round float32 to TF32.
    """

    tf32: bool

    @property
    def name(self) -> str:
        """As it was asked for."""
        ...

    chosen: str | None
    """The number type, where it was left to the machine; else None."""

    @property
    def captions(self) -> Callable[[int], str] | None:
        """A random prompt of the model's own world for a seed; None where people must bring prompts."""
        ...

    @property
    def offset(self) -> tuple[float, float]:
        """How far, (down, across) in cells, the noise lies from its pixels.

        It shows in turned pictures; :mod:`treering.reading.offset` measures it, and (0, 0) is where it is not known.
        """
        ...

    @property
    def batching(self) -> Batching:
        """How many pictures to bring together: ``batching.rows("detect")``."""
        ...

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with the weights, their configuration or the scheduler."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        ...

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the pictures that the model was made for, in pixels."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Noise of one such picture: ``(C, h, w)``, the same as ``noise_shape()``."""
        ...

    @property
    def factor(self) -> int:
        """Pixels along one side of a latent cell."""
        ...

    def noise_shape(self, size: tuple[int, int] | None = None, frames: int | None = None) -> tuple[int, ...]:
        """Shape of the noise of one picture ``(C, h, w)`` or clip ``(C, F, h, w)``, without the batch.

        ``size``: height and width in pixels (None: ``image_size``).  ``frames``: of a clip.  Raises ``InputError``
        for what the model cannot make.
        """
        ...

    def latents(self, noise: Tensor) -> Tensor:
        """What ``latents=`` of the model's pipeline wants for this noise: packed, scaled and cast as it needs it."""
        ...

    def sample(
        self, noise: Tensor, prompts: Sequence[str] | str, *, steps: int, guidance: float = 1.0, **call: Any
    ) -> Tensor:
        """Noise to latent, by the model's sampler.

        ``prompts``: one a row, or one for all.  ``call``: what else the pipeline's own call takes.  Raises
        ``InputError`` for a wrong number of prompts or an unknown setting, ``SamplerError`` for a sampler that fails.
        """
        ...

    def recover(
        self,
        latent: Tensor,
        prompts: Sequence[str] | str = "",
        *,
        steps: int,
        guidance: float = 1.0,
        evaluations: int = 1,
        **call: Any,
    ) -> Tensor:
        """Latent to the noise that :meth:`sample` makes it from: the value of :meth:`recovered`."""
        ...

    def recovered(
        self,
        latent: Tensor,
        prompts: Sequence[str] | str = "",
        *,
        steps: int,
        guidance: float = 1.0,
        evaluations: int = 1,
        **call: Any,
    ) -> Solution:
        """The noise, and for every row whether its steps were solved: a ``Solution``, status by status.

        ``evaluations``: of the denoiser for each step; with one the step is taken backwards as it stands (naive) and
        its status is BUDGET, or NONFINITE where numbers failed; with more it is solved by fixed point.  Raises
        ``SamplerError`` for a sampler that cannot be inverted.
        """
        ...

    def levels(self, latent: Tensor, *, steps: int) -> list[Tensor]:
        """A latent at every noise level of the sampler, under the empty prompt: noisiest first, itself last."""
        ...

    def resample(
        self, known: Sequence[Tensor], free: Tensor, noise: Tensor, prompts: Sequence[str] | str, *, guidance: float
    ) -> Tensor:
        """Sample the free cells from noise, with the others as in ``known`` (:meth:`levels`) at every noise level.

        ``free``: bool ``[h, w]``.  In all other cells the result is ``known[-1]``.
        """
        ...

    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels to latent: the mode of the posterior, never a draw from it."""
        ...

    def decode(self, latent: Tensor) -> Tensor:
        """Latent to pixels, not clipped."""
        ...

    def decode_with_gradient(self, latent: Tensor) -> Tensor:
        """As :meth:`decode`, all rows at once, for methods that differentiate."""
        ...

    def precision(self) -> AbstractContextManager[None]:
        """Within it float32 is exact on this model's device; for what is differentiated outside of these methods."""
        ...

    def forget_text_encoders(self, guidance: float = 1.0) -> None:
        """Keep what they answer to the empty prompt under this guidance, and let go of them: reading needs no more.

        From then on any other prompt raises ``ModelError``.
        """
        ...
