"""Which model, and where it runs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from treering.models import DEFAULT
from treering.settings import DTYPES, Networks

from .common import Decorator, apply

if TYPE_CHECKING:
    from treering.models import LatentModel, Model


def _not_empty(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value == "":
        raise click.BadParameter("An empty name is no model.")
    return value


class ModelChoice(Networks):
    """A model that is not loaded yet; ``name`` is None where the keyring decides."""

    def load(self, otherwise: str = "") -> Model:
        """Load it; where none was named the model ``otherwise``, and where that is empty the default one."""
        from treering import models

        model = models.load(self.name or otherwise or DEFAULT, self.device, self.dtype, self.download)
        model.tf32 = self.tf32
        return model

    def load_latent_model(self) -> LatentModel:
        """Load it, for what takes a model apart."""
        from treering import models

        return models.taken_apart(self.load())


def model_options(function: Callable[..., Any], default: str = "the keyring's model") -> Callable[..., Any]:
    """Options of the model, given to the command as one ``model: ModelChoice``."""

    @functools.wraps(function)
    def with_model(*args: Any, model: str | None, device: str, dtype: str, tf32: bool, **rest: Any) -> Any:
        choice = ModelChoice(model, device, dtype, rest.pop("download"), tf32)
        return function(*args, model=choice, **rest)

    return apply(with_model, (*name_options(default), *_RUNNING))


def default_model_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """As :func:`model_options`, for commands without a keyring."""
    return model_options(function, DEFAULT)


def name_options(default: str) -> tuple[Decorator, ...]:
    """Which model, without how to run it."""
    return (
        click.option(
            "--model",
            metavar="NAME",
            callback=_not_empty,
            show_default=default,
            help=f"`{DEFAULT}`, the folder of a diffusers pipeline, or a hub id such as owner/name.",
        ),
        click.option("--download", is_flag=True, help="Fetch a hub model that is not in the local cache."),
    )


_RUNNING: tuple[Decorator, ...] = (
    click.option(
        "--device", default="cpu", metavar="NAME", help="Where the networks run: cpu, cuda, cuda:1, mps, or auto."
    ),
    click.option("--dtype", type=click.Choice(DTYPES), default=DTYPES[0], help="Number type of the networks."),
    click.option("--tf32", is_flag=True, help="Let a GPU round float32 to TF32: faster, and no longer exact."),
)
