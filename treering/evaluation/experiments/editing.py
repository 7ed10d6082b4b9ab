"""How well the background survives an edit, method by method, and whether the mark does: an application of Hong et
al. 2024 that the paper leaves out, after blended latent diffusion (Avrahami, Fried and Lischinski 2023).

Picture i carries class i mod 3.  A disc or a rectangle of it, placed at random, is filled by :mod:`treering.editing`
with what another picture's prompt says, for several shares of the area and with several decoder inversions.  Pixels
outside the mask are compared with the original, and the mark is read from the edited picture.  Share 0 is the
picture decoded again, with nothing changed.

The true latent is the one that the picture was decoded from.  It is known to nobody who has the picture alone, and
is the bound of what inversion can do: what it loses outside the mask is the decoder's doing, in which every pixel
depends on the whole latent.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ... import editing, images, report, watermark
from ...editing import Mask, Pictures
from ...inversion import DEFAULT, METHODS, DecoderInversion, invert_decoder
from ...watermark import FPR, Detector
from ..confusion import Rate
from . import figures
from .bench import PICTURES, Bench, Drawn, Row, Settings
from .statistics import Mean, mean, paired

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

ENCODER, FREE, OURS, TRUE = "encoder", "gradient-free", "treering's default", "true latent"
SHARES = (0.01, 0.05, 0.1, 0.25, 0.5)
"""Shares of the picture that may change."""
CLASSES = 3
FAR = 2
"""Cells of the latent between the mask and what counts as far from it."""
EXAMPLE, SHOWN = 0, 0.1
"""The picture and the share of the figure's example."""


def plans(settings: Settings) -> dict[str, DecoderInversion | None]:
    """Decoder inversions by name; None: the true latent."""
    paper = METHODS["adam"].with_budget(max(settings.iterations))
    return {ENCODER: METHODS["encoder"], FREE: paper, OURS: METHODS[DEFAULT], TRUE: None}


class EditingExperiment:
    """See the module."""

    images = 12
    iterations = (100,)

    def units(self, settings: Settings) -> Sequence[str]:
        """One a picture."""
        return [f"picture {i}" for i in range(settings.images)]

    def measure(self, bench: Bench, unit: str) -> list[Row]:
        """One row for every method and share."""
        return list(_edits(_Picture(bench, int(unit.split()[1]))))

    def table(self, rows: Sequence[Row]) -> str:
        """Background, change, and mark for every method and share."""
        return f"{_before(rows)}\n\n{_table(rows)}"

    def figure(self, rows: Sequence[Row], folder: Path) -> Figure:
        """Background, its gain and the mark against the share that may change, above one example."""
        page = figures.page(9.6, 5.6)
        parts: Any = page.subfigures(2, 1, height_ratios=(1.6, 1))
        top, bottom = parts
        left, middle, right = top.subplots(1, 3)
        _draw_background(left, rows)
        _draw_gain(middle, rows)
        _draw_mark(right, rows)
        handles, labels = left.get_legend_handles_labels()
        top.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8, frameon=False)
        _draw_example(bottom, folder / PICTURES)
        return page


EXPERIMENT = EditingExperiment()


# -------------------------------------------------------------------------------------- masks


def masks(size: tuple[int, int], seed: int) -> dict[float, Mask]:
    """For every share a disc or a rectangle bool ``[H, W]``, wholly inside the picture."""
    generator = np.random.default_rng(seed)
    return {
        share: _disc(size, share, generator) if coin else _box(size, share, generator) for coin, share in _coins(seed)
    }


def _coins(seed: int) -> Iterator[tuple[bool, float]]:
    """Discs and rectangles take turns, over the shares of a picture and over the pictures of a share."""
    return (((seed + k) % 2 == 0, share) for k, share in enumerate(SHARES))


