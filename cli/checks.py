"""``embed --check``: what reading a picture back has shown, for people, JSON and the manifest."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from treering.settings import CHECK_LEVEL

from .console import p_text, say, shown
from .options import FiniteRange
from .options.common import apply

if TYPE_CHECKING:
    from treering.checking import Checked, Evidence

_OPTIONS = (
    click.option(
        "--check",
        is_flag=True,
        help="Read every picture back, as it is and cut to half of its area. One that is weaker than --check-level is "
        "made anew, up to three times (guidance 1, another seed, both), and the strongest is kept.",
    ),
    click.option(
        "--check-level",
        type=FiniteRange(0, 1, min_open=True, max_open=True),
        metavar="P",
        show_default=f"{CHECK_LEVEL:g}",
        help="With --check: the p-value that both readings are to reach.",
    ),
)


def check_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--check`` and ``--check-level``, given to the command as ``level``: a p-value, or None for no check."""

    @functools.wraps(function)
    def with_level(*args: Any, check: bool, check_level: float | None, **rest: Any) -> Any:
        if check_level is not None and not check:
            raise click.UsageError("--check-level needs --check.")
        level = (check_level or CHECK_LEVEL) if check else None
        return function(*args, level=level, **rest)

    return apply(with_level, _OPTIONS)


def cells(evidence: Evidence) -> str:
    """What a manifest tells of it."""
    levels = (f"{evidence.log10_p:.2f}", f"{evidence.log10_p_half:.2f}")
    return ";".join((*levels, evidence.stage, evidence.stage_half))


def text(checked: Checked) -> str:
    """For the line of a picture."""
    found = checked.evidence
    changed = f", {checked.remedy}" if checked.remedy else ""
    return f"  read back: p = {p_text(found.log10_p)}, cut to half {p_text(found.log10_p_half)}{changed}"


def warn(file: str, checked: Checked, level: float) -> None:
    """Say so where a picture stayed weaker than asked."""
    if not checked.strong:
        say(
            f"{shown(file)} is weaker than {level:g} when it is read back; it is the strongest of {checked.made} that "
            "were made."
        )
