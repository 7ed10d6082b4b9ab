"""Which model, and where it runs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from treering.models import DEFAULT
from treering.settings import AUTO, DTYPES, Networks

from .common import Decorator, apply

if TYPE_CHECKING:
    from treering.models import LatentModel


def _not_empty(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    if value == "" or (isinstance(value, tuple) and "" in value):
        raise click.BadParameter("An empty name is no model.")
    return value


class ModelChoice(Networks):
    """A model that is not loaded yet; ``name`` is None where the keyring decides."""

    def load(self, otherwise: str = "") -> LatentModel:
        """Load it; where none was named the model ``otherwise``, and where that is empty the default one."""
        from treering import models

        model = models.load(self.name or otherwise or DEFAULT, self.device, self.dtype, self.download)
        model.tf32 = self.tf32
        return model


@dataclass(frozen=True)
class ModelChoices:
    """Models that are not loaded yet, none where the keyrings decide; they all run in the same way."""

    names: tuple[str, ...]
    device: str
    dtype: str
    download: bool
    tf32: bool

    def one(self, name: str | None = None) -> ModelChoice:
        """One of them: the one that is named here, else the first, if there is any."""
        first = self.names[0] if self.names else None
        return ModelChoice(name or first, self.device, self.dtype, self.download, self.tf32)


def models_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """As :func:`model_options`, for commands that take several, given as one ``models: ModelChoices``."""

    @functools.wraps(function)
    def with_models(*args: Any, models: tuple[str, ...], device: str, dtype: str, tf32: bool, **rest: Any) -> Any:
        choices = ModelChoices(models, device, dtype, rest.pop("download"), tf32)
        return function(*args, models=choices, **rest)

    return apply(with_models, (*name_options("each keyring's model", several=True), *running((*DTYPES, AUTO))))


def model_options(function: Callable[..., Any], default: str = "the keyring's model") -> Callable[..., Any]:
    """Options of the model, given to the command as one ``model: ModelChoice``."""

    @functools.wraps(function)
    def with_model(*args: Any, model: str | None, device: str, dtype: str, tf32: bool, **rest: Any) -> Any:
        choice = ModelChoice(model, device, dtype, rest.pop("download"), tf32)
        return function(*args, model=choice, **rest)

    return apply(with_model, (*name_options(default), *running(DTYPES)))


def default_model_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """As :func:`model_options`, for commands without a keyring."""
    return model_options(function, DEFAULT)


def name_options(default: str, several: bool = False) -> tuple[Decorator, ...]:
    """Which model, without how to run it; ``several``: which models."""
    kinds = f"`{DEFAULT}`, a Stable Diffusion pipeline folder, or a hub id such as owner/name."
    return (
        click.option(
            "--model",
            *(("models",) if several else ()),
            multiple=several,
            metavar="NAME",
            callback=_not_empty,
            show_default=default,
            help=f"{kinds} Name several to search all of them." if several else kinds,
        ),
        click.option("--download", is_flag=True, help="Fetch a hub model that is not in the local cache."),
    )


def running(dtypes: tuple[str, ...]) -> tuple[Decorator, ...]:
    """Where and in which number type."""
    auto = " auto: what the machine does fastest, if the model is as good in it." if AUTO in dtypes else ""
    return (
        click.option("--device", default="cpu", metavar="NAME", help="Where the networks run: cpu, cuda, cuda:1, ..."),
        click.option(
            "--dtype", type=click.Choice(dtypes), default=DTYPES[0], help=f"Number type of the networks.{auto}"
        ),
        click.option("--tf32", is_flag=True, help="Let a GPU round float32 to TF32: faster, and no longer exact."),
    )
