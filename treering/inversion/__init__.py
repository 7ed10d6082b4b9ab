"""Running a picture backwards: pixels to latent, latent to noise.  Both halves are root finding by
:mod:`treering.solvers`."""

from ..models.walk import apply_step, invert, invert_sampler, levels, sample
from .clips import invert_clip
from .decoder import decoder_residual, invert_decoder, rounding_floor
from .methods import DEFAULT, METHODS, DecoderInversion, Gradient, Safeguarded, method
from .trust import Profile, profile
from .twin import Damage

__all__ = [
    "DEFAULT",
    "METHODS",
    "Damage",
    "DecoderInversion",
    "Gradient",
    "Profile",
    "Safeguarded",
    "apply_step",
    "decoder_residual",
    "invert",
    "invert_clip",
    "invert_decoder",
    "invert_sampler",
    "levels",
    "method",
    "profile",
    "rounding_floor",
    "sample",
]
