"""From the last checkpoint to the pipeline folder that ships with the package."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch

from ...models.demo import WEIGHTS
from ...models.demo.flow import FOLDER, SHARED
from ...models.rectified import PIPELINE
from . import training


def export(work: Path, output: Path | None = None) -> None:
    """Write the averaged denoiser, in float16, with its index, into the package.

    A folder that is named gets copies of the demo's parts too and stands alone, as any other model's.
    """
    folder = output or FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    unet = training.trained(work, training.DISTIL, "distil")
    unet.to(torch.float16).save_pretrained(folder / "unet", safe_serialization=True)
    shutil.copytree(WEIGHTS / "scheduler", folder / "scheduler", dirs_exist_ok=True)
    index = json.loads((WEIGHTS / "model_index.json").read_text(encoding="utf-8"))
    text = json.dumps({**index, "_class_name": PIPELINE}, indent=2)
    (folder / "model_index.json").write_text(text + "\n", encoding="utf-8")
    if output:
        complete(folder)


def complete(folder: Path) -> None:
    """Put the parts beside the denoiser that the package does not ship twice."""
    for part in SHARED:
        shutil.copytree(WEIGHTS / part, folder / part, dirs_exist_ok=True)
