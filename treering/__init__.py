"""treering: tree-ring watermarks for latent diffusion models.

>>> import treering
>>> model = treering.load_model("demo")
>>> keyring = treering.Keyring.new()
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
    "Detection": "types",
    "Detector": "watermark",
    "Keyring": "keys",
    "Pattern": "keys",
    "TreeringError": "errors",
    "edit": "editing",
    "embed": "watermark",
    "generate": "watermark",
    "load_model": "models",
}

__all__ = [*_HOMES, "__version__"]

if TYPE_CHECKING:
    from .editing import edit as edit
    from .errors import TreeringError as TreeringError
    from .keys import Keyring as Keyring
    from .keys import Pattern as Pattern
    from .models import load as load_model  # noqa: F401
    from .types import Detection as Detection
    from .watermark import Detector as Detector
    from .watermark import embed as embed
    from .watermark import generate as generate


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'treering' has no attribute {name!r}")
    attribute = "load" if name == "load_model" else name
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), attribute)


def __dir__() -> list[str]:
    return __all__
