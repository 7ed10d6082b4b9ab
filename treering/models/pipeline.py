"""A latent diffusion model as treering sees it: encode, decode, predict, and a scheduler.

Units live here and nowhere else: a latent is *already scaled and shifted*, as the denoiser sees it.
On a CPU the networks take one picture at a time: two cores gain nothing from a batch, memory stays
flat, and a picture's result cannot depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError, ModelError, SamplerError
from . import fingerprint

Denoiser = Callable[[Tensor, float, Tensor], Tensor]
"""``f(x, time, rows)``: model output ``[A, C, h, w]`` for the samples ``rows`` of the batch."""

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_INVERTIBLE = ("DDIMScheduler", "EulerDiscreteScheduler", "FlowMatchEulerDiscreteScheduler")


class LatentModel:
    """A Stable Diffusion pipeline's networks, in evaluation mode, without gradients.

    ``shape``: latent ``(C, h, w)``.  ``image_size``: ``(height, width)`` in pixels.
    """

    def __init__(
        self,
        name: str,
        vae: Any,
        unet: Any,
        text_encoder: Any,
        tokenizer: Any,
        scheduler: Any,
        folder: Path | None = None,
        captions: Callable[[int], str] | None = None,
    ) -> None:
        self.name, self._folder, self._captions = name, folder, captions
        self.vae, self.unet, self.text_encoder = vae, unet, text_encoder
        self.tokenizer, self._scheduler = tokenizer, scheduler
        for network in (vae, unet, text_encoder):
            network.eval().requires_grad_(False)
        self.factor = 2 ** (len(vae.config.block_out_channels) - 1)
        size = unet.config.sample_size
        height, width = (size, size) if isinstance(size, int) else size
        self.shape = (int(unet.config.in_channels), int(height), int(width))
        self.image_size = (int(height) * self.factor, int(width) * self.factor)
        if unet.config.in_channels != vae.config.latent_channels:
            raise ModelError(f"The model {name} edits or upscales pictures; a model that makes them is needed.")

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        device: torch.device = self.vae.device
        return device

    @property
    def weight_bytes(self) -> int:
        """Bytes that the networks take."""
        networks = (self.vae, self.unet, self.text_encoder)
        return sum(t.numel() * t.element_size() for net in networks for t in (*net.parameters(), *net.buffers()))

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with the weights, their configuration or the scheduler.

        Read from the pipeline's folder, if it came from one, when it is first asked for.
        """
        if self._folder is not None:
            return fingerprint.of_files(self._folder)
        return fingerprint.of_parameters((self.vae, self.unet, self.text_encoder), self._scheduler)

    def to(self, device: str = "cpu", dtype: str = "float32") -> LatentModel:
        """Move the networks; iterates stay float32."""
        for network in (self.vae, self.unet, self.text_encoder):
            network.to(device=device, dtype=DTYPES[dtype])
            if device == "cpu":
                network.to(memory_format=torch.channels_last)
        return self

    # ------------------------------------------------------------------------------- pictures

    def _one_by_one(self, x: Tensor) -> Iterator[Tensor]:
        """Rows as the networks take them: one at a time on a CPU, all at once elsewhere."""
        rows = 1 if self.device.type == "cpu" else max(len(x), 1)
        return (x[i : i + rows] for i in range(0, len(x), rows))

    def _cast(self, x: Tensor) -> Tensor:
        x = x.to(self.device, self.vae.dtype)
        return x.contiguous(memory_format=torch.channels_last) if x.device.type == "cpu" else x

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """Posterior mode: pixels ``[B, 3, H, W]`` in [-1, 1] to a latent ``[B, C, h, w]``, float32."""
        modes = [self.vae.encode(self._cast(rows)).latent_dist.mode() for rows in self._one_by_one(pixels)]
        latent = torch.cat(modes).float().contiguous()
        return (latent - self._shift) * float(self.vae.config.scaling_factor)

    @torch.no_grad()
    def decode(self, latent: Tensor) -> Tensor:
        """Latent ``[B, C, h, w]`` to pixels ``[B, 3, H, W]``, float32, not clipped."""
        return torch.cat([self.decode_with_gradient(rows) for rows in self._one_by_one(latent)])

    def decode_with_gradient(self, latent: Tensor) -> Tensor:
        """As :meth:`decode`, all rows at once, for methods that differentiate."""
        scaled = latent / float(self.vae.config.scaling_factor) + self._shift
        pixels: Tensor = self.vae.decode(self._cast(scaled)).sample
        return pixels.float().contiguous()

    @property
    def _shift(self) -> float:
        return float(getattr(self.vae.config, "shift_factor", None) or 0.0)

    # ------------------------------------------------------------------------------- denoiser

    @torch.no_grad()
    def context(self, prompt: str) -> Tensor:
        """Text embedding ``[1, tokens, width]`` of one prompt; raises ``InputError`` if it is not valid Unicode."""
        try:
            prompt.encode()
        except UnicodeEncodeError:
            raise InputError("The prompt is not valid Unicode text.") from None
        ids = self.tokenizer(
            [prompt],
            padding="max_length",
            max_length=self.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        ).input_ids
        embedding: Tensor = self.text_encoder(ids.to(self.device))[0]
        return embedding

    def denoiser(self, prompts: Sequence[str], guidance: float = 1.0, negative: str = "") -> Denoiser:
        """The model's output under these prompts, one a sample, with classifier-free guidance.

        f = f(negative) + guidance (f(prompt) - f(negative)): Ho and Salimans 2022, eq. (6).
        """
        cache = {text: self.context(text) for text in dict.fromkeys((*prompts, negative))}

        def group(x: Tensor, time: float, texts: Sequence[str]) -> Tensor:
            context = torch.cat([cache[text] for text in texts])
            if guidance == 1.0:
                return self._unet(x, time, context)
            without = cache[negative].expand(len(x), -1, -1)
            plain, prompted = self._unet(torch.cat([x, x]), time, torch.cat([without, context])).chunk(2)
            return plain + guidance * (prompted - plain)

        def f(x: Tensor, time: float, rows: Tensor) -> Tensor:
            parts = zip(self._one_by_one(x), self._one_by_one(rows), strict=True)
            return torch.cat([group(part, time, [prompts[row] for row in chosen.tolist()]) for part, chosen in parts])

        return f

    @torch.no_grad()
    def _unet(self, x: Tensor, time: float, context: Tensor) -> Tensor:
        t = torch.tensor(time, device=self.device)
        output: Tensor = self.unet(self._cast(x), t, encoder_hidden_states=context).sample
        return output.float().contiguous()

    def scheduler(self) -> Any:
        """The model's own scheduler if it can be inverted, else DDIM with the same noise schedule."""
        name, config = type(self._scheduler).__name__, self._scheduler.config
        if name in _INVERTIBLE:
            return self._scheduler
        if config.get("prediction_type", "epsilon") not in ("epsilon", "v_prediction", "sample"):
            raise SamplerError(f"{name} cannot be inverted, and DDIM cannot take its place.")
        from diffusers import DDIMScheduler

        return DDIMScheduler.from_config(self._scheduler.config, clip_sample=False, set_alpha_to_one=False)

    def sampled_words(self, seed: int) -> str | None:
        """A random prompt of the model's own world, if it came with one."""
        return self._captions(seed) if self._captions else None
