"""Pictures and clips through a pipeline's own autoencoder, in the layout that was probed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from .layout import Layout
from .twin import twin


def encode(network: Any, found: Layout, pixels: Tensor) -> Tensor:
    """Posterior mode: pixels ``[B, 3, H, W]`` or ``[B, 3, F, H, W]`` to latents ``[B, *found.shape]``, float32."""
    x = pixels
    if found.framewise:
        x = x.transpose(1, 2).flatten(0, 1) if x.ndim == 5 else x
    elif len(found.decoded) == 5 and x.ndim == 4:
        x = x[:, :, None]
    with _typed(network, found):
        return found.from_autoencoder(_mode(through(network, "encode", x.to(found.number))).float(), len(pixels))


def decode(network: Any, found: Layout, latent: Tensor) -> Tensor:
    """Latents ``[B, *found.shape]`` to pixels ``[B, 3, H, W]`` or clips ``[B, 3, F, H, W]``, float32, not clipped."""
    more, named = found.decode
    with _typed(network, found):
        pixels = tensor_of(
            through(network, "decode", found.to_autoencoder(latent).to(found.number), *more, **named)
        ).float()
    if found.frames is None:
        return pixels[:, :, 0] if pixels.ndim == 5 else pixels
    if pixels.ndim == 4:  # frame by frame: [B F, 3, H, W]
        return pixels.view(len(latent), -1, *pixels.shape[1:]).transpose(1, 2)
    return pixels


@contextlib.contextmanager
def _typed(network: Any, found: Layout) -> Iterator[None]:
    """The autoencoder in the number type in which the pipeline runs it."""
    before = network.dtype
    if before != found.number:
        network.to(found.number)
    try:
        yield
    finally:
        if before != found.number:
            network.to(before)


def _mode(answer: Any) -> Tensor:
    """The mode of what an ``encode`` answers, whichever of diffusers' forms it has."""
    distribution = getattr(answer, "latent_dist", None)
    if distribution is not None:
        return distribution.mode()
    for name in ("latents", "latent"):
        if isinstance(found := getattr(answer, name, None), Tensor):
            return found
    return tensor_of(answer)


def through(network: Any, way: str, x: Tensor, *more: Any, **named: Any) -> Any:
    """``network.decode(x, ...)`` or ``encode``; in tiles where it has no other way and nobody has asked for them."""
    try:
        return getattr(network, way)(x, *more, **named)
    except NotImplementedError:
        if getattr(network, "use_tiling", True) or not hasattr(network, "enable_tiling"):
            raise
        tiled = twin(network)  # its user's own stays as it is
        tiled.enable_tiling()
        return getattr(tiled, way)(x, *more, **named)


def tensor_of(answer: Any) -> Tensor:
    """The picture in what a ``decode`` answers: a tensor, a tuple, or an object with ``sample``."""
    if isinstance(answer, Tensor):
        return answer
    found: Tensor = answer[0] if isinstance(answer, (tuple, list)) else answer["sample"]
    return found
