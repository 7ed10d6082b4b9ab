"""What all options are made of, and the options that are the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


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
