"""Options that commands share, each described once, and what they become: plain data for the library.

Nothing here imports the library's heavy rooms before a command runs, so that help is fast.
"""

from __future__ import annotations

from .common import apply, force_option, json_option
from .keyrings import KEYRING_VARIABLE, keyring_option, keyring_path, keyrings_option, user_keyring
from .networks import ModelChoice, ModelChoices, default_model_options, model_options, models_options, name_options
from .reading import decoder_inversion, detector, inversion_options, reading_options
from .sampling import sampling
from .signing import SIGNER_VARIABLE, signer_path
from .types import Budgets, Channels, Classes, FiniteRange, Key, Named, NamedFile, ParamType, Rings, Seed, whole

__all__ = [
    "KEYRING_VARIABLE",
    "SIGNER_VARIABLE",
    "Budgets",
    "Channels",
    "Classes",
    "FiniteRange",
    "Key",
    "ModelChoice",
    "ModelChoices",
    "Named",
    "NamedFile",
    "ParamType",
    "Rings",
    "Seed",
    "apply",
    "decoder_inversion",
    "default_model_options",
    "detector",
    "force_option",
    "inversion_options",
    "json_option",
    "keyring_option",
    "keyring_path",
    "keyrings_option",
    "model_options",
    "models_options",
    "name_options",
    "reading_options",
    "sampling",
    "signer_path",
    "user_keyring",
    "whole",
]
