"""The layouts of one pipeline at all sizes that it was asked for, each probed once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..errors import ModelError
from .calling import BINNING, Caller, frames_of, size_of
from .layout import Layout, Shape
from .probing import Prober


class Layouts:
    """Of one pipeline."""

    def __init__(self, caller: Caller) -> None:
        self.caller, self._prober = caller, Prober(caller)
        self._known: dict[tuple[Any, ...], Layout] = {}

    def __call__(
        self, size: tuple[int, int] | None = None, frames: int | None = None, call: dict[str, Any] | None = None
    ) -> Layout:
        """Where the pipeline keeps the numbers of a picture of this size (height, width), by default its own.

        ``call``: what else the call takes that has to do with it, if anything.
        """
        call = call or {}
        binning = call.get(BINNING)
        key = (None if size is None else (int(size[0]), int(size[1])), frames, binning)
        if key not in self._known:
            found = self._prober.layout(key[0], frames, call)
            self._known[key] = self._known[found.size, found.frames, binning] = found
        return self._known[key]

    def of_call(self, call: dict[str, Any]) -> Layout:
        """The layout of a call with these arguments of the pipeline's own."""
        return self(size_of(call), frames_of(call), call)

    def of(self, latent: Tensor, call: dict[str, Any]) -> Layout:
        """The layout that a noise or latent ``[B, ...]`` has, told by the call's size or by its shape."""
        shape = tuple(latent.shape[1:])
        if size_of(call) or frames_of(call):
            found = self.of_call(call)
        else:
            known = (one for one in self._known.values() if one.shape == shape)
            found = next(known, None) or self(*self._guess(shape), call)
        if found.shape != shape:
            name, theirs = self.caller.name, _times(found.shape)
            raise ModelError(f"{name} has latents of {theirs} at {_times(found.size)} pixels, not {_times(shape)}.")
        return found

    def _guess(self, shape: Shape) -> tuple[tuple[int, int] | None, int | None]:
        """Size and frames in pixels of a latent of this shape, in proportion to the pipeline's own size."""
        own = self()
        if own.shape == shape or len(own.shape) != len(shape):
            return None, None
        size = tuple(n * whole // part for n, whole, part in zip(shape[-2:], own.size, own.shape[-2:], strict=True))
        if own.frames is None or shape[1] == own.shape[1]:
            return (size[0], size[1]), own.frames
        most = own.shape[1] - 1
        return (size[0], size[1]), 1 + (shape[1] - 1) * (own.frames - 1) // most if most else shape[1]


def _times(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
