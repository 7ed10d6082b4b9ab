"""Checks of evidence, each a sentence and whether it holds: by anybody, by an expert with one mark, by the owner."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from ..errors import InputError
from ..marks import keys as streams
from ..marks.keyring import MAX_SEARCH, Keyring, places
from ..marks.matching import scores
from ..marks.nulls import log_p
from ..pictures.credentials import without
from ..reading.detector import LEAST
from ..reading.evidence import Values
from ..reading.plan import EFFORTS
from ..types import Answer, Detection, Match
from . import again, credentials
from .commitment import Commitment, Revealed, experts
from .document import Complexes, Evidence, Size, Statement, best, in_size

POSES = 1e10
"""Poses and shifts that an expert's p pays for: more than all stages of treering's largest plan try together, since
nobody can see afterwards how the pose was chosen."""

_CLOSE = 1e-6
_LN10 = math.log(10)


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
    """Whether these bytes are the picture that was examined, or a copy of it with Content Credentials."""
    wanted = evidence.statement.says("picture", "sha256")
    if hashlib.sha256(data).hexdigest() == wanted:
        return Check("picture", True, "This is the file that was examined, to the last bit.")
    plain = without(data)
    if hashlib.sha256(plain).hexdigest() == wanted:
        return Check(
            "picture",
            True,
            "This is a copy of the file that was examined: without the Content Credentials that were put into it, it "
            "is the same to the last bit.",
        )
    if len(plain) < len(data):
        return Check("picture", False, "Without its Content Credentials too, this is another file than was examined.")
    return Check("picture", False, "This is another file than the one that was examined.")


def copy(evidence: Evidence, data: bytes) -> Check | None:
    """Whether the Content Credentials in a picture hold this very evidence; None for a picture without them."""
    if without(data) == data:
        return None
    try:
        inside, state = credentials.read(data)
    except InputError as error:
        return Check("copy", None, str(error))
    if inside.as_dict() != evidence.as_dict():
        return Check("copy", False, "The Content Credentials of the picture hold other evidence.")
    trust = "who signed them is for you to judge" if state != "Trusted" else "their signer is one that is trusted here"
    sound = state in ("Valid", "Trusted")
    what = f"The Content Credentials of the picture hold this very evidence; C2PA calls them {state}, and {trust}."
    return Check("copy", None if sound else False, what)


def reread(evidence: Evidence, read: Complexes) -> Check:
    """Whether values that somebody else has read from the picture are those of the evidence."""
    far = again.difference(evidence.statement.values, read)
    if far <= again.CLOSE:
        sentence = (
            f"Read anew without any secret, the picture has the values of the evidence (they differ by {far:.2g})."
        )
        return Check("values", True, sentence)
    if far < again.FAR:
        return Check(
            "values",
            None,
            f"Read anew, the values differ from those of the evidence by {far:.2g} of their size: more than other "
            "machines or types of numbers usually make, and enough to change p.",
        )
    return Check(
        "values", False, f"Read anew, the picture has other values than the evidence: they differ by {far:.2g}."
    )


def statement(evidence: Evidence, repeated: bool) -> Check:
    """What the evidence says, whether that agrees with itself, and that nobody ``repeated`` it, where that is so."""
    said = evidence.statement
    wrong = _contradiction(said)
    if wrong:
        return Check("answer", False, f"The evidence contradicts itself: {wrong}.")
    key = said.says("answer", "key")
    answer = f"key {key}" if key is not None else said.says("answer", "answer")
    sentence = (
        f"The signer says: {answer}, log10 p = {said.number('answer', 'log10_p'):.2f} among "
        f"{said.number('test', 'tests'):.0f} marks, named up to {said.number('settings', 'fpr'):g}."
    )
    rest = "" if repeated else " Nothing here repeats that: give --keyring, or --revealed with --commitment."
    return Check("answer", None, sentence + rest)


def _contradiction(said: Statement) -> str | None:
    """Why an answer, its p-value and its test cannot belong together; None where they can."""
    key, kind = said.says("answer", "key"), said.says("answer", "answer")
    level, fpr = said.number("answer", "log10_p"), said.settings().fpr
    if kind not in [one.value for one in Answer] or (key is not None) != (kind == Answer.KEY.value):
        return "its answer is none of those that there are"
    if key is not None and (type(key) is not int or key != said.says("answer", "best_key")):
        return "the class named is not the best"
    if (key is not None) != (level <= math.log10(fpr)):
        return "its p-value does not fit its answer"
    if abs(said.number("answer", "p_value") - max(10.0 ** min(level, 0.0), LEAST)) > _CLOSE:
        return "its p-value is not what its logarithm says"
    if level != said.number("test", "log10_p") or level > 0:
        return "it has two p-values"
    return _untested(said, level)


def _untested(said: Statement, level: float) -> str | None:
    """Why a p-value cannot come from the z, the number of tests and the share that are said."""
    tests, share = said.says("test", "tests"), said.number("test", "share")
    if type(tests) is not int or not 0 < tests <= MAX_SEARCH or not 0 < share <= 1:
        return "no test is like that"
    known = {one.name: one.share for one in EFFORTS[said.settings().way]}
    if known.get(said.says("answer", "stage"), share) != share and said.says("answer", "answer") != "keyring":
        return "the stage that decided has another share of the error budget"
    least = float(log_p(said.number("test", "z"), tests)) / _LN10 - math.log10(share) + math.log10(said.searches)
    if level < min(0.0, least) - _CLOSE * max(1.0, abs(least)):
        return "its p-value is smaller than its z, its tests and its share give"
    if level < 0 or least + math.log10(2 * POSES) >= 0:
        paid = level <= least + math.log10(2 * POSES)
        return None if paid else "its p-value is larger than any poses that were tried would make it"
    return "its z is that of a mark, but its p-value is 1"


def by_owner(evidence: Evidence, keyring: Keyring) -> Check:
    """The test again, from the recovered values, with the secret: z, class, number of tests and p."""
    said = evidence.statement
    if said.says("keyring", "id") != keyring.id:
        return Check("test", False, f"The evidence is about the keyring {_quoted(said.says('keyring', 'id'))}.")
    searched = Values(in_size(keyring, said.size), said.settings().keys)
    keyring.check_classes(searched.keys)
    found = best(searched, said.values)
    what = (
        f"class {found.key}, nonce {found.nonce} at z = {found.z:.3f}, log10 p = {found.log10_p:.2f} among "
        f"{searched.classes} marks"
    )
    if wrong := _differs(said, found, searched):
        return Check("test", False, f"The recovered values give {what}; {wrong}.")
    rest = "that they are those of the picture is what the signer says, and --repeat looks"
    public = "; this keyring is PUBLIC, so anybody can have written the mark" if keyring.public else ""
    subset = "" if searched.keys is None else f" of {keyring.classes * keyring.nonces} that the keyring has"
    return Check("test", True, f"The recovered values give {what}{subset}; {rest}{public}.")


def _differs(said: Statement, found: Match, searched: Values) -> str | None:
    """What of the statement is not what the values give; None where nothing is."""
    z, level = said.number("test", "z"), said.number("answer", "log10_p")
    if abs(found.z - z) > _CLOSE * max(1.0, abs(z)):
        return f"the evidence says z = {z:.3f}"
    if found.key != said.says("answer", "best_key") or said.says("answer", "nonce") not in (None, found.nonce):
        return "the evidence says another class or nonce"
    if said.says("test", "tests") != searched.classes:
        return "the evidence says another number of marks"
    questions = math.log10(2) if searched.synchronised else 0.0
    paid = questions - math.log10(said.number("test", "share")) + math.log10(said.searches)
    least = min(0.0, found.log10_p + paid)
    if level < least - _CLOSE * max(1.0, abs(least)):
        return f"the evidence says log10 p = {level:.2f}, which is too small"
    return None


def repeated(evidence: Evidence, again: Detection) -> Check:
    """Whether another reading of the picture came to the same; on other machines rounding differs a little.

    ``again``: searched with this keyring and model alone, up to its share of the p-value.
    """
    said = evidence.statement
    level = said.number("answer", "log10_p")
    answer = (said.says("answer", "answer"), said.says("answer", "key"))
    paid = min(0.0, again.log10_p + math.log10(said.pairs))
    near = abs(paid - level) <= 0.1 + 0.01 * abs(level)
    what = again.answer.value if again.key is None else f"key {again.key}"
    model = "" if again.model == said.says("answer", "model") else " That was another model than the evidence's."
    sentence = f"Read anew: {what}, log10 p = {paid:.2f}; the evidence has log10 p = {level:.2f}.{model}"
    return Check("reading", near and (again.answer.value, again.key) == answer, sentence)


def _quoted(value: Any) -> str:
    """What somebody else wrote, so short that it cannot look like lines of ours."""
    return repr(str(value)[:40])


def by_expert(
    evidence: Evidence, revealed: Revealed, commitment: Commitment | None, read: Complexes | None = None
) -> Iterator[Check]:
    """The test again for one revealed mark, without the secret: its p pays for all that could have been tried.

    ``read``: values that the expert has read from the picture; None takes those of the evidence, and the signer's word.
    """
    yield _committed(revealed, commitment)
    if evidence.statement.says("keyring", "id") != revealed.head.keyring:
        yield Check("mark", False, "The evidence is about another keyring.")
        return
    level = log10_expert(evidence.statement.values if read is None else read, revealed, evidence.statement.size)
    count = revealed.head.count
    word = _SIGNERS if read is None else _OWN
    yield Check(
        "mark",
        None,
        f"Class {revealed.key}, nonce {revealed.nonce}: log10 p = {level:.1f}, for {POSES:.0e} poses and {count} "
        f"marks of the tree. It holds if a root older than the picture binds the mark{word}",
    )


_SIGNERS = (
    ", and if the values were read from this picture, as the signer says: who knows the mark could have chosen them."
)
_OWN = "; the values are those that were read anew here, by the model that you named."


def _committed(revealed: Revealed, commitment: Commitment | None) -> Check:
    if commitment is None:
        return Check(
            "commitment", None, f"The mark belongs to the root {revealed.root}; compare it with the published."
        )
    if commitment.root != revealed.root:
        return Check("commitment", False, "The mark is none of those that were committed to.")
    return Check("commitment", True, "The mark is one of those that were committed to.")


def log10_expert(values: Complexes, revealed: Revealed, size: Size | None = None) -> float:
    """log10 p of a revealed mark on recovered values ``[N]``, corrected for all poses and all committed marks.

    ``size``: height and width that the picture was read in, None for the first of the commitment.
    """
    ring = in_size(experts(revealed.head), size)
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
