"""One call of a pipeline's twin, with its scheduler in a role."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

from ..errors import ModelError, SamplerError
from .backwards import Backwards, in_role
from .batching import out_of_memory
from .layout import Layout
from .precision import exact_float32
from .sentences import first_line
from .twin import Memo, modules, twin, untouched

FRAMES = ("num_frames", "video_length", "frames")
"""Arguments of calls that say how many frames a clip has."""
GUIDANCE = ("guidance_scale", "true_cfg_scale")
"""Arguments of calls that say how strong guidance is; the second is never embedded (distilled)."""
EMPTY = (("", None), ("a picture", None), ("a picture", "a picture"))
"""Prompts that say nothing, and negative prompts, to try: some pipelines do not take empty ones, or need both."""
BINNING = "use_resolution_binning"
"""An argument of some calls with which a size is not taken as it is given."""


class Caller:
    """A pipeline and what has been learned of how to call it.

    ``doubles``: whether guidance doubles what the denoiser is asked for (it is embedded otherwise; None: not known).
    ``empty``: the prompt that stands for none, and ``negative`` what must go with it; ``spoken``: whether a call with
    them alone has gone through.  ``spare``: last timesteps that the loop leaves out.  ``noisy``: the reason, if its
    sampler adds noise.  ``tf32``: whether a GPU may round float32 to TF32.
    """

    def __init__(self, pipe: Any, name: str | None = None) -> None:
        if not hasattr(pipe, "scheduler") or not hasattr(pipe, "components"):
            raise ModelError(f"{type(pipe).__name__} is not a diffusers pipeline with a scheduler.")
        self.pipe, self.name = pipe, name or name_of(pipe)
        self.takes = set(inspect.signature(type(pipe).__call__).parameters)
        if "latents" not in self.takes:
            raise ModelError(
                f"{self.name} takes no initial noise (its call has no latents=), so it cannot carry a mark."
            )
        if not self.decoders():
            raise ModelError(f"{self.name} has no autoencoder; a pipeline that decodes a latent is needed.")
        self.memo = Memo(pipe.encode_prompt) if hasattr(pipe, "encode_prompt") else None
        self.doubles: bool | None = None
        self.negative: str | None
        self.empty, self.negative, self.spare = "", None, 0
        self.spoken = False
        self.noisy: SamplerError | None = None
        self.tf32 = False

    @property
    def device(self) -> torch.device:
        """Where the pipeline computes."""
        device = getattr(self.pipe, "_execution_device", None) or self.pipe.device
        return torch.device(device)

    @property
    def dtype(self) -> torch.dtype:
        """Number type of the largest network, which predicts."""
        parts = modules(self.pipe).values()
        largest = max(parts, key=lambda part: sum(p.numel() for p in part.parameters()))
        return next((p.dtype for p in largest.parameters() if p.dtype.is_floating_point), torch.float32)

    @property
    def half(self) -> bool:
        """Whether numbers have 16 bits."""
        return self.dtype in (torch.bfloat16, torch.float16)

    @property
    def frames_name(self) -> str | None:
        """The argument that says how many frames a clip has, if there is one."""
        return next((name for name in FRAMES if name in self.takes), None)

    def usual(self, name: str) -> Any:
        """What an argument of the call is unless it is given; None where it has no such value, or is none."""
        one = inspect.signature(type(self.pipe).__call__).parameters.get(name)
        return None if one is None or one.default is inspect.Parameter.empty else one.default

    def decoders(self) -> dict[str, Any]:
        """The autoencoders among the components, by name."""
        return {n: m for n, m in modules(self.pipe).items() if hasattr(m, "decode") and hasattr(m, "encode")}

    def _guided(self, guidance: float | None) -> dict[str, Any]:
        """The arguments that mean this guidance; where it is embedded (distilled), none keeps the pipeline's own."""
        if guidance is None:
            return {}
        if "true_cfg_scale" in self.takes:
            return {"true_cfg_scale": guidance} | ({"negative_prompt": ""} if guidance > 1 else {})
        if "guidance_scale" not in self.takes or (guidance == 1 and self.doubles is False):
            return {}
        instead = {name: None for name in self.takes if self.schedules(name)}
        return {**instead, "guidance_scale": guidance}

    def schedules(self, name: str) -> bool:
        """Whether an argument says guidance by a list with one number for each step, unless it is given."""
        return name.startswith("guidance_") and isinstance(self.usual(name), list | tuple)

    def call(
        self,
        scheduler: Any,
        role: Any,
        found: Layout | None,
        texts: list[str] | str,
        steps: int | None,
        guidance: float | None,
        call: dict[str, Any],
        given: Tensor | None,
        **parts: Any,
    ) -> Any:
        """One call of the pipeline's twin with its scheduler in a role; the loop's end is what is wanted of it."""
        state = {"init_noise_sigma": 1.0, "order": 1} if isinstance(role, Backwards) else {}
        extra = {} if self.memo is None else {"encode_prompt": self.memo}
        double = twin(self.pipe, **{"scheduler": in_role(scheduler, role, **state)}, **extra, **parts)
        double.set_progress_bar_config(disable=True)
        wanted: dict[str, Any] = {"output_type": "pt" if parts else "latent", BINNING: False}
        if found is not None:
            wanted |= found.asked
        if given is not None:
            wanted["latents"] = given.view(len(given), *found.given) if found is not None else given
        if steps is not None:
            wanted["num_inference_steps"] = steps
        if self.negative is not None and "true_cfg_scale" not in self.takes:
            wanted["negative_prompt"] = self.negative
        wanted |= self._guided(guidance) | {k: v for k, v in call.items() if k not in ("latents", "output_type")}
        if not any(name in wanted for name in ("prompt", "prompt_embeds")):
            wanted["prompt"] = texts
        wanted = {name: value for name, value in wanted.items() if name in self.takes}
        if isinstance(texts, list) and isinstance(wanted.get("negative_prompt"), str):
            wanted["negative_prompt"] = [wanted["negative_prompt"]] * len(texts)
        with untouched(self.pipe), exact_float32(self.device, self.tf32):
            try:
                return double(**wanted)
            except Exception as error:  # a pipeline may fail in any way
                if out_of_memory(error):
                    raise
                raise ModelError(f"{self.name} failed in its own call: {first_line(error)}") from error
            finally:
                hooks = vars(double).get("_all_hooks")
                if hooks is not vars(self.pipe).get("_all_hooks"):
                    self.pipe._all_hooks = hooks


def size_of(call: dict[str, Any]) -> tuple[int, int] | None:
    """Height and width that a call asks for."""
    return (call["height"], call["width"]) if call.get("height") and call.get("width") else None


def frames_of(call: dict[str, Any]) -> int | None:
    """Frames that a call asks for."""
    return next((call[name] for name in FRAMES if call.get(name)), None)


def name_of(pipe: Any) -> str:
    """Where a pipeline came from, or its class."""
    source = getattr(pipe.config, "_name_or_path", None) if hasattr(pipe, "config") else None
    return str(source or type(pipe).__name__)
