"""Small random pipelines of a dozen kinds, and other people's from a folder: what the adapter is measured on."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .own import KINDS, build

FOLDER = "TREERING_FAMILIES"
"""Environment variable: a folder whose ``build.py`` has ``names()`` and ``build(name) -> (pipeline, call)``."""


@dataclass(frozen=True)
class Family:
    """A pipeline, float32 on the CPU, and arguments of its call: prompt, size and whatever it needs."""

    name: str
    pipe: Any
    call: dict[str, Any]


def families(own: bool = True, folder: Path | None = None, only: str | None = None) -> Iterator[Family]:
    """Own small pipelines, then those of a folder (by default the one that :data:`FOLDER` names, if it does)."""
    if own:
        yield from (Family(name, *build(name)) for name in KINDS if only in (None, name))
    folder = folder or (Path(os.environ[FOLDER]) if os.environ.get(FOLDER) else None)
    if folder is not None:
        module = _module(folder / "build.py")
        yield from (Family(name, *module.build(name)) for name in module.names() if only in (None, name))


def _module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("treering_families_folder", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"{path} is not there; {FOLDER} names a folder with a build.py.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
