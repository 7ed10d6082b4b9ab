"""``treering detect``: which mark a picture carries, for a few pictures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from treering.settings import Reading
from treering.text import pose_text

from .console import FAILED, SOME_FAILED, Failure, NoAnswer, complain, emit, p_text, sentences, shown, tell
from .options import (
    ModelChoice,
    detector,
    json_option,
    keyring_option,
    keyring_path,
    model_options,
    reading_options,
)
from .terminal import standard_input

if TYPE_CHECKING:
    from treering.marks.keyring import Keyring
    from treering.reading import Detector
    from treering.types import Detection

NOT_MARKED = 1

LEAST = -38
"""log10 of the least p-value that is printed: a secret of 128 bits has no more to give."""


@click.command(short_help="Read the mark of pictures.")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@keyring_option
@model_options
@reading_options
@click.option("--exit-code", is_flag=True, help="Let the exit code say whether all pictures are marked; see above.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    images: tuple[str, ...],
    keyring: Path | None,
    model: ModelChoice,
    reading: Reading,
    exit_code: bool,
    as_json: bool,
) -> None:
    """Read the mark of pictures: class or none, p-value, time.

    The p-value is the probability that a picture made without this keyring looks marked as strongly, with all
    classes searched together. IMAGE is a file (PNG, JPEG, WebP, TIFF, BMP, ...) or - for standard input; `treering
    verify` checks folders.

    \b
    Exit codes:
      0  all pictures were read, marked or not
      1  an error; also when the only picture cannot be read
      2  wrong usage
      3  some of several pictures could not be read, or some are not assessable
    With --exit-code, 1 has one meaning:
      0  all pictures are marked
      1  all were read and at least one is not marked
      2  wrong usage
      3  not known, because of an error, or because some are not assessable

    A picture is not assessable where the numbers fail or there is nothing to read; the reason is told. A mark of the
    keyring whose class cannot be read is answered with: keyring.
    --json prints one object for each picture: file, answer (key, keyring, none, not assessable), key (a number or
    null), p_value, log10_p, p_keyring, pose, stages and the rest; or file and error.
    """
    with sentences(NoAnswer if exit_code else Failure):
        reader = _load(keyring, model, reading)
        results = _run(reader, images, as_json)
    ctx.exit(_code_of_marks(results) if exit_code else _code(results))


Results = Sequence["Detection | None"]
"""One for each picture; None where it could not be read."""


def _code(results: Results) -> int:
    if None in results:
        return FAILED if len(results) == 1 else SOME_FAILED
    return SOME_FAILED if _unassessed(results) else 0


def _code_of_marks(results: Results) -> int:
    if None in results or _unassessed(results):
        return SOME_FAILED
    return NOT_MARKED if any(result is not None and result.answer.value == "none" for result in results) else 0


def _unassessed(results: Results) -> bool:
    return any(result is not None and result.answer.value == "not assessable" for result in results)


class _Reader:
    """Reads pictures; the model is loaded for the first that is a picture."""

    def __init__(self, keyring: Keyring, model: ModelChoice, reading: Reading) -> None:
        self.keyring, self.model, self.reading = keyring, model, reading

    @cached_property
    def detector(self) -> Detector:
        return detector(self.model.load(self.keyring.model), self.keyring, self.reading)

    def __call__(self, name: str) -> Detection:
        from treering.errors import ImageError
        from treering.pictures import images

        if name != "-" and os.path.isdir(name):
            raise ImageError(f"{name} is a folder; check it with `treering verify {name}`.")
        source = _standard_input() if name == "-" else Path(name)
        label = "Standard input" if name == "-" else name
        picture = images.read(source, self.keyring.image_size, label, strict=self.reading.strict)
        return self.detector(picture.pixels[None], [picture.notes])[0]


def _standard_input() -> BinaryIO:
    from treering.errors import ImageError

    try:
        return standard_input()
    except OSError:
        raise ImageError("Standard input is closed.") from None


def _load(path: Path | None, model: ModelChoice, reading: Reading) -> _Reader:
    from treering.marks.keyring import Keyring

    keyring = Keyring.load(keyring_path(path))
    keyring.check_classes(reading.keys)  # before a model is loaded
    return _Reader(keyring, model, reading)


def _run(reader: _Reader, names: Sequence[str], as_json: bool) -> list[Detection | None]:
    width = min(max(len(shown(name)) for name in names), 60)
    return [_one(reader, name, width, as_json) for name in names]


def _one(reader: _Reader, name: str, width: int, as_json: bool) -> Detection | None:
    from treering.errors import ImageError

    try:
        detection = reader(name)
    except ImageError as error:
        complain(str(error))
        if as_json:
            emit({"file": name, "error": str(error)})
        return None
    if as_json:
        emit({"file": name, **detection.as_dict()})
    else:
        tell(f"{shown(name):<{width}}  {line(detection)}")
    return detection


def line(detection: Detection) -> str:
    """A detection for people."""
    answer = detection.answer.value if detection.key is None else f"key {detection.key}"
    log10_p = detection.log10_p_keyring if detection.answer.value == "keyring" else detection.log10_p
    remarks = [text for text in (detection.reason, pose_text(detection.pose, detection.box), *detection.notes) if text]
    notes = f"  ({' '.join(remarks)})" if remarks else ""
    evidence = "" if detection.reason else f"p {_p(log10_p)}"
    return f"{answer:<8}  {evidence:<13}  {detection.seconds:.1f} s{notes}"


def _p(log10_p: float) -> str:
    """The p-value; below what a secret has to give, that it is below, and how strong the evidence is."""
    return f"= {p_text(log10_p)}" if log10_p >= LEAST else f"< 1e{LEAST} (1e{log10_p:.0f})"
