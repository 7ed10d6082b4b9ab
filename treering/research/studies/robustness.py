"""What a mark withstands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from ...marks.keyring import Keyring
from ...models import LatentModel
from ...reading import Detector
from ..common import Note, Pictures, draw, fixed, jpeg, write_table


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
    detector = Detector(model, keyring)
    seeds = [5_000_000 + i for i in range(count)]
    pictures = [draw(model, keyring.noise(i % 3, seed), seed)[1] for i, seed in enumerate(seeds)]
    table = []
    for name, attack in ATTACKS.items():
        found = detector(np.stack([attack(picture) for picture in pictures]))
        right = sum(d.key == i % 3 for i, d in enumerate(found))
        median = float(np.median([d.log10_p for d in found]))
        table.append([name, f"{right}/{count}", fixed(median, 1)])
        note(" | ".join(table[-1]))
    return write_table(output / "robustness.md", ("change", "right class", "median log10 p"), table)
