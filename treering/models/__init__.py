"""The only room that imports diffusers or transformers."""

from .latent import DTYPES, Denoiser, LatentModel, load
from .published import SIZES, random_model

__all__ = ["DTYPES", "SIZES", "Denoiser", "LatentModel", "load", "random_model"]
