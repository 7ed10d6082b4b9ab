"""The networks of the demo model, untrained."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

LATENT_CHANNELS = 4
LATENT_SIZE = 32
TEXT_WIDTH = 128
MAX_TOKENS = 32
LOG_VARIANCE = -6.0
"""Of the posterior, fixed: a standard deviation of 0.05 in the latent's own units."""
SCALING_FACTOR = 0.5


def autoencoder() -> AutoencoderKL:
    """Autoencoder of 4.4 M parameters: 256 x 256 pixels to 4 x 32 x 32."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 32, 96, 160),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=4,
        sample_size=8 * LATENT_SIZE,
        scaling_factor=SCALING_FACTOR,
        force_upcast=False,
    )


def unet() -> UNet2DConditionModel:
    """Text-conditioned denoiser with cross-attention at 16 x 16 and 8 x 8."""
    return UNet2DConditionModel(
        sample_size=LATENT_SIZE,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(48, 96, 192),
        layers_per_block=1,
        norm_num_groups=16,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
    )


def text_encoder(vocabulary: int, bos: int, eos: int) -> CLIPTextModel:
    """A small CLIP text encoder, trained with the denoiser."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=TEXT_WIDTH,
            intermediate_size=4 * TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=MAX_TOKENS,
            bos_token_id=bos,
            eos_token_id=eos,
            pad_token_id=eos,
        )
    )


def scheduler() -> DDIMScheduler:
    """DDIM on Stable Diffusion's betas, rescaled to zero terminal SNR (Lin et al. 2024), v-prediction.

    As there, the last step ends at the first beta, not at no noise at all: a last step to a clean latent
    would throw away the noise that a reading needs.
    """
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        steps_offset=1,
        clip_sample=False,
        set_alpha_to_one=False,
    )


def latent_mean(vae: AutoencoderKL, pixels: Tensor) -> Tensor:
    """Posterior mean ``[B, 4, h, w]`` in the autoencoder's own units."""
    moments: Tensor = vae.quant_conv(vae.encoder(pixels))
    return moments[:, :LATENT_CHANNELS]


def reconstruct(vae: AutoencoderKL, latent: Tensor) -> Tensor:
    """Pixels ``[B, 3, H, W]`` of a latent in the autoencoder's own units."""
    pixels: Tensor = vae.decoder(vae.post_quant_conv(latent))
    return pixels


@torch.no_grad()
def normalise(vae: AutoencoderKL, mean: Tensor, std: Tensor) -> None:
    """Fold a per-channel normalisation into the 1 x 1 convolutions, in place.

    Afterwards every latent channel has mean 0 and standard deviation ``1 / scaling_factor``.
    ``mean`` and ``std`` are those of the posterior mean before, ``[4]``.
    """
    unit = std * SCALING_FACTOR
    quant, post = vae.quant_conv, vae.post_quant_conv
    quant.weight[:LATENT_CHANNELS] /= unit[:, None, None, None]
    quant.bias[:LATENT_CHANNELS] = (quant.bias[:LATENT_CHANNELS] - mean) / unit
    quant.weight[LATENT_CHANNELS:] = 0
    quant.bias[LATENT_CHANNELS:] = LOG_VARIANCE - 2 * unit.log()
    post.bias += post.weight[:, :, 0, 0] @ mean
    post.weight *= unit[None, :, None, None]
