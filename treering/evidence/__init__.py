"""Answers that others can check: signed evidence of a reading, and commitments to marks."""

from .commitment import Commitment, Revealed, commit, reveal
from .document import Evidence, Statement
from .signing import Signer

__all__ = ["Commitment", "Evidence", "Revealed", "Signer", "Statement", "commit", "reveal"]
