"""``treering keys``: make, show and move keyrings. The secret is never printed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from treering.errors import TreeringError
from treering.marks.keyring import MARKS, NONCES, Keyring, usual_nonces
from treering.marks.patterns import KINDS, MOST_OUTER, Kind, Pattern
from treering.models import DEFAULT

from . import keys_change, keys_evidence, keys_names
from .console import Failure, say
from .keyrings import classes_option, commas, model_and_pages, nonces_option, with_name
from .keyrings import show as show_keyring
from .options import (
    Channels,
    FiniteRange,
    NamedFile,
    OneSize,
    Rings,
    force_option,
    json_option,
    keyring_option,
    keyring_path,
    user_keyring,
)

_DEFAULT = Pattern()


@click.group(short_help="Make, show and move keyrings.")
def command() -> None:
    """Make, show and move keyrings.

    A keyring is one file: a secret, and what is needed to read the marks made with it. Who has it can read, forge
    and remove these marks; without it nobody can read them.
    """


for _change in (
    *(keys_change.set_, keys_change.upgrade, keys_names.name, keys_names.retire, keys_names.list_),
    *(keys_evidence.commit, keys_evidence.reveal, keys_evidence.signer),
):
    command.add_command(_change)


def _usual(usual: str, own: Callable[[Kind], str | None]) -> str:
    """What the help says of a default: the usual one, and those of the patterns that have their own."""
    others = [f"{value} for {name}" for name, kind in KINDS.items() if (value := own(kind))]
    return ", or ".join([usual, *others])


def _own_classes(kind: Kind) -> str | None:
    classes = _classes(kind)
    return None if classes == Keyring.classes else str(classes)


def _own_channels(kind: Kind) -> str | None:
    return commas(kind.defaults["channels"]) if "channels" in kind.defaults else None


def _own_rings(kind: Kind) -> str | None:
    inner, outer = (kind.defaults.get(name, getattr(_DEFAULT, name)) for name in ("inner", "outer"))
    return None if (inner, outer) == (_DEFAULT.inner, _DEFAULT.outer) else f"{inner}-{outer}"


def _own_share(kind: Kind) -> str | None:
    share = kind.defaults.get("sync_share", _DEFAULT.sync_share)
    return None if share == _DEFAULT.sync_share else f"{share:g}"


def _classes(kind: Kind) -> int:
    """How many classes a new keyring of such a pattern has."""
    return min(Keyring.classes, kind.most_classes or Keyring.classes)


_NEW = """Make a keyring with a fresh secret.

The file can be read by you alone. It fits models whose latents have the shape that those of --model have. A secret
that says much of one of a few reference pages (text, flat areas, gradients, interfaces) is drawn again, as it might
name all pages that are laid out like it; that costs every p-value a factor of 1.11. Of clips, and of another --size
than the model's own, no pages are read.

