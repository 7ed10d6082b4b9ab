"""How well the background survives an edit, method by method, and whether the mark does: an application of Hong et
al. 2024 that the paper leaves out, after blended latent diffusion (Avrahami, Fried and Lischinski 2023).

Picture i carries class i mod 3.  A disc or a rectangle of it, placed at random, is filled by :mod:`treering.editing`
with what another picture's prompt says, for several shares of the area and with several decoder inversions.  Pixels
outside the mask are compared with the original, and the mark is read from the edited picture.  Share 0 is the
picture decoded again, with nothing changed.

The true latent is the one that the picture was decoded from.  It is known to nobody who has the picture alone, and
is the reference for what inversion can do: what it loses outside the mask is the decoder's doing, in which every
pixel depends on the whole latent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ... import editing, report
from ...editing import Mask, Pictures
from ...inversion import DEFAULT, METHODS, DecoderInversion
from ...models import LatentModel
from ...pictures import images
from ...reading import Detector
from ...settings import FPR, GUIDANCE, STEPS
from ...statistics import Rate
from . import figures
from .bench import PICTURES, Bench, Drawn, Settings
from .readings import invert
from .rows import Row, by_picture, column, matched, number, select
from .statistics import LEVEL, Mean, holm, mcnemar, mean, p_text, paired

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

ENCODER, FREE, OURS, TRUE = "encoder", "gradient-free", "treering's default", "true latent"
SHARES = (0.01, 0.05, 0.1, 0.25, 0.5)
"""Shares of the picture that may change."""
CLASSES = 3
FAR = 2
"""Cells of the latent between the mask and what counts as far from it."""
BACKGROUND = ("psnr_outside", "psnr_far")
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
    largest = True
    constants = (SHARES, CLASSES, FAR, EXAMPLE, SHOWN, editing.STREAM)

    def units(self, settings: Settings) -> Sequence[str]:
        """One a picture."""
        return [f"picture {i}" for i in range(settings.images)]

    def measure(self, bench: Bench, unit: str) -> list[Row]:
        """One row for every method and share."""
        return list(_edits(_Picture(bench, int(unit.split()[1]))))

    def table(self, rows: Sequence[Row]) -> str:
        """Background, change, and mark for every method and share."""
        return f"{_before(rows)}\n\n{_table(rows)}\n\n{_survival(rows)}"

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
        _draw_example(bottom, rows, folder / PICTURES)
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
            row: Row = {"picture": i, "method": name, "share": share, "inversion_seconds": seconds}
            row |= differences(drawn.picture, edited, mask, bench.model.factor)
            row |= _mark(detector, edited, picture.key)
            yield {**row, **before, "files": _keep_example(picture, name, share, mask, drawn.picture, edited)}


def _warm_up(bench: Bench, drawn: Drawn) -> None:
    """The first call of the networks is slow, and would count against the first method."""
    _latent(bench, drawn, METHODS[DEFAULT])


def _latent(bench: Bench, drawn: Drawn, plan: DecoderInversion | None) -> tuple[Tensor, float | None]:
    """Latent ``[1, C, h, w]`` of a picture, and the seconds that it took."""
    if plan is None:
        return drawn.latent, None
    latent, _, seconds = invert(bench.model, drawn.picture, plan)
    return latent, seconds


def _all(picture: _Picture, z: Tensor) -> Iterator[tuple[float, Mask, Pictures | None]]:
    """Share, mask and edited picture ``[H, W, 3]``, beginning with the picture that is decoded again.

    There is no picture where numbers are not finite, which happens in 16 bit and where a method diverges.
    """
    model, seed = picture.bench.model, picture.bench.seed(picture.i)
    again = _shown(model, z)
    yield 0.0, np.zeros(model.image_size, np.bool_), again
    known = [] if again is None else editing.trajectory(model, z, STEPS)
    for share, mask in masks(model.image_size, seed).items():
        yield share, mask, _shown(model, _filled(picture, known, mask)) if known else None


def _filled(picture: _Picture, known: Sequence[Tensor], mask: Mask) -> Tensor:
    seed = picture.bench.seed(picture.i)
    return editing.fill(picture.bench.model, known, mask, [picture.prompt], seed, GUIDANCE)


def _shown(model: LatentModel, latent: Tensor) -> Pictures | None:
    """Picture ``[H, W, 3]`` of a latent ``[1, C, h, w]``, if all its pixels are finite."""
    pixels = model.decode(latent).cpu()
    return images.to_bytes(pixels.numpy())[0] if bool(pixels.isfinite().all()) else None


def _mark(detector: Detector, shown: Pictures | None, key: int, when: str = "") -> Row:
    """What is read from a picture ``[H, W, 3]``."""
    if shown is None:
        return {f"log10_p{when}": None, f"right{when}": None}
    found = detector(shown[None])[0]
    return {f"log10_p{when}": found.log10_p, f"right{when}": int(found.key == key)}


def differences(original: Pictures, edited: Pictures | None, mask: Mask, factor: int) -> Row:
    """What an edit did to the pixels of a picture ``[H, W, 3]`` outside the mask and inside."""
    from scipy.ndimage import distance_transform_edt

    far = distance_transform_edt(~mask) > FAR * factor if mask.any() else ~mask
    places = {"outside": ~mask, "far": far, "inside": mask}
    found = {f"psnr_{name}": _psnr_where(original, edited, place) for name, place in places.items()}
    return {"open": float(mask.mean()), **found}


def _psnr_where(original: Pictures, edited: Pictures | None, place: Mask) -> float | None:
    return psnr(original[place], edited[place]) if edited is not None and place.any() else None


def psnr(first: Pictures, second: Pictures) -> float:
    """Peak signal-to-noise ratio in dB of pixels uint8; at most 78, so that equal pixels have a number too."""
    error = float(((first.astype(np.float64) - second) ** 2).mean())
    return float(10 * np.log10(255**2 / max(error, 1e-3)))


def _keep_example(
    picture: _Picture, name: str, share: float, mask: Mask, original: Pictures, edited: Pictures | None
) -> str | None:
    """Leave what the figure shows beside the rows; the beginning of the files' names, which tells runs apart."""
    if (picture.i, share) != (EXAMPLE, SHOWN) or edited is None:
        return None
    stem = f"edit-{picture.i:03d}-{picture.bench.run}"
    white = np.repeat(mask[..., None], 3, -1).astype(np.uint8) * 255
    for part, shown in (("original", original), ("mask", white), (name, edited)):
        images.write(shown, _file(picture.bench.pictures, stem, part), overwrite=True)
    return stem


