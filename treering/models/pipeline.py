"""A latent diffusion model as treering sees it: encode, decode, predict, and a scheduler.

Units live here and nowhere else: a latent is *already scaled and shifted*, as the denoiser sees it.
How many pictures go through a network together is decided in :mod:`treering.models.batching`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import settings
from ..errors import InputError, ModelError, SamplerError
from ..types import Solution
from . import fingerprint, walk
from .batching import Batching, Part
from .precision import exact_float32
from .schedule import Schedule, probe
from .walk import Denoiser

DTYPES: dict[str, torch.dtype] = {name: getattr(torch, name) for name in settings.DTYPES}
"""Number types of the networks, by name."""

_INVERTIBLE = ("DDIMScheduler", "EulerDiscreteScheduler", "FlowMatchEulerDiscreteScheduler")


class LatentModel:
    """A Stable Diffusion pipeline's networks, in evaluation mode, without gradients: a :class:`protocol.Model`.

    ``shape``: latent ``(C, h, w)``.  ``image_size``: ``(height, width)`` in pixels.  ``captions``: a random prompt of
    the model's own world for a seed, if it came with such.  ``tf32``: whether a GPU may round float32 to TF32.
    ``chosen``: the number type, where it was left to the machine.
    ``steps``, ``guidance``: how its pictures are made unless told otherwise.  ``few_steps``: the sampler steps that it
    was distilled to, which are all that a reading takes; None of models of many.
    """

    steps: int = settings.STEPS
    guidance: float = settings.GUIDANCE
    few_steps: int | None = None
    _kind = ""

    def __init__(
        self,
        name: str,
        vae: Any,
        unet: Any,
        text_encoder: Any,
        tokenizer: Any,
        scheduler: Any,
        places: Mapping[str, Path] | None = None,
        captions: Callable[[int], str] | None = None,
        offset: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        self.name, self._places, self.captions, self.tf32 = name, places, captions, False
        self.chosen: str | None = None
        self.offset = offset
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
        self._schedules: dict[int, Schedule] = {}
        self._contexts: dict[str, Tensor] = {}
        self.batching = Batching({})

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        device: torch.device = self.vae.device
        return device

    @property
    def weight_bytes(self) -> int:
        """Bytes that the networks take."""
        networks = [net for net in (self.vae, self.unet, self.text_encoder) if net is not None]
        return sum(t.numel() * t.element_size() for net in networks for t in (*net.parameters(), *net.buffers()))

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with the weights, their configuration or the scheduler.

        Read from the parts' folders, if they came from such, when it is first asked for.
        """
        if self._places is not None:
            return fingerprint.of_files(self._places, self._kind)
        return fingerprint.of_parameters((self.vae, self.unet, self.text_encoder), self._scheduler)

    def to(self, device: str = "cpu", dtype: str = "float32") -> LatentModel:
        """Move the networks; iterates stay float32."""
        self._contexts.clear()
        for network in (self.vae, self.unet, self.text_encoder):
            network.to(device=device, dtype=DTYPES[dtype])
            if device == "cpu":
                network.to(memory_format=torch.channels_last)
        self._contexts.clear()  # they are where the networks were, and as exact
        self.batching = Batching.of(self.device, self._needs())
        return self

    def precision(self) -> AbstractContextManager[None]:
        """Within it float32 is exact on this model's device; for what is differentiated outside of these methods."""
        return exact_float32(self.device, self.tf32)

    def _needs(self) -> dict[Part, int]:
        """Bytes that one picture takes in each part, roughly: so many planes of the widest kind at full size."""
        size = self.vae.dtype.itemsize
        (height, width), (_, h, w) = self.image_size, self.shape
        full = height * width * int(self.vae.config.block_out_channels[0]) * size
        latent = h * w * int(self.unet.config.block_out_channels[0]) * size
        return {"encoder": 8 * full, "decoder": 16 * full, "denoiser": 64 * latent}

    # ------------------------------------------------------------------------------- pictures

    def _cast(self, x: Tensor) -> Tensor:
        x = x.to(self.device, self.vae.dtype)
        return x.contiguous(memory_format=torch.channels_last) if x.device.type == "cpu" else x

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """Posterior mode: pixels ``[B, 3, H, W]`` in [-1, 1] to a latent ``[B, C, h, w]``, float32."""

        def modes(rows: Tensor) -> Tensor:
            mode: Tensor = self.vae.encode(self._cast(rows)).latent_dist.mode()
            return mode

        with self.precision():
            latent = self.batching.run("encoder", modes, pixels).float().contiguous()
        return (latent - self._shift) * float(self.vae.config.scaling_factor)

    @torch.no_grad()
    def decode(self, latent: Tensor) -> Tensor:
        """Latent ``[B, C, h, w]`` to pixels ``[B, 3, H, W]``, float32, not clipped."""
        return self.batching.run("decoder", self.decode_with_gradient, latent)

    def decode_with_gradient(self, latent: Tensor) -> Tensor:
        """As :meth:`decode`, all rows at once, for methods that differentiate."""
        scaled = latent / float(self.vae.config.scaling_factor) + self._shift
        with self.precision():
            pixels: Tensor = self.vae.decode(self._cast(scaled)).sample
        return pixels.float().contiguous()

    @property
    def _shift(self) -> float:
        return float(getattr(self.vae.config, "shift_factor", None) or 0.0)

    # ------------------------------------------------------------------------------- denoiser

    def context(self, prompt: str) -> Tensor:
        """Text embedding ``[1, tokens, width]`` of one prompt; that of the empty one is made once.

        Raises ``InputError`` if it is not valid Unicode.
        """
        if prompt not in self._contexts:
            if self.text_encoder is None:
                raise ModelError("Its text encoder has been let go, so only the empty prompt is known.")
            context = self._context(prompt)
            if prompt:
                return context
            self._contexts[prompt] = context
        return self._contexts[prompt]

    def forget_text_encoders(self, guidance: float = 1.0) -> None:
        """Keep the embedding of the empty prompt, and let go of the text encoder; see the protocol."""
        self.context("")
        self.text_encoder = None

    @torch.no_grad()
    def _context(self, prompt: str) -> Tensor:
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
        with self.precision():
            embedding: Tensor = self.text_encoder(ids.to(self.device))[0]
        return embedding

    def denoiser(self, prompts: Sequence[str], guidance: float = 1.0, negative: str = "") -> Denoiser:
        """The model's output under these prompts, one a sample, with classifier-free guidance.

        f = f(negative) + guidance (f(prompt) - f(negative)): Ho and Salimans 2022, eq. (6).
        """
        cache = {text: self.context(text) for text in dict.fromkeys((*prompts, negative))}

        def group(x: Tensor, time: float, rows: Tensor) -> Tensor:
            context = torch.cat([cache[prompts[row]] for row in rows.tolist()])
            if guidance == 1.0:
                return self._unet(x, time, context)
            without = cache[negative].expand(len(x), -1, -1)
            plain, prompted = self._unet(torch.cat([x, x]), time, torch.cat([without, context])).chunk(2)
            return plain + guidance * (prompted - plain)

        def f(x: Tensor, time: float, rows: Tensor) -> Tensor:
            passes = 1 if guidance == 1.0 else 2
            return self.batching.run("denoiser", lambda part, which: group(part, time, which), x, rows, passes=passes)

        return f

    @torch.no_grad()
    def _unet(self, x: Tensor, time: float, context: Tensor) -> Tensor:
        t = torch.tensor(time, dtype=torch.float32, device=self.device)
        with self.precision():
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

    # ------------------------------------------------------------------------------- both ways

    def noise_shape(self, size: tuple[int, int] | None = None, frames: int | None = None) -> tuple[int, ...]:
        """Shape of the noise of one picture of ``size`` (height, width): ``(C, h, w)``; see the protocol."""
        if frames is not None:
            raise InputError(f"The model {self.name} makes pictures, not clips.")
        height, width = size or self.image_size
        unit = self.factor * 2 ** (len(self.unet.config.block_out_channels) - 1)
        if min(height, width) < unit or height % unit or width % unit:
            raise InputError(f"The model {self.name} makes pictures whose sides are multiples of {unit} pixels.")
        return (self.shape[0], height // self.factor, width // self.factor)

    def latents(self, noise: Tensor) -> Tensor:
        """What ``latents=`` of the diffusers pipeline wants for noise ``[B, C, h, w]``: itself, where the networks are.

        The pipeline multiplies it by its scheduler's first deviation itself.
        """
        return noise.to(self.device, self.unet.dtype)

    def schedule(self, steps: int) -> Schedule:
        """The probed sampler of :meth:`scheduler` at so many steps."""
        if steps not in self._schedules:
            self._schedules[steps] = probe(self.scheduler(), steps)
        return self._schedules[steps]

    def sample(
        self, noise: Tensor, prompts: Sequence[str] | str, *, steps: int, guidance: float = 1.0, **call: Any
    ) -> Tensor:
        """Noise to latent, both ``[B, C, h, w]``; ``call``: ``negative_prompt`` alone is known."""
        f = self._told(prompts, len(noise), guidance, call)
        return walk.sample(self.schedule(steps), f, noise.to(self.device, torch.float32))

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
        """Latent to noise, both ``[B, C, h, w]``: the value of :meth:`recovered`."""
        return self.recovered(latent, prompts, steps=steps, guidance=guidance, evaluations=evaluations, **call).value

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
        """The noise with what became of every sample; see :func:`walk.recover`."""
        if evaluations < 1:
            raise InputError("Undoing a step takes at least one evaluation.")
        f = self._told(prompts, len(latent), guidance, call)
        return self._undone(self.schedule(steps), f, latent.to(self.device, torch.float32), evaluations)

    def _undone(self, schedule: Schedule, f: Denoiser, latent: Tensor, evaluations: int) -> Solution:
        """All steps undone, by so many evaluations of each."""
        return walk.recover(schedule, f, latent, evaluations)

    def levels(self, latent: Tensor, *, steps: int) -> list[Tensor]:
        """A latent ``[B, C, h, w]`` at every noise level, under the empty prompt; see :func:`walk.levels`."""
        return walk.levels(self.schedule(steps), self.denoiser([""] * len(latent)), latent)

    def resample(
        self, known: Sequence[Tensor], free: Tensor, noise: Tensor, prompts: Sequence[str] | str, *, guidance: float
    ) -> Tensor:
        """The free cells sampled from noise ``[B, C, h, w]``, the others as known; see :func:`walk.resample`."""
        f = self._told(prompts, len(noise), guidance, {})
        return walk.resample(self.schedule(len(known) - 1), f, known, free, noise)

    def _told(self, prompts: Sequence[str] | str, count: int, guidance: float, call: dict[str, Any]) -> Denoiser:
        prompts = [prompts] * count if isinstance(prompts, str) else prompts
        if len(prompts) != count:
            raise InputError(f"There are {len(prompts)} prompts for {count} pictures.")
        if unknown := sorted(call.keys() - {"negative_prompt"}):
            raise InputError(f"The model {self.name} knows no setting {', '.join(unknown)}.")
        return self.denoiser(prompts, guidance, str(call.get("negative_prompt") or ""))
