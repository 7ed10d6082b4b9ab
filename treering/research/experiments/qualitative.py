"""A few pictures, to look at: what every decoder inversion makes of them (in the manner of the figures of Hong et
al. 2024).

For a picture x with the paper's watermark and every method's latent z: the reconstruction D(z), the error
|D(z) - x|, and the spectrum of the noise that the sampler leads back to, where the rings should be seen.
"""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ... import files, report
from ...errors import InputError, TreeringError
from ...inversion import DecoderInversion
from ...marks import fourier
from ...pictures import images
from ..common import decibel
from . import figures
from .bench import PICTURES, Bench, Drawn, Settings
from .readings import BASED, CLASSES, ENCODER, FREE, OURS, closed_sets, invert, noise_of, paper_keyring, plans
from .rows import Row, number, select

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ORIGINAL = "original"
METHODS = (ENCODER, BASED, FREE, OURS)
GAIN = 20
"""How much errors are amplified, for every picture and method."""
REACH = 10
"""Frequencies shown each way from zero."""
MOST = 4
"""Pictures in the figure; the table has all."""
_BLOCK, _BAR = 4.75, 0.55  # inches down for a picture, and for the colour bars
_WRONG = "#a33b00"
_FULL = 2.5  # spectra are shown from minus this to this; the paper's rings go up to 2.25

Floats = NDArray[np.float32]


class Qualitative:
    """See the module."""

    images = 3
    iterations = (100,)
    largest = True
    constants = (METHODS, CLASSES, REACH)

    def units(self, settings: Settings) -> Sequence[str]:
        """One a picture."""
        return [f"picture {i}" for i in range(settings.images)]

    def measure(self, bench: Bench, unit: str) -> list[Row]:
        """Rows of one picture: the original, then every method; pictures and arrays go to ``bench.pictures``."""
        return list(_picture(bench, int(unit.split()[1])))

    def table(self, rows: Sequence[Row]) -> str:
        """The numbers of every picture and method."""
        header = ("picture", "method", "latent NMSE, dB", "picture PSNR, dB", "decoder inversion, s", "in total, s")
        lines = [_line(row) for row in rows if row["method"] != ORIGINAL]
        head = "Pictures with the paper's watermark, prompt unknown. The keys that the two closed-set rules name:"
        table = report.markdown_table((*header, "true key", "closed set (paper)", "gain fitted"), lines)
        return f"{head}\n\n{table}"

    def figure(self, rows: Sequence[Row], folder: Path) -> Figure:
        """A block a picture and a column a method: reconstruction, error, recovered spectrum, and the verdict."""
        return _figure(rows, folder / PICTURES)


EXPERIMENT = Qualitative()


# ------------------------------------------------------------------------------------ measure


def _picture(bench: Bench, i: int) -> Iterator[Row]:
    drawn = bench.draw(i, i % CLASSES, paper_keyring(bench))
    head: Row = {"picture": i, "prompt": drawn.prompt, "true": i % CLASSES}
    yield {**head, "method": ORIGINAL, "files": _save(bench, i, ORIGINAL, drawn.picture, drawn.noise)}
    every = plans(bench.settings, 1)
    invert(bench.model, drawn.picture, every[BASED].with_budget(1))  # the first call of a process is slow
    for name in METHODS:
        yield {**head, "method": name, **_measure(bench, i, name, drawn, every[name])}


def _measure(bench: Bench, i: int, name: str, drawn: Drawn, plan: DecoderInversion) -> Row:
    latent, evaluations, seconds = invert(bench.model, drawn.picture, plan)
    found, more = noise_of(bench, latent, None)
    decoded = bench.model.decode(latent).cpu()  # [1, 3, H, W]
    again = decoded.nan_to_num(0).clamp(-1, 1).numpy()  # what is not a number is shown grey
    error = (again - images.to_float(drawn.picture[None]))[0] / 2  # in shares of full scale
    psnr = -10 * math.log10(max(float((error**2).mean()), 1e-12))
    return {
        "evaluations": evaluations,
        "nmse_db": decibel(latent, drawn.latent),
        "psnr_db": psnr if bool(decoded.isfinite().all()) else None,
        "decoder_seconds": seconds,
        "seconds": seconds + more,
        **closed_sets(paper_keyring(bench), found.value),
        "files": _save(bench, i, name, images.to_bytes(again)[0], found.value, np.abs(error).mean(0)),
    }


def _save(
    bench: Bench, i: int, name: str, picture: NDArray[np.uint8], noise: Tensor, error: Floats | None = None
) -> str:
    """Write a picture ``[H, W, 3]``, the spectrum of its noise ``[1, C, h, w]`` and its error ``[H, W]``.

    Returns the beginning of the files' names, which tells settings apart.
    """
    stem = f"picture-{i:03d}-{name}-{bench.run}"
    images.write(picture, bench.pictures / f"{stem}.png", overwrite=True)
    arrays = {"spectrum": centre(noise), **({} if error is None else {"error": error.astype(np.float32)})}
    for what, values in arrays.items():
        encoded = io.BytesIO()
        np.save(encoded, values, allow_pickle=False)
        files.replace(bench.pictures / f"{stem}-{what}.npy", encoded.getvalue())
    return stem