def _file(folder: Path, stem: str, part: str) -> Path:
    plain = "".join(letter for letter in part.replace(" ", "-") if letter.isalnum() or letter == "-")
    return folder / f"{stem}-{plain}.png"


# ----------------------------------------------------------------------------------- numbers


def _methods(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(str(row["method"]) for row in rows))


def _shares(rows: Sequence[Row]) -> list[float]:
    return sorted(set(column(rows, "share")))


def _of(rows: Sequence[Row], name: str, method: str, share: float) -> list[float]:
    """Values of a column; what was not measured is left out."""
    return [value for value in column(rows, name, method=method, share=share) if math.isfinite(value)]


@dataclass(frozen=True)
class Gain:
    """By how much a method is above the encoder, over the same pictures; ``p_value`` after Holm's correction, NaN
    for the true latent, which is a limit and no method."""

    mean: Mean
    p_value: float


def gains(rows: Sequence[Row]) -> dict[tuple[str, float, str], Gain]:
    """Gains of every method, share and column of the background's PSNR, where there are pictures of both."""
    pairs = {
        (method, share, name): _pairs(rows, name, method, share)
        for method in _methods(rows)
        if method != ENCODER
        for share in _shares(rows)
        for name in (BACKGROUND if share else BACKGROUND[:1])  # without a mask all pixels are both
    }
    known = {where: pair for where, pair in pairs.items() if pair[0]}
    tests = [math.nan if method == TRUE else paired(*known[method, share, name]) for method, share, name in known]
    return {
        where: Gain(mean(np.subtract(*pair).tolist()), p)
        for (where, pair), p in zip(known.items(), holm(tests), strict=True)
    }


def _pairs(rows: Sequence[Row], name: str, method: str, share: float) -> tuple[list[float], list[float]]:
    """A method's values and the encoder's, of the pictures that have both."""
    return matched(*(by_picture(rows, name, method=which, share=share) for which in (method, ENCODER)))


# -------------------------------------------------------------------------------------- table


def _before(rows: Sequence[Row]) -> str:
    seen = {row["picture"]: row for row in rows}.values()
    rate = Rate(sum(row["right_before"] == 1 for row in seen), len(seen))
    middle = _median([number(row, "log10_p_before") for row in seen], 1)
    head = f"Right class at p <= {FPR:g} in the unedited pictures: {report.rate_text(rate)}, median log10 p = {middle}."
    return " ".join([head, *_lost(rows)])


def _lost(rows: Sequence[Row]) -> Iterator[str]:
    for method in _methods(rows):
        every = select(rows, method=method)
        lost = sum(row["right"] is None for row in every)
        if lost:
            yield f"{method}: {lost} of {len(every)} edits gave numbers that are not finite, and are left out."


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
)


def _table(rows: Sequence[Row]) -> str:
    found = gains(rows)
    tests = sum(not math.isnan(gain.p_value) for gain in found.values())
    table = [
        _line(rows, found, method, share)
        for method in _methods(rows)
        for share in _shares(rows)
        if select(rows, method=method, share=share)
    ]
    tested = f", p corrected for the table's {tests} paired t-tests (Holm)." if tests else ", too few for tests."
    words = f"Means and 95 % intervals over pictures. Over encoder: differences on the same pictures{tested}"
    return f"{report.markdown_table(_HEADER, table)}\n{words}"


