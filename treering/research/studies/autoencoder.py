"""Whether the default decoder inversion can only help: on the demo, and on real weights that nothing was tuned on.

The second half needs TAEF2, a small public autoencoder of 32 latent channels, and photographs: the folder that the
environment variable ``TREERING_TAEF2`` names (``taef2.py`` and its weights; that file is executed), and scikit-image's
installed package.  Without them it is left out, and the table says so.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ... import inversion, report
from ...inversion import DecoderInversion, invert_decoder
from ...marks.keyring import Keyring
from ...models import LatentModel
from ...pictures import images
from ...reading import Detector
from ...solvers import Anderson, BarzilaiBorwein, ForwardStep, solve
from ...types import Solution
from ..common import Note, Pictures, decibel, draw, fixed, jpeg

VARIABLE = "TREERING_TAEF2"
PHOTOGRAPHS = (
    "astronaut.png",
    "motorcycle_left.png",
    "ihc.png",
    "retina.jpg",
    "hubble_deep_field.jpg",
    "brick.png",
    "gravel.png",
    "coins.png",
)
"""Of scikit-image.  What was tuned was tuned on others of it: coffee, chelsea, rocket, grass, camera and moon."""
TILE, TILES = 128, 14
"""Side of a tile in pixels; tiles of one photograph at most."""
FORMS: dict[str, Callable[[Pictures], Pictures]] = {"PNG": lambda p: p, "JPEG 75": lambda p: jpeg(p, 75)}
OWN_FORMS = FORMS | {"JPEG 25": lambda p: jpeg(p, 25)}
"""Of the model's own pictures."""
DEFAULT = "safeguarded (default)"
PLANS = {
    "encoder": inversion.METHODS["encoder"],
    "forward step, rho 0.5, 3": DecoderInversion(ForwardStep(0.5), 3),
    DEFAULT: inversion.METHODS["safeguarded"],
}
FORMER = "forward step, rho 1 (former default)"
OTHERS = {
    FORMER: inversion.METHODS["forward-step"],
    "Barzilai-Borwein, 3": DecoderInversion(BarzilaiBorwein(), 3),
    "Anderson (3), 4": DecoderInversion(Anderson(3), 4, keep="best"),
}
"""Tried on every seventh tile."""
EVERY = 7
Rows = dict[tuple[str, str], list[tuple[float, ...]]]


class _Autoencoder:
    """TAEF2 as the decoder inversion sees a model."""

    def __init__(self, folder: Path) -> None:
        found = importlib.util.spec_from_file_location("taef2", folder / "taef2.py")
        assert found is not None
        assert found.loader is not None
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
        self.network: Any = module.load(folder)
        self.image_size, self.fingerprint = (TILE, TILE), "taef2"

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels to latents, one by one, so that none depends on another."""
        return torch.cat([self.network.encode(one) for one in torch.unbind(pixels[:, None])])

    @torch.no_grad()
    def decode(self, latent: Tensor) -> Tensor:
        """Latents to pixels."""
        return torch.cat([self.network.decode(one) for one in torch.unbind(latent[:, None])])


def autoencoder(model: LatentModel, keyring: Keyring, output: Path, count: int, note: Note) -> str:
    """Two tables: ``count`` pictures of the model (error and evidence), and tiles of photographs on real weights.

    A count of 0 leaves the first out.
    """
    text = ""
    if count:
        text = _own(model, keyring, count, note).rstrip() + "\n"
        (output / "autoencoder.md").write_text(text, encoding="utf-8")
    real = _real(note).rstrip() + "\n"
    if real.startswith("TAEF2:"):  # else an earlier table stays
        (output / "autoencoder-taef2.md").write_text(real, encoding="utf-8")
    return f"{text}\n{real}"


# The model itself


def _own(model: LatentModel, keyring: Keyring, count: int, note: Note) -> str:
    plans = {name: (PLANS | OTHERS)[name] for name in ("encoder", FORMER, DEFAULT)}
    rows: Rows = {}
    for i in range(count):
        seed = 2_500_000 + i
        true, picture = draw(model, keyring.noise(i % 3, seed), seed)
        for form, change in OWN_FORMS.items():
            for name, plan in plans.items():
                rows.setdefault((form, name), []).append(_read(model, keyring, plan, change(picture), true))
        note(f"picture {i + 1} of {count}")
    header = ("picture", "method", "NMSE dB, median", "worst", "log10 p, median", "worst", "evaluations")
    table = [_own_row(*key, np.array(values)) for key, values in sorted(rows.items(), key=lambda row: row[0][0])]
    head = f"{model.name}: I - J grows by {inversion.profile(model).growth:.2f} at most; {count} pictures."
    return "\n\n".join((head, str(report.markdown_table(header, table)).rstrip(), *_paired(rows)))


def _paired(rows: Rows) -> Iterator[str]:
    """The default, which stops where it knows the data's noise, against the steps that it would take without."""
    for form in OWN_FORMS:
        new, old = (np.array(rows[form, name]) for name in (DEFAULT, FORMER))
        less, fewer = old[:, 1] - new[:, 1], (old[:, 2] - new[:, 2]).mean()
        yield (
            f"{form}: the default's log10 p is lower than the former's by {_median(less, 1)} at the median, by "
            f"{fixed(less.mean(), 2)} on average, lower in {(less > 0).sum()} and higher in {(less < 0).sum()} of "
            f"{len(less)}, with {fixed(float(fewer), 1)} evaluations less."
        )


