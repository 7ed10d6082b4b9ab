"""Whether a keyring's marks fit the latents of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from ..errors import InputError, ModelError
from .bounds import Shape, Size

if TYPE_CHECKING:
    from .keyring import Keyring


class Fits(Protocol):
    """What a keyring asks of a model: its name, latent ``(C, h, w)`` or ``(C, F, h, w)``, and picture ``(H, W)``."""

    @property
    def name(self) -> str:
        """As it was asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Latent ``(C, h, w)``, of clips ``(C, F, h, w)``."""

    @property
    def image_size(self) -> Size:
        """Height and width in pixels."""

    def noise_shape(self, size: Size | None = None) -> tuple[int, ...]:
        """Latent of pictures of another size."""


def plane(shape: Sequence[int]) -> Shape:
    """Latent ``(C, h, w)`` of a picture, or of one frame of a clip ``(C, F, h, w)``: keyrings of clips are for frames.

    >>> plane((16, 21, 60, 104))
    (16, 60, 104)
    """
    return (shape[0], shape[-2], shape[-1])


def check_size(keyring: Keyring, size: Size) -> None:
    """Raise ``InputError`` unless this is one of the keyring's sizes."""
    if size not in keyring.sizes:
        ours = ", ".join(f"{width}x{height}" for height, width in keyring.sizes)
        raise InputError(
            f"The keyring is not for pictures of {size[1]}x{size[0]}, but of {ours}; "
            "`treering keys set --sizes` changes that."
        )


def check(keyring: Keyring, model: Fits, size: Size | None = None) -> None:
    """Raise ``ModelError`` unless these marks fit the model's latents, those of its own size and of this one."""
    if hasattr(model, "clips"):  # a pipeline that is called by itself makes any size
        return _check_size(keyring, model, size or keyring.image_size)
    _check_own(keyring, model)
    if size is not None and size != tuple(model.image_size):
        check_size(keyring, size)
        _check_size(keyring, model, size)


def _check_size(keyring: Keyring, model: Fits, size: Size) -> None:
    theirs, ours = plane(model.noise_shape(size)), keyring.shape_of(size)
    if theirs != ours:
        raise ModelError(
            f"The keyring is for latents of {_times(ours)} at {size[1]}x{size[0]} pixels, "
            f"the model {model.name} has {_times(theirs)}."
        )


def _check_own(keyring: Keyring, model: Fits) -> None:
    theirs, size = tuple(model.shape), tuple(model.image_size)
    shapes = {one: keyring.shape_of(one) for one in keyring.sizes}
    if shapes.get((size[0], size[1])) == theirs:
        return
    if theirs in shapes.values():
        ours = next(one for one, shape in shapes.items() if shape == theirs)
        raise ModelError(f"The keyring is for pictures of {_times(ours)}, the model {model.name} makes {_times(size)}.")
    raise ModelError(
        f"The keyring is for latents of {_times(keyring.shape)}, the model {model.name} has {_times(theirs)}."
    )


def _times(numbers: Sequence[int]) -> str:
    return "x".join(map(str, numbers))
