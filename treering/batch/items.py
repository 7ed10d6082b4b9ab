"""The plain data of a run: pictures, labels, result lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..types import Class, Detection

RESULTS, SUMMARY, TABLE, FIGURE = "results.jsonl", "summary.json", "confusion.md", "confusion.png"
"""The files of a results folder."""


class Unknown(Enum):
    """The type of ``UNKNOWN``."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN
"""The label of a picture of which it is not known whether it is marked; None is the label of an unmarked one."""

Label = Class | None | Unknown
Line = dict[str, Any]
"""One line of the journal, for JSON."""

Detect = Callable[[NDArray[np.uint8], Sequence[tuple[str, ...]]], list[Detection]]
"""Pictures uint8 ``[B, H, W, 3]`` and notes on each, to one result each; a ``Detector`` is one."""


@dataclass(frozen=True)
class Item:
    """A picture to check: where it is, what results call it, and its true class.

    ``problem``: why there is nothing to read, as one sentence: a folder that cannot be opened, a wrong row.
    """

    path: Path
    name: str
    label: Label = UNKNOWN
    problem: str | None = None
