"""What a run was asked for, written beside its results before it begins."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .. import files
from ..batch import SUMMARY, settings_id
from ..errors import InputError

ORIGIN = "run.json"
_LARGEST = 1 << 28  # bytes: a summary lists the files that failed


@dataclass(frozen=True)
class Part:
    """Which of the pictures of a source a run is about.

    ``sample``: how many by chance, None for all; ``seed``: of that chance.  ``since``: seconds since 1970 at or after
    which they were changed, None for any time.  ``listed``: pictures of the source; ``changed``: of these, since then;
    both None until that is known.
    """

    sample: int | None = None
    seed: int = 0
    since: float | None = None
    listed: int | None = None
    changed: int | None = None

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Part:
        """From JSON; raises ``ValueError``, ``TypeError`` or ``OverflowError``."""
        whole = {name: _number(content.get(name)) for name in ("sample", "listed", "changed")}
        since = content.get("since")
        moment = None if since is None else datetime.fromtimestamp(float(since), timezone.utc).timestamp()
        return cls(seed=int(content.get("seed", 0)), since=moment, **whole)

    def sentences(self) -> list[str]:
        """What to know, so that rates and counts are not taken for those of all pictures."""
        found = []
        changed = self.listed if self.since is None else self.changed
        if self.since is not None:
            when = datetime.fromtimestamp(self.since, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
            count = "" if None in (changed, self.listed) else f", {_count(changed)} of {_count(self.listed)}"
            found.append(f"Only pictures that were changed at or after {when} were looked at{count}.")
        if self.sample is not None:
            size = self.sample if changed is None else min(self.sample, changed)
            known = f"{_count(size)} of {_count(changed)}" if changed is not None else f"at most {_count(size)}"
            found.append(
                f"A sample of {known} pictures, chosen by chance (seed {self.seed}): all counts are of the sample, and "
                "rates speak of the others only within their intervals."
            )
        return found


def _count(number: int | None) -> str:
    return f"{number:,}".replace(",", " ")


def _number(value: Any) -> int | None:
    return None if value is None else int(value)


@dataclass(frozen=True)
class Origin:
    """What is known of a run besides its lines.

    ``source``: what was checked, as it was named; ``path``: where it was then, ``""`` where that is not known.
    ``labels``: as they were named.  ``settings``: what results depend on besides the picture; ``size``: (height,
    width), or several, that pictures were brought to.  ``total``: pictures, None where that is not known.  ``part``:
    which of the pictures, where not all.  ``names``: what the classes that were found are called.
    """

    source: str
    path: str
    labels: str | None
    settings: Mapping[str, Any]
    size: Any
    total: int | None
    part: Part | None = None
    names: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        source: Path | str,
        labels: str | None,
        settings: Mapping[str, Any],
        size: Any,
        total: int | None,
        part: Part | None = None,
        names: Mapping[str, str] | None = None,
    ) -> Origin:
        """What is asked for here and now: relative names become absolute ones, as the folder may be another later."""
        word = labels is None or labels in ("folders", "none")
        whole = labels if word or labels is None else os.path.abspath(labels)
        path = "" if "://" in str(source) else os.path.abspath(source)
        return cls(str(source), path, whole, settings, size, total, part, names or {})

    def parts(self) -> list[str]:
        """What to know of a run of a part of the pictures, so that its rates are not taken for those of all."""
        return [] if self.part is None else self.part.sentences()

    @property
    def id(self) -> str:
        """Their hash, as in the lines."""
        return settings_id({"settings": dict(self.settings), "size": self.size})

    @property
    def fpr(self) -> float | None:
        """The p-value up to which marks are named."""
        fpr = self.settings.get("fpr")
        return float(fpr) if isinstance(fpr, float) and 0 < fpr < 1 else None

    def write(self, folder: Path) -> None:
        """Write it into a results folder, which is made if need be; raises ``InputError``."""
        files.make_folder(folder)
        files.replace(folder / ORIGIN, (json.dumps(asdict(self), indent=2) + "\n").encode())


def known(folder: Path) -> Origin | None:
    """What a results folder tells of its run: by ``run.json``, else by ``summary.json``, which older runs have alone.

    Raises ``InputError`` for a file that cannot be read or is not of our making.
    """
    if (folder / ORIGIN).exists():
        return _from_json(_read(folder / ORIGIN), folder / ORIGIN)
    if (folder / SUMMARY).exists():
        return _from_summary(_read(folder / SUMMARY), folder)
    return None


def summary(folder: Path) -> Mapping[str, Any] | None:
    """What ``summary.json`` holds, None where there is none; raises ``InputError``."""
    return _read(folder / SUMMARY) if (folder / SUMMARY).exists() else None


def _read(path: Path) -> dict[str, Any]:
    with files.explained(path):
        data = files.read(path, _LARGEST)
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise _foreign(path)
    return content


def _from_json(content: dict[str, Any], path: Path) -> Origin:
    try:
        size = content["size"]
        total = content["total"]
        origin = Origin(
            source=content["source"],
            path=content["path"],
            labels=content["labels"],
            settings=dict(content["settings"]),
            size=_size(size),
            total=None if total is None else int(total),
            part=None if content.get("part") is None else Part.of(content["part"]),
            names={str(key): str(name) for key, name in dict(content.get("names") or {}).items()},
        )
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, OSError, AttributeError):
        raise _foreign(path) from None
    if not (isinstance(origin.source, str) and isinstance(origin.path, str)):
        raise _foreign(path)
    return origin


def _size(size: Any) -> Any:
    """A size, or several, as pairs of whole numbers."""
    if size is None:
        return None
    if isinstance(size[0], list):
        return tuple(_size(one) for one in size)
    return int(size[0]), int(size[1])


def _from_summary(content: dict[str, Any], folder: Path) -> Origin:
    settings = content.get("settings")
    inner = settings.get("settings") if isinstance(settings, dict) else None
    size = settings.get("size") if isinstance(settings, dict) else None
    whole = {"source": folder.name, "path": "", "labels": None, "total": content.get("total")}
    return _from_json({**whole, "settings": inner, "size": size}, folder / SUMMARY)


def _foreign(path: Path) -> InputError:
    return InputError(f"{path} is not of treering's making, or of another version of it.")
