"""``treering keys``: make, show and move keyrings. The secret is never printed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from treering.errors import TreeringError
from treering.marks import keyring_file
from treering.marks.bounds import MAX_CLASSES, Size
from treering.marks.keyring import Keyring
from treering.marks.patterns import KINDS, PAPER_TABLE, SYNC_SHARE, Pattern

from .console import Failure, emit, say, shown
from .options import (
    Channels,
    FiniteRange,
    ModelChoice,
    ParamType,
    Rings,
    apply,
    force_option,
    json_option,
    keyring_option,
    keyring_path,
    name_options,
    user_keyring,
    whole,
)

_DEFAULT = Pattern()


@click.group(short_help="Make, show and move keyrings.")
def command() -> None:
    """Make, show and move keyrings.

    A keyring is one file: a secret, and what is needed to read the marks made with it. Who has it can read, forge
    and remove these marks; without it nobody can read them.
    """


def _commas(numbers: tuple[int, ...]) -> str:
    return ",".join(map(str, numbers))


def _with_name(default: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return lambda function: apply(function, name_options(default))


_NEW = """Make a keyring with a fresh secret.

The file can be read by you alone. It fits models whose latents have the shape that those of --model have.

\b
Patterns:
""" + "\n".join(f"  {name:<5}  {kind.summary}" for name, kind in KINDS.items())


@command.command(short_help="Make a keyring with a fresh secret.", help=_NEW)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    show_default="your own: see `treering keys path`",
    help="Where to write it.",
)
@click.option(
    "--classes",
    type=click.IntRange(1, MAX_CLASSES),
    metavar="N",
    show_default=f"{Keyring.classes}, or {len(PAPER_TABLE)} for paper",
    help="How many classes a search covers; more classes need more evidence.",
)
@click.option("--pattern", type=click.Choice(tuple(KINDS)), default=_DEFAULT.kind, help="Kind of mark.")
@click.option(
    "--channels",
    type=Channels(),
    metavar="LIST",
    show_default=f"{_commas(_DEFAULT.channels)}, or 0 for paper",
    help="Latent channels that carry the mark, such as 0,1; for mixed, those that carry rings.",
)
@click.option(
    "--noise-channels",
    type=Channels(),
    metavar="LIST",
    show_default="none",
    help="For mixed: latent channels that carry noise.",
)
@click.option(
    "--rings",
    type=Rings(),
    metavar="FIRST-LAST",
    show_default=f"{_DEFAULT.inner}-{_DEFAULT.outer}, or 1-6 for paper",
    help="First and last ring.",
)
@click.option(
    "--sync",
    type=FiniteRange(0, 1),
    metavar="SHARE",
    show_default=f"{SYNC_SHARE} for noise, else 0",
    help="Share of the first channel's values that all classes have in common: by it a mirrored, turned or cropped "
    "picture is put right, whatever the number of classes.",
)
@_with_name("demo")
@click.option("--public", is_flag=True, help="Mark it as public: for demonstrations, as it hides nothing.")
@force_option("Replace a keyring. The old secret is destroyed, and marks made with it can never be read again.")
@json_option
def new(
    output: Path | None,
    classes: int | None,
    pattern: str,
    channels: tuple[int, ...] | None,
    noise_channels: tuple[int, ...] | None,
    rings: tuple[int, int] | None,
    sync: float | None,
    model: str | None,
    download: bool,
    public: bool,
    force: bool,
    as_json: bool,
) -> None:
    """As its help says, which lists the patterns."""
    named = output or user_keyring()
    old, path = _replaced(named, force), _target(named)
    chosen = _pattern(pattern, channels, noise_channels, rings, sync)
    keyring = Keyring.new(
        pattern=chosen,
        classes=classes or (len(PAPER_TABLE) if pattern == "paper" else Keyring.classes),
        public=public,
        **_model_settings(model, download),
    )
    keyring.save(path, overwrite=force)
    if old:
        say(old)
    _show(named, keyring, as_json)


def _target(path: Path) -> Path:
    """The file that is written: what a link leads to, so that the link stays one."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _replaced(path: Path, force: bool) -> str | None:
    """What to say of a file that is to be replaced; None where there is none."""
    if path.is_dir():
        raise Failure(f"{path} is a folder; name a file.")
    if not os.path.lexists(path):
        return None
    if not force:
        raise Failure(f"{path} exists already; a lost keyring cannot be made again, so only --force replaces it.")
    target = _target(path)
    where = f"{target}, to which {path} is a link," if path.is_symlink() else str(path)
    if not os.path.lexists(target):
        return f"{path} is a link to {target}, which did not exist."
    try:
        what = f"The keyring {Keyring.load(target).id} in {where}"
    except TreeringError:  # whatever it is, it is to go
        what = f"What was in {where}"
    return f"{what} is destroyed; marks made with it can never be read again."


def _pattern(
    kind: str,
    channels: tuple[int, ...] | None,
    noise_channels: tuple[int, ...] | None,
    rings: tuple[int, int] | None,
    sync: float | None,
) -> Pattern:
    """The pattern asked for; what is left open is as in the library, or as the paper has it."""
    paper = kind == "paper"
    inner, outer = rings or ((1, 6) if paper else (_DEFAULT.inner, _DEFAULT.outer))
    settings: dict[str, Any] = {"inner": inner, "outer": outer, "noise_channels": noise_channels or ()}
    chosen = channels or ((0,) if paper else _DEFAULT.channels)
    settings["sync_share"] = (SYNC_SHARE if kind == "noise" else 0.0) if sync is None else sync
    settings["sync_channels"] = (noise_channels or chosen)[:1]
    return Pattern(kind=kind, channels=chosen, **settings)


