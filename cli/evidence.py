"""``detect --evidence``: what was read, signed, so that others can check it."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from treering.errors import ImageError, InputError

from .console import say
from .options import SIGNER_VARIABLE, NamedFile, apply, signer_path

if TYPE_CHECKING:
    from treering.pictures.images import Picture
    from treering.reading import Detector, Detectors
    from treering.types import Detection


@dataclass(frozen=True)
class Signing:
    """Where evidence goes, and the private key that signs it (None: the user's own)."""

    path: Path
    key: Path | None

    def check(self, names: Sequence[str]) -> None:
        """Raise ``InputError`` for what could only fail after the reading."""
        if len(names) != 1 or names[0] == "-":
            raise click.UsageError("--evidence is about one picture, given as a file.")
        if os.path.lexists(self.path):
            raise InputError(f"{self.path} exists already; evidence is never replaced.")
        from treering.evidence import Signer

        _, made = Signer.create_or_load(signer_path(self.key))
        if made:
            say(f"Made the signing key {signer_path(self.key)}; keep it safe and secret.")

    def write(self, detector: Detector | Detectors, picture: Picture, data: bytes, path: Path) -> Detection:
        """Read the picture, whose file holds ``data``, and write down what was read and how."""
        from treering.evidence import Signer, witnessed

        if picture.too_small:
            raise ImageError(f"There is no evidence in {path}: {picture.too_small}")
        detection, evidence = witnessed(detector, picture, data, Signer.load(signer_path(self.key)))
        if evidence is None:
            raise ImageError(f"There is no evidence in {path}: {detection.reason or 'nothing was read from it.'}")
        evidence.save(self.path)
        say(f"Wrote {self.path}, signed.")
        return detection


def evidence_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--evidence`` and ``--signing-key``, given to the command as one ``evidence: Signing | None``."""

    @functools.wraps(function)
    def with_evidence(*args: Any, evidence: Path | None, signing_key: Path | None, **rest: Any) -> Any:
        if signing_key and not evidence:
            raise click.UsageError("--signing-key signs --evidence; give both.")
        return function(*args, evidence=Signing(evidence, signing_key) if evidence else None, **rest)

    options = (
        click.option(
            "--evidence",
            type=NamedFile(),
            metavar="FILE",
            show_default="none is written",
            help="Write what was read and how, signed, so that others can check it: see `treering check`.",
        ),
        click.option(
            "--signing-key",
            type=NamedFile(),
            metavar="FILE",
            show_default=f"${SIGNER_VARIABLE}, else your own: see `treering keys signer`",
            help="Private key that signs --evidence.",
        ),
    )
    return apply(with_evidence, options)
