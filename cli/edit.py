"""``treering edit``: a masked part of a picture made anew, the rest kept."""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from treering.settings import Sampling

from .console import Failure, emit, tell
from .options import (
    ModelChoice,
    NamedFile,
    Seed,
    decoder_inversion,
    default_model_options,
    force_option,
    inversion_options,
    json_option,
    sampling,
)
from .terminal import standard_input

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from treering.models import Model
    from treering.pictures.images import Picture

WHITE = 128
"""Grey from which a pixel of a mask counts as white."""
_MASK_NOTES = {"Alpha was laid over white.": "What is transparent counts as white."}
"""What reading says of any picture, said of a mask."""


@dataclass(frozen=True)
class Job:
    """What is asked for, apart from the files and the model."""

    prompt: str
    seed: int
    sampling: Sampling
    method: str
    iterations: int | None
    paste: bool


@dataclass(frozen=True)
class Source:
    """A file that was read: what errors call it, and its bytes."""

    name: str
    data: bytes


@dataclass(frozen=True)
class Task:
    """Picture uint8 ``[H, W, 3]`` and mask bool ``[H, W]`` of the model's size, and what was done to fit them."""

    picture: NDArray[Any]
    mask: NDArray[Any]
    notes: tuple[str, ...]


@click.command(short_help="Change a masked part of a picture; keep the rest.")
@click.argument("image", metavar="IMAGE")
@click.option("--mask", required=True, metavar="FILE", help="Picture as large as IMAGE: white may change, black stays.")
@click.option("--prompt", required=True, metavar="TEXT", help="What the whole picture is to show.")
@click.option(
    "--output",
    type=NamedFile(),
    metavar="FILE",
    show_default="NAME-edited.png beside IMAGE",
    help="The .png file to write.",
)
@click.option(
    "--paste", is_flag=True, help="Put the original pixels back outside the mask, with a soft edge inside it."
)
@click.option("--seed", type=Seed(), metavar="N", show_default="random", help="Another seed makes another edit.")
@default_model_options
@inversion_options
@sampling
@force_option("Overwrite a picture that exists.")
@json_option
def command(
    image: str,
    mask: str,
    prompt: str,
    output: Path | None,
    paste: bool,
    seed: int | None,
    model: ModelChoice,
    method: str,
    iterations: int | None,
    sampling: Sampling,
    force: bool,
    as_json: bool,
) -> None:
    """Change a masked part of a picture; keep the rest.

    The picture is run back to its latent, and what the mask leaves white is made anew, to fit the prompt and what
    lies around it. The rest is kept in the latent; in the pixels, as well as the decoder inversion finds the latent
    (see --method) and the decoder keeps apart what is apart. --paste keeps it to the last bit.

    IMAGE is a file or - for standard input. It is cropped and resized to the model's size if need be, and so is
    the mask; grey from 128 up counts as white, and so does what is transparent. A watermark may survive:
    `treering detect` tells.

    --json prints one object: file, image, mask, prompt, seed, open (share of the picture that could change), method,
    seconds, notes.

    \b
    Example:
      treering edit dawn.png --mask mask.png --prompt "the sea at dawn, the sun"
    """
    seed = secrets.randbits(62) if seed is None else seed
    job = Job(prompt, seed, sampling, method, iterations, paste)
    if image == mask == "-":
        raise click.UsageError("IMAGE and --mask cannot both be standard input.")
    target = _target(image, output, force)
    sources = _read(image), _read(mask)
    _check_sizes(*sources)
    loaded = model.load()
    task = _fit(*sources, loaded.image_size)
    started = time.perf_counter()
    _write(_edited(job, task, loaded), target, force)
    record = _record(job, task, time.perf_counter() - started)
    _print({"file": str(target), "image": image, "mask": mask, **record}, as_json)


# Files


def _target(image: str, output: Path | None, force: bool) -> Path:
    """Where to write; what can be refused is refused now, before work is done."""
    if output is None and image == "-":
        raise click.UsageError("A picture from standard input has no name; name the new one with --output.")
    if not Path(image).name:
        raise Failure(f"{image or 'An empty name'} is a folder, not a picture.")
    path = output or Path(image).with_name(f"{Path(image).stem}-edited.png")
    if path.suffix.lower() != ".png":
        raise Failure(f"{path} must end in .png, because pictures are written as PNG.")
    if os.path.lexists(path) and not force:
        raise Failure(f"{path} exists already; use --force to overwrite it.")
    if not path.parent.is_dir():
        raise Failure(f"{path} cannot be written: its folder does not exist.")
    return path


def _read(name: str) -> Source:
    from treering.pictures import images

    source, label = (standard_input(), "Standard input") if name == "-" else (Path(name), name)
    return Source(label, images.read_bytes(source, label))


def _check_sizes(picture: Source, mask: Source) -> None:
    """Only of one size do they lose the same margins when they are cropped to the model's form."""
    from treering.pictures import images

    ours, theirs = (images.read(s.data, name=s.name).pixels.shape for s in (picture, mask))
    if ours != theirs:
        raise Failure(
            f"{mask.name} is {theirs[1]}x{theirs[0]} pixels, but {picture.name} is {ours[1]}x{ours[0]}; "
            "a mask must be as large as its picture."
        )


def _fit(picture: Source, mask: Source, size: tuple[int, int]) -> Task:
    from treering.pictures import images

    seen, marked = (images.read(s.data, size, s.name) for s in (picture, mask))
    white = _white(marked)
    if not white.any():
        lost = _white(images.read(mask.data, name=mask.name)).any()
        why = f"so small or so near the border that nothing is left of it at {size[1]}x{size[0]}"
        what = f"The white in {mask.name} is {why}" if lost else f"{mask.name} is black everywhere"
        raise Failure(f"{what}, so nothing may change; white marks what may.")
    own = (_MASK_NOTES.get(note, note) for note in marked.notes if note not in seen.notes)  # a crop is told once
    return Task(seen.pixels, white, (*seen.notes, *(f"Mask: {note}" for note in own)))


def _white(mask: Picture) -> NDArray[Any]:
    white: NDArray[Any] = mask.pixels.mean(-1) >= WHITE
    return white


def _write(picture: NDArray[Any], path: Path, force: bool) -> None:
    from treering.pictures import images

    images.write(picture, path, overwrite=force)


# Work


def _edited(job: Job, task: Task, model: Model) -> NDArray[Any]:
    from treering import editing

    plan = decoder_inversion(job.method, job.iterations)
    rest = (job.prompt, job.seed, plan, job.sampling.steps, job.sampling.guidance, job.paste)
    return editing.edit(model, task.picture[None], task.mask, *rest)[0]


def _record(job: Job, task: Task, seconds: float) -> dict[str, Any]:
    return {
        "prompt": job.prompt,
        "seed": job.seed,
        "open": float(task.mask.mean()),
        "method": job.method,
        "seconds": round(seconds, 3),
        "notes": list(task.notes),
    }


def _print(record: dict[str, Any], as_json: bool) -> None:
    from treering import report

    if as_json:
        return emit(record)
    notes = f"  ({' '.join(record['notes'])})" if record["notes"] else ""
    share = report.percent(record["open"])
    tell(f"{record['file']}  {share} open to change  {record['seconds']:.1f} s{notes}")
