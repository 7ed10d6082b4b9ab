"""``treering keys commit``, ``reveal`` and ``signer``: what others need to check an answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from treering.marks import keyring_file
from treering.marks.keyring import Keyring

from .console import Failure, emit, say, sentences, tell
from .keys_names import Class
from .options import (
    SIGNER_VARIABLE,
    NamedFile,
    force_option,
    json_option,
    keyring_option,
    keyring_path,
    signer_path,
)

_STALE = (
    "The root in the keyring is of other classes, nonces or sizes than it has now: set them back with `treering keys "
    "set`, or publish a new root with `treering keys commit`."
)


@click.command(short_help="Publish a root to which all marks are bound.")
@click.option("--output", type=NamedFile(), required=True, metavar="FILE", help="Where to write what is published.")
@keyring_option
@force_option("Replace the file.")
@json_option
def commit(output: Path, keyring: Path | None, force: bool, as_json: bool) -> None:
    """Publish a root to which all marks of the keyring are bound.

    FILE tells nothing of any mark. Let somebody else date it (a notary, a newspaper, a timestamping service): only a
    date that is older than a picture gives it force. The root is kept in the keyring too. Takes a minute for 16
    million marks (classes times nonces), which is the most.

    \b
    Example: treering keys commit --output commitment.json
    """
    from treering.evidence import canonical, commit

    path = keyring_path(keyring)
    with sentences():
        ring = keyring_file.load_to_change(path)
        made = commit(ring)
        canonical.write(output, made.as_dict(), overwrite=force)
        keyring_file.rewrite(replace(ring, root=made.root), path)
    if as_json:
        return emit({"file": str(output), **made.as_dict()})
    tell(made.root)
    say(f"Wrote {output}, which may be published; have it dated by somebody else.")


@click.command(short_help="Show one mark to an expert.")
@click.argument("key", type=Class(), metavar="CLASS")
@click.option(
    "--nonce",
    type=click.IntRange(0),
    metavar="N",
    show_default="the only one, where a class has one",
    help="Which mark of the class, as the picture's evidence and `treering detect --json` tell.",
)
@click.option("--output", type=NamedFile(), required=True, metavar="FILE", help="Where to write it; for you alone.")
@keyring_option
@force_option("Replace the file.")
def reveal(key: int, nonce: int | None, output: Path, keyring: Path | None, force: bool) -> None:
    """Show one mark of the keyring to an expert, with what binds it to the root that was published.

    With FILE and the evidence of a picture an expert can repeat the test for this mark, and for no other. Whoever has
    FILE can forge this mark from then on: retire the class.

    \b
    Example: treering keys reveal 17 --nonce 5 --output mark.json
    """
    from treering.evidence import canonical, reveal

    with sentences():
        ring = Keyring.load(keyring_path(keyring))
        if nonce is None and ring.nonces > 1:
            raise Failure(f"A class has {ring.nonces} marks, and a picture one of them; name it with --nonce.")
        made = reveal(ring, key, nonce or 0)
        if ring.root and ring.root != made.root:
            raise Failure(_STALE)
        canonical.write(output, made.as_dict(), overwrite=force, private=True)
    if not ring.root:
        say("No root of this keyring was published: see `treering keys commit`.")
    say(f"Wrote {output}. Whoever has it can forge class {key}: `treering keys retire {key}`.")


@click.command(short_help="Print the public key that your evidence is signed with.")
@click.option(
    "--signing-key",
    type=NamedFile(),
    metavar="FILE",
    show_default=f"${SIGNER_VARIABLE}, else signing.pem beside your own keyring",
    help="Private key, a PEM file; made if there is none.",
)
def signer(signing_key: Path | None) -> None:
    """Print the public key that your evidence is signed with; the private one is made if there is none.

    Publish it where those who check your answers will look: your site, a letterhead.
    """
    from treering.evidence import Signer

    path = signer_path(signing_key)
    with sentences():
        found, made = Signer.create_or_load(path)
    if made:
        say(f"Made the signing key {path}; keep it safe and secret.")
    tell(found.public)
