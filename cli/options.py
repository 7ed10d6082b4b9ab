"""Options that commands share, each described once, and what they become: plain data for the library.

Nothing here imports the library's rooms before a command runs, so that help is fast, but for the plain data of
:mod:`treering.settings`.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from treering.settings import DTYPES, FPR, GUIDANCE, METHOD, METHODS, SCHEMES, STEPS, Networks, Reading

if TYPE_CHECKING:
    from treering.inversion import DecoderInversion
    from treering.marks.keyring import Keyring
    from treering.models import LatentModel
    from treering.reading import Detector

    ParamType = click.ParamType[Any]
else:  # click did not always have type arguments
    ParamType = click.ParamType

Function = TypeVar("Function", bound=Callable[..., Any])
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

MAX_CLASSES = 1_000_000

KEYRING_VARIABLE = "TREERING_KEYRING"


# Types


class Named(click.Path):
    """A path with a name: Python takes an empty one, as of a variable that is not set, for the current folder."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, or a usage error."""
        if value == "":
            self.fail("An empty name is no folder; . is the current one.", param, ctx)
        return super().convert(value, param, ctx)


def _not_empty(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value == "":
        raise click.BadParameter("An empty name is no model.")
    return value


class FiniteRange(click.FloatRange):
    """A range of numbers that leaves out NaN, which is in no order with others."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number, or a usage error."""
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


class Classes(ParamType):
    """Classes such as ``0-99`` or ``0-9,12``: a range, or a sorted tuple without repeats."""

    name = "classes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Sequence[int]:
        """The classes, or a usage error."""
        try:
            spans = [_span(part) for part in value.split(",")]
        except ValueError:
            self.fail(f"{value!r} is not a list of classes such as 0-99 or 0-9,12.", param, ctx)
        if sum(map(len, spans)) > MAX_CLASSES:
            self.fail(f"{value!r} has more than {MAX_CLASSES} classes.", param, ctx)
        return spans[0] if len(spans) == 1 else tuple(sorted({number for span in spans for number in span}))


class Channels(ParamType):
    """Channels such as ``0,1``."""

    name = "channels"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The channels in order, or a usage error."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = [whole(part) for part in value.split(",")]
        except ValueError:
            self.fail(f"{value!r} is not a list of channels such as 0,1.", param, ctx)
        if len(set(numbers)) < len(numbers):
            self.fail(f"{value!r} names a channel twice.", param, ctx)
        return tuple(sorted(numbers))


class Rings(ParamType):
    """The first and the last ring, such as ``1-10``."""

    name = "rings"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """(first, last), or a usage error."""
        if isinstance(value, tuple):
            return value[0], value[1]
        try:
            span = _span(value)
        except ValueError:
            self.fail(f"{value!r} is not a range of rings such as 1-10.", param, ctx)
        return span.start, span.stop - 1


class Key(ParamType):
    """A class from 0 up, or -1 for the word ``none`` (click takes None for an option that is not given)."""

    name = "key"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The class, or a usage error."""
        if value in ("none", -1):
            return -1
        try:
            return whole(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a class: a number from 0 up, or none.", param, ctx)


class Seed(ParamType):
    """A seed from 0 up, as large as PyTorch takes."""

    name = "seed"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The seed, or a usage error."""
        try:
            return whole(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a seed: a number from 0 up, of at most 18 digits.", param, ctx)


def whole(text: str) -> int:
    """A number from 0 up, of plain digits; raises ``ValueError``."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ValueError(text)
    return int(text)


def _span(text: str) -> range:
    first, dash, last = text.partition("-")
    span = range(whole(first), whole(last if dash else first) + 1)
    if not span:
        raise ValueError(text)
    return span


# Which keyring


def own_keyring() -> Path:
    """Where the user's own keyring lies unless the environment says something else."""
    return Path(click.get_app_dir("treering")) / "keyring.json"


def keyring_path(given: Path | None) -> Path:
    """The keyring that was named on the command line, else the user's."""
    return given or user_keyring()


def user_keyring() -> Path:
    """The user's keyring: the environment's, else their own."""
    return Path(os.environ.get(KEYRING_VARIABLE) or own_keyring())


def keyring_option(function: Function) -> Function:
    """``--keyring FILE``: given to the command as a path, or None for the user's own."""
    return click.option(
        "--keyring",
        type=click.Path(path_type=Path),
        metavar="FILE",
        show_default=f"${KEYRING_VARIABLE}, else your own: see `treering keys path`",
        help="Keyring whose marks are meant.",
    )(function)


# Which model


class ModelChoice(Networks):
    """A model that is not loaded yet; ``name`` is None where the keyring decides."""

    def load(self, otherwise: str) -> LatentModel:
        """Load it, or the model ``otherwise``; the demo model where a keyring names none."""
        from treering import models
        from treering.models.demo import NAME

        return models.load(self.name or otherwise or NAME, self.device, self.dtype, self.download)


def model_options(function: Callable[..., Any], default: str = "the keyring's model") -> Callable[..., Any]:
    """Options of the model, given to the command as one ``model: ModelChoice``."""

    @functools.wraps(function)
    def with_model(*args: Any, model: str | None, device: str, dtype: str, download: bool, **rest: Any) -> Any:
        return function(*args, model=ModelChoice(model, device, dtype, download), **rest)

    return apply(with_model, (*name_options(default), *_RUNNING))


def demo_model_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """As :func:`model_options`, for commands without a keyring."""
    return model_options(function, "demo")


def name_options(default: str) -> tuple[Decorator, ...]:
    """Which model, without how to run it."""
    return (
        click.option(
            "--model",
            metavar="NAME",
            callback=_not_empty,
            show_default=default,
            help="`demo`, a Stable Diffusion pipeline folder, or a hub id such as owner/name.",
        ),
        click.option("--download", is_flag=True, help="Fetch a hub model that is not in the local cache."),
    )


_RUNNING: tuple[Decorator, ...] = (
    click.option("--device", default="cpu", metavar="NAME", help="Where the networks run: cpu, cuda, cuda:1, ..."),
    click.option("--dtype", type=click.Choice(DTYPES), default=DTYPES[0], help="Number type of the networks."),
)


# How to make pictures


def sampling_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--steps`` and ``--guidance``, given to the command under these names."""
    return apply(function, _SAMPLING)


_SAMPLING: tuple[Decorator, ...] = (
    click.option("--steps", type=click.IntRange(1, 1000), default=STEPS, metavar="N", help="Sampler steps."),
    click.option(
        "--guidance", type=FiniteRange(0, 100), default=GUIDANCE, metavar="X", help="How closely to follow the prompt."
    ),
)


# How to invert the decoder


def decoder_inversion(method: str, iterations: int | None) -> DecoderInversion:
    """The plan with this name and so many iterations (None: its own)."""
    from treering import inversion

    return inversion.method(method).with_budget(iterations)


def _check_iterations(method: str | None, iterations: int | None) -> None:
    if method == "encoder" and iterations is not None:
        raise click.UsageError("The method encoder has no iterations; leave --iterations out.")


def inversion_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--method`` and ``--iterations``, given to the command under these names."""

    @functools.wraps(function)
    def checked(*args: Any, method: str, iterations: int | None, **rest: Any) -> Any:
        _check_iterations(method, iterations)
        return function(*args, method=method, iterations=iterations, **rest)

    return apply(checked, _INVERSION)


_INVERSION: tuple[Decorator, ...] = (
    click.option("--method", type=click.Choice(METHODS), default=METHOD, help="Decoder inversion."),
    click.option(
        "--iterations",
        "--effort",
        type=click.IntRange(1, 100_000),
        metavar="N",
        show_default="the method's own",
        help="Iterations of the decoder inversion; more take longer.",
    ),
)


# How to read


def detector(model: LatentModel, keyring: Keyring, reading: Reading) -> Detector:
    """What reads marks of this keyring with these settings."""
    from treering.reading import Detector

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
        help="False-positive rate: a class is named up to this p-value, for all classes searched together.",
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
)


# For all


def json_option(function: Function) -> Function:
    """``--json``, given to the command as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")(function)


def force_option(what: str) -> Callable[[Function], Function]:
    """``--force``, with what it does."""
    return click.option("--force", is_flag=True, help=what)


def apply(function: Callable[..., Any], options: tuple[Decorator, ...]) -> Callable[..., Any]:
    """Decorate with options, listed in the order of the help."""
    for option in reversed(options):  # decorators apply from the last up
        function = option(function)
    return function
