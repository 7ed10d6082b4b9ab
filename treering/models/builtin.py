"""What a model that ships with the package brings along."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class BuiltIn:
    """``folder``: of the pipeline.  ``captions``: a random prompt of its world for a seed.  ``settings``: the fields of
    a keyring that fit it (``model``, ``shape``, ``image_size``), known without loading it.  ``offset``: see
    :class:`treering.models.pipeline.LatentModel`.  ``pages``: what a reading recovers from reference pages, float16
    ``[P, C, h, w]`` by kind in a safetensors file (:mod:`treering.reading.flocks`).  ``shared``: parts that lie in the
    folder of another such model."""

    name: str
    folder: Path
    captions: Callable[[int], str] | None
    settings: Mapping[str, Any]
    offset: tuple[float, float] = (0.0, 0.0)
    pages: Path | None = None
    shared: Mapping[str, Path] = field(default_factory=dict)
