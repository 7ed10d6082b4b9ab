"""How pictures are read: inversion of the decoder, inversion of the sampler, and what is searched."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from treering.settings import EFFORT, EFFORTS, FPR, METHOD, METHODS, SCHEMES, Reading

from .common import Decorator, apply
from .types import Classes, FiniteRange

if TYPE_CHECKING:
    from treering.inversion import DecoderInversion
    from treering.marks.keyring import Keyring
    from treering.models import Model
    from treering.reading import Detector


def decoder_inversion(method: str | None, iterations: int | None) -> DecoderInversion:
    """The plan with this name and so many iterations (None: its own)."""
    from treering import inversion

    return inversion.method(method or METHOD).with_budget(iterations)


def _check_iterations(method: str | None, iterations: int | None) -> None:
    if method == "encoder" and iterations is not None:
        raise click.UsageError("The method encoder has no iterations; leave --iterations out.")


def inversion_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--method`` and ``--iterations``, given to the command under these names."""

    @functools.wraps(function)
    def checked(*args: Any, method: str | None, iterations: int | None, **rest: Any) -> Any:
        _check_iterations(method, iterations)
        return function(*args, method=method, iterations=iterations, **rest)

    return apply(checked, _INVERSION)


_INVERSION: tuple[Decorator, ...] = (
    click.option(
        "--method",
        type=click.Choice(METHODS),
        default=None,
        metavar="NAME",
        show_default=METHOD,
        help=f"Decoder inversion: {', '.join(METHODS)}.",
    ),
    click.option(
        "--iterations",
        type=click.IntRange(1, 100_000),
        metavar="N",
        show_default="the method's own",
        help="Iterations of the decoder inversion; more take longer.",
    ),
)


def detector(model: Model, keyring: Keyring, reading: Reading) -> Detector:
    """What reads marks of this keyring with these settings."""
    from treering.reading import Detector

    if not reading.prompt:
        model.forget_text_encoders(reading.guidance)  # they may be most of a model, and nothing more is asked of them
    return Detector(model, keyring, reading)


def reading_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Options of the reading, given to the command as one ``reading: Reading``."""

    @functools.wraps(function)
    def with_reading(*args: Any, **values: Any) -> Any:
        names = Reading.__dataclass_fields__
        reading = Reading(**{name: values.pop(name) for name in names})
        _check_iterations(reading.method, reading.iterations)
        return function(*args, reading=reading, **values)

    return apply(with_reading, _READING)


_READING: tuple[Decorator, ...] = (
    click.option(
        "--effort",
        type=click.Choice(EFFORTS),
        show_default=f"{EFFORT}, or a single reading where only --method, --iterations, --scheme or --steps is named",
        help="How much is done to find a mark. fast: as given. normal: also in another pose (mirrored, turned, "
        "cropped, on a page), and with the decoder inverted. max: more poses, read again and again.",
    ),
    *_INVERSION,
    click.option(
        "--scheme",
        type=click.Choice(SCHEMES),
        default=SCHEMES[0],
        help="Noise inversion: one evaluation a step, or every step solved (for samplers of few steps).",
    ),
    click.option(
        "--fpr",
        type=FiniteRange(0, 1, min_open=True, max_open=True),
        default=FPR,
        metavar="P",
        help="False-positive rate: a mark is named up to this p-value, corrected for all that is searched.",
    ),
    click.option(
        "--keys",
        type=Classes(),
        metavar="CLASSES",
        show_default="all of the keyring",
        help="Classes to search, such as 0-99 or 0-9,12.",
    ),
    click.option(
        "--prompt",
        default="",
        metavar="TEXT",
        show_default="none",
        help="Prompt that the picture was made with, if known.",
    ),
    click.option(
        "--guidance",
        type=FiniteRange(0, 100),
        default=1.0,
        metavar="X",
        help="Guidance of the noise inversion; more than 1 helps only with the right prompt.",
    ),
    click.option(
        "--steps",
        type=click.IntRange(1, 1000),
        metavar="N",
        show_default="the keyring's",
        help="Sampler steps of the noise inversion.",
    ),
    click.option("--strict", is_flag=True, help="Refuse files that are damaged; else they are read with a note."),
)