def centre(noise: Tensor) -> Floats:
    """Real part of the spectrum of channel 0 about zero frequency: ``[1, C, h, w]`` to ``[2 n + 1, 2 n + 1]``."""
    height, width = noise.shape[-2:]
    n = min(REACH, (min(height, width) - 1) // 2)
    down, across = (slice(size // 2 - n, size // 2 + n + 1) for size in (height, width))
    middle: Floats = fourier.spectrum(noise[0, 0].cpu().float()).real[down, across].numpy()
    return middle


# -------------------------------------------------------------------------------------- table


def _line(row: Row) -> list[str]:
    numbers = [_decibel(row, name) for name in ("nmse_db", "psnr_db")]
    seconds = [f"{number(row, name):.2f}" for name in ("decoder_seconds", "seconds")]
    keys = [_key(row, rule) for rule in ("true", "closed_set", "gain_fitted")]
    return [str(row["picture"]), str(row["method"]), *numbers, *seconds, *keys]


def _decibel(row: Row, name: str) -> str:
    value = number(row, name)
    return f"{value:.1f}" if math.isfinite(value) else "not finite"


def _key(row: Row, rule: str) -> str:
    return "none" if row[rule] is None else str(row[rule])


# ------------------------------------------------------------------------------------- figure


def _figure(rows: Sequence[Row], folder: Path) -> Figure:
    shown = list(dict.fromkeys(row["picture"] for row in rows))[:MOST]
    page = figures.page(7.4, _BAR + _BLOCK * len(shown))
    parts: Any = page.subfigures(2, 1, height_ratios=(_BLOCK * len(shown), _BAR))
    upper, lower = parts
    blocks = np.atleast_1d(upper.subfigures(len(shown), 1))
    for block, i in zip(blocks, shown, strict=True):
        error, spectrum = _block(block, select(rows, picture=i), folder)
    left, right = lower.subplots(1, 2)
    _bar(page, error, left, "|D(z) − x|, mean of R, G and B (share of full scale)", "max")
    _bar(page, spectrum, right, "spectrum of channel 0, real part; circle: edge of the mask", "both")
    return page


def _block(block: Any, rows: Sequence[Row], folder: Path) -> tuple[Any, Any]:
    """One picture: three lines and a column a method."""
    grid = block.subplots(3, 1 + len(METHODS))
    for column, row in zip(grid.T, rows, strict=True):
        column[0].set_title(str(row["method"]), color=figures.INK, fontsize=9, fontweight="bold")
        colours = _draw(column, row, folder)
    _say_what(grid[1, 0], rows[0])
    for axes, text in zip(grid[:, 0], ("picture", f"error × {GAIN}", "spectrum"), strict=True):
        axes.set_ylabel(text, color=figures.INK, fontsize=8)
    for axes in grid.flat:
        _bare(axes)
    return colours


def _draw(axes: Any, row: Row, folder: Path) -> tuple[Any, Any]:
    """Picture, error and spectrum of one method, in the three axes of a column; says how the last two are coloured."""
    stem, error = str(row["files"]), None
    axes[0].imshow(_load_picture(folder / f"{stem}.png"))
    if row["method"] != ORIGINAL:
        error = axes[1].imshow(_load(folder / f"{stem}-error.npy"), cmap="Greys", vmin=0, vmax=1 / GAIN)
        axes[2].set_xlabel(_verdict(row), color=figures.INK if _right(row) else _WRONG, fontsize=7.5)
    spectrum = axes[2].imshow(_load(folder / f"{stem}-spectrum.npy"), cmap="RdBu_r", vmin=-_FULL, vmax=_FULL)
    _circle(axes[2])
    return error, spectrum


def _circle(axes: Any) -> None:
    """The edge of the mask: ring 6 ends half a frequency further out."""
    from matplotlib.patches import Circle

    middle = (axes.get_images()[0].get_array().shape[0] - 1) / 2
    axes.add_patch(Circle((middle, middle), 6.5, fill=False, edgecolor=figures.INK, linewidth=0.8))


def _right(row: Row) -> bool:
    return row["gain_fitted"] == row["true"]


def _verdict(row: Row) -> str:
    numbers = f"NMSE {_decibel(row, 'nmse_db')} dB, {number(row, 'decoder_seconds'):.2f} s".replace("-", "−")
    return f"{numbers}\ngain fitted: key {_key(row, 'gain_fitted')}, {'right' if _right(row) else 'wrong'}"


def _say_what(axes: Any, row: Row) -> None:
    words = textwrap.fill(str(row["prompt"]), 20, max_lines=6, placeholder=" ...")
    axes.text(0.5, 0.5, f"{words}\n\nkey {row['true']}", ha="center", va="center", fontsize=7.5, color=figures.INK)


def _bare(axes: Any) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _bar(page: Figure, mesh: Any, axes: Any, text: str, beyond: str) -> None:
    """``beyond``: at which ends values may lie outside the scale."""
    bar = page.colorbar(mesh, cax=axes, orientation="horizontal", extend=beyond)
    bar.set_label(text, color=figures.INK, fontsize=8)
    bar.ax.tick_params(labelsize=7.5, colors=figures.INK)
    bar.outline.set_visible(False)


def _load(path: Path) -> Floats:
    try:
        values: Floats = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        raise InputError(_missing(path)) from None
    return values


def _load_picture(path: Path) -> NDArray[np.uint8]:
    try:
        return images.read(path).pixels
    except TreeringError:
        raise InputError(_missing(path)) from None


def _missing(path: Path) -> str:
    return f"{path} is missing or damaged; choose another output folder to measure again."
