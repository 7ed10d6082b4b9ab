"""Bounds of the numbers in a Stable Diffusion pipeline's configurations, checked before anything is built."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ModelError
from .sentences import printable

Config = dict[str, Any]


@dataclass(frozen=True)
class Bound:
    """What a setting may be: a number from ``low`` to ``high``, or a list of up to ``longest`` of them."""

    part: str
    key: str
    low: float
    high: float
    whole: bool = True
    longest: int = 0
    optional: bool = True

    def check(self, config: Config) -> None:
        """Raise ``ModelError`` with the part, the setting and its value."""
        value = config.get(self.key)
        if value is None and self.optional:
            return
        many = isinstance(value, list) and self.longest
        values: Sequence[Any] = value if many and isinstance(value, list) else [value]
        if not 1 <= len(values) <= max(self.longest, 1) or not all(self._fits(one) for one in values):
            raise ModelError(
                f"{self.part}: {self.key} is {printable(value)}; it must be "
                f"{'a whole number ' if self.whole else ''}from {self.low:g} to {self.high:g}."
            )

    def _fits(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return False
        return math.isfinite(value) and self.low <= value <= self.high


BOUNDS = (
    Bound("vae", "scaling_factor", 1e-4, 1e4, whole=False),
    Bound("vae", "shift_factor", -1e4, 1e4, whole=False),
    Bound("vae", "latent_channels", 1, 256),
    Bound("vae", "in_channels", 3, 3),
    Bound("vae", "out_channels", 3, 3),
    Bound("vae", "block_out_channels", 1, 16384, longest=8),
    Bound("vae", "layers_per_block", 1, 100, longest=8),
    Bound("vae", "norm_num_groups", 1, 16384),
    Bound("unet", "sample_size", 1, 1024, longest=2, optional=False),
    Bound("unet", "in_channels", 1, 256),
    Bound("unet", "out_channels", 1, 256),
    Bound("unet", "block_out_channels", 1, 16384, longest=8),
    Bound("unet", "layers_per_block", 1, 100, longest=8),
    Bound("unet", "cross_attention_dim", 1, 16384, longest=8),
    Bound("text_encoder", "num_hidden_layers", 1, 1000),
    Bound("text_encoder", "num_attention_heads", 1, 1000),
    Bound("text_encoder", "hidden_size", 1, 65536),
    Bound("text_encoder", "intermediate_size", 1, 1 << 20),
    Bound("text_encoder", "vocab_size", 1, 1 << 20),
    Bound("text_encoder", "max_position_embeddings", 1, 4096),
    Bound("tokenizer", "model_max_length", 1, 4096),
    Bound("scheduler", "num_train_timesteps", 1, 100_000),
    Bound("scheduler", "solver_order", 1, 10),
    Bound("scheduler", "beta_start", 0, 1, whole=False),
    Bound("scheduler", "beta_end", 0, 1, whole=False),
)
"""``optional``: a setting that may be missing or null has the library's own value then."""

_UNKNOWN = ("addition_embed_type", "class_embed_type", "encoder_hid_dim_type", "num_class_embeds")
"""Settings of denoisers that are told more than time and text."""


LIMITS: dict[str, tuple[float, float]] = {
    "sample_size": (1, 4096),
    "sample_height": (1, 4096),
    "sample_width": (1, 4096),
    "sample_frames": (1, 4096),
    "pos_embed_max_size": (1, 4096),
    "max_position_embeddings": (1, 1 << 22),
    "num_train_timesteps": (1, 100_000),
    "solver_order": (1, 10),
}
"""What numbers of any family may be that size something before weights do."""


def check_any(configs: Mapping[str, Config]) -> None:
    """Raise ``ModelError`` unless the settings of parts of any family are within ``LIMITS``."""
    for part, config in configs.items():
        for key, (low, high) in LIMITS.items():
            Bound(part, key, low, high, longest=4).check(config)


def check(configs: dict[str, Config]) -> None:
    """Raise ``ModelError`` unless all settings of the parts are within ``BOUNDS`` and fit each other."""
    for bound in BOUNDS:
        bound.check(configs[bound.part])
    for key in _UNKNOWN:
        if configs["unet"].get(key) is not None:
            raise ModelError(f"unet: {key} is set; only Stable Diffusion 1 and 2 are known.")
    unet, text = configs["unet"], configs["text_encoder"]
    width, needed = text.get("hidden_size", 512), unet.get("cross_attention_dim", 1280)
    if needed != width and needed != [width] * len(unet.get("block_out_channels") or []):
        raise ModelError(f"The denoiser takes text of width {printable(needed)}, the text encoder gives {width}.")
    longest, places = configs["tokenizer"].get("model_max_length"), text.get("max_position_embeddings", 77)
    if places is None:  # left out is one thing, null another: there is no text encoder without places
        raise ModelError("text_encoder: max_position_embeddings is null; it must be a whole number from 1 to 4096.")
    if longest is not None and longest > places:
        raise ModelError(f"tokenizer: model_max_length is {longest}, the text encoder takes {places} tokens.")
