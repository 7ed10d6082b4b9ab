"""Our own small random pipelines: real pipeline classes over networks of a few thousand weights.

They make no pictures that mean anything.  What they have of the real ones is the call: packing, scaling, guidance,
schedulers, frames.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

Built = tuple[Any, dict[str, Any]]


def tokenizer(tokens: int = 16) -> Any:
    """Words to numbers, at most so many; ends every text with a token, so that the empty one is not empty."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = {word: i for i, word in enumerate(("<pad>", "<end>", "<unknown>", *(f"word{i}" for i in range(61))))}
    made = Tokenizer(models.WordLevel(words, unk_token="<unknown>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="$A <end>", pair="$A <end> $B <end>", special_tokens=[("<end>", 1)]
    )
    names = {"pad_token": "<pad>", "eos_token": "<end>", "unk_token": "<unknown>", "bos_token": "<end>"}
    return PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=tokens, **names)


def clip(width: int = 32, projection: bool = False, out: int = 32, tokens: int = 16) -> Any:
    """A text encoder of this width, which may project to another one."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    sizes = {"hidden_size": width, "intermediate_size": 48, "num_attention_heads": 4, "num_hidden_layers": 2}
    config = CLIPTextConfig(
        **sizes, vocab_size=64, max_position_embeddings=tokens, projection_dim=out, eos_token_id=1, pad_token_id=0
    )
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config)


def t5(width: int = 32) -> Any:
    """A text encoder of this width, of any number of words."""
    from transformers import T5Config, T5EncoderModel

    sizes = {"d_model": width, "d_kv": 8, "d_ff": 48, "num_layers": 1, "num_heads": 4}
    return T5EncoderModel(T5Config(**sizes, vocab_size=64, decoder_start_token_id=0))


def _kl(channels: int = 4, **more: Any) -> Any:
    """An image autoencoder that halves the sides."""
    from diffusers import AutoencoderKL

    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    sizes = {"block_out_channels": (8, 16), "norm_num_groups": 4, "layers_per_block": 1}
    return AutoencoderKL(**blocks, **sizes, latent_channels=channels, sample_size=32, **more)


def _unet(**more: Any) -> Any:
    from diffusers import UNet2DConditionModel

    blocks = {
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    }
    sizes = {"block_out_channels": (16, 32), "norm_num_groups": 4, "layers_per_block": 1, "sample_size": 16}
    settings = {"cross_attention_dim": 32, "attention_head_dim": 4, **blocks, **sizes, **more}
    return UNet2DConditionModel(in_channels=4, out_channels=4, **settings)


def _diffusion(name: str = "DDIMScheduler", **more: Any) -> Any:
    """A scheduler of variance-preserving diffusion, without clipping."""
    import diffusers

    levels: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    plain = {"clip_sample": False, "set_alpha_to_one": False} if name == "DDIMScheduler" else {}
    return getattr(diffusers, name)(**{**levels, **plain, **more})


def _flow(name: str = "FlowMatchEulerDiscreteScheduler", **more: Any) -> Any:
    import diffusers

    return getattr(diffusers, name)(**more)


def _stable_diffusion(scheduler: Any) -> Built:
    from diffusers import StableDiffusionPipeline

    parts = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    return StableDiffusionPipeline(_kl(), clip(), tokenizer(), _unet(), scheduler, **parts), {"guidance_scale": 3.0}


def _two_encoders() -> Built:
    from diffusers import StableDiffusionXLPipeline

    time = {"addition_embed_type": "text_time", "addition_time_embed_dim": 8}
    unet = _unet(cross_attention_dim=64, projection_class_embeddings_input_dim=6 * 8 + 32, **time)
    encoders = (clip(), clip(projection=True), tokenizer(), tokenizer())
    scheduler = _diffusion("EulerDiscreteScheduler", timestep_spacing="leading")
    pipe = StableDiffusionXLPipeline(_kl(force_upcast=True), *encoders, unet, scheduler)
    return pipe, {"guidance_scale": 3.0}


def _three_encoders() -> Built:
    from diffusers import SD3Transformer2DModel, StableDiffusion3Pipeline

    sizes = {"sample_size": 16, "patch_size": 1, "in_channels": 4, "out_channels": 4, "num_layers": 1}
    heads = {"attention_head_dim": 8, "num_attention_heads": 4, "caption_projection_dim": 32}
    transformer = SD3Transformer2DModel(**sizes, **heads, joint_attention_dim=32, pooled_projection_dim=64)
    vae = _kl(shift_factor=0.0609, scaling_factor=1.5305)
    encoders = (clip(projection=True), tokenizer(), clip(projection=True), tokenizer(), t5(), tokenizer())
    pipe = StableDiffusion3Pipeline(transformer, _flow(shift=3.0), vae, *encoders)
    return pipe, {"guidance_scale": 3.0, "max_sequence_length": 16}


def _packed() -> Built:
    from diffusers import FluxPipeline, FluxTransformer2DModel

    sizes = {"patch_size": 1, "in_channels": 16, "num_layers": 1, "num_single_layers": 1}
    heads = {"attention_head_dim": 16, "num_attention_heads": 2, "axes_dims_rope": (4, 4, 8), "guidance_embeds": True}
    transformer = FluxTransformer2DModel(**sizes, **heads, joint_attention_dim=32, pooled_projection_dim=32)
    vae = _kl(shift_factor=0.1159, scaling_factor=0.3611, use_quant_conv=False, use_post_quant_conv=False)
    scheduler = _flow(use_dynamic_shifting=True)
    pipe = FluxPipeline(scheduler, vae, clip(), tokenizer(), t5(), tokenizer(), transformer)
    return pipe, {"height": 32, "width": 32, "max_sequence_length": 16}


def _dit() -> Built:
    from diffusers import PixArtSigmaPipeline, PixArtTransformer2DModel

    sizes = {"sample_size": 16, "num_layers": 1, "patch_size": 2, "in_channels": 4, "out_channels": 8}
    heads = {"attention_head_dim": 8, "num_attention_heads": 4, "cross_attention_dim": 32, "caption_channels": 32}
    transformer = PixArtTransformer2DModel(**sizes, **heads, use_additional_conditions=False)
    pipe = PixArtSigmaPipeline(tokenizer(), t5(), _kl(), transformer, _diffusion())
    return pipe, {"guidance_scale": 3.0, "clean_caption": False, "use_resolution_binning": False}


def _registers() -> Built:
    from diffusers import AuraFlowPipeline, AuraFlowTransformer2DModel

    sizes = {"sample_size": 16, "patch_size": 2, "in_channels": 4, "out_channels": 4, "pos_embed_max_size": 256}
    layers = {"num_mmdit_layers": 1, "num_single_dit_layers": 1, "attention_head_dim": 8, "num_attention_heads": 4}
    widths = {"joint_attention_dim": 32, "caption_projection_dim": 32}
    transformer = AuraFlowTransformer2DModel(**sizes, **layers, **widths)
    pipe = AuraFlowPipeline(tokenizer(), t5(), _kl(), transformer, _flow())
    return pipe, {"guidance_scale": 3.0, "height": 32, "width": 32, "max_sequence_length": 16}


def _frame_by_frame() -> Built:
    from diffusers import AnimateDiffPipeline, MotionAdapter

    blocks = {"block_out_channels": (16, 32), "motion_layers_per_block": 1, "motion_norm_num_groups": 4}
    motion = MotionAdapter(**blocks, motion_num_attention_heads=2, motion_max_seq_length=8)
    pipe = AnimateDiffPipeline(_kl(), clip(), tokenizer(), _unet(), motion, _diffusion(beta_end=0.01))
    return pipe, {"guidance_scale": 3.0, "num_frames": 2}


def _packed_clip() -> Built:
    from diffusers import AutoencoderKLLTXVideo, LTXPipeline, LTXVideoTransformer3DModel

    sizes = {"in_channels": 8, "out_channels": 8, "num_layers": 1, "cross_attention_dim": 32, "caption_channels": 32}
    transformer = LTXVideoTransformer3DModel(**sizes, attention_head_dim=16, num_attention_heads=2)
    widths = {"block_out_channels": (8, 8, 8, 8), "decoder_block_out_channels": (8, 8, 8, 8)}
    layers = {"layers_per_block": (1,) * 5, "decoder_layers_per_block": (1,) * 5, "patch_size": 1}
    vae = AutoencoderKLLTXVideo(latent_channels=8, **widths, **layers, encoder_causal=True, decoder_causal=False)
    pipe = LTXPipeline(_flow(), vae, t5(), tokenizer(), transformer)
    return pipe, {"guidance_scale": 3.0, "height": 64, "width": 64, "num_frames": 9, "max_sequence_length": 16}


def _causal_clip(scheduler: Any) -> Built:
    from diffusers import AutoencoderKLWan, WanPipeline, WanTransformer3DModel

    vae = AutoencoderKLWan(
        base_dim=4, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True],
        latents_mean=[0.1, -0.2, 0.3, 0.0], latents_std=[1.5, 2.0, 0.7, 1.0],
    )  # fmt: skip
    sizes = {"patch_size": (1, 2, 2), "in_channels": 4, "out_channels": 4, "num_layers": 1, "ffn_dim": 32}
    heads = {"attention_head_dim": 12, "num_attention_heads": 2, "text_dim": 32, "freq_dim": 32, "rope_max_seq_len": 32}
    transformer = WanTransformer3DModel(**sizes, **heads, cross_attn_norm=True, qk_norm="rms_norm_across_heads")
    pipe = WanPipeline(tokenizer(), t5(), vae, scheduler, transformer)
    return pipe, {"guidance_scale": 3.0, "height": 64, "width": 64, "num_frames": 5, "max_sequence_length": 16}


KINDS: dict[str, Callable[[], Built]] = {
    "U-Net, DDIM": lambda: _stable_diffusion(_diffusion()),
    "U-Net, DDIM, v": lambda: _stable_diffusion(_diffusion(prediction_type="v_prediction")),
    "U-Net, Euler": lambda: _stable_diffusion(_diffusion("EulerDiscreteScheduler")),
    "U-Net, DPM-Solver++ 2M": lambda: _stable_diffusion(_diffusion("DPMSolverMultistepScheduler")),
    "U-Net, LCM": lambda: _stable_diffusion(_diffusion("LCMScheduler", original_inference_steps=20)),
    "U-Net, two encoders, Euler": _two_encoders,
    "transformer, three encoders, flow": _three_encoders,
    "packed, embedded guidance, flow": _packed,
    "transformer, learned variance, DDIM": _dit,
    "transformer, registers, flow": _registers,
    "clip, frame by frame, DDIM": _frame_by_frame,
    "clip, packed, flow": _packed_clip,
    "clip, causal, flow": lambda: _causal_clip(_flow(shift=3.0)),
    "clip, causal, UniPC flow": lambda: _causal_clip(
        _flow("UniPCMultistepScheduler", prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    ),
}
"""Every kind and what builds it."""


def build(name: str) -> Built:
    """A pipeline of this kind, the same at every call, and arguments of its call."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        pipe, call = KINDS[name]()
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval()
    pipe.set_progress_bar_config(disable=True)
    return pipe, {"prompt": "word1 word2", **call}
