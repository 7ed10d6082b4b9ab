"""From the last checkpoint to the pipeline folder that ships with the package."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch

from ...models.demo import WEIGHTS
from ...models.demo.flow import FOLDER, SHARED
from ...models.hub import quiet
from ...models.rectified import PIPELINE
from . import training


def export(work: Path, output: Path | None = None) -> None:
    """Write the averaged denoiser, in float16, with its index, into the package.

    A folder that is named gets copies of the demo's parts too and stands alone, as any other model's.
    """
    folder = output or FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    unet = training.trained(work, training.DISTIL, "distil")
    with quiet():
        unet.to(torch.float16).save_pretrained(folder / "unet", safe_serialization=True)
    _write(folder / "unet" / "config.json", {"_name_or_path": None})  # where its beginnings lay concerns nobody
    shutil.copytree(WEIGHTS / "scheduler", folder / "scheduler", dirs_exist_ok=True)
    shutil.copy(WEIGHTS / "model_index.json", folder)
    _write(folder / "model_index.json", {"_class_name": PIPELINE})
    if output:
        complete(folder)


def _write(path: Path, changes: dict[str, str | None]) -> None:
    """Change fields of a JSON file, or leave them out (None)."""
    fields = {**json.loads(path.read_text(encoding="utf-8")), **changes}
    kept = {name: value for name, value in fields.items() if name not in changes or value is not None}
    path.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


def complete(folder: Path) -> None:
    """Put the parts beside the denoiser that the package does not ship twice."""
    for part in SHARED:
        shutil.copytree(WEIGHTS / part, folder / part, dirs_exist_ok=True)
