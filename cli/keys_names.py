"""``treering keys name``, ``retire`` and ``names``: whom a class belongs to."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import click

from treering.marks import names
from treering.marks.keyring import Keyring

from .console import emit, say, tell
from .options import Key, json_option, keyring_option, keyring_path


class Class(Key):
    """A class from 0 up."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The class, or a usage error."""
        key = super().convert(value, param, ctx)
        return key if key >= 0 else self.fail(f"{value!r} is not a class: a number from 0 up.", param, ctx)


@click.command(short_help="Name a class: a customer, a deployment.")
@click.argument("key", type=Class(), metavar="CLASS")
@click.argument("text", metavar="NAME")
@keyring_option
def name(key: int, text: str, keyring: Path | None) -> None:
    """Name a class: a customer, a deployment.

    `detect` and `verify` then tell the name beside the number. Names lie in a file of their own beside the keyring,
    which holds no secret and can be read by you alone. An empty name takes it away.

    \b
    Example: treering keys name 17 "Anna's shop"
    """
    path = keyring_path(keyring)
    found = names.name(path, Keyring.load(path), key, text)
    say(f"Class {found.told(key)}: written to {names.path_of(path)}.")


@click.command(short_help="Give a class out no more.")
@click.argument("key", type=Class(), metavar="CLASS")
@click.option("--undo", is_flag=True, help="Give it out again.")
@keyring_option
def retire(key: int, undo: bool, keyring: Path | None) -> None:
    """Give a class out no more: `embed` refuses to mark with it.

    It is found in pictures as before, since those that carry it do not go away.
    """
    path = keyring_path(keyring)
    since = None if undo else datetime.date.today().isoformat()
    found = names.retire(path, Keyring.load(path), key, since)
    say(f"Class {found.told(key)}: written to {names.path_of(path)}.")


@click.command("names", short_help="List the names of classes, and which are retired.")
@keyring_option
@json_option
def list_(keyring: Path | None, as_json: bool) -> None:
    """List the names of classes, and which are retired.

    --json prints one object for each: key, name, retired.
    """
    path = keyring_path(keyring)
    found = names.load(path, Keyring.load(path))
    for key in sorted({*found.names, *found.retired}):
        if as_json:
            emit({"key": key, "name": found.of(key), "retired": found.retired.get(key)})
        else:
            tell(found.told(key))
