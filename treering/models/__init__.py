"""The only room that imports diffusers or transformers."""

from .loading import load
from .pipeline import DTYPES, Denoiser, LatentModel

__all__ = ["DTYPES", "Denoiser", "LatentModel", "load"]
