"""Answers that others can check: signed evidence of a reading, and commitments to marks."""

from .commitment import Commitment, Revealed, commit, reveal
from .document import Evidence, Statement, check_secret
from .signing import Signer
from .witness import witnessed

__all__ = ["Commitment", "Evidence", "Revealed", "Signer", "Statement", "check_secret", "commit", "reveal", "witnessed"]
