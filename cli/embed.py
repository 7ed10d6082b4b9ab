"""``treering embed``: pictures that carry a mark, one at a time."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from treering.models import DEFAULT
from treering.settings import MOST_FRAMES, Sampling

from . import checks
from .console import Failure, clear_line, emit, on_terminal, say, sentences, shown
from .options import (
    Classes,
    Key,
    ModelChoice,
    Named,
    NamedFile,
    OneSize,
    Seed,
    force_option,
    json_option,
    keyring_option,
    model_options,
    sampling,
    user_keyring,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from treering.batch import Film, Gallery
    from treering.checking import Checked
    from treering.marks.keyring import Keyring
    from treering.models import Model


@dataclass(frozen=True)
class Job:
    """What is asked for, apart from the model and the keyring.

    ``keys``: classes, of which each picture carries one; None for pictures without a mark.  ``level``: the p-value that
    pictures are to reach when they are read back; None where they are not.  ``size``: height and width, None for the
    keyring's first or the model's own.  ``frames``: of a clip; None for pictures.
    """

    keys: Sequence[int] | None
    prompts: tuple[str, ...]
    count: int
    seed: int
    sampling: Sampling
    level: float | None = None
    size: tuple[int, int] | None = None
    frames: int | None = None


@dataclass(frozen=True)
class Picture:
    """One picture to make.  ``key``: its class, None without a mark; ``nonce``: None for the one of its seed."""

    seed: int
    prompt: str
    key: int | None = None
    nonce: int | None = None


@dataclass(frozen=True)
class How:
    """What is told of every picture: ``sampling``, where nothing is left open; ``level`` as in :class:`Job`."""

    sampling: Sampling
    level: float | None


Make = Callable[[Picture], "tuple[NDArray[Any], Checked | None]"]
"""Makes one picture, uint8 ``[H, W, 3]``, or clip, ``[F, H, W, 3]``, and says what reading it back has shown, if it
was."""


@click.command(short_help="Make pictures that carry the mark of a class.")
@click.option(
    "--key",
    type=Key(),
    metavar="CLASS",
    show_default="it or --keys must be given",
    help="Class to mark with, from 0 up, or the word `none`.",
)
@click.option(
    "--keys",
    type=Classes(),
    metavar="CLASSES",
    show_default="see --key",
    help="Classes such as 0-99 or 0-9,12: each picture is marked with one of them, drawn by its seed.",
)
@click.option(
    "--prompt",
    "prompts",
    multiple=True,
    metavar="TEXT",
    show_default=f"a random caption of the {DEFAULT} model's world; other models need a prompt",
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
    "--frames",
    type=click.IntRange(1, MOST_FRAMES),
    metavar="N",
    show_default="pictures, not a clip",
    help="Make one clip of so many frames. --output is then its file, .mp4, .webm, .gif, .apng or .webp (clip.mp4 "
    "unless named), or a folder for its frames as PNG files.",
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
    "--size",
    type=OneSize(),
    metavar="WxH",
    show_default="the keyring's first",
    help="Width and height of the pictures: one of the keyring's sizes, which `treering keys set --sizes` changes.",
)
@click.option(
    "--output",
    type=Named(),
    default=Path("."),
    metavar="PATH",
    help="Folder for picture-0001.png and so on, or the .png file of a single picture.",
)
@click.option(
    "--manifest",
    type=NamedFile(),
    metavar="FILE",
    show_default="none is written",
    help="Add the file and the class of every picture to this CSV file; `treering verify` reads it.",
)
@keyring_option
@model_options
@sampling
@checks.check_options
@force_option("Overwrite a picture that exists.")
@json_option
def command(
    key: int | None,
    keys: Sequence[int] | None,
    prompts: tuple[str, ...],
    count: int | None,
    frames: int | None,
    seed: int | None,
    size: tuple[int, int] | None,
    output: Path,
    manifest: Path | None,
    keyring: Path | None,
    model: ModelChoice,
    sampling: Sampling,
    level: float | None,
    force: bool,
    as_json: bool,
) -> None:
    """Make pictures that carry the mark of a class.

    --key marks all pictures with one class, --keys each with a class of its own out of many.

    Neither the name nor the content of a PNG file tells the class, the keyring or the seed: only --manifest writes
    down which class went where. A picture depends on its own seed and prompt, not on the others.

    The first time, without a keyring, your own is made and you are told where it lies: marks cannot be read
    without it, so keep it safe and secret. Numbers of files go on where those in the folder end; several processes
    may write into one folder and one manifest. The next start mends what a kill left undone.

    \b
    --json prints one object for each picture: file, prompt, seconds, steps, guidance (the model's own unless they were
    given); with --manifest also key and seed; with --check
    also check: log10 p as it is and cut to half, stages, what was changed. The manifest has these columns then.
    Example: treering embed --key 2 --count 10 --output pictures
    """
    job = Job(
        keys=_keys(key, keys),
        prompts=prompts,
        count=_count(count, len(prompts)),
        seed=secrets.randbits(62) if seed is None else seed,
        sampling=sampling,
        level=level,
        size=size,
        frames=frames,
    )
    if level is not None and job.keys is None:
        raise click.UsageError("--check reads the mark back, so it needs a class to mark with.")
    with sentences(interrupted="Interrupted; every picture that was named is complete."):
        ring = _keyring(job, keyring)
        job = _without_retired(job, ring, keyring)
        gallery = (
            _gallery(output, job.count, manifest, force) if frames is None else _film(output, job, manifest, force)
        )
        make, pictures, how = _prepare(job, ring, model)
        _run(gallery, as_json, make, pictures, how)


def _keys(key: int | None, keys: Sequence[int] | None) -> Sequence[int] | None:
    """The classes that pictures may carry; None for pictures without a mark."""
    if key is not None and keys is not None:
        raise click.UsageError("--key and --keys exclude each other; give one of them.")
    if key is not None:
        return None if key < 0 else (key,)
    if keys is None:
        raise click.UsageError("Name the class to mark with: --key, or --keys for one of many, or --key none.")
    return keys


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


def _film(output: Path, job: Job, manifest: Path | None, force: bool) -> Film:
    from treering.batch import Film

    if job.count > 1 or manifest is not None or job.level is not None or job.size is not None:
        raise click.UsageError(
            "--frames makes one clip; leave out --manifest, --check, --size, and a --count or prompts for more."
        )
    return Film.plan(output, force)


def _tell_mended(gallery: Gallery | Film) -> None:
    """What was mended is told once."""
    if gallery.manifest:
        for sentence in gallery.manifest.mended:
            say(sentence)
        gallery.manifest.mended.clear()


# With what


def _prepare(job: Job, keyring: Keyring | None, choice: ModelChoice) -> tuple[Make, list[Picture], How]:
    """The maker of pictures, what to make, and what is the same for all of them."""
    from treering import writing
    from treering.marks.seeds import draw_marks

    model = choice.load("" if keyring is None else keyring.model)
    sampling = Sampling(*writing.own(model, job.sampling.steps, job.sampling.guidance))
    job, how = replace(job, sampling=sampling), How(sampling, job.level)
    captions = [_caption(job, model, i) for i in range(job.count)]
    if job.keys is None:
        return _unmarked(job, model), [Picture(job.seed + i, caption) for i, caption in enumerate(captions)], how
    keyring = keyring or _first_keyring(model)
    marks = draw_marks(keyring, job.keys, job.count, job.seed)
    pictures = [Picture(job.seed + i, captions[i], *mark) for i, mark in enumerate(marks)]
    return _marked(job, model, keyring), pictures, how


def _keyring(job: Job, path: Path | None) -> Keyring | None:
    """The keyring; None where none is needed, and where the user's own has not been made yet."""
    from treering import files
    from treering.marks.keyring import Keyring

    own = user_keyring()
    files.clean((path or own).parent)  # what a start that was killed left there holds a secret
    missing = path is None and (job.keys is None or not os.path.lexists(own))
    keyring = None if missing else Keyring.load(path or own)
    if job.keys is not None:
        _check_key(max(job.keys), keyring.classes if keyring else Keyring.classes)
    return keyring


