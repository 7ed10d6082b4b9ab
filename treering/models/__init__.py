"""The only room that imports diffusers or transformers."""

from .latent import DTYPES, Denoiser, LatentModel, load

__all__ = ["DTYPES", "Denoiser", "LatentModel", "load"]
