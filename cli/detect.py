"""``treering detect``: which mark a picture carries, for a few pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from treering.settings import EFFORTS, Reading
from treering.text import pose_text
from treering.types import PARTS

from .console import FAILED, SOME_FAILED, Failure, NoAnswer, complain, emit, sentences, shown, tell
from .evidence import Signing, evidence_options
from .options import (
    ModelChoices,
    detector,
    json_option,
    keyrings_option,
    models_options,
    reading_options,
)
from .pages import answer, evidence, page_lines
from .searched import Searched
from .terminal import standard_input

if TYPE_CHECKING:
    from treering.marks.names import Names
    from treering.models import Model
    from treering.reading import Detector, Detectors
    from treering.reading.clips import ClipDetector
    from treering.reading.lengths import AnyLength
    from treering.reading.pages import Pages
    from treering.types import Detection

    from .pages import Result

NOT_MARKED, IN_PARTS = 1, 4


@click.command(short_help="Read the mark of pictures.")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@keyrings_option
@models_options
@reading_options
@click.option("--clip", is_flag=True, help="Read each folder as one clip: its pictures, by name, are the frames.")
@click.option(
    "--several",
    is_flag=True,
    help="Look for several marks in each picture, which may be a page, a collage or a grid, and tell where each lies. "
    "--effort max does so where the whole is not marked.",
)
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
    clip: bool,
    several: bool,
    exit_code: bool,
    evidence: Signing | None,
    as_json: bool,
) -> None:
    """Read the mark of pictures and clips: class or none, p-value, time.

    The p-value is the probability that a picture made without this keyring looks marked as strongly, with all
    classes searched together. IMAGE is a file (PNG, JPEG, WebP, TIFF, BMP, ...) or - for standard input; `treering
    verify` checks folders. A clip (MP4, WebM, MOV, MKV, AVI; animated GIF, PNG, WebP) is read as a whole, from 16
    of its frames; videos need PyAV: pip install 'treering[video]'.

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
      4  all are marked, but at least one only in parts: see --several

    A picture is not assessable where the numbers fail or there is nothing to read; the reason is told. A mark of the
    keyring whose class cannot be read is answered with: keyring.
    With several keyrings or models, the p-value is corrected for all of them, and the answer names the keyring by its
    file and, where several are searched, the model.
    --json prints one object for each picture: file, answer (key, keyring, none, not assessable), key (a number or
    null), p_value, log10_p, p_keyring, pose, stages and the rest; or file and error. With --several the answer may
    be: parts; then key is null, marks is a list (key, p_value, box in pixels, share of the picture), and share tells
    how much of the picture they cover. All marks of a picture are corrected together.
    """
    with sentences(NoAnswer if exit_code else Failure):
        one = max(len(keyrings), len(models.names)) <= 1
        if evidence:
            evidence.check(images)
        if not one and several:
            raise click.UsageError("--several is about one keyring and one model.")
        reader = _Reader(Searched.load(keyrings, models, reading), reading, several, evidence, clip)
        results = _run(reader, images, as_json)
    ctx.exit(_code_of_marks(results) if exit_code else _code(results))


Results = Sequence["Result | None"]
"""One for each picture; None where it could not be read."""


def _code(results: Results) -> int:
    if None in results:
        return FAILED if len(results) == 1 else SOME_FAILED
    return SOME_FAILED if _unassessed(results) else 0


def _code_of_marks(results: Results) -> int:
    if None in results or _unassessed(results):
        return SOME_FAILED
    answers = {answer(result) for result in results if result is not None}
    return NOT_MARKED if "none" in answers else IN_PARTS if PARTS in answers else 0


def _unassessed(results: Results) -> bool:
    return any(result is not None and answer(result) == "not assessable" for result in results)


class _Reader:
    """Reads pictures; the model is loaded for the first that is a picture."""

    def __init__(
        self, searched: Searched, reading: Reading, several: bool, evidence: Signing | None, folders: bool
    ) -> None:
        self.searched, self.reading, self.several = searched, reading, several
        self.evidence, self.folders = evidence, folders

    @cached_property
    def _names(self) -> dict[str, Names]:
        from treering.marks import names

        searched = self.searched
        return {ring.id: names.load(path, ring) for path, ring in zip(searched.paths, searched.keyrings, strict=True)}

    def name(self, result: Result) -> str | None:
        """What the class that was found is called; None where it has no name."""
        from treering.reading.pages import Page

        found = result.told if isinstance(result, Page) else result
        return self._names[found.keyring].of(result.key) if found.keyring in self._names else None

    @cached_property
    def model(self) -> Model:
        return self.searched.model.load(self.searched.keyring.model)

    @cached_property
    def detector(self) -> Detector:
        return detector(self.model, self.searched.keyring, self.reading)

    @cached_property
    def detect(self) -> Detector | Detectors:
        return self.searched.detectors(self.reading) if self.searched.several else self.detector

    @cached_property
    def clips(self) -> ClipDetector | AnyLength:
        """What reads clips, by the same model."""
        from treering.reading.lengths import clips_by

        return clips_by(self.model, self.searched.keyring, self.reading)

    @cached_property
    def pages(self) -> Pages | None:
        """What looks for several marks; None where nobody asks for that."""
        if not self._in_parts:
            return None
        from treering.reading.pages import Pages

        return Pages(self.detector)

    def __call__(self, name: str) -> Result:
        from treering.errors import ImageError
        from treering.pictures import images

        if name != "-" and self._is_clip(Path(name)):
            return self._clip(Path(name))
        if name != "-" and os.path.isdir(name):
            raise ImageError(f"{name} is a folder; check it with `treering verify {name}`.")
        source: BinaryIO | Path | bytes = _standard_input() if name == "-" else Path(name)
        label = "Standard input" if name == "-" else name
        if self.evidence:  # what is signed is what was read, whatever becomes of the file meanwhile
            source = images.read_bytes(source)
        picture = images.read(source, self._size, label, strict=self.reading.strict)  # before a model is loaded
        if self.evidence and isinstance(source, bytes):
            return self.evidence.write(self.detect, picture, source, Path(name))
        if self.pages:
            page = self.pages(picture.pixels, picture.notes, self.several)
            return replace(page, whole=page.whole.unless(picture.too_small))
        return self.detect(picture.pixels[None], [picture.notes])[0].unless(picture.too_small)

    def _is_clip(self, path: Path) -> bool:
        from treering import clips

        return (self.folders and path.is_dir()) or clips.is_clip(path)

    def _clip(self, path: Path) -> Detection:
        """A clip, of which a few frames are read."""
        from treering import clips
        from treering.batch.lines import frames_for
        from treering.errors import ImageError

        if self.evidence:
            raise ImageError(f"{path} is a clip; evidence is written for pictures alone.")
        if self.searched.several:
            raise ImageError(f"{path} is a clip; clips are searched for one keyring with one model.")
        clip = clips.read(path, self.searched.size, strict=self.reading.strict, **frames_for(self.clips))
        return self.clips(clip.frames[None], [clip.notes])[0]

    @property
    def _size(self) -> Any:
        """The size or sizes that pictures are brought to; None where parts of them are looked at."""
        return None if self._in_parts else self.searched.sizes

    @property
    def _in_parts(self) -> bool:
        if self.evidence or self.searched.several:
            return False
        return self.several or self.reading.way == EFFORTS[-1]


def _standard_input() -> BinaryIO:
    from treering.errors import ImageError

    try:
        return standard_input()
    except OSError:
        raise ImageError("Standard input is closed.") from None


def _run(reader: _Reader, names: Sequence[str], as_json: bool) -> list[Result | None]:
    width = min(max(len(shown(name)) for name in names), 60)
    return [_one(reader, name, width, as_json) for name in names]


def _one(reader: _Reader, name: str, width: int, as_json: bool) -> Result | None:
    from treering.errors import ImageError

    try:
        detection = reader(name)
    except ImageError as error:
        complain(str(error))
        if as_json:
            emit({"file": name, "error": str(error)})
        return None
    called = reader.name(detection)
    if as_json:
        emit({"file": name, **detection.as_dict(), **({"name": called} if called else {})})
        return detection
    for i, text in enumerate(_lines(detection, called)):
        tell(f"{'' if i else shown(name):<{width}}  {text}")
    return detection


def _lines(result: Result, name: str | None) -> Iterator[str]:
    """A result for people: one line, or one for each mark of a page; ``name``: of its class."""
    from treering.reading.pages import Page

    if not isinstance(result, Page):
        yield line(result, name)
    elif answer(result) == PARTS:
        yield from page_lines(result)
    else:
        yield line(result.told, name)


def line(detection: Detection, name: str | None = None) -> str:
    """A detection for people."""
    found = detection.answer.value if detection.key is None else f"key {detection.key}"
    found += f' "{shown(name)}"' if name else ""
    if detection.searched and detection.answer.value in ("key", "keyring"):
        found += f" of {shown(_whose(detection))}"
    log10_p = detection.log10_p_keyring if detection.answer.value == "keyring" else detection.log10_p
    remarks = [text for text in (detection.reason, pose_text(detection.pose, detection.box), *detection.notes) if text]
    notes = f"  ({' '.join(remarks)})" if remarks else ""
    told = "" if detection.reason else evidence(log10_p)
    return f"{found:<8}  {told:<13}  {detection.seconds:.1f} s{notes}"


def _whose(detection: Detection) -> str:
    """The keyring, and the model where there are several."""
    models = {one["model"] for one in detection.searched}
    model = detection.model.rsplit(":", 1)[0]
    return f"{detection.keyring_name}, model {model}" if len(models) > 1 else detection.keyring_name
