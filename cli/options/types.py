"""Types of options: from a word of the command line to a checked value, or to a sentence that says what is wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from treering.marks.bounds import MAX_CLASSES, Size

if TYPE_CHECKING:
    ParamType = click.ParamType[Any]
else:  # click did not always have type arguments
    ParamType = click.ParamType

MAX_SEARCHED = 1_000_000
"""Classes that a list may name."""


class Named(click.Path):
    """A path with a name: Python takes an empty one, as of a variable that is not set, for the current folder."""

    empty = "An empty name is no folder; . is the current one."

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, or a usage error."""
        if isinstance(value, tuple):  # of a file of settings
            if len(value) > 1:
                self.fail("The settings name several, and this command takes one: name it.", param, ctx)
            value = value[0]
        if value == "":
            self.fail(self.empty, param, ctx)
        return super().convert(value, param, ctx)


class NamedFile(Named):
    """A file with a name."""

    empty = "An empty name is no file."


class Place(ParamType):
    """A path or an address, as it was written."""

    name = "place"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text, or a usage error."""
        if value == "":
            self.fail(Named.empty, param, ctx)
        text = str(value)
        return text if "://" in text else str(Path(text))


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
        if sum(span.stop - span.start for span in spans) > MAX_SEARCHED:
            self.fail(f"{value!r} has more than {MAX_SEARCHED} classes.", param, ctx)
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


class Sizes(ParamType):
    """Sizes of pictures, such as ``512x512,768x512``."""

    name = "sizes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Size, ...]:
        """(height, width) of each, or a usage error."""
        if isinstance(value, tuple):
            return value
        try:
            pairs = [[whole(side) for side in size.split("x")] for size in value.lower().split(",")]
            return tuple((height, width) for width, height in pairs)
        except ValueError:
            self.fail(f"{value!r} is not a list of sizes, width by height, such as 512x512,768x512.", param, ctx)


class OneSize(Sizes):
    """A size of pictures, such as ``768x512``."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """(height, width), or a usage error."""
        if isinstance(value, str) and "," in value:
            self.fail(f"{value!r} is not one size, width by height, such as 768x512.", param, ctx)
        return super().convert(value, param, ctx)[0] if isinstance(value, str) else value


class Key(ParamType):
    """A class from 0 up, or -1 for the word ``none`` (click takes None for an option that is not given)."""

    name = "key"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The class, or a usage error."""
        if value in ("none", -1):
            return -1
        text = str(value)
        try:
            return whole(text)
        except ValueError:
            if _is_digits(text):
                self.fail(f"{_short(text)} is too large: classes are numbers from 0 to {LARGEST}.", param, ctx)
            self.fail(f"{value!r} is not a class: a number from 0 up, or none.", param, ctx)


class Seed(ParamType):
    """A seed from 0 up, as large as PyTorch takes."""

    name = "seed"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The seed, or a usage error."""
        text = str(value)
        if not _is_digits(text) or len(text) > 18:
            self.fail(f"{value!r} is not a seed: a number from 0 up, of at most 18 digits.", param, ctx)
        return int(text)


class Budgets(ParamType):
    """Numbers of iterations, such as ``20,50,100``."""

    name = "budgets"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The numbers as they were given, or a usage error."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(whole(word.strip()) for word in value.split(","))
        except ValueError:
            numbers = (0,)
        if not 0 < min(numbers) <= max(numbers) <= 100_000:
            self.fail(f"{value!r} is not a list of numbers from 1 up, such as 20,50,100.", param, ctx)
        return numbers


LARGEST = MAX_CLASSES - 1
"""The last class that a keyring may have."""


def whole(text: str) -> int:
    """A number from 0 to :data:`LARGEST`, of plain digits; raises ``ValueError``."""
    if not _is_digits(text) or len(text) > len(str(LARGEST)) or int(text) > LARGEST:
        raise ValueError(text)
    return int(text)


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}..."


def _span(text: str) -> range:
    first, dash, last = text.partition("-")
    span = range(whole(first), whole(last if dash else first) + 1)
    if not span:
        raise ValueError(text)
    return span
