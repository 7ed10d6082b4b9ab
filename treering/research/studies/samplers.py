"""Which samplers keep a mark: written with each, read with the model's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import SamplerError
from ...marks.keyring import Keyring
from ...models import LatentModel, demo
from ...models.adapter import PipelineModel
from ...models.hub import quiet
from ...reading import Detector
from ...statistics import wilson
from ..common import Note, fixed, words, write_table

STEPS, GUIDANCE = 20, 3.0


@dataclass(frozen=True)
class Sampler:
    """A scheduler of diffusers, settings that differ from the model's own, and the call's eta."""

    scheduler: str
    settings: dict[str, Any] = field(default_factory=dict)
    eta: float = 0.0


_PLAIN = {"clip_sample": False, "set_alpha_to_one": False}
SAMPLERS = {
    "DDIM": Sampler("DDIMScheduler", _PLAIN),
    "DDIM, eta 0.2": Sampler("DDIMScheduler", _PLAIN, 0.2),
    "DDIM, eta 0.5": Sampler("DDIMScheduler", _PLAIN, 0.5),
    "PNDM": Sampler("PNDMScheduler", {"skip_prk_steps": True}),
    "DPM-Solver++ 2M": Sampler("DPMSolverMultistepScheduler"),
    "DPM-Solver++, single step": Sampler("DPMSolverSinglestepScheduler"),
    "UniPC": Sampler("UniPCMultistepScheduler"),
    "Euler": Sampler("EulerDiscreteScheduler"),
    "Heun": Sampler("HeunDiscreteScheduler"),
    "LMS": Sampler("LMSDiscreteScheduler"),
    "DEIS": Sampler("DEISMultistepScheduler"),
    "SDE-DPM-Solver++ 2M": Sampler("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "Euler, ancestral": Sampler("EulerAncestralDiscreteScheduler"),
    "DPM2, ancestral": Sampler("KDPM2AncestralDiscreteScheduler"),
    "LCM": Sampler("LCMScheduler", {"clip_sample": False}),
    "DDPM": Sampler("DDPMScheduler", {"clip_sample": False}),
}


def samplers(model: LatentModel, keyring: Keyring, output: Path, count: int, note: Note) -> str:
    """Pictures named of ``count`` that each sampler made, and whether a watermarked pipeline takes it."""
    import diffusers

    with quiet():
        pipe = diffusers.StableDiffusionPipeline.from_pretrained(demo.WEIGHTS, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    own, detector, rows = pipe.scheduler, Detector(model, keyring), list[list[str]]()
    for name, sampler in SAMPLERS.items():
        with quiet():
            pipe.scheduler = getattr(diffusers, sampler.scheduler).from_config(own.config, **sampler.settings)
            found = [detector(_picture(pipe, model, keyring, sampler, seed))[0] for seed in range(count)]
            answer = _answer(pipe, sampler)
        named = sum(one.key == seed % keyring.classes for seed, one in enumerate(found))
        low, high = wilson(named, count)
        median = fixed(float(np.median([one.log10_p for one in found])), 1)
        rows.append([name, f"{named}/{count}", f"{low:.0%} - {high:.0%}", median, *answer])
        note(" | ".join(rows[-1]))
    header = ("sampler", "named", "95 % interval", "median log10 p", "error of its own inverse, 8", "watermarked()")
    return write_table(output / "samplers.md", header, rows)


def _picture(pipe: Any, model: LatentModel, keyring: Keyring, sampler: Sampler, seed: int) -> Any:
    """One picture ``[1, H, W, 3]``, uint8, made by the pipeline itself from marked noise."""
    noise = keyring.noise(seed % keyring.classes, 7_000_000 + seed)
    call = {"num_inference_steps": STEPS, "guidance_scale": GUIDANCE, "eta": sampler.eta, "output_type": "np"}
    source = torch.Generator().manual_seed(seed)
    made = pipe(words(model, seed), latents=noise, generator=source, **call).images
    return np.round(made * 255).astype(np.uint8)


def _answer(pipe: Any, sampler: Sampler) -> tuple[str, str]:
    """RMS error of noise to latent to noise with this sampler both ways, and whether embedding takes it."""
    model, call = PipelineModel(pipe), {"eta": sampler.eta} if sampler.eta else {}
    try:
        model.plan(model.layout(), STEPS, call, True).response.check_keeps()
    except SamplerError:
        return "", "refused"
    noise = torch.randn(1, *model.shape, generator=torch.Generator().manual_seed(0))
    latent = model.sample(noise, "", STEPS, 1.0)
    again = model.recover(latent, "", STEPS, 1.0, evaluations=8)
    return f"{float((again - noise).square().mean().sqrt()):.1e}", "marks"
