"""``treering embed``: pictures that carry a mark, one at a time."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import Failure, clear_line, emit, on_terminal, say, sentences, shown
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

    from treering.batch import Gallery
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
    without it, so keep it safe and secret. Numbers of files go on where those in the folder end; several processes
    may write into one folder and one manifest. The next start mends what a kill left undone.

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
    with sentences(interrupted="Interrupted; every picture that was named is complete."):
        ring = _keyring(job, keyring)
        gallery = _gallery(output, job.count, manifest, force)
        make, captions = _prepare(job, ring, model)
        _run(job, gallery, as_json, make, captions)


def _count(count: int | None, prompts: int) -> int:
    if count is not None and count < prompts:
        raise click.UsageError(f"--count {count} is less than the {prompts} prompts given.")
    return count or max(prompts, 1)


def _gallery(output: Path, count: int, manifest: Path | None, force: bool) -> Gallery:
    from treering.batch import Gallery, is_file

    if count > 1 and is_file(output):
        raise click.UsageError(f"{output} is one file, but {count} pictures are to be made; give a folder.")
    gallery = Gallery.plan(output, count, manifest, force)
    _tell_mended(gallery)
    return gallery


def _tell_mended(gallery: Gallery) -> None:
    """What was mended is told once."""
    if gallery.manifest:
        for sentence in gallery.manifest.mended:
            say(sentence)
        gallery.manifest.mended.clear()


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
    from treering import files
    from treering.marks.keyring import Keyring

    own = user_keyring()
    files.clean((path or own).parent)  # what a start that was killed left there holds a secret
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


def _run(job: Job, gallery: Gallery, as_json: bool, make: Make, captions: Sequence[str]) -> None:
    bar = click.progressbar(length=job.count, file=sys.stderr, width=30, show_pos=True)
    with bar if on_terminal() and job.count > 1 else nullcontext() as progress:
        for i, (file, caption) in enumerate(zip(gallery.files, captions, strict=True)):
            record = _one(job, gallery, make, job.seed + i, file, caption)
            clear_line()
            _tell_mended(gallery)
            _print(record, as_json)
            if progress:
                progress.update(1)


def _one(job: Job, gallery: Gallery, make: Make, seed: int, file: Path, caption: str) -> dict[str, Any]:
    started = time.perf_counter()
    file = gallery.add(make(seed, caption), file, job.key)
    record = {"file": str(file), "prompt": caption, "seconds": round(time.perf_counter() - started, 3)}
    return record if gallery.manifest is None else record | {"key": job.key, "seed": seed}


def _print(record: dict[str, Any], as_json: bool) -> None:
    if as_json:
        return emit(record)
    click.echo(f"{shown(record['file'])}  {record['prompt']}  {record['seconds']:.1f} s")
