"""How a run over many pictures goes: who does the work, and on which of the pictures."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import click

from treering.settings import ENGINES

from .common import Decorator, apply
from .types import ParamType, Seed

_SPAN = re.compile(r"(\d{1,6})([hdw])")
_SECONDS = {"h": 3600, "d": 86_400, "w": 604_800}
MOST_WORKERS = 4096


@dataclass(frozen=True)
class Many:
    """``since``: seconds since 1970, or None; ``sample``: pictures, or None for all."""

    engine: str = ENGINES[0]
    workers: int = 1
    sample: int | None = None
    seed: int = 0
    since: float | None = None

    @property
    def is_inline(self) -> bool:
        """Whether this process does the work itself."""
        return self.engine == ENGINES[0] and self.workers == 1


class Moment(ParamType):
    """A date, a date with a time, or a span such as ``24h``, ``7d`` or ``2w`` before now."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds since 1970, or a usage error."""
        if isinstance(value, float):
            return value
        if span := _SPAN.fullmatch(value):
            return time.time() - int(span[1]) * _SECONDS[span[2]]
        try:
            moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            self.fail(f"{value!r} is not a moment such as 2026-11-24, 2026-11-24T18:30 or 7d.", param, ctx)
        return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def many_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Options of a run, given to the command as one ``many: Many``."""

    @functools.wraps(function)
    def with_many(*args: Any, **values: Any) -> Any:
        many = Many(**{name: values.pop(name) for name in Many.__dataclass_fields__})
        return function(*args, many=many, **values)

    return apply(with_many, _MANY)


_MANY: tuple[Decorator, ...] = (
    click.option(
        "--engine",
        type=click.Choice(ENGINES),
        default=ENGINES[0],
        help="Who runs the workers: this machine, or a Ray cluster (the one that RAY_ADDRESS names, else one that is "
        "begun here).",
    ),
    click.option(
        "--workers",
        type=click.IntRange(1, MOST_WORKERS),
        default=1,
        metavar="N",
        help="Processes that read pictures, each with a model of its own; one GPU or at least one core for each.",
    ),
    click.option(
        "--sample",
        type=click.IntRange(1, 1_000_000),
        metavar="N",
        show_default="all",
        help="Check only N of the pictures, chosen by chance: a quick look at a bucket.",
    ),
    click.option("--seed", type=Seed(), default=0, metavar="N", help="Another seed, another sample."),
    click.option(
        "--since",
        type=Moment(),
        metavar="WHEN",
        show_default="all",
        help="Check only pictures that were changed at or after this moment (UTC): 2026-11-24, 2026-11-24T18:30, or "
        "24h, 7d, 2w ago.",
    ),
)
