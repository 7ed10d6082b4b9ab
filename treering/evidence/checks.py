"""Checks of evidence, each a sentence and whether it holds: by anybody, by an expert with one mark, by the owner."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import special

from ..errors import InputError
from ..marks import keys as streams
from ..marks.keyring import Keyring, places
from ..marks.matching import scores
from ..types import Detection
from .commitment import Commitment, Revealed, experts
from .document import Complexes, Evidence, best

POSES = 1e9
"""Poses and shifts that an expert's p pays for: more than all stages of treering's largest plan try together, since
nobody can see afterwards how the pose was chosen."""

_CLOSE = 1e-6


@dataclass(frozen=True)
class Check:
    """``what`` was looked at; whether it ``holds``, None where that is for the reader to judge; what it ``says``."""

    what: str
    holds: bool | None
    says: str


def signature(evidence: Evidence, expected: str | None = None) -> Check:
    """Whether the statement is as it was signed, and by whom."""
    if not evidence.genuine:
        return Check("signature", False, "The statement is not what was signed.")
    if expected is None:
        return Check("signature", None, f"Signed by {evidence.public}; ask the signer whether that is their key.")
    if evidence.public != expected.strip().lower():
        return Check("signature", False, f"Signed by {evidence.public}, not by the key that you named.")
    return Check("signature", True, "Signed by the key that you named.")


def picture(evidence: Evidence, data: bytes) -> Check:
    """Whether these bytes are the picture that was examined."""
    same = hashlib.sha256(data).hexdigest() == evidence.statement.says("picture", "sha256")
    sentence = "This is the file that was examined, to the last bit."
    return Check("picture", same, sentence if same else "This is another file than the one that was examined.")


def by_owner(evidence: Evidence, keyring: Keyring) -> Check:
    """The test again, from the recovered values, with the secret."""
    statement = evidence.statement
    if statement.says("keyring", "id") != keyring.id:
        return Check("test", False, f"The evidence is about the keyring {statement.says('keyring', 'id')}.")
    found = best(keyring, statement.settings(), statement.values)
    said = float(statement.says("test", "z"))
    same = abs(found.z - said) <= _CLOSE * max(1.0, abs(said)) and found.key == statement.says("answer", "best_key")
    what = f"class {found.key} at z = {found.z:.3f}, log10 p = {found.log10_p:.2f} among {keyring.classes} classes"
    return Check("test", same, f"The recovered values give {what}{'' if same else f', not z = {said:.3f}'}.")


def repeated(evidence: Evidence, again: Detection) -> Check:
    """Whether another reading of the picture came to the same; on other machines rounding differs a little."""
    key, level = (evidence.statement.says("answer", name) for name in ("key", "log10_p"))
    near = isinstance(level, int | float) and abs(again.log10_p - level) <= 0.1 + 0.01 * abs(level)
    what = again.answer.value if again.key is None else f"key {again.key}"
    sentence = f"Read anew: {what}, log10 p = {again.log10_p:.2f}; the evidence has log10 p = {level}."
    return Check("reading", near and again.key == key, sentence)


def by_expert(evidence: Evidence, revealed: Revealed, commitment: Commitment | None) -> Iterator[Check]:
    """The test again for one revealed mark, without the secret: its p pays for all that could have been tried."""
    yield _committed(revealed, commitment)
    if evidence.statement.says("keyring", "id") != revealed.head.keyring:
        yield Check("mark", False, "The evidence is about another keyring.")
        return
    level = log10_expert(evidence.statement.values, revealed)
    count = revealed.head.count
    yield Check(
        "mark",
        None,
        f"Class {revealed.key}, nonce {revealed.nonce}: log10 p = {level:.1f}, for {POSES:.0e} poses and {count} "
        "committed marks, over marks that were drawn before the picture was made.",
    )


def _committed(revealed: Revealed, commitment: Commitment | None) -> Check:
    if commitment is None:
        return Check(
            "commitment", None, f"The mark belongs to the root {revealed.root}; compare it with the published."
        )
    if commitment.root != revealed.root:
        return Check("commitment", False, "The mark is none of those that were committed to.")
    return Check("commitment", True, "The mark is one of those that were committed to.")


def log10_expert(values: Complexes, revealed: Revealed) -> float:
    """log10 p of a revealed mark on recovered values ``[N]``, corrected for all poses and all committed marks."""
    ring = experts(revealed.head)
    pattern, cells = ring.pattern, ring.cells()
    if len(values) != len(cells.index):
        raise InputError("The evidence has another number of values than the commitment's pattern has points.")
    import torch

    from ..marks import fourier

    means = fourier.read(torch.from_numpy(values)[None], cells).numpy()
    drawn = streams.draw([revealed.seed], places(cells))
    drawn = drawn.real * np.sqrt(2) + 0j if pattern.real else drawn
    z = float(scores(means, drawn, pattern.weights(cells), pattern.real)[0, 0])
    single = float(special.log_ndtr(-z)) / math.log(10)
    return min(0.0, single + math.log10(POSES) + math.log10(revealed.head.count))