def _grid(size: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the pixels' centres lie, in shares of height ``[H, 1]`` and width ``[1, W]``."""
    height, width = size
    return (np.arange(height)[:, None] + 0.5) / height, (np.arange(width)[None, :] + 0.5) / width


def _disc(size: tuple[int, int], share: float, generator: np.random.Generator) -> Mask:
    (y, x), radius = _grid(size), (share / np.pi) ** 0.5
    row, column = generator.uniform(radius, 1 - radius, 2)
    inside: Mask = (y - row) ** 2 + (x - column) ** 2 < radius**2
    return inside


def _box(size: tuple[int, int], share: float, generator: np.random.Generator) -> Mask:
    (y, x), ratio = _grid(size), generator.uniform(0.75, 1.33)
    high, wide = (share * ratio) ** 0.5, (share / ratio) ** 0.5
    top, left = generator.uniform(0, 1 - high), generator.uniform(0, 1 - wide)
    inside: Mask = (y >= top) & (y < top + high) & (x >= left) & (x < left + wide)
    return inside


# ------------------------------------------------------------------------------------ measure


@dataclass(frozen=True)
class _Picture:
    """Picture i of a bench, on its way through all edits."""

    bench: Bench
    i: int

    @property
    def key(self) -> int:
        """Its class."""
        return self.i % CLASSES

    @property
    def prompt(self) -> str:
        """What its masked part is filled with: the prompt of the next picture."""
        return self.bench.prompt(self.i + 1)


def _edits(picture: _Picture) -> Iterator[Row]:
    bench, i = picture.bench, picture.i
    drawn, detector = bench.draw(i, picture.key), Detector(bench.model, bench.keyring)
    _warm_up(bench, drawn)
    before = _mark(detector, drawn.picture, picture.key, "_before")
    for name, plan in plans(bench.settings).items():
        z, seconds = _latent(bench, drawn, plan)
        for share, mask, edited in _all(picture, z):
            if plan is None and not share:
                continue  # the true latent decoded is the picture itself
            _keep_example(picture, name, share, mask, drawn.picture, edited)
            head: Row = {"picture": i, "method": name, "share": share, "inversion_seconds": seconds}
            after = _mark(detector, edited, picture.key)
            yield {**head, **differences(drawn.picture, edited, mask, bench.model.factor), **after, **before}


def _warm_up(bench: Bench, drawn: Drawn) -> None:
    """The first call of the networks is slow, and would count against the first method."""
    invert_decoder(bench.model, torch.from_numpy(images.to_float(drawn.picture[None])), METHODS[DEFAULT])


def _latent(bench: Bench, drawn: Drawn, plan: DecoderInversion | None) -> tuple[Tensor, float | None]:
    """Latent ``[1, C, h, w]`` of a picture, and the seconds that it took."""
    if plan is None:
        return drawn.latent, None
    started = time.perf_counter()
    z = invert_decoder(bench.model, torch.from_numpy(images.to_float(drawn.picture[None])), plan).value
    return z, time.perf_counter() - started


def _all(picture: _Picture, z: Tensor) -> Iterator[tuple[float, Mask, Pictures]]:
    """Share, mask and edited picture ``[H, W, 3]``, beginning with the picture that is decoded again."""
    model, seed = picture.bench.model, picture.bench.seed(picture.i)
    yield 0.0, np.zeros(model.image_size, np.bool_), watermark.pictures(model, z)[0]
    known = editing.trajectory(model, z, watermark.STEPS)
    for share, mask in masks(model.image_size, seed).items():
        latent = editing.fill(model, known, mask, [picture.prompt], seed, watermark.GUIDANCE)
        yield share, mask, watermark.pictures(model, latent)[0]


def _mark(detector: Detector, shown: Pictures, key: int, when: str = "") -> Row:
    """What is read from a picture ``[H, W, 3]``."""
    found = detector(shown[None])[0]
    return {f"log10_p{when}": found.log10_p, f"right{when}": int(found.key == key)}


def differences(original: Pictures, edited: Pictures, mask: Mask, factor: int) -> Row:
    """What an edit did to the pixels of a picture ``[H, W, 3]`` outside the mask and inside."""
    from scipy.ndimage import distance_transform_edt

    far = distance_transform_edt(~mask) > FAR * factor if mask.any() else ~mask
    return {
        "open": float(mask.mean()),
        "psnr_outside": psnr(original[~mask], edited[~mask]),
        "psnr_far": psnr(original[far], edited[far]) if far.any() else None,
        "psnr_inside": psnr(original[mask], edited[mask]) if mask.any() else None,
    }


def psnr(first: Pictures, second: Pictures) -> float:
    """Peak signal-to-noise ratio in dB of pixels uint8; at most 78, so that equal pixels have a number too."""
    error = float(((first.astype(np.float64) - second) ** 2).mean())
    return float(10 * np.log10(255**2 / max(error, 1e-3)))


def _keep_example(picture: _Picture, name: str, share: float, mask: Mask, original: Pictures, edited: Pictures) -> None:
    """Leave what the figure shows beside the rows."""
    if (picture.i, share) == (EXAMPLE, SHOWN):
        white = np.repeat(mask[..., None], 3, -1).astype(np.uint8) * 255
        for file, shown in (("original", original), ("mask", white), (_file(name), edited)):
            images.write(shown, picture.bench.pictures / f"{file}.png", overwrite=True)


def _file(method: str) -> str:
    return "".join(letter for letter in method.replace(" ", "-") if letter.isalnum() or letter == "-")


# -------------------------------------------------------------------------------------- table


def _methods(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(str(row["method"]) for row in rows))


def _shares(rows: Sequence[Row]) -> list[float]:
    return sorted({float(row["share"] or 0) for row in rows})


def _of(rows: Sequence[Row], column: str, method: str, share: float) -> list[float]:
    """Values of a column, by picture; what was not measured is left out."""
    chosen = (row for row in rows if (row["method"], row["share"]) == (method, share))
    return [float(value) for value in (row[column] for row in chosen) if value is not None]


def _before(rows: Sequence[Row]) -> str:
    method = _methods(rows)[0]
    right = _of(rows, "right_before", method, 0.0)
    middle = median(_of(rows, "log10_p_before", method, 0.0))
    rate = report.rate_text(Rate(int(sum(right)), len(right)))
    return f"Right class at p <= {FPR:g} in the unedited pictures: {rate}, median log10 p = {middle:.1f}."


_HEADER = (
    "method",
    "may change",
    "PSNR outside, dB",
    "over encoder, dB",
    f"PSNR {FAR} cells away, dB",
    "over encoder, dB",
    "PSNR inside, dB",
    "right class",
    "95 % interval",
    "median log10 p",
    "median s of inversion",
)


def _table(rows: Sequence[Row]) -> str:
    measured = dict.fromkeys((str(row["method"]), float(row["share"] or 0)) for row in rows)
    table = [
        _line(rows, method, share)
        for method in _methods(rows)
        for share in _shares(rows)
        if (method, share) in measured
    ]
    return report.markdown_table(_HEADER, table)


def _line(rows: Sequence[Row], method: str, share: float) -> list[str]:
    background = [_background(rows, f"psnr_{where}", method, share) for where in ("outside", "far")]
    inside = _of(rows, "psnr_inside", method, share)
    right = _of(rows, "right", method, share)
    rate = Rate(int(sum(right)), len(right))
    interval = " to ".join(report.percent(end) for end in rate.interval)
    middle, seconds = median(_of(rows, "log10_p", method, share)), _of(rows, "inversion_seconds", method, share)
    mark = [f"{rate.count}/{rate.total}", interval, f"{middle:.1f}", f"{median(seconds):.2f}" if seconds else ""]
    return [method, f"{share:.0%}", *background[0], *background[1], mean(inside).text(1) if inside else "", *mark]


def _background(rows: Sequence[Row], column: str, method: str, share: float) -> tuple[str, str]:
    """Mean with interval, and the gain over the encoder with its p-value."""
    values = _of(rows, column, method, share)
    if not values or method == ENCODER:
        return (mean(values).text(1) if values else ""), ""
    p = paired(*_pairs(rows, column, method, share))
    gain = mean(_gains(rows, column, method, share)).text(1)
    return mean(values).text(1), gain if math.isnan(p) else f"{gain} (p = {p:.2g})"


def _pairs(rows: Sequence[Row], column: str, method: str, share: float) -> tuple[list[float], list[float]]:
    """A method's values and the encoder's, of the same pictures."""
    return _of(rows, column, method, share), _of(rows, column, ENCODER, share)


def _gains(rows: Sequence[Row], column: str, method: str, share: float) -> list[float]:
    """By how much a method is above the encoder, by picture."""
    return [ours - theirs for ours, theirs in zip(*_pairs(rows, column, method, share), strict=True)]


# ------------------------------------------------------------------------------------- figure


_SHARE = "share that may change (%)"


def _draw_background(axes: Any, rows: Sequence[Row]) -> None:
    _draw_lines(axes, rows, lambda method, share: _of(rows, "psnr_outside", method, share))
    figures.plain(axes, _SHARE, "PSNR outside the mask (dB)", "Background")


def _draw_gain(axes: Any, rows: Sequence[Row]) -> None:
    """Paired, so that the spread of the pictures does not hide it, and away from the rim, which all have."""
    _draw_lines(axes, rows, lambda method, share: _gains(rows, "psnr_far", method, share))
    figures.plain(axes, _SHARE, f"PSNR above the encoder's,\n{FAR} cells from the mask (dB)", "Gain of inversion")


def _draw_mark(axes: Any, rows: Sequence[Row]) -> None:
    _draw_lines(axes, rows, lambda method, share: [-value for value in _of(rows, "log10_p", method, share)])
    axes.axhline(-math.log10(FPR), color=figures.INK, linewidth=0.8, linestyle=(0, (6, 3)))
    axes.set_ylim(bottom=0)
    figures.plain(axes, _SHARE, r"evidence, $-\log_{10} p$", f"Mark (dashed: p = {FPR:g})")


def _draw_lines(axes: Any, rows: Sequence[Row], values: Callable[[str, float], list[float]]) -> None:
    """Means and intervals over the shares, in even steps and side by side, so that none hides another."""
    shares, methods = _shares(rows), _methods(rows)
    for k, method in enumerate(methods):
        known = [(j, values(method, share)) for j, share in enumerate(shares) if _of(rows, "share", method, share)]
        points = [(j, mean(found)) for j, found in known if found]
        _draw_line(axes, points, 0.1 * (k - (len(methods) - 1) / 2), figures.look(k), method)
    axes.set_xticks(range(len(shares)), [f"{100 * share:g}" for share in shares])


def _draw_line(axes: Any, points: Sequence[tuple[int, Mean]], shift: float, look: figures.Look, label: str) -> None:
    x, y = [j + shift for j, _ in points], [value.value for _, value in points]
    reach = np.nan_to_num([value.half_width for _, value in points])
    style = {"color": look.colour, "marker": look.marker, "linestyle": look.dash}
    axes.errorbar(x, y, reach, markersize=4, linewidth=1.2, capsize=2, label=label, **style)


def _draw_example(figure: Any, folder: Path) -> None:
    """The picture with its mask, and two edits with what they did to the background."""
    files = {name: folder / f"{_file(name)}.png" for name in ("original", "mask", ENCODER, OURS)}
    if not all(file.exists() for file in files.values()):
        return
    shown = {name: images.read(file).pixels for name, file in files.items()}
    mask = shown["mask"][..., 0] > 0
    frames = figure.subplots(1, 5)
    for axes, name in zip(frames[[0, 1, 3]], ("original", ENCODER, OURS), strict=True):
        _show(axes, shown[name], mask, "picture and mask" if name == "original" else name)
    for axes, name in zip(frames[[2, 4]], (ENCODER, OURS), strict=True):
        drawn = _show_error(axes, shown["original"], shown[name], mask, f"error, {name}")
    bar = figure.colorbar(drawn, ax=list(frames), shrink=0.8, pad=0.01, extend="max")
    bar.set_label("error outside\n(levels of 255)", fontsize=7, color=figures.INK)
    bar.ax.tick_params(labelsize=7, colors=figures.INK)


def _bare(axes: Any, title: str, mask: Mask) -> None:
    axes.contour(mask, levels=[0.5], colors=["black"], linewidths=2)  # two lines show on any ground
    axes.contour(mask, levels=[0.5], colors=["white"], linewidths=0.8)
    axes.set_title(title, fontsize=8, color=figures.INK)
    axes.set_axis_off()


def _show(axes: Any, picture: Pictures, mask: Mask, title: str) -> None:
    axes.imshow(picture)
    _bare(axes, title, mask)


def _show_error(axes: Any, original: Pictures, edited: Pictures, mask: Mask, title: str) -> Any:
    """Mean absolute error over the colours outside the mask, dark where it is large; the mask is left blank."""
    error = np.abs(edited.astype(np.float64) - original).mean(-1)
    drawn = axes.imshow(np.where(mask, np.nan, error), cmap="Greys", vmin=0, vmax=12)
    _bare(axes, title, mask)
    return drawn
