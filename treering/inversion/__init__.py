"""Running a picture backwards: pixels to latent, latent to noise.  Both halves are root finding by
:mod:`treering.solvers`."""

from ..models.walk import apply_step, invert, invert_sampler, levels, sample
from .decoder import decoder_residual, invert_decoder, rounding_floor
from .methods import DEFAULT, METHODS, DecoderInversion, Gradient, method

__all__ = [
    "DEFAULT",
    "METHODS",
    "DecoderInversion",
    "Gradient",
    "apply_step",
    "decoder_residual",
    "invert",
    "invert_decoder",
    "invert_sampler",
    "levels",
    "method",
    "rounding_floor",
    "sample",
]
