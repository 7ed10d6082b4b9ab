"""``treering detect``: which mark a picture carries, for a few pictures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from treering.settings import Reading

from .console import FAILED, SOME_FAILED, Failure, NoAnswer, complain, emit, p_text, sentences, shown, tell
from .evidence import Signing, evidence_options
from .options import (
    ModelChoices,
    detector,
    json_option,
    keyrings_option,
    models_options,
    reading_options,
)
from .searched import Searched
from .terminal import standard_input

if TYPE_CHECKING:
    from treering.batch import Detect
    from treering.reading import Detector
    from treering.types import Detection

NOT_MARKED = 1

LEAST = -38
"""log10 of the least p-value that is printed: a secret of 128 bits has no more to give."""


@click.command(short_help="Read the mark of pictures.")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@keyrings_option
@models_options
@reading_options
@click.option("--exit-code", is_flag=True, help="Let the exit code say whether all pictures are marked; see above.")
@evidence_options
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    images: tuple[str, ...],
    keyrings: tuple[Path, ...],
    models: ModelChoices,
    reading: Reading,
    exit_code: bool,
    evidence: Signing | None,
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
    With several keyrings or models, the p-value is corrected for all of them, and the answer names the keyring by its
    file and, where several are searched, the model.
    --json prints one object for each picture: file, answer (key, keyring, none, not assessable), key (a number or
    null), p_value, log10_p, p_keyring, pose, stages and the rest; or file and error.
    """
    with sentences(NoAnswer if exit_code else Failure):
        if evidence:
            evidence.check(images)
            if max(len(keyrings), len(models.names)) > 1:
                raise click.UsageError("--evidence is about one keyring and one model.")
        reader = _Reader(Searched.load(keyrings, models, reading), reading, evidence)
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

    def __init__(self, searched: Searched, reading: Reading, evidence: Signing | None) -> None:
        self.searched, self.reading, self.evidence = searched, reading, evidence

    @cached_property
    def detector(self) -> Detector:
        keyring = self.searched.keyring
        return detector(self.searched.model.load(keyring.model), keyring, self.reading)

    @cached_property
    def detect(self) -> Detect:
        return self.searched.detectors(self.reading) if self.searched.several else self.detector

    def __call__(self, name: str) -> Detection:
        from treering.errors import ImageError
        from treering.pictures import images

        if name != "-" and os.path.isdir(name):
            raise ImageError(f"{name} is a folder; check it with `treering verify {name}`.")
        source: BinaryIO | Path | bytes = _standard_input() if name == "-" else Path(name)
        label = "Standard input" if name == "-" else name
        if self.evidence:  # what is signed is what was read, whatever becomes of the file meanwhile
            source = images.read_bytes(source)
        picture = images.read(source, self.searched.size, label, strict=self.reading.strict)
        if self.evidence and isinstance(source, bytes):
            return self.evidence.write(self.detector, picture, source, Path(name))
        return self.detect(picture.pixels[None], [picture.notes])[0].unless(picture.too_small)


def _standard_input() -> BinaryIO:
    from treering.errors import ImageError

    try:
        return standard_input()
    except OSError:
        raise ImageError("Standard input is closed.") from None


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
    if detection.searched and detection.answer.value in ("key", "keyring"):
        answer += f" of {shown(_whose(detection))}"
    log10_p = detection.log10_p_keyring if detection.answer.value == "keyring" else detection.log10_p
    remarks = [text for text in (detection.reason, pose_text(detection), *detection.notes) if text]
    notes = f"  ({' '.join(remarks)})" if remarks else ""
    evidence = "" if detection.reason else f"p {_p(log10_p)}"
    return f"{answer:<8}  {evidence:<13}  {detection.seconds:.1f} s{notes}"


def _whose(detection: Detection) -> str:
    """The keyring, and the model where there are several."""
    models = {one["model"] for one in detection.searched}
    model = detection.model.rsplit(":", 1)[0]
    return f"{detection.keyring_name}, model {model}" if len(models) > 1 else detection.keyring_name


def _p(log10_p: float) -> str:
    """The p-value; below what a secret has to give, that it is below, and how strong the evidence is."""
    return f"= {p_text(log10_p)}" if log10_p >= LEAST else f"< 1e{LEAST} (1e{log10_p:.0f})"


def pose_text(detection: Detection) -> str | None:
    """What had to be undone to find the mark, as a sentence; None where nothing had."""
    if detection.box is not None:
        return "Found within its borders."
    pose = detection.pose
    if pose is None:
        return None
    parts = ["mirrored"] if pose["mirror"] else []
    if abs(pose["angle"]) >= 0.5:
        parts.append(f"turned by {pose['angle']:.0f} degrees")
    if abs(pose["aspect"] - 1) >= 0.03:
        parts.append(f"made {abs(pose['aspect'] - 1):.0%} {'wider' if pose['aspect'] > 1 else 'narrower'}")
    if abs(pose["scale"] - 1) >= 0.02:
        parts.append(f"{'enlarged' if pose['scale'] > 1 else 'shrunk'} to {pose['scale']:.0%}")
    if max(map(abs, pose["shift"])) >= 0.01:
        parts.append("moved")
    return f"Found {', '.join(parts)}." if parts else None