def _without_retired(job: Job, keyring: Keyring | None, path: Path | None) -> Job:
    """Leave out classes that are not given out any more."""
    from treering.marks import names

    if keyring is None or job.keys is None:
        return job
    return replace(job, keys=names.load(path or user_keyring(), keyring).left(job.keys))


def _check_key(key: int, classes: int) -> None:
    if key >= classes:
        raise Failure(
            f"The keyring has the classes 0 to {classes - 1}, so class {key} would not be searched for; "
            f"`treering keys new --classes {key + 1}` makes a keyring that has it."
        )


def _first_keyring(model: Model) -> Keyring:
    from treering.marks import keyring_file

    from .keyrings import own_keyring

    path = user_keyring()
    keyring, made = keyring_file.create_or_load(path, lambda: own_keyring(model))
    if made:
        say(f"Made your keyring {path}; keep it safe and secret, because marks cannot be read without it.")
    return keyring


def _caption(job: Job, model: Model, i: int) -> str:
    if job.prompts:
        return job.prompts[i % len(job.prompts)]
    if model.captions is None:
        raise Failure(f"The model {model.name} needs a --prompt; only the {DEFAULT} model has captions of its own.")
    return model.captions(job.seed + i)


def _marked(job: Job, model: Model, keyring: Keyring) -> Make:
    from treering import checking, filming, writing
    from treering.reading.lengths import check_pictures

    if job.frames is None:
        check_pictures(model)
    keyring.check_fits(model, job.size)
    steps, guidance = writing.own(model, job.sampling.steps, job.sampling.guidance)
    checker = None if job.level is None else checking.Checker(model, keyring, job.level)

    def make(one: Picture) -> tuple[NDArray[Any], Checked | None]:
        if job.frames is not None:
            frames = (one.key, one.prompt, job.frames, one.seed, steps, guidance, one.nonce)
            return filming.embed_clip(model, keyring, *frames), None
        recipe = checking.Recipe(one.key or 0, one.prompt, one.seed, steps, guidance, one.nonce, job.size)
        if checker is None:
            return checking.make(model, keyring, recipe), None
        checked = checker(recipe)
        return checked.picture, checked

    return make


