"""Networks of published sizes with random weights: what a model costs in time and memory can be measured without
its weights; what it draws cannot.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from ..models.demo import WEIGHTS
from ..models.hub import quiet
from ..models.pipeline import DTYPES, LatentModel


@dataclass(frozen=True)
class Size:
    """``image``: height and width in pixels.  ``frames``: pictures that belong together.  ``text``: width, layers and
    heads of the text encoder.  ``unet``: what sets the denoiser apart from the others here.
    """

    image: tuple[int, int]
    frames: int
    text: tuple[int, int, int]
    unet: dict[str, Any]


SIZES = {
    "Stable Diffusion 2.1": Size(
        (512, 512),
        1,
        (1024, 23, 16),
        {"cross_attention_dim": 1024, "attention_head_dim": (5, 10, 20, 20), "use_linear_projection": True},
    ),
    "LaVie": Size((320, 512), 16, (768, 12, 12), {"cross_attention_dim": 768, "attention_head_dim": 8}),
}
"""Models of Hong et al. 2024.  All decode with an autoencoder of one size (InstaFlow too, whose denoiser is that of
Stable Diffusion 1.5).  LaVie's denoiser has layers across the frames, which diffusers does not know; that of Stable
Diffusion 1 stands for it.
"""
CHANNELS = (128, 256, 512, 512)
WIDTHS = (320, 640, 1280, 1280)


def random_model(name: str, device: str = "cpu", dtype: str = "float32") -> LatentModel:
    """A model of ``SIZES`` with random weights, the same for the same name and device."""
    import diffusers
    import transformers

    size = SIZES[name]
    with quiet():
        tokenizer = transformers.CLIPTokenizer.from_pretrained(WEIGHTS / "tokenizer", local_files_only=True)
        tokenizer.model_max_length = 77
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            text_encoder = transformers.CLIPTextModel(_text_config(*size.text))
        vae, unet = (fill(network.to(DTYPES[dtype]).to_empty(device=device)) for network in networks(size))
        return LatentModel(name, vae, unet, text_encoder, tokenizer, diffusers.DDIMScheduler()).to(device, dtype)


def networks(size: Size) -> tuple[Any, Any]:
    """Autoencoder and denoiser without numbers, on the device ``meta``."""
    import diffusers

    with torch.device("meta"):
        vae = diffusers.AutoencoderKL(
            block_out_channels=CHANNELS,
            layers_per_block=2,
            down_block_types=("DownEncoderBlock2D",) * len(CHANNELS),
            up_block_types=("UpDecoderBlock2D",) * len(CHANNELS),
            scaling_factor=0.18215,
        )
        latent = tuple(side // 2 ** (len(CHANNELS) - 1) for side in size.image)
        return vae, diffusers.UNet2DConditionModel(sample_size=latent, block_out_channels=WIDTHS, **size.unet)


def _text_config(width: int, layers: int, heads: int) -> Any:
    import transformers

    return transformers.CLIPTextConfig(
        hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers, num_attention_heads=heads
    )


@torch.no_grad()
def fill(network: Any) -> Any:
    """Numbers that keep the scale of what goes through every layer: variance 1 / inputs; norms 1, biases 0."""
    generator = torch.Generator(next(network.parameters()).device).manual_seed(0)
    for name, parameter in network.named_parameters():
        if parameter.dim() > 1:
            parameter.normal_(0, 1 / math.sqrt(math.prod(parameter.shape[1:])), generator=generator)
        else:
            parameter.fill_(1.0 if name.endswith("weight") else 0.0)
    return network
