"""Whole pipelines of published shapes with random weights: what they cost can be measured, what they draw cannot.

The networks that predict and decode have the published shapes; the text encoders, whose work is done once, only answer
with the published widths and lengths.  ``tiny`` ones have a few thousand weights and the same parts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ..models.hub import quiet
from .families import own
from .published import CHANNELS, WIDTHS, fill

_TOKENS = 77


@dataclass(frozen=True)
class At:
    """Where networks are made, and whether tiny ones."""

    device: torch.device
    tiny: bool = False

    def make(self, kind: Any, **config: Any) -> Any:
        """A network of a class, its numbers made on the device."""
        with self.device:
            return kind(**config)


def _vae(channels: int, at: At, **more: Any) -> Any:
    from diffusers import AutoencoderKL

    widths = (8, 8, 8, 8) if at.tiny else CHANNELS
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    layers = {"layers_per_block": 1 if at.tiny else 2, "norm_num_groups": 4 if at.tiny else 32}
    return at.make(AutoencoderKL, block_out_channels=widths, latent_channels=channels, **blocks, **layers, **more)


def _unet(at: At, text: int, heads: Any, **more: Any) -> Any:
    from diffusers import UNet2DConditionModel

    if at.tiny:
        small = {"block_out_channels": (16,) * 4, "norm_num_groups": 4, "layers_per_block": 1, "sample_size": 8}
        return at.make(UNet2DConditionModel, cross_attention_dim=text, attention_head_dim=2, **small)
    sizes = {"block_out_channels": WIDTHS, "cross_attention_dim": text, "attention_head_dim": heads}
    return at.make(UNet2DConditionModel, **sizes, **more)


def _stable_diffusion(at: At, text: int, heads: Any, **more: Any) -> Any:
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    scheduler = DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False)
    parts = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    encoder = own.clip(text, tokens=_TOKENS)
    return StableDiffusionPipeline(
        _vae(4, at), encoder, own.tokenizer(_TOKENS), _unet(at, text, heads, **more), scheduler, **parts
    )


def _xl(at: At) -> Any:
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel

    widths, layers, heads = ((16, 16, 16), (1, 1, 1), 2) if at.tiny else ((320, 640, 1280), (1, 2, 10), (5, 10, 20))
    blocks = {
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    }
    time = {"addition_embed_type": "text_time", "addition_time_embed_dim": 256}
    sizes = {"sample_size": 16 if at.tiny else 128, "norm_num_groups": 4 if at.tiny else 32}
    unet = at.make(
        UNet2DConditionModel, block_out_channels=widths, transformer_layers_per_block=layers, attention_head_dim=heads,
        cross_attention_dim=2048, projection_class_embeddings_input_dim=6 * 256 + 1280, use_linear_projection=True,
        **blocks, **time, **sizes,
    )  # fmt: skip
    encoders = own.clip(768, tokens=_TOKENS), own.clip(1280, projection=True, out=1280, tokens=_TOKENS)
    words = own.tokenizer(_TOKENS), own.tokenizer(_TOKENS)
    vae = _vae(4, at, scaling_factor=0.13025)
    return StableDiffusionXLPipeline(vae, *encoders, *words, unet, EulerDiscreteScheduler(timestep_spacing="leading"))


def _three(at: At) -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline

    heads, layers = (2, 1) if at.tiny else (24, 24)
    sizes = {"sample_size": 8 if at.tiny else 128, "patch_size": 2, "in_channels": 16, "out_channels": 16}
    widths = {"attention_head_dim": 64, "num_attention_heads": heads, "caption_projection_dim": 64 * heads}
    text = {"joint_attention_dim": 4096, "pooled_projection_dim": 2048, "pos_embed_max_size": 384}
    twice = () if at.tiny else tuple(range(13))
    more = {"qk_norm": "rms_norm", "dual_attention_layers": twice, "num_layers": layers}
    transformer = at.make(SD3Transformer2DModel, **sizes, **widths, **text, **more)
    vae = _vae(16, at, shift_factor=0.0609, scaling_factor=1.5305, use_quant_conv=False, use_post_quant_conv=False)
    clips = own.clip(768, projection=True, out=768, tokens=_TOKENS), own.clip(1280, True, 1280, _TOKENS)
    words = [own.tokenizer(_TOKENS) for _ in range(3)]
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    return StableDiffusion3Pipeline(
        transformer, scheduler, vae, clips[0], words[0], clips[1], words[1], own.t5(4096), words[2]
    )


def _packed(at: At) -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel

    layers = {"num_layers": 1, "num_single_layers": 1, "num_attention_heads": 2} if at.tiny else {}
    transformer = at.make(FluxTransformer2DModel, guidance_embeds=True, joint_attention_dim=4096, **layers)
    vae = _vae(16, at, shift_factor=0.1159, scaling_factor=0.3611, use_quant_conv=False, use_post_quant_conv=False)
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift=3.0)
    words = own.tokenizer(_TOKENS), own.tokenizer(_TOKENS)
    return FluxPipeline(scheduler, vae, own.clip(768, tokens=_TOKENS), words[0], own.t5(4096), words[1], transformer)


SHAPES: dict[str, tuple[int, Callable[[At], Any]]] = {
    "Stable Diffusion 1.5": (512, lambda at: _stable_diffusion(at, 768, 8, sample_size=64)),
    "Stable Diffusion 2.1": (
        768,
        lambda at: _stable_diffusion(at, 1024, (5, 10, 20, 20), sample_size=96, use_linear_projection=True),
    ),
    "SDXL": (1024, _xl),
    "SD 3.5 medium": (1024, _three),
    "FLUX.1": (1024, _packed),
}
"""Side of the pictures in pixels, and what builds the pipeline."""


def random_pipeline(name: str, device: str, dtype: torch.dtype, tiny: bool = False) -> Any:
    """A pipeline of :data:`SHAPES` on a device."""
    usual = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with quiet(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            pipe = SHAPES[name][1](At(torch.device(device), tiny))
    finally:
        torch.set_default_dtype(usual)
    for network in pipe.components.values():
        if isinstance(network, torch.nn.Module):
            fill(network.to(device=device, dtype=dtype)).eval().requires_grad_(False)
    pipe.set_progress_bar_config(disable=True)
    return pipe