def _unmarked(job: Job, model: Model) -> Make:
    """Needs no keyring: nothing of it goes into the picture."""
    from treering import filming, writing
    from treering.marks.seeds import plain_noise
    from treering.reading.lengths import check_pictures

    if job.frames is None:
        check_pictures(model)
    steps, guidance = writing.own(model, job.sampling.steps, job.sampling.guidance)

    def make(one: Picture) -> tuple[NDArray[Any], None]:
        if job.frames is not None:
            return filming.unmarked_clip(model, one.prompt, job.frames, one.seed, steps, guidance), None
        noise = plain_noise(model.noise_shape(job.size), one.seed)
        return writing.generate(model, noise, [one.prompt], steps, guidance)[0], None

    return make


# Work


def _run(gallery: Gallery | Film, as_json: bool, make: Make, pictures: Sequence[Picture], how: How) -> None:
    bar = click.progressbar(length=len(pictures), file=sys.stderr, width=30, show_pos=True)
    with bar if on_terminal() and len(pictures) > 1 else nullcontext() as progress:
        for file, picture in zip(gallery.files, pictures, strict=True):
            record, checked = _one(gallery, make, picture, file)
            record |= {"steps": how.sampling.steps, "guidance": how.sampling.guidance}
            clear_line()
            _tell_mended(gallery)
            _print(record, checked, as_json)
            if checked and how.level is not None:
                checks.warn(record["file"], checked, how.level)
            if progress:
                progress.update(1)


def _one(gallery: Gallery | Film, make: Make, picture: Picture, file: Path) -> tuple[dict[str, Any], Checked | None]:
    started = time.perf_counter()
    pixels, checked = make(picture)
    file = gallery.add(pixels, file, picture.key, checks.cells(checked.evidence) if checked else "")
    record = {"file": str(file), "prompt": picture.prompt, "seconds": round(time.perf_counter() - started, 3)}
    if gallery.manifest is not None:
        record |= {"key": picture.key, "seed": checked.recipe.seed if checked else picture.seed}
    return record, checked


def _print(record: dict[str, Any], checked: Checked | None, as_json: bool) -> None:
    if as_json:
        return emit(record | ({"check": checked.as_dict()} if checked else {}))
    told = checks.text(checked) if checked else ""
    click.echo(f"{shown(record['file'])}  {shown(record['prompt'])}  {record['seconds']:.1f} s{told}")
