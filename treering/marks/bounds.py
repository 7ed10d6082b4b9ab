"""Bounds of a keyring: what each of its numbers and words may be; knows no mark and no file.

A keyring may come from a stranger: every field has a type and a bound, and a wrong one gives one sentence that does
not repeat what was there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..errors import KeyringError

Shape = tuple[int, int, int]
"""Channels, height and width of a latent."""

Size = tuple[int, int]
"""Height and width of a picture, in pixels."""

MAX_CLASSES = (1 << 63) - 1
"""Classes that a keyring may have."""

LEAST_ACCEPTED = 0.5
"""The least share of secrets that a keyring may have been chosen from."""

_BOUNDS = {
    "classes": (1, MAX_CLASSES, "A keyring needs at least one class, and has {1} at most."),
    "nonces": (1, MAX_CLASSES, "A keyring has 1 to {1} nonces."),
    "variants": (1, 1 << 16, "A keyring has 1 to {1} variants of its synchronisation part."),
    "steps": (1, 1000, "The sampler steps of a keyring lie between {0} and {1}."),
    "channels": (1, 4096, "Latents of a keyring have {0} to {1} channels."),
    "factor": (1, 1024, "A latent cell is {0} to {1} pixels wide."),
    "derivation": (1, 2, "The values of a keyring are derived as in version {0} or {1}."),
}
_MIN_SIZE, _MAX_SIZE, _MAX_SIZES, _MAX_NAME = 8, 16384, 64, 1024
_ROOT = re.compile("([0-9a-f]{2}){0,64}")


def family(shape: Any, image_size: Any, factor: int) -> dict[str, Any]:
    """Channels, factor and sizes from a latent shape and a picture size, as far as they are given."""
    if shape is None:
        return {} if image_size is None else {"sizes": (tuple(image_size),)}
    channels, height, width = shape
    if image_size is None:
        return {"channels": channels, "factor": factor, "sizes": ((height * factor, width * factor),)}
    factor = image_size[0] // height if height else 0
    if not factor or (height * factor, width * factor) != tuple(image_size):
        pictures = "x".join(map(str, image_size))
        raise KeyringError(f"Latents of {height}x{width} and pictures of {pictures} do not belong together.")
    return {"channels": channels, "factor": factor, "sizes": (tuple(image_size),)}


def checked(settings: Mapping[str, Any]) -> dict[str, Any]:
    """All numbers, sizes and words of a keyring, checked; raises ``KeyringError``."""
    numbers = {
        name: _whole(settings[name], low, high, sentence.format(low, high))
        for name, (low, high, sentence) in _BOUNDS.items()
    }
    model, root, public = settings["model"], settings["root"], settings["public"]
    if not isinstance(model, str) or len(model) > _MAX_NAME or not model.isprintable():
        raise KeyringError(f"The name of a keyring's model is printable text of at most {_MAX_NAME} characters.")
    if not isinstance(root, str) or not _ROOT.fullmatch(root):
        raise KeyringError("The root of a commitment tree is at most 64 bytes, in hexadecimal digits.")
    if not isinstance(public, bool):
        raise KeyringError("Whether a keyring is public is true or false.")
    accepted = settings["accepted"]
    if isinstance(accepted, bool) or not isinstance(accepted, int | float) or not LEAST_ACCEPTED <= accepted <= 1:
        raise KeyringError(f"The share of secrets that are accepted lies between {LEAST_ACCEPTED:g} and 1.")
    sizes = _checked_sizes(settings["sizes"], numbers["factor"])
    return {**numbers, "sizes": sizes, "accepted": float(accepted)}


def _whole(value: Any, low: int, high: int, sentence: str) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__") or not low <= value.__index__() <= high:
        raise KeyringError(sentence)
    return int(value)


def _checked_sizes(sizes: Any, factor: int) -> tuple[Size, ...]:
    if not isinstance(sizes, list | tuple) or not 1 <= len(sizes) <= _MAX_SIZES:
        raise KeyringError(f"A keyring has 1 to {_MAX_SIZES} sizes of pictures.")
    sentence = f"Pictures of a keyring are {_MIN_SIZE} to {_MAX_SIZE} pixels high and wide, in steps of {factor}."
    if not all(isinstance(size, list | tuple) and len(size) == 2 for size in sizes):
        raise KeyringError(sentence)
    checked = tuple((_side(h, factor, sentence), _side(w, factor, sentence)) for h, w in sizes)
    if len(set(checked)) < len(checked):
        raise KeyringError("A keyring names every size of pictures once.")
    return checked


def _side(value: Any, factor: int, sentence: str) -> int:
    side = _whole(value, _MIN_SIZE, _MAX_SIZE, sentence)
    if side % factor:
        raise KeyringError(sentence)
    return side
