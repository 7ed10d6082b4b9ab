"""The values of evidence read once more from the picture, by somebody who has the model and no secret.

Where marks are written follows from the pattern, and the evidence tells how its values came out of the picture: which
decoder inversion, how many steps, which pose was undone.  Nobody need take the signer's word then: what is read anew
is tested, and what the evidence says is compared with it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..marks.keyring import Keyring
from ..models import Model
from ..reading import Detector, sizes
from ..settings import Reading
from .commitment import Head, experts
from .document import Complexes, Evidence, Statement, in_size

CLOSE, FAR = 0.01, 0.1
"""Differences in shares of the values' own size: up to the first they are the same, from the second on others.

Who has the mark and may move the values by a share d of their size gains sqrt(2 N) d standard deviations, with N of
them: .6 at .01 and 6 at .1, of the 1 848 that a latent of 32x32 has.
"""


def blank(statement: Statement) -> Keyring:
    """A keyring that knows where the marks of the evidence are written, and nothing of them.

    Raises ``InputError`` for what is none.
    """
    given: Any = statement.content.get("keyring")
    try:
        numbers = {name: _whole(given[name]) for name in ("classes", "nonces", "channels", "factor")}
        sizes = [[_whole(side) for side in size] for size in given["sizes"]]
        head = Head(str(given["id"]), pattern=dict(given["pattern"]), sizes=sizes, **numbers)
    except (KeyError, TypeError, ValueError):
        raise InputError("The evidence does not say which pattern its marks have.") from None
    return experts(head)


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 < value < 1 << 32:
        raise ValueError
    return value


def reread(evidence: Evidence, picture: NDArray[np.uint8], model: Model) -> Complexes:
    """The values of a picture uint8 ``[H, W, 3]`` of one of the keyring's sizes, as the evidence has them: ``[N]``.

    Raises ``InputError`` where the evidence does not say how they were read, ``ModelError`` where the model is not of
    the kind that its marks are for.
    """
    way = evidence.statement.way()
    if way is None:
        raise InputError("The evidence does not say how its values were read: an earlier treering wrote it.")
    settings = evidence.statement.settings()
    # A prompt would be one more thing that the signer could have tried until it fitted: it is left out.
    settings = replace(settings, keys=None, prompt=Reading.prompt, guidance=Reading.guidance)
    keyring = blank(evidence.statement)
    size = in_size(keyring, evidence.statement.size).image_size
    shown = picture if picture.shape[:2] == size else sizes.resized(picture, size)
    return Detector(model, keyring, settings).tools_for(size).again(shown, way)


def difference(told: Complexes, read: Complexes) -> float:
    """How far two readings are apart, in shares of the size of the first; infinite where they have other numbers."""
    if len(told) != len(read):
        return float("inf")
    size = float(np.linalg.norm(told))
    return float(np.linalg.norm(read - told)) / size if size > 0 else float("inf")
