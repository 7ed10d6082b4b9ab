"""Pipelines of our own with habits that were met in other people's, each of which once broke the adapter.

All are Stable Diffusion's in small, or a flow over the same networks; what is odd about one is its call alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers import AutoencoderKL, DiffusionPipeline, FlowMatchEulerDiscreteScheduler
from torch import Tensor

from .own import Built, _kl, _unet, clip, tokenizer


class Tiles(AutoencoderKL):  # type: ignore[misc]
    """An autoencoder that works in tiles alone."""

    def decode(self, z: Tensor, *more: Any, **named: Any) -> Any:
        """As ever, once tiles are asked for."""
        if not self.use_tiling:
            raise NotImplementedError("Decoding without tiling is not there.")
        return super().decode(z, *more, **named)

    def encode(self, x: Tensor, *more: Any, **named: Any) -> Any:
        """As :meth:`decode`."""
        if not self.use_tiling:
            raise NotImplementedError("Encoding without tiling is not there.")
        return super().encode(x, *more, **named)


class Plain(DiffusionPipeline):  # type: ignore[misc]
    """A flow: one text encoder, one U-Net, one autoencoder."""

    def __init__(self, vae: Any, text_encoder: Any, tokenizer: Any, unet: Any, scheduler: Any) -> None:
        super().__init__()
        self.register_modules(vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, unet=unet, scheduler=scheduler)

    def encode_prompt(self, prompt: str | list[str]) -> Tensor:
        """Prompts to ``[B, tokens, width]``."""
        texts = [prompt] if isinstance(prompt, str) else prompt
        ids = self.tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids
        states: Tensor = self.text_encoder(ids.to(self.device))[0]
        return states

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | list[str] = "",
        num_inference_steps: int = 4,
        height: int = 32,
        width: int = 32,
        latents: Tensor | None = None,
        output_type: str = "pt",
    ) -> Any:
        """Pictures, or latents."""
        states = self.encode_prompt(prompt)
        self.scheduler.set_timesteps(num_inference_steps)
        if latents is None:
            latents = torch.randn(len(states), 4, height // 2, width // 2, device=self.device, dtype=self.unet.dtype)
        x = self._loop(latents, states, num_inference_steps)
        return (x,) if output_type == "latent" else (self.vae.decode(x / self.vae.config.scaling_factor).sample,)

    def _loop(self, x: Tensor, states: Tensor, steps: int) -> Tensor:
        for time in self.scheduler.timesteps:
            x = self._step(x, time, time, states)
        return x

    def _step(self, x: Tensor, time: Any, told: Any, states: Tensor) -> Tensor:
        output = self.unet(x, told, encoder_hidden_states=states).sample
        after: Tensor = self.scheduler.step(output, time, x, return_dict=False)[0]
        return after


class Ahead(Plain):
    """Tells its denoiser where a step ends, and leaves out steps that end where they begin."""

    def _loop(self, x: Tensor, states: Tensor, steps: int) -> Tensor:
        for i, time in enumerate(self.scheduler.timesteps):
            end = self.scheduler.sigmas[i + 1] * 1000
            if end != time:
                x = self._step(x, time, (time + end) / 2, states)
        return x


class Placed(Plain):
    """Keeps a place for each of its steps, and no more."""

    def _loop(self, x: Tensor, states: Tensor, steps: int) -> Tensor:
        kept = torch.zeros(steps, len(x))
        for i, time in enumerate(self.scheduler.timesteps):
            x = self._step(x, time, time, states)
            kept[i] = x.flatten(1).mean(1)
        return x


class Typed(Plain):
    """Compares the class of its scheduler."""

    def _loop(self, x: Tensor, states: Tensor, steps: int) -> Tensor:
        for time in self.scheduler.timesteps:
            if type(self.scheduler) != FlowMatchEulerDiscreteScheduler:  # noqa: E721
                x = self.scheduler.scale_model_input(x, time)
            x = self._step(x, time, time, states)
        return x


class Talkative(Plain):
    """Takes neither an empty prompt nor one without a negative prompt."""

    @torch.no_grad()
    def __call__(  # type: ignore[override]
        self,
        prompt: str | list[str] = "",
        negative_prompt: str | list[str] | None = None,
        num_inference_steps: int = 4,
        latents: Tensor | None = None,
        output_type: str = "pt",
    ) -> Any:
        """As ever."""
        if not prompt or not negative_prompt:
            raise TypeError("'NoneType' object is not iterable")
        return super().__call__(prompt, num_inference_steps, latents=latents, output_type=output_type)


class Deaf(Plain):
    """Mixes what is given as ``latents=`` with noise of its own, of which at first all is left."""

    def _loop(self, x: Tensor, states: Tensor, steps: int) -> Tensor:
        noise = torch.randn_like(x)
        return super()._loop(self.scheduler.sigmas[0] * noise + (1 - self.scheduler.sigmas[0]) * x, states, steps)


class Copying(Plain):
    """Steps with a copy of its scheduler."""

    def _loop(self, x: Tensor, states: Tensor, steps: int) -> Tensor:
        import copy

        other = copy.deepcopy(self.scheduler)
        for time in other.timesteps:
            output = self.unet(x, time, encoder_hidden_states=states).sample
            x = other.step(output, time, x, return_dict=False)[0]
        return x


def _built(kind: type[Plain]) -> Callable[[], Built]:
    def build() -> Built:
        return kind(_kl(), clip(), tokenizer(), _unet(), FlowMatchEulerDiscreteScheduler(shift=3.0)), {}

    return build


def _tiled() -> Built:
    vae = _kl()
    vae.__class__ = Tiles
    return Plain(vae, clip(), tokenizer(), _unet(), FlowMatchEulerDiscreteScheduler()), {}


AWKWARD: dict[str, Callable[[], Built]] = {
    "looks ahead": _built(Ahead),
    "a place for each step": _built(Placed),
    "compares classes": _built(Typed),
    "needs a negative prompt": _built(Talkative),
    "tiles alone": _tiled,
    "its own noise": _built(Deaf),
    "steps with copies": _built(Copying),
}
"""Every habit, and what builds a pipeline that has it; the last two cannot carry a mark."""