def _model_settings(name: str | None, download: bool) -> dict[str, Any]:
    """Name, latent shape and picture size as the model has them; the demo model's are known without loading it."""
    from treering.models import demo

    if name in (None, demo.NAME):
        return demo.SETTINGS
    model = ModelChoice(name, download=download).load(demo.NAME)
    return {"model": model.name, "shape": model.shape, "image_size": model.image_size}


@command.command(short_help="Show a keyring, without its secret.")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@json_option
def show(file: Path | None, as_json: bool) -> None:
    """Show a keyring (FILE, else your own), without its secret.

    The id is a hash that names the keyring in results; it may be shown to anyone.
    """
    path = keyring_path(file)
    _show(path, Keyring.load(path), as_json)


def _show(path: Path, keyring: Keyring, as_json: bool) -> None:
    if as_json:
        return emit({"file": str(path), **keyring.as_dict()})
    for name, value in _facts(path, keyring).items():
        click.echo(f"{name:<11}  {value}")


def _facts(path: Path, keyring: Keyring) -> dict[str, str]:
    return {
        "file": shown(str(path)),
        "id": keyring.id,
        "secret": "PUBLIC: anyone can read, forge or remove its marks" if keyring.public else "not shown",
        "classes": f"{keyring.classes} (0 to {keyring.classes - 1})",
        "pattern": _describe(keyring.pattern),
        "model": f"{shown(keyring.model) or 'any'}, latents of {'x'.join(map(str, keyring.shape))}",
        "pictures": ", ".join(f"{width}x{height}" for height, width in keyring.sizes),
        "steps": str(keyring.steps),
        **_extras(keyring),
    }


def _extras(keyring: Keyring) -> dict[str, str]:
    """What few keyrings have."""
    facts = {}
    if keyring.nonces > 1:
        facts["nonces"] = f"{keyring.nonces} for each class"
    if keyring.pattern.sync_share:
        facts["common"] = f"{keyring.pattern.sync_share:g} of channels {_commas(keyring.pattern.sync_channels)}"
    if keyring.derivation == 1:
        facts["values"] = "as in version 1: no nonces, one latent size"
    return facts


def _describe(pattern: Pattern) -> str:
    noise = f", noise in channels {_commas(pattern.noise_channels)}" if pattern.noise_channels else ""
    common = f", {pattern.sync_share:.0%} of channel {_commas(pattern.sync_channels)} common to all classes"
    sync = common if pattern.sync_share else ""
    return f"{pattern.kind}, channels {_commas(pattern.channels)}, rings {pattern.inner}-{pattern.outer}{noise}{sync}"


@command.command(short_help="Print where your keyring lies.")
def path() -> None:
    """Print where your keyring lies, or would lie.

    That is $TREERING_KEYRING if it is set, else a file in the folder that your system has for settings.
    """
    click.echo(str(user_keyring()))


@command.command(short_help="Copy a keyring with its secret, to move it or keep it safe.")
@click.argument("file", type=click.Path(path_type=Path))
@keyring_option
@force_option("Replace a keyring. The old secret is destroyed, and marks made with it can never be read again.")
def export(file: Path, keyring: Path | None, force: bool) -> None:
    """Copy a keyring with its secret to FILE, which you alone can read.

    Elsewhere, use it with --keyring FILE, or make it your own there:

    \b
      treering keys export --keyring FILE "$(treering keys path)"
    """
    source = keyring_path(keyring)
    copy = Keyring.load(source)
    if file.exists() and file.samefile(source):
        raise Failure(f"{file} is the keyring itself.")
    old = _replaced(file, force)
    copy.save(_target(file), overwrite=force)
    if old:
        say(old)
    say(f"Copied {source} to {file}; it holds the secret.")


# Changes


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


@command.command("set", short_help="Change what the marks of a keyring do not depend on.")
@click.argument("file", type=click.Path(path_type=Path), required=False)
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
@click.option(
    "--classes",
    type=click.IntRange(1, MAX_CLASSES),
    metavar="N",
    show_default="unchanged",
    help="How many classes a search covers.",
)
@click.option(
    "--nonces",
    type=click.IntRange(1, MAX_CLASSES),
    metavar="N",
    show_default="unchanged",
    help="How many different marks a class has; all of them are searched.",
)
@_with_name("unchanged")
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
    _show(path, keyring, as_json)


def _with_model(keyring: Keyring, name: str, download: bool) -> Keyring:
    """The keyring for another model of the same latents."""
    theirs = Keyring(keyring.secret, keyring.pattern, **_model_settings(name, download))
    if (theirs.channels, theirs.factor) != (keyring.channels, keyring.factor):
        raise Failure(
            f"The keyring is for latents of {keyring.channels} channels and {keyring.factor} pixels a cell, "
            f"the model {shown(name)} has {theirs.channels} and {theirs.factor}; make a keyring for it."
        )
    if theirs.image_size not in keyring.sizes:
        height, width = theirs.image_size
        raise Failure(f"The model {shown(name)} makes pictures of {width}x{height}; add them with --sizes.")
    return replace(keyring, model=theirs.model)


@command.command(short_help="Bring a keyring file of version 1 to version 2.")
@click.argument("file", type=click.Path(path_type=Path), required=False)
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
