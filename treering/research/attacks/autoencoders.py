"""Autoencoders of others, from a folder that the environment names: their latents are not the model's.

Two kinds are read, both from safetensors alone: an ``AutoencoderKL`` folder of diffusers, and TAEF2 (madebyollin/taesd,
MIT licence), a small network whose layers are those of its file's names.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ...errors import InputError, ModelError

VARIABLE = "TREERING_TAEF2"
"""Environment variable: a folder with ``taef2.safetensors``, or an ``AutoencoderKL`` folder."""

Regenerate = Callable[[Tensor], Tensor]
"""Pixels ``[B, 3, H, W]`` in [-1, 1] through an autoencoder and back, not clipped."""

CELL = 8
"""Sides of what goes through are multiples of this."""


def other() -> Regenerate:
    """The autoencoder that the environment names; raises ``InputError`` where it names none."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        raise InputError(
            f"Set {VARIABLE} to the folder of another autoencoder, or name it with --autoencoder: see "
            "`treering attack --help`."
        )
    return load(Path(folder))


def load(folder: Path) -> Regenerate:
    """An autoencoder in evaluation mode, float32; raises ``ModelError`` for what is none."""
    if (folder / "taef2.safetensors").is_file():
        return _taef2(folder / "taef2.safetensors")
    if (folder / "config.json").is_file():
        return _diffusers(folder)
    raise ModelError(f"{folder} holds no autoencoder: neither taef2.safetensors nor a config.json.")


def _diffusers(folder: Path) -> Regenerate:
    from diffusers import AutoencoderKL

    try:
        vae: Any = AutoencoderKL.from_pretrained(folder, use_safetensors=True, local_files_only=True)
    except (OSError, ValueError, RuntimeError, TypeError, KeyError) as error:
        raise ModelError(f"{folder} holds no autoencoder that can be loaded.") from error
    vae = vae.float().eval().requires_grad_(False)

    @torch.no_grad()
    def through(pixels: Tensor) -> Tensor:
        found: Tensor = vae.decode(vae.encode(pixels).latent_dist.mode()).sample
        return found

    return through


# ------------------------------------------------------------------------------------------ TAEF2


def _taef2(path: Path) -> Regenerate:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = {name: values.float() for name, values in load_file(path).items()}
        through = _Taef2(weights)
        through(torch.zeros(1, 3, 2 * CELL, 2 * CELL))  # all layers are there and fit
    except (SafetensorError, OSError, KeyError, RuntimeError) as error:
        raise ModelError(f"{path} is not the autoencoder TAEF2.") from error
    return through


class _Taef2:
    """Convolutions, residual blocks, and changes of size, as the numbers in the file's names have them."""

    ENCODER = "cb" + "dbbb" * 3 + "c"
    DECODER = "tcr" + "bbbuc" * 3 + "bc"

    def __init__(self, weights: dict[str, Tensor]) -> None:
        self.weights = weights

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> Tensor:
        """Pixels ``[B, 3, H, W]`` there and back."""
        latent = self._run("encoder", self.ENCODER, (pixels + 1) / 2)
        return 2 * self._run("decoder", self.DECODER, latent) - 1

    def _run(self, network: str, layers: str, x: Tensor) -> Tensor:
        for i, layer in enumerate(layers):
            x = self._layer(f"{network}.{i}", layer, x)
        return x

    def _layer(self, name: str, layer: str, x: Tensor) -> Tensor:
        """``c``: convolution; ``d``: one that halves; ``b``: block; ``u``: twice as large; ``t``: tanh; ``r``: ReLU."""
        if layer == "b":
            return self._block(name, x)
        if layer in "cd":
            return self._convolution(name, x, 2 if layer == "d" else 1)
        if layer == "u":
            return x.repeat_interleave(2, -1).repeat_interleave(2, -2)
        return 3 * torch.tanh(x / 3) if layer == "t" else x.relu()

    def _convolution(self, name: str, x: Tensor, stride: int = 1) -> Tensor:
        return functional.conv2d(x, self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias"), stride, 1)

    def _block(self, name: str, x: Tensor) -> Tensor:
        if f"{name}.pool.0.weight" in self.weights:
            x = x + self._pool(f"{name}.pool", x)
        inner = self._convolution(f"{name}.conv.0", x).relu()
        inner = self._convolution(f"{name}.conv.2", inner).relu()
        return (self._convolution(f"{name}.conv.4", inner) + x).relu()

    def _pool(self, name: str, x: Tensor) -> Tensor:
        wide = functional.conv2d(x, self.weights[f"{name}.0.weight"])
        normed = functional.group_norm(wide, 4, self.weights[f"{name}.1.weight"], self.weights[f"{name}.1.bias"])
        return functional.conv2d(normed.relu(), self.weights[f"{name}.3.weight"])
