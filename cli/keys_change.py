"""``treering keys set`` and ``upgrade``: what may change in a keyring while its marks stay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from treering.marks import keyring_file
from treering.marks.bounds import Size
from treering.marks.keyring import Keyring

from .console import Failure, say, shown
from .keyrings import classes_option, model_settings, nonces_option, show, with_name
from .options import NamedFile, Sizes, json_option, keyring_path


@click.command("set", short_help="Change what the marks of a keyring do not depend on.")
@click.argument("file", type=NamedFile(), required=False)
@click.option(
    "--sizes",
    type=Sizes(),
    metavar="WxH,...",
    show_default="unchanged",
    help="Sizes of the pictures, the usual one first.",
)
@click.option(
    "--steps", type=click.IntRange(1, 1000), metavar="N", show_default="unchanged", help="Sampler steps of the reading."
)
@classes_option("unchanged")
@nonces_option("unchanged")
@with_name("unchanged")
@json_option
def set_(
    file: Path | None,
    sizes: tuple[Size, ...] | None,
    steps: int | None,
    classes: int | None,
    nonces: int | None,
    model: str | None,
    download: bool,
    as_json: bool,
) -> None:
    """Change what the marks of a keyring (FILE, else your own) do not depend on.

    Its secret, its pattern and so its id stay, and marks made with it stay readable as long as their class, nonce and
    size are searched. A model must have the latents that the keyring is for.
    """
    path = keyring_path(file)
    given = {"sizes": sizes, "steps": steps, "classes": classes, "nonces": nonces}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if not changes and model is None:
        raise click.UsageError("Nothing is to be changed: see `treering keys set --help`.")
    keyring = keyring_file.load_to_change(path)
    keyring = replace(keyring, **changes)
    if model is not None:
        keyring = _with_model(keyring, model, download)
    keyring_file.rewrite(keyring, path)
    show(path, keyring, as_json)
    if keyring.root and changes.keys() - {"steps"}:
        say("The root that was published is of the former classes, nonces and sizes: marks are revealed with those.")


def _with_model(keyring: Keyring, name: str, download: bool) -> Keyring:
    """The keyring for another model of the same latents."""
    theirs = Keyring(keyring.secret, keyring.pattern, **model_settings(name, download))
    if (theirs.channels, theirs.factor) != (keyring.channels, keyring.factor):
        raise Failure(
            f"The keyring is for latents of {keyring.channels} channels and {keyring.factor} pixels a cell, "
            f"the model {shown(name)} has {theirs.channels} and {theirs.factor}; make a keyring for it."
        )
    if theirs.image_size not in keyring.sizes:
        height, width = theirs.image_size
        raise Failure(f"The model {shown(name)} makes pictures of {width}x{height}; add them with --sizes.")
    return replace(keyring, model=theirs.model)


@click.command(short_help="Bring a keyring file of version 1 to version 2.")
@click.argument("file", type=NamedFile(), required=False)
def upgrade(file: Path | None) -> None:
    """Bring a keyring file (FILE, else your own) of version 1 to version 2, in place.

    Secret, id and marks stay what they are.
    """
    path = keyring_path(file)
    keyring, done = keyring_file.upgrade(path)
    if not done:
        return say(f"The keyring {keyring.id} in {path} is of version 2 already.")
    say(f"The keyring {keyring.id} in {path} is of version 2 now; its secret, its id and its marks are what they were.")
    say("Every field is now protected by a MAC, and `treering keys set` can change classes, steps and model.")
    say(
        "Its values are still derived as in version 1, so it has no nonces, no synchronisation part and one latent "
        "size; `treering keys new` makes a keyring that can have them."
    )
