"""Which key signs evidence: the one that was named, else the environment's, else the user's own."""

from __future__ import annotations

import os
from pathlib import Path

import click

SIGNER_VARIABLE = "TREERING_SIGNING_KEY"


def signer_path(given: Path | None) -> Path:
    """The signing key that was named, else the environment's, else the user's own."""
    own = Path(click.get_app_dir("treering")) / "signing.pem"
    return given or Path(os.environ.get(SIGNER_VARIABLE) or own)
