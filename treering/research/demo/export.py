"""From checkpoints to the pipeline folder that ships with the package."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline

from . import networks, training


def export(work: Path, folder: Path) -> None:
    """Write the averaged weights as a Stable Diffusion pipeline: safetensors, float16."""
    vae = training.trained_autoencoder(work)
    modules, tokenizer = training.denoiser(work)
    training.Run(modules, training.DIFFUSION_REFINEMENT, work / "diffusion-refinement.safetensors").use_average()
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=modules["text"],
        tokenizer=tokenizer,
        unet=modules["unet"],
        scheduler=networks.scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(torch.float16).save_pretrained(folder, safe_serialization=True)
    _compute_in_float32(folder / "text_encoder" / "config.json")


def _compute_in_float32(config: Path) -> None:
    """transformers loads a network in the type that its configuration names, diffusers its own in float32.

    Left as it is, the plain ``StableDiffusionPipeline.from_pretrained`` would mix both and fail.
    """
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace('"dtype": "float16"', '"dtype": "float32"'), encoding="utf-8")
