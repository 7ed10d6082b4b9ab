"""The measurements behind treering's defaults and claims, on a model that really runs.

``python -m treering.evaluation NAME --output DIR`` writes a Markdown table (and the raw rows) and
prints the table.  All of them are deterministic but for the seconds.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter
from torch import Tensor

from .. import files, images, inversion, matching, report, rings, watermark
from ..inversion import DecoderInversion
from ..keys import Keyring, Pattern, plain_noise
from ..models import LatentModel
from ..models.demo.quality import distance
from ..solvers import Adam, Anderson, ForwardStep, InertialKM
from .confusion import wilson
from .experiments.timing import timed

Pictures = NDArray[np.uint8]
Note = Callable[[str], None]

SECRET = bytes(range(32))
"""The studies' own secret: public, so that everybody gets the same figures."""


def jpeg(picture: Pictures, quality: int) -> Pictures:
    """One picture ``[H, W, 3]`` through JPEG and back."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return images.read(buffer.getvalue()).pixels


PROMPTS = (
    "a lighthouse on a rocky coast at sunset",
    "a bowl of oranges on a wooden table",
    "an old man reading a newspaper in a café",
    "a red bicycle against a brick wall",
    "a snowy mountain above a still lake",
    "a cat asleep on a windowsill",
    "a busy street market in the rain",
    "an oil painting of a sailing ship in a storm",
    "a field of sunflowers under a blue sky",
    "a steam train crossing a stone bridge",
    "a portrait of a woman with a green scarf",
    "a loaf of bread and a jug of milk",
    "a desert road that leads to the horizon",
    "two children building a sandcastle",
    "a watercolour of an autumn forest",
    "a robot playing chess in a park",
    "the night skyline of a large city",
    "a dog jumping into a swimming pool",
    "a narrow canal with wooden boats",
    "a vase of tulips, still life",
    "an astronaut on a white horse",
    "a small house at the edge of a cliff",
    "a pencil drawing of an owl",
    "a plate of sushi seen from above",
    "a football match in a full stadium",
    "a violin on an armchair",
    "hot-air balloons over green hills",
    "a dragon in the clouds, fantasy art",
    "a library with tall wooden shelves",
    "a polar bear on drifting ice",
    "a yellow taxi in heavy traffic",
)
"""For models whose world is not known: 31, which is prime, so that no class of pictures always has the same ones."""


def words(model: LatentModel, seed: int) -> str:
    """A prompt for a picture: of the demo's world, or one of :data:`PROMPTS` for other models."""
    return model.sampled_words(seed) or PROMPTS[seed % len(PROMPTS)]


def draw(model: LatentModel, noise: Tensor, seed: int) -> tuple[Tensor, Pictures]:
    """Latent ``[1, C, h, w]`` and picture ``[H, W, 3]`` of one noise, as ``embed`` makes them."""
    latent = watermark.latents(model, noise, [words(model, seed)])
    return latent, watermark.pictures(model, latent)[0]


def decibel(found: Tensor, true: Tensor) -> float:
    """Normalised mean squared error of a latent in dB."""
    return 10 * float(torch.log10(((found - true) ** 2).sum() / (true**2).sum()))


# ------------------------------------------------------------------------- decoder inversion


def _plans() -> dict[str, DecoderInversion]:
    return {
        "encoder": inversion.METHODS["encoder"],
        "gradient, 20": inversion.METHODS["gradient"].with_budget(20),
        "Adam (paper), 20": DecoderInversion(Adam(0.01), 20),
        "Adam (paper), 100": DecoderInversion(Adam(0.01), 100),
        "Adam, fixed rate, 20": DecoderInversion(Adam(0.01, schedule="fixed"), 20),
        **{f"forward step, {n}": DecoderInversion(ForwardStep(1.0), n) for n in (1, 2, 3, 5, 8, 20)},
        **{f"forward step, rho 0.5, {n}": DecoderInversion(ForwardStep(0.5), n) for n in (3, 8)},
        **{f"inertial KM, {n}": DecoderInversion(InertialKM(1.0, 0.3), n) for n in (3, 8)},
        **{f"Anderson (3), {n}": DecoderInversion(Anderson(3), n, keep="best") for n in (4, 8)},
        f"default: {inversion.DEFAULT}": inversion.METHODS[inversion.DEFAULT],
    }


