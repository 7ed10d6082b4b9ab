"""treering: tree-ring watermarks for latent diffusion models.

>>> import treering
>>> model = treering.load_model()
>>> keyring = treering.Keyring.for_model(model)
>>> pictures = treering.embed(model, keyring, key=2, prompts=["mountains at dawn"], seed=7)
>>> treering.Detector(model, keyring)(pictures)[0].key
2

Names are loaded when they are first used, so that ``import treering`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Checker": "checking",
    "Detection": "types",
    "Detector": "reading",
    "Detectors": "reading",
    "Keyring": "marks.keyring",
    "Pages": "reading.pages",
    "Pattern": "marks.patterns",
    "TreeringError": "errors",
    "edit": "editing",
    "embed": "writing",
    "generate": "writing",
    "images": "pictures.images",
    "load_model": "models",
    "plain": "marked",
    "watermarked": "marked",
}

__all__ = [*_HOMES, "__version__"]

if TYPE_CHECKING:
    from .checking import Checker as Checker
    from .editing import edit as edit
    from .errors import TreeringError as TreeringError
    from .marked import plain as plain
    from .marked import watermarked as watermarked
    from .marks.keyring import Keyring as Keyring
    from .marks.patterns import Pattern as Pattern
    from .models import load as load_model  # noqa: F401
    from .pictures import images as images
    from .reading import Detector as Detector
    from .reading import Detectors as Detectors
    from .reading.pages import Pages as Pages
    from .types import Detection as Detection
    from .writing import embed as embed
    from .writing import generate as generate


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'treering' has no attribute {name!r}")
    home = import_module(f"{__name__}.{_HOMES[name]}")
    return home if name == "images" else getattr(home, "load" if name == "load_model" else name)


def __dir__() -> list[str]:
    return __all__
