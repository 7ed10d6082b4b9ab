"""``treering embed``: pictures that carry a mark, one at a time."""

from __future__ import annotations

import os
import re
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import manifest as manifests
from .console import Failure, clear_line, emit, on_terminal, say, shown
from .options import (
    Key,
    ModelChoice,
    Seed,
    force_option,
    json_option,
    keyring_option,
    model_options,
    sampling_options,
    user_keyring,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from treering.marks.keyring import Keyring
    from treering.models import LatentModel

Make = Callable[[int, str], "NDArray[Any]"]
"""From a seed and a prompt to one picture, uint8 ``[H, W, 3]``."""


@dataclass(frozen=True)
class Job:
    """What is asked for, apart from the model and the keyring."""

    key: int | None
    prompts: tuple[str, ...]
    count: int
    seed: int
    steps: int
    guidance: float


@dataclass(frozen=True)
class Target:
    """Where things go."""

    files: tuple[Path, ...]
    numbered: bool  # names that may change if somebody else takes them meanwhile
    manifest: Path | None
    replaced: frozenset[str]  # rows of the manifest that give way to new ones
    force: bool
    as_json: bool


@click.command(short_help="Make pictures that carry the mark of a class.")
@click.option("--key", type=Key(), required=True, metavar="CLASS", help="Class to mark with, from 0 up, or `none`.")
@click.option(
    "--prompt",
    "prompts",
    multiple=True,
    metavar="TEXT",
    show_default="a random caption of the demo model's world; other models need a prompt",
    help="What to show. Given several times, the prompts take turns.",
)
@click.option(
    "--count",
    type=click.IntRange(1, 1_000_000),
    metavar="N",
    show_default="one for each prompt",
    help="How many pictures.",
)
@click.option(
    "--seed",
    type=Seed(),
    metavar="N",
    show_default="random",
    help="Seed of the first picture; the others have the numbers after it. Keep it to yourself, as it helps to "
    "find and remove the mark.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("."),
    metavar="PATH",
    help="Folder for picture-0001.png and so on, or the .png file of a single picture.",
)
@click.option(
    "--manifest",
    type=click.Path(path_type=Path),
    metavar="FILE",
    show_default="none is written",
    help="Add the file and the class of every picture to this CSV file; `treering verify` reads it.",
)
@keyring_option
@model_options
@sampling_options
@force_option("Overwrite a picture that exists.")
@json_option
def command(
    key: int,
    prompts: tuple[str, ...],
    count: int | None,
    seed: int | None,
    output: Path,
    manifest: Path | None,
    keyring: Path | None,
    model: ModelChoice,
    steps: int,
    guidance: float,
    force: bool,
    as_json: bool,
) -> None:
    """Make pictures that carry the mark of a class.

    Neither the name nor the content of a PNG file tells the class, the keyring or the seed: only --manifest writes
    down which class went where. A picture depends on its own seed and prompt, not on the others.

    The first time, without a keyring, your own is made and you are told where it lies: marks cannot be read
    without it, so keep it safe and secret. Numbers of files go on where those in the folder end.

    \b
    --json prints one object for each picture: file, prompt, seconds; with --manifest also key and seed.
    Example: treering embed --key 2 --count 10 --output pictures
    """
    job = Job(
        key=None if key < 0 else key,
        prompts=prompts,
        count=_count(count, len(prompts)),
        seed=secrets.randbits(62) if seed is None else seed,
        steps=steps,
        guidance=guidance,
    )
    ring = _keyring(job, keyring)
    files = _files(output, job.count, force)
    replaced = manifests.check(manifest, files, force) if manifest else frozenset[str]()
    make, captions = _prepare(job, ring, model)
    _run(job, Target(files, not _one_file(output), manifest, replaced, force, as_json), make, captions)


def _count(count: int | None, prompts: int) -> int:
    if count is not None and count < prompts:
        raise click.UsageError(f"--count {count} is less than the {prompts} prompts given.")
    return count or max(prompts, 1)


# Where to


def _files(output: Path, count: int, force: bool) -> tuple[Path, ...]:
    """Names of the pictures to come; everything that can be refused is refused now, before work is done."""
    if _one_file(output):
        return (_single(output, count, force),)
    _check_folder(output)
    start = _next(output)
    return tuple(output / f"picture-{number:04d}.png" for number in range(start, start + count))


def _one_file(output: Path) -> bool:
    return output.suffix.lower() == ".png" and not output.is_dir()


def _next(folder: Path) -> int:
    """The number after the largest in the folder."""
    return 1 + max((_number(path.name) for path in folder.iterdir()), default=0)


def _number(name: str) -> int:
    match = re.fullmatch(r"picture-(\d{4,15})\.png", name, re.IGNORECASE | re.ASCII)
    return int(match[1]) if match else 0


def _single(path: Path, count: int, force: bool) -> Path:
    if count > 1:
        raise click.UsageError(f"{path} is one file, but {count} pictures are to be made; give a folder.")
    if os.path.lexists(path) and not force:
        raise Failure(f"{path} exists already; use --force to overwrite it.")
    _check_folder(path.parent)
    return path


def _check_folder(folder: Path) -> None:
    from treering.pictures import images

    if folder.is_file() or (folder.suffix.lower() in images.SUFFIXES and not folder.exists()):
        raise Failure(f"{folder} is not a folder, and pictures are written as .png files.")
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Failure(f"No permission to write into {folder}.")


# With what


def _prepare(job: Job, keyring: Keyring | None, choice: ModelChoice) -> tuple[Make, list[str]]:
    """The maker of pictures and the prompts, one for each."""
    model = choice.load("demo" if keyring is None else keyring.model)
    captions = [_caption(job, model, i) for i in range(job.count)]
    if job.key is None:
        return _unmarked(job, model), captions
    return _marked(job, model, keyring or _first_keyring(model)), captions


def _keyring(job: Job, path: Path | None) -> Keyring | None:
    """The keyring; None where none is needed, and where the user's own has not been made yet."""
    from treering.marks.keyring import Keyring

    own = user_keyring()
    missing = path is None and (job.key is None or not os.path.lexists(own))
    keyring = None if missing else Keyring.load(path or own)
    if job.key is not None:
        _check_key(job.key, keyring.classes if keyring else Keyring.classes)
    return keyring


def _check_key(key: int, classes: int) -> None:
    if key >= classes:
        raise Failure(
            f"The keyring has the classes 0 to {classes - 1}, so class {key} would not be searched for; "
            f"`treering keys new --classes {key + 1}` makes a keyring that has it."
        )


def _first_keyring(model: LatentModel) -> Keyring:
    from treering.marks import keyring_file
    from treering.marks.keyring import Keyring

    path = user_keyring()
    keyring, made = keyring_file.create_or_load(path, lambda: Keyring.for_model(model))
    if made:
        say(f"Made your keyring {path}; keep it safe and secret, because marks cannot be read without it.")
    return keyring


def _caption(job: Job, model: LatentModel, i: int) -> str:
    if job.prompts:
        return job.prompts[i % len(job.prompts)]
    words = model.sampled_words(job.seed + i)
    if words is None:
        raise Failure(f"The model {model.name} needs a --prompt; only the demo model has captions of its own.")
    return words


def _marked(job: Job, model: LatentModel, keyring: Keyring) -> Make:
    from treering import writing

    keyring.check_fits(model)
    return lambda seed, prompt: writing.embed(model, keyring, job.key, [prompt], seed, job.steps, job.guidance)[0]


def _unmarked(job: Job, model: LatentModel) -> Make:
    """Needs no keyring: nothing of it goes into the picture."""
    from treering import writing
    from treering.marks import keyring

    return lambda seed, prompt: writing.generate(
        model, keyring.plain_noise(model.shape, seed), [prompt], job.steps, job.guidance
    )[0]


# Work


def _run(job: Job, target: Target, make: Make, captions: Sequence[str]) -> None:
    bar = click.progressbar(length=job.count, file=sys.stderr, width=30, show_pos=True)
    with bar if on_terminal() and job.count > 1 else nullcontext() as progress:
        for i, (file, caption) in enumerate(zip(target.files, captions, strict=True)):
            record = _one(job, target, make, job.seed + i, file, caption)
            clear_line()
            _print(record, target.as_json)
            if progress:
                progress.update(1)


def _one(job: Job, target: Target, make: Make, seed: int, file: Path, caption: str) -> dict[str, Any]:
    started = time.perf_counter()
    file = _write(make(seed, caption), file, target)
    record = {"file": str(file), "prompt": caption, "seconds": round(time.perf_counter() - started, 3)}
    if target.manifest is None:
        return record
    manifests.add(target.manifest, file, job.key, target.replaced)
    return record | {"key": job.key, "seed": seed}


def _write(picture: NDArray[Any], file: Path, target: Target) -> Path:
    """Write the picture and tell where: under the next free number, if another process took this one meanwhile."""
    from treering.errors import ImageError
    from treering.pictures import images

    while True:
        try:
            images.write(picture, file, overwrite=target.force and not target.numbered)
        except ImageError:
            if not (target.numbered and os.path.lexists(file)):
                raise
            file = file.with_name(f"picture-{_next(file.parent):04d}.png")
        else:
            return file


def _print(record: dict[str, Any], as_json: bool) -> None:
    if as_json:
        return emit(record)
    click.echo(f"{shown(record['file'])}  {record['prompt']}  {record['seconds']:.1f} s")