def _line(rows: Sequence[Row], found: dict[tuple[str, float, str], Gain], method: str, share: float) -> list[str]:
    cells = [method, f"{share:.0%}"]
    for name in BACKGROUND:
        cells += [_mean(_of(rows, name, method, share)), _gain(found.get((method, share, name)), method != TRUE)]
    right = _of(rows, "right", method, share)
    rate = Rate(int(sum(right)), len(right))
    interval = " to ".join(report.percent(end) for end in rate.interval)
    cells += [_mean(_of(rows, "psnr_inside", method, share)), f"{rate.count}/{rate.total}", interval]
    return [*cells, _median(_of(rows, "log10_p", method, share), 1)]


def _mean(values: Sequence[float]) -> str:
    return mean(values).text(1) if values else ""


def _median(values: Sequence[float], digits: int) -> str:
    return f"{median(values):.{digits}f}" if values else ""


def _gain(gain: Gain | None, tested: bool) -> str:
    if gain is None:
        return ""
    return gain.mean.text(1) + (f" ({p_text(gain.p_value)})" if tested else "")


def _survival(rows: Sequence[Row]) -> str:
    """Does the mark survive?  Right class before and after, over the same pictures."""
    shares = [share for share in _shares(rows) if share]
    pairs = {share: _right_before_and_after(rows, OURS, share) for share in shares}
    pairs = {share: pair for share, pair in pairs.items() if pair[0]}
    corrected = holm([mcnemar(*pair) for pair in pairs.values()])
    lines = [
        f"- {share:.0%} may change: {sum(after)} of {len(after)} right after the edit, {sum(before)} before "
        f"({'fewer, ' if p < LEVEL and sum(after) < sum(before) else 'not significantly fewer, '}p = {p:.2g})"
        for (share, (before, after)), p in zip(pairs.items(), corrected, strict=True)
    ]
    head = f"Does the mark survive? Edits with {OURS}; exact McNemar tests with Holm's correction:"
    return f"{head}\n\n" + "\n".join(lines)


def _right_before_and_after(rows: Sequence[Row], method: str, share: float) -> tuple[list[bool], list[bool]]:
    found = [row for row in select(rows, method=method, share=share) if row["right"] is not None]
    return [row["right_before"] == 1 for row in found], [row["right"] == 1 for row in found]


# ------------------------------------------------------------------------------------- figure


_SHARE = "share that may change (%)"


def _draw_background(axes: Any, rows: Sequence[Row]) -> None:
    _draw_lines(axes, rows, lambda method, share: _mean_of(_of(rows, "psnr_outside", method, share)))
    figures.plain(axes, _SHARE, "PSNR outside the mask (dB)", "Background")


def _draw_gain(axes: Any, rows: Sequence[Row]) -> None:
    """Paired, so that the spread of the pictures does not hide it, and away from the rim, which all have."""
    found = {where: gain.mean for where, gain in gains(rows).items()}
    _draw_lines(axes, rows, lambda method, share: found.get((method, share, BACKGROUND[1 if share else 0])))
    axes.axhline(0, color=figures.look(_methods(rows).index(ENCODER)).colour, linewidth=1)
    figures.plain(axes, _SHARE, f"PSNR above the encoder's,\n{FAR} cells from the mask (dB)", "Gain of inversion")


def _draw_mark(axes: Any, rows: Sequence[Row]) -> None:
    def evidence(method: str, share: float) -> Mean | None:
        return _mean_of([-value for value in _of(rows, "log10_p", method, share)])

    _draw_lines(axes, rows, evidence)
    axes.axhline(-math.log10(FPR), color=figures.INK, linewidth=0.8, linestyle=(0, (6, 3)))
    axes.set_ylim(bottom=0)
    figures.plain(axes, _SHARE, r"evidence, $-\log_{10} p$", f"Mark (dashed: p = {FPR:g})")


def _mean_of(values: Sequence[float]) -> Mean | None:
    return mean(values) if values else None


def _draw_lines(axes: Any, rows: Sequence[Row], value: Callable[[str, float], Mean | None]) -> None:
    """Means and intervals over the shares, in even steps and side by side, so that none hides another."""
    shares, methods = _shares(rows), _methods(rows)
    for k, method in enumerate(methods):
        shift = 0.1 * (k - (len(methods) - 1) / 2)
        found = [(j + shift, value(method, share)) for j, share in enumerate(shares)]
        points = [(x, y.value, y.half_width) for x, y in found if y]
        look = figures.look(k)
        style = {"color": look.colour, "marker": look.marker, "linestyle": look.dash, "markersize": 4}
        if points:
            figures.bars(axes, *zip(*points, strict=True), **style, label=method)
    axes.set_xticks(range(len(shares)), [f"{100 * share:g}" for share in shares])


def _draw_example(figure: Any, rows: Sequence[Row], folder: Path) -> None:
    """The picture with its mask, and two edits with what they did to the background."""
    stems = {str(row["files"]) for row in rows if row.get("files")}
    names = ("original", "mask", ENCODER, OURS)
    paths = {name: _file(folder, stem, name) for stem in stems for name in names}
    if not paths or not all(path.exists() for path in paths.values()):
        figure.text(0.5, 0.5, "There are no pictures of an example.", ha="center", fontsize=8, color=figures.INK)
        return
    shown = {name: images.read(path).pixels for name, path in paths.items()}
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
