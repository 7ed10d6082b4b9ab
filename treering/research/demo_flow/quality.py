"""What the one-step model is worth, beside the demo that it was distilled from.

``python -m treering.research demo-flow measure`` writes ``quality.json`` and ``contact-sheet.jpg`` beside the model
card.  Both models draw the same prompts from the same noise.
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
from ...models import LatentModel, demo, load
from ...models.demo import flow
from ..demo import data
from ..demo.quality import PAIRS, SEEDS, SHEET, distance

_log = logging.getLogger(__name__)

Pictures = NDArray[np.uint8]

SCENES = 64
"""Held-out scenes whose captions both draw."""
GRID = 4
"""Fields along a side of a picture, whose mean colours are compared as a whole."""
COLUMNS = 3


def measure(folder: Path, beside: Path | None = None) -> None:
    """Measure the pipeline in ``folder``; results go to ``beside`` (default: the folder above it)."""
    beside = beside or folder.parent
    models = {"demo-flow": load(flow.NAME if folder == flow.FOLDER else str(folder)), "demo": load(demo.NAME)}
    scenes, captions = data.held_out(range(SCENES))
    result: dict[str, Any] = {"scenes": {"sharpness": sharpness(scenes)}}
    drawn: dict[str, Pictures] = {}
    for name, model in models.items():
        started = time.perf_counter()
        drawn[name] = draw(model, captions, range(SCENES))
        seconds = (time.perf_counter() - started) / SCENES
        result[name] = {
            "seconds_a_picture": round(seconds, 3),
            "sharpness": sharpness(drawn[name]),
            "colour_distance_to_scenes": frechet(colours(drawn[name]), colours(scenes)),
            **_prompts(model),
        }
        _log.info("%s: %s", name, result[name])
    result["psnr_between"] = psnr(drawn["demo-flow"], drawn["demo"])
    (beside / "quality.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    _sheet(models, beside / "contact-sheet.jpg")


def draw(model: LatentModel, prompts: list[str], seeds: range) -> Pictures:
    """A picture for every prompt and seed, uint8 ``[N, H, W, 3]``, as the model makes them unless told otherwise."""
    pairs = zip(prompts, seeds, strict=True)
    return np.concatenate([writing.generate(model, plain_noise(model.shape, seed), [text]) for text, seed in pairs])


def _prompts(model: LatentModel) -> dict[str, Any]:
    """Whether pictures follow their prompts, and how far seeds of one prompt lie apart; see the demo's card."""
    order, spread = {}, []
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


def colours(pictures: Pictures) -> NDArray[np.float64]:
    """Mean colours, 0 to 1, of the fields of every picture: ``[N, 3 GRID^2]``."""
    count, height, width = pictures.shape[:3]
    fields = pictures.reshape(count, GRID, height // GRID, GRID, width // GRID, 3).mean((2, 4)) / 255
    return np.asarray(fields.reshape(count, -1), np.float64)


def frechet(some: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """Distance of two normal distributions fitted to rows (Dowson and Landau 1982); its square is Frechet's.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), the last by the eigenvalues of C1 C2, which are not negative.
    """
    first, second = (np.cov(rows, rowvar=False) for rows in (some, others))
    roots = np.sqrt(np.maximum(np.linalg.eigvals(first @ second).real, 0)).sum()
    square = ((some.mean(0) - others.mean(0)) ** 2).sum() + np.trace(first) + np.trace(second) - 2 * roots
    return float(np.sqrt(max(square, 0.0)))


def _sheet(models: dict[str, LatentModel], path: Path) -> None:
    """A row a prompt: seeds of the one-step model on the left, the demo's from the same noise on the right."""
    rows = []
    for prompt in SHEET:
        sides = [draw(model, [prompt] * COLUMNS, range(COLUMNS)) for model in models.values()]
        gap = np.full((sides[0].shape[1], 16, 3), 255, np.uint8)
        rows.append(np.concatenate([*sides[0], gap, *sides[1]], 1))
    sheet = Image.fromarray(np.concatenate(rows))
    sheet.resize((sheet.width // 2, sheet.height // 2), Image.Resampling.LANCZOS).save(path, quality=88)
