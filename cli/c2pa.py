"""``treering c2pa``: evidence as Content Credentials in a copy of the picture."""

from __future__ import annotations

import os
from pathlib import Path

import click

from .console import Failure, say, sentences
from .options import NamedFile, force_option

_ALGORITHMS = ("ed25519", "es256", "es384", "ps256", "ps384")


@click.command(short_help="Write evidence into a copy of the picture, as Content Credentials.")
@click.argument("evidence", type=NamedFile(), metavar="EVIDENCE")
@click.argument("image", type=NamedFile(), metavar="IMAGE")
@click.option("--output", type=NamedFile(), required=True, metavar="FILE", help="The copy.")
@click.option(
    "--certificate", type=NamedFile(), required=True, metavar="FILE", help="Chain of certificates, PEM, yours first."
)
@click.option("--key", type=NamedFile(), required=True, metavar="FILE", help="Private key of the certificate, PEM.")
@click.option("--algorithm", type=click.Choice(_ALGORITHMS), default=_ALGORITHMS[0], help="Kind of that key.")
@force_option("Replace the copy.")
def command(
    evidence: Path, image: Path, output: Path, certificate: Path, key: Path, algorithm: str, force: bool
) -> None:
    """Write evidence into a copy of the picture, as Content Credentials (C2PA).

    EVIDENCE is what `treering detect --evidence` wrote of IMAGE. The copy (PNG, JPEG or WebP) gets a manifest that
    names the mark and the keyring's id (a soft binding) and holds the evidence, signed with your certificate; no
    pixel is touched. No timestamp is asked for, and nothing goes over the net.
    """
    from treering import files
    from treering.evidence import Evidence, checks, credentials
    from treering.pictures import images

    with sentences():
        found, data = Evidence.load(evidence), images.read_bytes(image)
        if not checks.picture(found, data).holds:
            raise Failure(f"{image} is another file than the one that was examined.")
        if not found.genuine:
            raise Failure(f"{evidence} is not what was signed.")
        if os.path.lexists(output) and os.path.realpath(output) == os.path.realpath(image):
            raise Failure("The copy must be another file: the evidence is about IMAGE as it is.")
        if os.path.lexists(output) and not force:
            raise Failure(f"{output} exists already; --force replaces it.")
        copy = credentials.write(found, data, certificate, key, algorithm)
        with files.explained(output):
            files.write(output, copy, overwrite=force)
    say(f"Wrote {output}.")