def _own_row(form: str, name: str, values: NDArray[np.float64]) -> list[str]:
    error, evidence, evaluations = values.T
    return [
        form,
        name,
        _median(error, 2),
        fixed(error.max(), 2),
        _median(evidence, 1),
        fixed(evidence.max(), 1),
        fixed(float(np.median(evaluations)), 0),
    ]


def _read(
    model: LatentModel, keyring: Keyring, plan: DecoderInversion, picture: Pictures, true: Tensor
) -> tuple[float, ...]:
    """NMSE in dB, log10 p, evaluations."""
    detector = Detector(model, keyring, method=plan)
    solution = detector.latent(picture[None])
    log10_p = detector.match(detector.noise(solution.value))[0].log10_p
    return decibel(solution.value, true), log10_p, float(solution.evaluations[0])


# Real weights


def _real(note: Note) -> str:
    folder, photographs = os.environ.get(VARIABLE), _photographs()
    if not folder or photographs is None:
        return f"TAEF2 was not measured: {VARIABLE} names no folder, or scikit-image is not installed."
    model: Any = _Autoencoder(Path(folder))
    rows: Rows = {}
    tiles = [tile for path in photographs for tile in _tiles(path)]
    for i, tile in enumerate(tiles):
        for key, values in _measure(model, tile, others=i % EVERY == 0):
            rows.setdefault(key, []).append(values)
        note(f"tile {i + 1} of {len(tiles)}")
    growth = inversion.profile(model).growth
    header = (
        "picture",
        "method",
        "tiles",
        "NMSE dB, median",
        "worst",
        "behind encoder, median",
        "worst",
        "evaluations",
    )
    table = [_real_row(*key, np.array(values)) for key, values in sorted(rows.items(), key=lambda row: row[0][0])]
    head = f"TAEF2: I - J grows by {growth:.2f} at most; {len(tiles)} tiles of {TILE} pixels."
    return f"{head}\n\n{report.markdown_table(header, table)}"


def _photographs() -> list[Path] | None:
    found = importlib.util.find_spec("skimage")
    if found is None or found.origin is None:
        return None
    paths = [Path(found.origin).parent / "data" / name for name in PHOTOGRAPHS]
    return paths if all(path.is_file() for path in paths) else None


def _tiles(path: Path) -> list[Pictures]:
    """At most :data:`TILES` tiles uint8 ``[TILE, TILE, 3]``, spread over the photograph."""
    with Image.open(path) as image:
        photo = np.array(image.convert("RGB"))
    corners = [(y, x) for y in _starts(photo.shape[0]) for x in _starts(photo.shape[1])]
    chosen = corners if len(corners) <= TILES else [corners[i * len(corners) // TILES] for i in range(TILES)]
    return [photo[y : y + TILE, x : x + TILE] for y, x in chosen]


def _starts(side: int) -> range:
    return range(0, side - TILE + 1, TILE)


def _measure(model: Any, tile: Pictures, others: bool) -> Iterator[tuple[tuple[str, str], tuple[float, ...]]]:
    """The latent of a tile is the truth, and what the model decodes from it the picture.

    NMSE in dB, the same less the encoder's, and evaluations.
    """
    true = model.encode(_pixels(tile))
    picture = images.to_bytes(model.decode(true).numpy())[0]
    for form, change in FORMS.items():
        pixels = _pixels(change(picture))
        encoder = decibel(model.encode(pixels), true)
        for name, invert in _ways(model, pixels, others).items():
            solution = invert()
            error = decibel(solution.value, true)
            yield (form, name), (error, error - encoder, float(solution.evaluations[0]))


def _ways(model: Any, pixels: Tensor, others: bool) -> dict[str, Callable[[], Solution]]:
    """The plans; with the others, also forward steps that count only if the residual falls to 0.7 of what it was."""
    target = model.encode(pixels)

    def residual(z: Tensor, rows: Tensor) -> Tensor:
        return inversion.decoder_residual(model, z, target[rows])

    ways: dict[str, Callable[[], Solution]]
    ways = {
        name: partial(invert_decoder, model, pixels, plan)
        for name, plan in (PLANS | OTHERS if others else PLANS).items()
    }
    accepted = partial(solve, residual, target, ForwardStep(), 0.0, 3, patience=1, keep="last", accept=0.7)
    return ways | ({"forward step, accepted at 0.7": accepted} if others else {})


def _pixels(picture: Pictures) -> Tensor:
    return torch.from_numpy(images.to_float(picture[None]))


def _real_row(form: str, name: str, values: NDArray[np.float64]) -> list[str]:
    error, behind, evaluations = values.T
    return [
        form,
        name,
        str(len(values)),
        _median(error, 2),
        fixed(error.max(), 2),
        _median(behind, 2),
        fixed(behind.max(), 2),
        fixed(float(np.median(evaluations)), 0),
    ]


def _median(values: NDArray[np.float64], digits: int) -> str:
    """Median, with a 95 % interval from 2 000 resamples."""
    drawn = np.random.default_rng(0).choice(values, (2000, len(values)))
    low, high = np.percentile(np.median(drawn, 1), (2.5, 97.5))
    return f"{np.median(values):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
