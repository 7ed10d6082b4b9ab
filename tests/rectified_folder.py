"""A rectified flow's folder with small random networks, and the demo's tokenizer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from treering.models.demo import WEIGHTS

SIZE = 32
"""Cells along a side of its latents; pictures are eight times as large."""


def make(folder: Path, pipeline: str = "RectifiedFlowPipeline") -> Path:
    """Write the folder."""
    from transformers import CLIPTextConfig, CLIPTextModel

    made = networks()
    made["vae"].save_pretrained(folder / "vae")
    made["unet"].save_pretrained(folder / "unet")
    words = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1}
    text = CLIPTextModel(CLIPTextConfig(**words, vocab_size=611, max_position_embeddings=32, eos_token_id=610))
    text.save_pretrained(folder / "text_encoder")
    for part in ("tokenizer", "scheduler"):
        shutil.copytree(WEIGHTS / part, folder / part)
    index = json.loads((WEIGHTS / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "_class_name": pipeline}))
    return folder


def networks() -> dict[str, Any]:
    """Its autoencoder and denoiser."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    torch.manual_seed(0)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 4, 8, 8),
        norm_num_groups=2,
        latent_channels=4,
        sample_size=8 * SIZE,
        scaling_factor=0.5,
    )
    unet = UNet2DConditionModel(
        sample_size=SIZE,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(8, 16),
        norm_num_groups=4,
        layers_per_block=1,
        cross_attention_dim=16,
        attention_head_dim=2,
    )
    return {"vae": vae, "unet": unet}
