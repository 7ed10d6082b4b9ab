"""``treering audit``: how exposed published pictures are to somebody who averages them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from treering.settings import Reading

from .console import SOME_FAILED, Failure, complain, emit, on_terminal, sentences
from .options import (
    ModelChoice,
    Named,
    detector,
    json_option,
    keyring_option,
    keyring_path,
    model_options,
    reading_options,
)

if TYPE_CHECKING:
    from treering.batch import Item
    from treering.batch.exposure import Exposure, Noise
    from treering.marks.keyring import Keyring
    from treering.reading import Detector

_ROWS = 20


@click.command(short_help="Tell how exposed published pictures are to somebody who averages them.")
@click.argument("folder", type=Named())
@keyring_option
@model_options
@reading_options
@json_option
@click.pass_context
def command(
    ctx: click.Context, folder: Path, keyring: Path | None, model: ModelChoice, reading: Reading, as_json: bool
) -> None:
    """Tell how exposed the pictures in FOLDER are, which somebody may collect who has the model and no secret.

    Many pictures of one mark can be averaged: what is left is the mark. All pictures are read with your keyring,
    counted by mark (class and nonce), and averaged as an attacker would; `shown` is how much of the mark is in that
    average, from 0 to 100 %. Then it is told what such an average is enough for. Copies count once; pictures in other
    poses are counted and not averaged.

    \b
    --json prints one object: read, marked, nonces, shared (key, nonce, pictures, shown, threat), common, sentences.
    Exit code 3: some files could not be read.
    """
    with sentences():
        from treering.batch import find
        from treering.marks.keyring import Keyring

        ring = Keyring.load(keyring_path(keyring))
        items = find(folder)
        if not items:
            raise Failure(f"There are no pictures in {folder}.")
        reader = _Reader(detector(model.load(ring.model), ring, reading), ring, reading.strict)
        exposure = _audit(ring, items, reader)
    _report(exposure, as_json)
    ctx.exit(SOME_FAILED if reader.failed else 0)


class _Reader:
    """Reads one file: its class, nonce and noise."""

    def __init__(self, detect: Detector, keyring: Keyring, strict: bool) -> None:
        self.detect, self.keyring, self.strict, self.failed = detect, keyring, strict, 0
        self.seen: set[str] = set()

    def __call__(self, item: Item) -> tuple[int | None, int, Noise | None] | None:
        from treering.batch import load

        one = load(item, self.keyring.image_size, self.seen, self.strict)
        if one.error is not None:
            self.failed += 1
            complain(one.error)
        if one.picture is None:
            return None
        self.seen.add(one.digest or "")
        picture = one.picture.pixels
        found = self.detect(picture[None])[0]
        if found.key is None or found.pose is not None or found.box is not None:
            return found.key, found.nonce or 0, None
        noise = self.detect.noise(self.detect.model.encode(_pixels(picture)))[0].cpu().float().numpy()
        return found.key, found.nonce or 0, noise


def _pixels(picture: Any) -> Any:
    import torch

    from treering.pictures import images

    return torch.from_numpy(images.to_float(picture[None]))


def _audit(keyring: Keyring, items: list[Item], read: _Reader) -> Exposure:
    from treering.batch.exposure import audit

    with _bar(len(items)) as tell:
        return audit(keyring, items, read, tell)


@contextmanager
def _bar(count: int) -> Iterator[Any]:
    bar = click.progressbar(length=count, file=sys.stderr, width=30, show_pos=True)
    with bar if on_terminal() and count > 1 else nullcontext() as progress:
        yield (lambda: progress.update(1)) if progress else (lambda: None)


def _report(exposure: Exposure, as_json: bool) -> None:
    if as_json:
        return emit(exposure.as_dict())
    click.echo(f"Read {exposure.read} pictures; {exposure.marked} of them carry a class of this keyring.")
    if exposure.shared:
        click.echo("\n  key  nonce  pictures  shown  enough to")
    for one in exposure.shared[:_ROWS]:
        shown = "-" if one.shown != one.shown else f"{one.shown:.0%}"
        click.echo(f"{one.key:>5}  {one.nonce:>5}  {one.pictures:>8}  {shown:>5}  {one.threat or 'neither'}")
    if len(exposure.shared) > _ROWS:
        click.echo(f"... and {len(exposure.shared) - _ROWS} more marks, of fewer pictures.")
    click.echo("")
    for sentence in exposure.sentences():
        click.echo(sentence)
