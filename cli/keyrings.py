"""What the commands of ``treering keys`` share: their options, the fields that a model gives, and what is shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from treering.marks.bounds import MAX_CLASSES
from treering.marks.fitting import plane
from treering.marks.keyring import Keyring
from treering.marks.patterns import Pattern
from treering.models import BUILT_IN, DEFAULT

from .console import emit, say, shown
from .options import ModelChoice, apply, name_options

if TYPE_CHECKING:
    from treering.models import Model

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def classes_option(default: str) -> Decorator:
    """``--classes N``; None where it is not given, of which the help says ``default``."""
    return _count("--classes", default, "How many classes a search covers; more classes need more evidence.")


def nonces_option(default: str) -> Decorator:
    """``--nonces N``, as :func:`classes_option`."""
    return _count(
        "--nonces",
        default,
        "How many different marks a class has, of which each picture gets one, so that pictures of a "
        "class cannot simply be averaged; all of them are searched. 1: none of that.",
    )


def _count(name: str, default: str, what: str) -> Decorator:
    numbers = click.IntRange(1, MAX_CLASSES)
    return click.option(name, type=numbers, metavar="N", show_default=default, help=what)


def with_name(default: str) -> Decorator:
    """``--model`` and ``--download``."""
    return lambda function: apply(function, name_options(default))


def model_settings(name: str | None, download: bool) -> dict[str, Any]:
    """Name, latent shape and picture size as the model has them; what ships with the package is not loaded for them."""
    if built_in := BUILT_IN.get(name or DEFAULT):
        return dict(built_in.settings)
    model = ModelChoice(name, download=download).load()
    return _settings(model, None)


def _settings(model: Model, size: tuple[int, int] | None) -> dict[str, Any]:
    shape = plane(model.shape if size is None else model.noise_shape(size))
    return {"model": model.name, "shape": shape, "image_size": size or model.image_size}


def model_and_pages(name: str | None, download: bool, size: tuple[int, int] | None) -> tuple[dict[str, Any], Any]:
    """As :func:`model_settings`, and what the model recovers from reference pages: noises ``[P, C, h, w]``.

    For what ships with the package both are known; another model is loaded, and reads one page of each kind.  None for
    a model that makes clips, and for another size than its own: no pages are read then.
    """
    from treering.reading import flocks

    built_in = BUILT_IN.get(name or DEFAULT)
    if built_in and size in (None, built_in.settings["image_size"]):
        return dict(built_in.settings), flocks.stored(built_in.pages)
    model = ModelChoice(name, download=download).load()
    settings = _settings(model, size)
    if getattr(model, "clips", False) or size not in (None, model.image_size):
        return settings, None
    say("Reading a few pages with the model, so that the secret is none that names them ...")
    return settings, flocks.together(flocks.reference(model, 1))


def own_keyring(model: Model) -> Keyring:
    """A fresh keyring for a model, held against reference pages where they came with it."""
    from treering.reading import flocks

    keyring, built_in = Keyring.for_model(model), BUILT_IN.get(model.name)
    return flocks.careful(keyring, flocks.stored(built_in.pages)) if built_in else keyring


def commas(numbers: tuple[int, ...]) -> str:
    """Such as ``0,1``."""
    return ",".join(map(str, numbers))


def show(path: Path, keyring: Keyring, as_json: bool) -> None:
    """Print a keyring, without its secret."""
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
        last = f", to ring {keyring.pattern.sync_outer}" if keyring.pattern.sync_outer else ""
        facts["common"] = f"{keyring.pattern.sync_share:g} of channels {commas(keyring.pattern.sync_channels)}{last}"
    if keyring.accepted < 1:
        facts["chosen"] = f"out of secrets of which {keyring.accepted:.0%} say nothing of reference pages"
    if keyring.derivation == 1:
        facts["values"] = "as in version 1: no nonces, one latent size"
    return facts


def _describe(pattern: Pattern) -> str:
    noise = f", noise in channels {commas(pattern.noise_channels)}" if pattern.noise_channels else ""
    return f"{pattern.kind}, channels {commas(pattern.channels)}, rings {pattern.inner}-{pattern.outer}{noise}"
