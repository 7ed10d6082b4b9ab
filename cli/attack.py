"""``treering attack``: what happens to pictures on their way, done on purpose."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import FAILED, SOME_FAILED, Failure, complain, emit, shown
from .options import ModelChoice, Named, Seed, default_model_options, force_option, json_option

if TYPE_CHECKING:
    from treering.models import LatentModel
    from treering.research.attacks import Attack


OTHER = "vae-other"
"""The attack that takes a folder."""


@dataclass(frozen=True)
class Job:
    """What is done to every picture."""

    name: str
    strength: float
    seed: int
    model: ModelChoice
    force: bool
    as_json: bool
    autoencoder: Path | None = None

    @cached_property
    def loaded(self) -> LatentModel:
        """The model, loaded for the first attack that needs it."""
        return self.model.load()

    @cached_property
    def attack(self) -> Attack:
        """The attack, with its model where it needs one."""
        from treering.research import attacks

        return attacks.get(self.name, lambda: self.loaded, self.autoencoder)


@click.command(short_help="Do to pictures what may happen to them: compress, crop, blur, regenerate.")
@click.argument("images", nargs=-1, metavar="IMAGE...", type=click.Path(path_type=Path))
@click.option("--name", metavar="NAME", help="Which attack; --list shows all.")
@click.option("--strength", type=float, metavar="S", show_default="the last that --list shows", help="How strong.")
@click.option("--list", "listed", is_flag=True, help="Show all attacks with their usual strengths, and end.")
@click.option(
    "--output",
    type=Named(),
    default=Path("attacked"),
    metavar="DIR",
    help="Folder for the results: each has the name of its picture.",
)
@click.option(
    "--seed", type=Seed(), default=0, metavar="N", help="Seed of the first picture; the others have the numbers after."
)
@click.option(
    "--autoencoder",
    type=Named(),
    metavar="DIR",
    show_default="$TREERING_TAEF2",
    help="For vae-other: folder of the autoencoder: TAEF2 (taef2.safetensors) or an AutoencoderKL of diffusers.",
)
@default_model_options
@force_option("Overwrite a picture that exists.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    images: tuple[Path, ...],
    name: str | None,
    strength: float | None,
    listed: bool,
    output: Path,
    seed: int,
    autoencoder: Path | None,
    model: ModelChoice,
    force: bool,
    as_json: bool,
) -> None:
    """Do to pictures what may happen to them on their way, or what somebody does to remove a mark.

    The same picture, attack, strength and seed give the same result. Results are PNG files, or of the format in which
    the attack ends: .jpg of jpeg, .webp of webp, .avif of avif. Attacks through networks (vae, diffusion, ...) work at
    the model's size; vae-other goes through the autoencoder that --autoencoder names.

    \b
    Exit codes: 0 done; 1 an error; 2 wrong usage; 3 some of several pictures could not be read.
    --json prints one object for each picture: file, source, attack, strength, seed, seconds; or source and error.
    Example: treering attack pictures/*.png --name jpeg --strength 25 --output attacked
    """
    if listed:
        return _list(as_json)
    if not images:
        raise click.UsageError("Name at least one picture, or --list.")
    if name is None:
        raise click.UsageError("Name an attack with --name; --list shows all.")
    if autoencoder is not None and name != OTHER:
        raise click.UsageError(f"--autoencoder is for the attack {OTHER}.")
    job = Job(name, _strength(name, strength), seed, model, force, as_json, autoencoder)
    targets = _targets(job, images, output)
    done = [_one(job, seed + i, *pair) for i, pair in enumerate(zip(images, targets, strict=True))]
    ctx.exit(0 if all(done) else FAILED if len(done) == 1 else SOME_FAILED)


def _list(as_json: bool) -> None:
    from treering.research.attacks import FAMILIES

    for family, members in FAMILIES.items():
        if not as_json:
            click.echo(f"{family}:")
        for one in members:
            if as_json:
                record = {"attack": one.name, "family": family, "strengths": one.strengths, "meaning": one.meaning}
                emit(record | {"low": one.low, "high": one.high})
            else:
                strengths = " ".join(f"{value:.4g}" for value in one.strengths)
                click.echo(f"  {one.name:<18} {strengths:<36} {one.meaning}")


def _strength(name: str, strength: float | None) -> float:
    from treering.research import attacks

    found = attacks.named(name)
    chosen = found.strengths[-1] if strength is None else strength
    found.check(chosen)
    return chosen


# ------------------------------------------------------------------------------------ where to


def _targets(job: Job, images: Sequence[Path], output: Path) -> list[Path]:
    """Names of the results; everything that can be refused is refused now, before work is done."""
    suffix = _suffix(job.name)
    targets = [output / f"{path.stem}{suffix}" for path in images]
    for path, target in zip(images, targets, strict=True):
        if targets.count(target) > 1:
            raise Failure(f"Several pictures would be written as {shown(str(target))}; attack them one by one.")
        _check(job, path, target)
    _make(output)
    return targets


def _suffix(name: str) -> str:
    from treering.research.attacks import Through, named

    found = named(name)
    return ".png" if isinstance(found, Through) else found.suffix


def _check(job: Job, path: Path, target: Path) -> None:
    if not os.path.lexists(target):
        return
    if path.exists() and target.exists() and path.samefile(target):
        raise Failure(f"{shown(str(path))} would be written over itself; choose another folder with --output.")
    if target.is_dir():
        raise Failure(f"{shown(str(target))} is a folder, not a picture.")
    if not job.force:
        raise Failure(f"{shown(str(target))} exists already; use --force to overwrite it.")


def _make(output: Path) -> None:
    if output.exists() and not output.is_dir():
        raise Failure(f"{shown(str(output))} is not a folder.")
    output.mkdir(parents=True, exist_ok=True)


# ---------------------------------------------------------------------------------------- work


def _one(job: Job, seed: int, path: Path, target: Path) -> bool:
    """Attack one picture; whether it could be read."""
    from treering.errors import ImageError
    from treering.pictures import images

    started = time.perf_counter()
    try:
        if path.is_dir():
            raise ImageError(f"{path} is a folder, not a picture.")
        picture = images.read(path).pixels
    except ImageError as error:
        complain(str(error))
        if job.as_json:
            emit({"source": str(path), "error": str(error)})
        return False
    _write(job, picture, seed, target)
    told: dict[str, Any] = {"file": str(target), "source": str(path), "attack": job.name, "strength": job.strength}
    _print(job, {**told, "seed": seed, "seconds": round(time.perf_counter() - started, 3)})
    return True


def _write(job: Job, picture: Any, seed: int, target: Path) -> None:
    """The file of the attack itself, where it makes one."""
    from treering import files
    from treering.pictures import images

    if job.attack.encode is None:
        return images.write(job.attack(picture, job.strength, seed), target, overwrite=job.force)
    data = job.attack.encode(picture, job.strength)
    try:
        files.write(target, data, overwrite=job.force)
    except FileExistsError:
        raise Failure(f"{shown(str(target))} exists already; use --force to overwrite it.") from None
    except OSError as error:
        raise Failure(files.problem(target, error)) from error


def _print(job: Job, record: dict[str, Any]) -> None:
    if job.as_json:
        return emit(record)
    click.echo(f"{shown(record['file'])}  {job.name} {job.strength:g}  {record['seconds']:.1f} s")