def methods(model: LatentModel, keyring: Keyring, output: Path, count: int, note: Note) -> str:
    """Methods of decoder inversion: the latent's error and what is read, on PNG and JPEG 75."""
    rows: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    for i in range(count):
        seed = 2_000_000 + i
        true, picture = draw(model, keyring.noise(i % 3, seed), seed)
        for form, shown in (("PNG", picture), ("JPEG", jpeg(picture, 75))):
            for name, plan in _plans().items():
                rows.setdefault((name, form), []).append(_invert(model, keyring, plan, shown, true))
        note(f"picture {i + 1} of {count}")
    header = ("method", "NMSE dB, PNG", "log10 p, PNG", "NMSE dB, JPEG 75", "log10 p, JPEG 75", "evaluations", "s")
    table = []
    for name in _plans():
        png, jpg = (np.median(rows[name, form], 0) for form in ("PNG", "JPEG"))
        figures = ((png[0], 1), (png[3], 1), (jpg[0], 1), (jpg[3], 1), (png[1], 0), (png[2], 2))
        table.append([name, *(_f(*figure) for figure in figures)])
    return _write(output / "methods.md", header, table)


def _invert(
    model: LatentModel, keyring: Keyring, plan: DecoderInversion, picture: Pictures, true: Tensor
) -> tuple[float, ...]:
    """NMSE in dB, evaluations, seconds, log10 p."""
    detector = watermark.Detector(model, keyring, plan)
    solution, seconds = timed(model, lambda: detector.latent(picture[None]))
    log10_p = detector.match(detector.noise(solution.value))[0].log10_p
    return decibel(solution.value, true), float(solution.evaluations[0]), seconds, log10_p


# ---------------------------------------------------------------------------------- patterns


def candidates() -> dict[str, Pattern]:
    """Patterns that were compared."""
    everything = (0, 1, 2, 3)
    return {
        **{f"rings, channel {c}, 1-10": Pattern("rings", (c,), (), 1, 10) for c in everything},
        "rings, all, 1-10": Pattern("rings", everything, (), 1, 10),
        "rings, all, 4-12": Pattern("rings", everything, (), 4, 12),
        "real, all, 1-10": Pattern("real", everything, (), 1, 10),
        "noise, all, 1-3": Pattern("noise", everything, (), 1, 3),
        "noise, all, 1-6": Pattern("noise", everything, (), 1, 6),
        "noise, all, 3-6": Pattern("noise", everything, (), 3, 6),
        "noise, all, 4-8": Pattern("noise", everything, (), 4, 8),
        "noise, all, 5-10": Pattern("noise", everything, (), 5, 10),
        "noise, all, 4-15": Pattern("noise", everything, (), 4, 15),
        "noise, channel 0, 4-8": Pattern("noise", (0,), (), 4, 8),
        "mixed, rings 0-1, noise 2-3, 4-8": Pattern("mixed", (0, 1), (2, 3), 4, 8),
    }


@dataclass(frozen=True)
class Look:
    """How pictures of one key look beside unmarked ones of the same seeds and prompts."""

    diversity: float
    coherence: float
    radial: float


def look(marked: Pictures, plain: Pictures) -> Look:
    """Diversity, coherence and radial share of pictures ``[N, H, W, 3]``.

    ``diversity``: mean pairwise distance of marked pictures over that of unmarked ones.
    ``coherence``: mean cosine between the marked-minus-unmarked pictures of different seeds (0: the
    key leaves no common trace).  ``radial``: share of the mean difference that is radially symmetric
    about the corner or the centre, where coherent rings have their wave.
    """
    difference = (marked.astype(np.float32) - plain.astype(np.float32)) / 255
    flat = difference.reshape(len(difference), -1)
    unit = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    cosines = [float(unit[i] @ unit[j]) for i, j in combinations(range(len(unit)), 2)]
    return Look(distance(marked) / distance(plain), float(np.mean(cosines)), radial_share(difference.mean((0, 3))))