\b
Patterns:
""" + "\n".join(f"  {name:<5}  {kind.summary}" for name, kind in KINDS.items())


@command.command(short_help="Make a keyring with a fresh secret.", help=_NEW)
@click.option(
    "--output",
    type=NamedFile(),
    metavar="FILE",
    show_default="your own: see `treering keys path`",
    help="Where to write it.",
)
@classes_option(_usual(str(Keyring.classes), _own_classes))
@nonces_option(f"{NONCES}, or fewer, so that classes times nonces are at most {MARKS}; 1 without --sync")
@click.option("--pattern", type=click.Choice(tuple(KINDS)), default=_DEFAULT.kind, help="Kind of mark.")
@click.option(
    "--channels",
    type=Channels(),
    metavar="LIST",
    show_default=_usual(commas(_DEFAULT.channels), _own_channels),
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
    show_default=_usual(f"{_DEFAULT.inner}-{_DEFAULT.outer}", _own_rings),
    help=f"First and last ring. Noise reaches the corners of the spectrum, ring {MOST_OUTER} in larger latents.",
)
@click.option(
    "--sync",
    type=FiniteRange(0, 1),
    metavar="SHARE",
    show_default=_usual(f"{_DEFAULT.sync_share:g}", _own_share),
    help="Share of the first channel's values, to ring 15, that all classes have in common: by it a mirrored, turned "
    "or cropped picture is put right, whatever the number of classes.",
)
@click.option(
    "--size",
    type=OneSize(),
    metavar="WxH",
    show_default="the model's own",
    help="Width and height of the pictures or clips; `treering keys set --sizes` adds others.",
)
@with_name(DEFAULT)
@click.option("--public", is_flag=True, help="Mark it as public: for demonstrations, as it hides nothing.")
@force_option("Replace a keyring. The old secret is destroyed, and marks made with it can never be read again.")
@json_option
def new(
    output: Path | None,
    classes: int | None,
    nonces: int | None,
    pattern: str,
    channels: tuple[int, ...] | None,
    noise_channels: tuple[int, ...] | None,
    rings: tuple[int, int] | None,
    sync: float | None,
    size: tuple[int, int] | None,
    model: str | None,
    download: bool,
    public: bool,
    force: bool,
    as_json: bool,
) -> None:
    """As its help says, which lists the patterns."""
    named = output or user_keyring()
    old, path = _replaced(named, force), _target(named)
    classes, mark = classes or _classes(KINDS[pattern]), _pattern(pattern, channels, noise_channels, rings, sync)
    fitting, pages = model_and_pages(model, download, size)
    keyring = Keyring.new(
        pattern=mark,
        classes=classes,
        nonces=nonces or usual_nonces(classes, mark),
        public=public,
        **fitting,
    )
    keyring = _chosen(keyring if rings else keyring.widest(), pages)
    keyring.save(path, overwrite=force)
    if old:
        say(old)
    show_keyring(named, keyring, as_json)


def _chosen(keyring: Keyring, pages: Any) -> Keyring:
    """The keyring with a secret that says little of reference pages."""
    from treering.reading import flocks

    keyring.check()  # a pattern that does not fit is told before it is tried
    return keyring if pages is None else flocks.careful(keyring, pages)


def _target(path: Path) -> Path:
    """The file that is written: what a link leads to, so that the link stays one."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _replaced(path: Path, force: bool) -> str | None:
    """What to say of a file that is to be replaced; None where there is none."""
    if str(path) == "-":
        raise Failure("A keyring is not written to standard output, as it holds the secret; name a file.")
    if path.is_dir():
        raise Failure(f"{path} is a folder; name a file.")
    if path.exists() and not path.is_file():
        raise Failure(f"{path} is a pipe or a device; name a file.")
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
    """The pattern asked for; what is left open is as the kind has it, else as in the library."""
    inner, outer = rings or (None, None)
    given = {"channels": channels, "noise_channels": noise_channels, "inner": inner, "outer": outer, "sync_share": sync}
    settings = dict(KINDS[kind].defaults) | {name: value for name, value in given.items() if value is not None}
    if not settings.get("sync_share"):
        settings.pop("sync_outer", None)
    if "sync_outer" in settings:
        settings["sync_outer"] = max(settings.get("inner", 0), min(settings["sync_outer"], settings["outer"]))
    if settings.get("sync_share"):
        settings.setdefault("sync_channels", (noise_channels or settings.get("channels", _DEFAULT.channels))[:1])
    return Pattern(kind=kind, **settings)


@command.command(short_help="Show a keyring, without its secret.")
@click.argument("file", type=NamedFile(), required=False)
@json_option
def show(file: Path | None, as_json: bool) -> None:
    """Show a keyring (FILE, else your own), without its secret.

    The id is a hash that names the keyring in results; it may be shown to anyone.
    """
    path = keyring_path(file)
    show_keyring(path, Keyring.load(path), as_json)


@command.command(short_help="Print where your keyring lies.")
def path() -> None:
    """Print where your keyring lies, or would lie.

    That is $TREERING_KEYRING if it is set, else a file in the folder that your system has for settings.
    """
    click.echo(str(user_keyring()))


@command.command(short_help="Copy a keyring with its secret, to move it or keep it safe.")
@click.argument("file", type=NamedFile())
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
