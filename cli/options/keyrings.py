"""Which keyring: the one that was named, else the environment's, else the user's own."""

from __future__ import annotations

import os
from pathlib import Path

import click

from .common import Function
from .types import NamedFile

KEYRING_VARIABLE = "TREERING_KEYRING"


def own_keyring() -> Path:
    """Where the user's own keyring lies unless the environment says something else."""
    return Path(click.get_app_dir("treering")) / "keyring.json"


def keyring_path(given: Path | None) -> Path:
    """The keyring that was named on the command line, else the user's."""
    return given or user_keyring()


def user_keyring() -> Path:
    """The user's keyring: the environment's, else their own."""
    return Path(os.environ.get(KEYRING_VARIABLE) or own_keyring())


def keyrings_option(function: Function) -> Function:
    """``--keyring FILE``, once or more: given to the command as ``keyrings``, paths, none for the user's own."""
    return click.option(
        "--keyring",
        "keyrings",
        type=NamedFile(),
        multiple=True,
        metavar="FILE",
        show_default=f"${KEYRING_VARIABLE}, else your own: see `treering keys path`",
        help="Keyring whose marks are meant; name several to search all of them.",
    )(function)


def keyring_option(function: Function) -> Function:
    """``--keyring FILE``: given to the command as a path, or None for the user's own."""
    return click.option(
        "--keyring",
        type=NamedFile(),
        metavar="FILE",
        show_default=f"${KEYRING_VARIABLE}, else your own: see `treering keys path`",
        help="Keyring whose marks are meant.",
    )(function)