def radial_share(mean: NDArray[np.float32]) -> float:
    """Largest share of the energy of ``[H, W]`` in radial averages about the periodic corner or the centre."""
    height, width = mean.shape
    centred = mean - mean.mean()
    shares = []
    for row, column in ((0, 0), (height // 2, width // 2)):
        down = np.minimum((np.arange(height) - row) % height, (row - np.arange(height)) % height)
        across = np.minimum((np.arange(width) - column) % width, (column - np.arange(width)) % width)
        ring = np.hypot(down[:, None], across[None, :]).astype(int).ravel()
        counts = np.bincount(ring)
        profile = np.bincount(ring, centred.ravel()) / np.maximum(counts, 1)
        shares.append(float((counts * profile**2).sum() / (centred**2).sum()))
    return max(shares)


def patterns(model: LatentModel, keyring: Keyring, output: Path, count: int, note: Note) -> str:
    """Power against diversity and visibility, for kinds, radii and channels."""
    seeds = [3_000_000 + i for i in range(count)]
    plain = np.stack([draw(model, plain_noise(keyring.shape, seed), seed)[1] for seed in seeds])
    header = ("pattern", "cells", "z", "log10 p", "largest log10 p", "p <= 1e-6", "z, JPEG 25", "p <= 1e-6, JPEG 25")
    table, strips = [], {"unmarked": plain}
    for name, pattern in candidates().items():
        ring = replace(keyring, secret=SECRET, pattern=pattern)
        marked = np.stack([draw(model, ring.noise(0, seed), seed)[1] for seed in seeds])
        detector = watermark.Detector(model, ring)
        found = detector(marked)
        worse = detector(np.stack([jpeg(picture, 25) for picture in marked]))
        seen, strips[name] = look(marked, plain), marked
        logs = [d.log10_p for d in found]
        row = [name, str(len(ring.cells().count)), _f(np.median([d.z for d in found]), 1), _f(np.median(logs), 1)]
        row += [_f(max(logs), 1), _share(found), _f(np.median([d.z for d in worse]), 1), _share(worse)]
        table.append([*row, _f(seen.diversity, 3), _f(seen.coherence, 3), _f(seen.radial, 3)])
        note(" | ".join(table[-1]))
    _strips(strips, output / "patterns.jpg")
    return _write(output / "patterns.md", (*header, "diversity", "coherence", "radial"), table)


def _share(found: Sequence[Any]) -> str:
    return f"{sum(d.key == 0 for d in found)}/{len(found)}"


def _strips(rows: dict[str, Pictures], path: Path, width: int = 8, size: int = 128) -> None:
    """One labelled row of pictures for each pattern."""
    label = 200
    sheet = Image.new("RGB", (label + width * size, len(rows) * size), "white")
    pen = ImageDraw.Draw(sheet)
    for i, (name, pictures) in enumerate(rows.items()):
        pen.text((6, i * size + size // 2 - 6), name, fill="black")
        for j, picture in enumerate(pictures[:width]):
            sheet.paste(Image.fromarray(picture).resize((size, size)), (label + j * size, i * size))
    sheet.save(path, quality=88)


# ---------------------------------------------------------------------------------- accuracy


ACCURACY_METHODS: dict[str, str | DecoderInversion] = {
    "encoder": "encoder",
    "Adam (paper), 20": DecoderInversion(Adam(0.01), 20),
    "default": inversion.DEFAULT,
}


def accuracy(model: LatentModel, keyring: Keyring, output: Path, count: int, note: Note) -> str:
    """Right class, false positives and p-values on fresh pictures: three marked for every two unmarked.

    Every picture's rows are appended to ``accuracy.jsonl`` as they are known; a rerun continues.
    """
    what = (model.fingerprint, keyring.id, keyring.steps, keyring.classes, ACCURACY_METHODS)
    run = hashlib.sha256(repr(what).encode()).hexdigest()[:16]  # rows of other settings do not count
    detectors = {name: watermark.Detector(model, keyring, plan) for name, plan in ACCURACY_METHODS.items()}
    busy = f"Another study is writing to {output}; wait for its end or choose another folder."
    with files.locked(output, busy), files.Journal(output / "accuracy.jsonl") as journal:
        rows = [row for row in _rows(journal, run) if row["picture"] < count]
        for i in sorted(set(range(count)) - {row["picture"] for row in rows}):
            key, seed = (i % 5 if i % 5 < 3 else None), 4_000_000 + i
            noise = plain_noise(keyring.shape, seed) if key is None else keyring.noise(key, seed)
            picture = draw(model, noise, seed)[1]
            found = {name: detector(picture[None])[0] for name, detector in detectors.items()}
            results = {n: {"key": d.key, "log10_p": d.log10_p, "seconds": d.seconds} for n, d in found.items()}
            rows.append({"run": run, "picture": i, "key": key, "found": results})
            journal.append([json.dumps(rows[-1]).encode() + b"\n"])
            note(f"picture {i + 1} of {count}")
    header = ("method", "right class", "95 % interval", "false positives", "wrong class", "median log10 p", "median s")
    return _write(output / "accuracy.md", header, [_accuracy_row(name, rows) for name in ACCURACY_METHODS])


def _accuracy_row(name: str, rows: list[dict[str, Any]]) -> list[str]:
    pairs = [(row["key"], row["found"][name]) for row in rows]
    marked = [(key, found) for key, found in pairs if key is not None]
    right = sum(found["key"] == key for key, found in marked)
    wrong = sum(found["key"] not in (key, None) for key, found in marked)
    false = [found["key"] is not None for key, found in pairs if key is None]
    low, high = wilson(right, len(marked))
    median = float(np.median([found["log10_p"] for _, found in marked]))
    seconds = float(np.median([found["seconds"] for _, found in pairs]))
    counts = [f"{right}/{len(marked)}", f"{low:.1%} - {high:.1%}", f"{sum(false)}/{len(false)}", str(wrong)]
    return [name, *counts, _f(median, 1), _f(seconds, 2)]


def _rows(journal: files.Journal, run: str) -> Iterator[dict[str, Any]]:
    for _, line in journal.lines():
        with contextlib.suppress(ValueError, KeyError, TypeError):  # damaged: that picture is measured again
            row = json.loads(line)
            if row["run"] == run:
                yield {name: row[name] for name in ("run", "picture", "key", "found")}


# -------------------------------------------------------------------------------- robustness


def _pillow(change: Callable[[Image.Image], Image.Image]) -> Callable[[Pictures], Pictures]:
    return lambda picture: np.asarray(change(Image.fromarray(picture)))


def _resized(image: Image.Image, share: float) -> Image.Image:
    small = image.resize((round(image.width * share), round(image.height * share)), Image.Resampling.LANCZOS)
    return small.resize(image.size, Image.Resampling.LANCZOS)


def _cropped(image: Image.Image, share: float) -> Image.Image:
    margin = round(image.width * (1 - share) / 2)
    inner = image.crop((margin, margin, image.width - margin, image.height - margin))
    return inner.resize(image.size, Image.Resampling.LANCZOS)


def _noisy(picture: Pictures, deviation: float) -> Pictures:
    noise = np.random.default_rng(0).normal(0, 255 * deviation, picture.shape)
    return np.clip(picture + noise, 0, 255).round().astype(np.uint8)


ATTACKS: dict[str, Callable[[Pictures], Pictures]] = {
    "none": lambda picture: picture,
    **{f"JPEG {q}": lambda picture, q=q: jpeg(picture, q) for q in (75, 50, 25)},  # type: ignore[misc]
    "to half size and back": _pillow(lambda image: _resized(image, 0.5)),
    "Gaussian blur, 2 pixels": _pillow(lambda image: image.filter(ImageFilter.GaussianBlur(2))),
    "Gaussian noise, 0.02": lambda picture: _noisy(picture, 0.02),
    "Gaussian noise, 0.1": lambda picture: _noisy(picture, 0.1),
    "brightness x 1.3": _pillow(lambda image: ImageEnhance.Brightness(image).enhance(1.3)),
    "crop to 95 % and resize": _pillow(lambda image: _cropped(image, 0.95)),
    "crop to 75 % and resize": _pillow(lambda image: _cropped(image, 0.75)),
    "mirrored": lambda picture: picture[:, ::-1].copy(),
    "rotated by 5 degrees": _pillow(lambda image: image.rotate(5, Image.Resampling.BICUBIC)),
}
"""What happens to pictures, on uint8 ``[H, W, 3]``; noise in shares of full scale."""


def robustness(model: LatentModel, keyring: Keyring, output: Path, count: int, note: Note) -> str:
    """What a mark withstands: right class at the default false-positive rate, and median log10 p."""
    detector = watermark.Detector(model, keyring)
    seeds = [5_000_000 + i for i in range(count)]
    pictures = [draw(model, keyring.noise(i % 3, seed), seed)[1] for i, seed in enumerate(seeds)]
    table = []
    for name, attack in ATTACKS.items():
        found = detector(np.stack([attack(picture) for picture in pictures]))
        right = sum(d.key == i % 3 for i, d in enumerate(found))
        median = float(np.median([d.log10_p for d in found]))
        table.append([name, f"{right}/{count}", _f(median, 1)])
        note(" | ".join(table[-1]))
    return _write(output / "robustness.md", ("change", "right class", "median log10 p"), table)


def null(model: LatentModel, keyring: Keyring, output: Path, count: int, note: Note) -> str:
    """Whether p-values are uniform: ``count`` pictures, one marked with another secret, one of plain grey, each
    against 20 000 random secrets; share of p below a level, over that level."""
    levels, secrets, rows = (0.1, 0.01, 0.001, 0.0001), 20_000, []
    grey = np.full((*model.image_size, 3), 127, np.uint8)
    drawn = [draw(model, plain_noise(keyring.shape, 6_000_000 + i), 6_000_000 + i)[1] for i in range(count)]
    marked = draw(model, keyring.noise(0, 1), 1)[1]
    detector = watermark.Detector(model, keyring)
    cells, other = keyring.cells(), keyring.with_secret(bytes(32))
    names = [*(f"unmarked {i + 1}" for i in range(count)), "marked with another secret", "plain grey"]
    for name, picture in zip(names, [*drawn, marked, grey], strict=True):
        noise = detector.noise(detector.latent(picture[None]).value)
        means = rings.read(rings.coefficients(noise.cpu(), cells), cells).numpy()
        blocks = other.blocks(range(secrets))  # classes of another secret are as random as other secrets
        z = np.concatenate(
            [matching.scores(means, values, keyring.weights(), keyring.pattern.real)[0] for _, values in blocks]
        )
        p = np.exp(matching.log_p(z))
        rows.append([name, *(_f(float((p <= level).mean() / level), 2) for level in levels)])
        note(" | ".join(rows[-1]))
    return _write(output / "null.md", ("picture", *(f"p <= {level:g}" for level in levels)), rows)


# ------------------------------------------------------------------------------------ tables


def _f(value: float, digits: int) -> str:
    return f"{value:.{digits}f}"


def _write(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    text: str = report.markdown_table(header, rows)
    path.write_text(text.rstrip() + "\n", encoding="utf-8")
    return text


STUDIES = {
    "methods": methods,
    "patterns": patterns,
    "accuracy": accuracy,
    "robustness": robustness,
    "null": null,
}
COUNTS = {"methods": 12, "patterns": 16, "accuracy": 500, "robustness": 24, "null": 4}
