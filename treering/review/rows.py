"""From a result line, which may be of another version or another hand, to what a report tells of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..batch import UNKNOWN, Item, Label, Line
from ..batch.journal import found
from ..errors import InputError
from ..report import name
from ..report.page import FAILED, Row
from ..text import pose_text
from ..types import Answer, Found


@dataclass(frozen=True)
class Seen:
    """A row with what is needed to look at its picture.

    ``path``: of the file, None where it is not known.  ``pose`` and ``box``: as in the line.
    """

    row: Row
    label: Label
    found: Found
    path: Path | None
    pose: Mapping[str, Any] | None
    box: tuple[int, int, int, int] | None


def seen(line: Line, item: Item | None, copy: bool) -> Seen:
    """A line, with the picture and the label that belong to it; raises ``InputError`` if it lacks a number."""
    label = UNKNOWN if item is None else item.label
    path = None if item is None or item.address is not None else item.path
    if line["error"] is not None:
        true = "" if label is UNKNOWN else name(label)
        return Seen(
            Row(line["file"], line["sha256"], FAILED, true=true, why=line["error"]),
            label,
            Answer.NOT_ASSESSABLE,
            path,
            None,
            None,
        )
    pose, box = _pose(line.get("pose")), _box(line.get("box"))
    return Seen(_row(line, label, pose, box, copy), label, found(line), path, pose, box)


def _row(line: Line, label: Label, pose: Mapping[str, Any] | None, box: object, copy: bool) -> Row:
    answer, log10_p = found(line), _number(line, "log10_p")
    keyring = _number(line, "log10_p_keyring", log10_p)
    read = answer is not Answer.NOT_ASSESSABLE
    return Row(
        file=line["file"],
        digest=line["sha256"],
        answer=name(answer) if isinstance(answer, Answer) else "none" if answer is None else Answer.KEY.value,
        key="" if answer is None or isinstance(answer, Answer) else name(answer),
        true="" if label is UNKNOWN else name(label),
        wrong=label is not UNKNOWN and answer is not Answer.NOT_ASSESSABLE and not _is_right(answer, label),
        log10_p=(keyring if answer is Answer.KEYRING else log10_p) if read else None,
        log10_p_keyring=keyring if read else None,
        pose=pose_text(pose, box) or "",
        stage=_text(line, "stage"),
        why=_text(line, "reason"),
        notes=" ".join(line.get("notes") or []),
        seconds=_number(line, "seconds", 0.0),
        copy=copy,
    )


def _is_right(answer: Found, label: Label) -> bool:
    """A label without a keyring is right for its class of any."""
    return answer == label or (label is not None and getattr(answer, "key", None) == label)


def _number(line: Line, field: str, default: float | None = None) -> float:
    value = line.get(field, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300:
        raise InputError(
            f"The result of {line['file']} has no number {field}: it was written by another version of treering, "
            f"and this is {__version__}."
        )
    return float(value)


def _text(line: Line, field: str) -> str:
    value = line.get(field)
    return value if isinstance(value, str) else ""


def _pose(pose: object) -> Mapping[str, Any] | None:
    """A pose that can be told and undone; else none."""
    if not isinstance(pose, dict):
        return None
    try:
        down, across = pose["shift"]
        numbers = [float(pose[field]) for field in ("angle", "scale", "aspect")]
        ends = [float(down), float(across)]
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    if not all(map(math.isfinite, numbers + ends)):
        return None
    angle, scale, aspect = numbers
    return {"mirror": bool(pose.get("mirror")), "angle": angle, "scale": scale, "aspect": aspect, "shift": ends}


def _box(box: object) -> tuple[int, int, int, int] | None:
    if not isinstance(box, list) or len(box) != 4 or not all(type(side) is int for side in box):
        return None
    top, left, bottom, right = box
    return (top, left, bottom, right) if 0 <= top < bottom and 0 <= left < right else None
