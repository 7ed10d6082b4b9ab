"""The only room that imports diffusers or transformers.

Names are loaded when they are first used: what ships with the package is known without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .loading import load, load_latent_model, taken_apart
    from .pipeline import DTYPES, LatentModel
    from .protocol import Model
    from .shipped import BUILT_IN, DEFAULT
    from .walk import Denoiser

_HOMES = {
    "BUILT_IN": "shipped",
    "DEFAULT": "shipped",
    "DTYPES": "pipeline",
    "Denoiser": "walk",
    "LatentModel": "pipeline",
    "Model": "protocol",
    "load": "loading",
    "load_latent_model": "loading",
    "taken_apart": "loading",
}

__all__ = [
    "BUILT_IN",
    "DEFAULT",
    "DTYPES",
    "Denoiser",
    "LatentModel",
    "Model",
    "load",
    "load_latent_model",
    "taken_apart",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
