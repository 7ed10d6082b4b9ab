"""What the one-step model is worth, beside the demo that it was distilled from.

``python -m treering.research demo-flow measure`` writes ``quality.json`` and ``contact-sheet.jpg`` beside the model
card.  Both models draw the captions of held-out scenes from the same noise.  What the demo itself does with pairs of
prompts is in its own ``quality.json``.
"""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ... import writing
from ...marks.seeds import plain_noise
from ...models import LatentModel, demo
from ...models import load_latent_model as load
from ...models.demo import flow
from ..demo import data
from ..demo.quality import PAIRS, SEEDS, distance

_log = logging.getLogger(__name__)

Pictures = NDArray[np.uint8]

SCENES, COLUMNS = 18, 3
"""Held-out scenes whose captions both draw, and how many of them lie in a row of the contact sheet."""


def measure(folder: Path, beside: Path | None = None) -> None:
    """Measure the pipeline in ``folder``; results go to ``beside`` (default: the folder above it)."""
    beside = beside or folder.parent
    ours, theirs = load(flow.NAME if folder == flow.FOLDER else str(folder)), load(demo.NAME)
    scenes, captions = data.held_out(range(SCENES))
    drawn, result = {}, dict[str, Any](scenes={"sharpness": sharpness(scenes)})
    for name, model in ((flow.NAME, ours), (demo.NAME, theirs)):
        started = time.perf_counter()
        drawn[name] = draw(model, captions, range(SCENES))
        seconds = (time.perf_counter() - started) / SCENES
        result[name] = {"seconds_a_picture": round(seconds, 3), "sharpness": sharpness(drawn[name])}
        _log.info("%s: %s", name, result[name])
    result["psnr_between"] = psnr(drawn[flow.NAME], drawn[demo.NAME])
    result[flow.NAME] |= _prompts(ours)
    (beside / "quality.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    sheet(drawn[flow.NAME], drawn[demo.NAME], beside / "contact-sheet.jpg")
    _log.info("%s", json.dumps(result))


def draw(model: LatentModel, prompts: list[str], seeds: range) -> Pictures:
    """A picture for every prompt and seed, uint8 ``[N, H, W, 3]``, as the model makes them unless told otherwise."""
    pairs = zip(prompts, seeds, strict=True)
    return np.concatenate([writing.generate(model, plain_noise(model.shape, seed), [text]) for text, seed in pairs])


def _prompts(model: LatentModel) -> dict[str, Any]:
    """Whether pictures follow their prompts, and how far seeds of one prompt lie apart; see the demo's card."""
    order: dict[str, float] = {}
    spread: list[float] = []
    for name, value, high, low in PAIRS:
        more, less = (draw(model, [prompt] * SEEDS, range(SEEDS)) for prompt in (high, low))
        order[name] = float((value(more)[:, None] > value(less)[None, :]).mean())
        spread += [distance(more), distance(less)]
    return {"right_order": order, "distance_between_seeds": fmean(spread)}


def sharpness(pictures: Pictures) -> float:
    """Mean absolute difference of neighbouring pixels, 0 to 1."""
    values = pictures.astype(np.float32) / 255
    return float(np.mean([np.abs(np.diff(values, axis=axis)).mean() for axis in (1, 2)]))


def psnr(some: Pictures, others: Pictures) -> float:
    """Mean PSNR in dB of pictures against their partners."""
    square = ((some.astype(np.float64) - others) ** 2).mean((1, 2, 3))
    return float((10 * np.log10(255**2 / np.maximum(square, 1e-9))).mean())


def sheet(ours: Pictures, theirs: Pictures, path: Path) -> None:
    """Rows of ``COLUMNS`` pictures, and right of a gap those of the other model from the same noise and captions."""
    rows = []
    for i in range(0, len(ours), COLUMNS):
        gap = np.full((ours.shape[1], 16, 3), 255, np.uint8)
        rows.append(np.concatenate([*ours[i : i + COLUMNS], gap, *theirs[i : i + COLUMNS]], 1))
    whole = Image.fromarray(np.concatenate(rows))
    whole.resize((whole.width // 2, whole.height // 2), Image.Resampling.LANCZOS).save(path, quality=88)
