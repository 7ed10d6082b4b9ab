"""``treering keys``: make, show and move keyrings. The secret is never printed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from treering.errors import TreeringError
from treering.marks.keyring import KINDS, PAPER_TABLE, Keyring, Pattern

from .console import Failure, emit, say, shown
from .options import (
    MAX_CLASSES,
    Channels,
    ModelChoice,
    Rings,
    apply,
    force_option,
    json_option,
    keyring_option,
    keyring_path,
    name_options,
    user_keyring,
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


def _with_name(function: Callable[..., Any]) -> Callable[..., Any]:
    return apply(function, name_options("demo"))


@command.command(short_help="Make a keyring with a fresh secret.")
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
@click.option("--pattern", type=click.Choice(KINDS), default=_DEFAULT.kind, help="Kind of mark.")
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
@_with_name
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
    model: str | None,
    download: bool,
    public: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Make a keyring with a fresh secret.

    The file can be read by you alone. It fits models whose latents have the shape that those of --model have.

    \b
    Patterns:
      rings  one complex value for each ring
      real   one real value for each ring: survives rotation and mirroring best
      noise  one complex value for each point: strongest evidence, no rotation
      mixed  rings in --channels, noise in --noise-channels
      paper  the fixed rings of Hong et al. 2024: known to all, for reproduction only
    """
    path = output or user_keyring()
    old = _replaced(path, force)
    chosen = _pattern(pattern, channels, noise_channels, rings)
    keyring = Keyring.new(
        pattern=chosen,
        classes=classes or (len(PAPER_TABLE) if pattern == "paper" else Keyring.classes),
        public=public,
        **_model_settings(model, download),
    )
    if chosen != _DEFAULT or model not in (None, "demo"):
        keyring.cells()  # refuses rings and channels that the latent does not have
    keyring.save(path, overwrite=force)
    if old:
        say(old)
    _show(path, keyring, as_json)


def _replaced(path: Path, force: bool) -> str | None:
    """What to say of a file that is to be replaced; None where there is none."""
    if path.is_dir():
        raise Failure(f"{path} is a folder; name a file.")
    if not os.path.lexists(path):
        return None
    if not force:
        raise Failure(f"{path} exists already; a lost keyring cannot be made again, so only --force replaces it.")
    try:
        what = f"The keyring {Keyring.load(path).id} in {path}"
    except TreeringError:  # whatever it is, it is to go
        what = f"What was in {path}"
    return f"{what} is destroyed; marks made with it can never be read again."


def _pattern(
    kind: str, channels: tuple[int, ...] | None, noise_channels: tuple[int, ...] | None, rings: tuple[int, int] | None
) -> Pattern:
    """The pattern asked for; what is left open is as in the library, or as the paper has it."""
    paper = kind == "paper"
    inner, outer = rings or ((1, 6) if paper else (_DEFAULT.inner, _DEFAULT.outer))
    settings: dict[str, Any] = {"inner": inner, "outer": outer, "noise_channels": noise_channels or ()}
    return Pattern(kind=kind, channels=channels or ((0,) if paper else _DEFAULT.channels), **settings)  # type: ignore[arg-type]


def _model_settings(name: str | None, download: bool) -> dict[str, Any]:
    """Shape and size as the model has them; the demo model's are the library's defaults."""
    if name in (None, "demo"):
        return {}
    model = ModelChoice(name, download=download).load("demo")
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
    height, width = keyring.image_size
    return {
        "file": shown(str(path)),
        "id": keyring.id,
        "secret": "PUBLIC: anyone can read, forge or remove its marks" if keyring.public else "not shown",
        "classes": f"{keyring.classes} (0 to {keyring.classes - 1})",
        "pattern": _describe(keyring.pattern),
        "model": f"{keyring.model}, latents of {'x'.join(map(str, keyring.shape))}",
        "pictures": f"{width}x{height}",
        "steps": str(keyring.steps),
    }


def _describe(pattern: Pattern) -> str:
    noise = f", noise in channels {_commas(pattern.noise_channels)}" if pattern.noise_channels else ""
    return f"{pattern.kind}, channels {_commas(pattern.channels)}, rings {pattern.inner}-{pattern.outer}{noise}"


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
    copy.save(file, overwrite=force)
    if old:
        say(old)
    say(f"Copied {source} to {file}; it holds the secret.")
