"""``treering check``: evidence of a reading, checked by somebody else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import FAILED, emit, sentences, tell
from .options import NamedFile, json_option

if TYPE_CHECKING:
    from treering.evidence import Evidence
    from treering.evidence.checks import Check
    from treering.evidence.document import Complexes
    from treering.marks.keyring import Keyring

_KEY = re.compile("[0-9A-Fa-f]{64}")
_WORDS = {True: "holds", False: "FAILS", None: "judge"}


@click.command(short_help="Check evidence that somebody gave.")
@click.argument("evidence", type=NamedFile(), metavar="EVIDENCE")
@click.argument("image", type=NamedFile(), metavar="[IMAGE]", required=False)
@click.option("--signer", metavar="KEY", help="Public key that must have signed it: 64 hexadecimal digits.")
@click.option("--keyring", type=NamedFile(), metavar="FILE", help="Repeat the test with the secret.")
@click.option("--revealed", type=NamedFile(), metavar="FILE", help="Repeat the test for one mark, without the secret.")
@click.option("--commitment", type=NamedFile(), metavar="FILE", help="What was published before the picture was made.")
@click.option(
    "--model",
    metavar="NAME|DIR|HUB-ID",
    help="Read the values anew from the picture, without any secret, and compare; what --revealed tests is then yours.",
)
@click.option("--repeat", is_flag=True, help="Read the picture anew with the model and compare; needs --keyring.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    evidence: Path,
    image: Path | None,
    signer: str | None,
    keyring: Path | None,
    revealed: Path | None,
    commitment: Path | None,
    model: str | None,
    repeat: bool,
    as_json: bool,
) -> None:
    """Check evidence that somebody gave: a file that `treering detect --evidence` wrote.

    Without any secret: that the statement is as it was signed, that IMAGE is the file that was examined, to the last
    bit, and that the answer agrees with itself; not that it is true, which is the signer's word. With --keyring the
    test is repeated from the recovered values in the evidence; with --repeat the picture is read anew, too. With
    --revealed (`treering keys reveal`) an expert repeats the test for one mark; its p pays for all poses and all marks
    that were committed to, and takes the signer's word that the values were read from the picture; with
    --model, which needs no secret either, they are read anew and nobody's word is taken. Evidence does not choose the
    model: name the one that you trust to be right.

    IMAGE may be a copy with Content Credentials (`treering c2pa`): what was put into it is taken off before it is
    compared. EVIDENCE may be such a copy itself, and IMAGE left out.

    \b
    Exit codes:
      0  all that could be checked holds; lines that say `judge` are for you
      1  something fails, or an error

    --json prints one object a check: what, holds (true, false, or null for `judge`), says.
    """
    if commitment and not revealed:
        raise click.UsageError("--commitment says what a mark of --revealed was bound to; give both.")
    if repeat and not keyring:
        raise click.UsageError("--repeat needs --keyring.")
    if signer is not None and not _KEY.fullmatch(signer.strip()):
        raise click.UsageError("--signer is a public key of 64 hexadecimal digits: see `treering keys signer`.")
    with sentences():
        found = []
        given = Given(evidence, image or evidence, signer, keyring, revealed, commitment, model, repeat)
        for one in _checks(given):
            found.append(_told(one, as_json))
    ctx.exit(FAILED if any(one.holds is False for one in found) else 0)


def _told(check: Check, as_json: bool) -> Check:
    if as_json:
        emit(asdict(check))
    else:
        tell(f"{_WORDS[check.holds]:<5}  {check.what:<10}  {check.says}")
    return check


@dataclass(frozen=True)
class Given:
    """What there is to check, and with what."""

    evidence: Path
    image: Path
    signer: str | None
    keyring: Path | None
    revealed: Path | None
    commitment: Path | None
    model: str | None
    repeat: bool


def _checks(given: Given) -> Iterator[Check]:
    from treering.evidence import Commitment, Revealed, checks
    from treering.marks.keyring import Keyring
    from treering.pictures import images

    data = images.read_bytes(given.image)
    found = _evidence(given, data)
    yield checks.signature(found, given.signer)
    yield checks.picture(found, data)
    if copied := checks.copy(found, data):
        yield copied
    yield checks.statement(found, bool(given.keyring or (given.revealed and given.commitment)))
    read = _reread(found, data, given) if given.model else None
    if read is not None:
        yield checks.reread(found, read)
    if given.revealed:
        published = Commitment.load(given.commitment) if given.commitment else None
        yield from checks.by_expert(found, Revealed.load(given.revealed), published, read)
    if given.keyring:
        ring = Keyring.load(given.keyring)
        yield checks.by_owner(found, ring)
        if given.repeat:
            yield _repeated(found, data, given, ring)


def _evidence(given: Given, data: bytes) -> Evidence:
    """From its own file, or from the Content Credentials of a picture."""
    from treering.evidence import Evidence, credentials

    if given.evidence == given.image:
        return credentials.read(data)[0]
    return Evidence.load(given.evidence)


def _reread(found: Evidence, data: bytes, given: Given) -> Complexes:
    from treering.evidence import again
    from treering.models import load
    from treering.pictures import images

    sizes = again.blank(found.statement).sizes
    return again.reread(found, images.read(data, sizes, str(given.image)).pixels, load(given.model or ""))


def _repeated(evidence: Evidence, data: bytes, given: Given, keyring: Keyring) -> Check:
    from treering.evidence.checks import repeated
    from treering.models import DEFAULT, load
    from treering.pictures import images
    from treering.reading import Detector

    said = evidence.statement.settings()
    settings = replace(said, fpr=said.fpr / evidence.statement.pairs)  # the share of one of those that were searched
    detector = Detector(load(given.model or keyring.model or DEFAULT), keyring, settings)
    return repeated(evidence, detector(images.read(data, keyring.sizes, str(given.image)).pixels[None])[0])
