"""A results folder gathered into a page, and written."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

from .. import __version__, files
from ..batch import RESULTS, Item, Label
from ..batch.summary import confusion
from ..errors import InputError
from ..report import page
from ..report.page import FAILED, Group, Page, Reasons, Row, Tally
from ..report.power import power
from ..settings import FPR, Reading
from ..types import Answer, Found
from .cases import KEYS, Picker, is_unmarked
from .folder import Folder
from .rows import Seen, seen
from .shelf import Digests, Shelf, explained
from .thumbnails import case

REPORT = "report.html"
"""Name of the report in a results folder."""

ROWS = 100_000
"""Rows that the table of a report has room for."""

_FILES = 8  # named beside a reason
_REASONS = 50


def report(
    folder: Folder,
    output: Path,
    items: Iterable[Item] | Shelf | None = None,
    *,
    unfinished: bool = False,
    overwrite: bool = True,
    rows: int = ROWS,
    names: Mapping[str, str] | None = None,
) -> list[str]:
    """Write the report of a results folder; gives sentences on what is to be known of it.

    ``items``: the pictures of the run with their labels; None where they are not at hand: then there are no labels
    and no thumbnails.  ``unfinished``: also of a run that has not come to its end.  ``rows``: of the table at most.
    ``names``: what classes are called, by the words of the report for them; None: as the run knew them.
    Raises ``InputError``: of half a run, for results of another version, and where ``output`` cannot be written.
    """
    with explained():
        shelf = items if isinstance(items, Shelf) or items is None else Shelf(items)
        gathered = _Gathered.of(folder, shelf, rows)
        missing = _missing(folder, gathered, shelf)
    if missing and not unfinished:
        done, total = gathered.tally.total, gathered.tally.total + missing
        raise InputError(
            f"{folder.path} holds half a run, results of {done} of {total} pictures: the same `treering verify` goes "
            "on, and --unfinished reports what there is."
        )
    warnings = (*_warnings(folder, missing), *gathered.warnings)
    called = names if names is not None else folder.origin.names if folder.origin else {}
    text = page.html(replace(_page(folder, gathered, warnings), names=called))
    with files.explained(output):
        files.write(output, text.encode("utf-8", "backslashreplace"), overwrite=overwrite)
    return list(warnings)


@dataclass
class _Gathered:
    """All lines of a run, taken one after the other; of long runs only what a report shows is kept."""

    tally: Tally
    picker: Picker
    limit: int
    labelled: bool
    rows: list[Row] = field(default_factory=list)
    pairs: Counter[tuple[Label, Found]] = field(default_factory=Counter)
    reasons: dict[str, dict[str, tuple[int, tuple[str, ...]]]] = field(default_factory=dict)
    seconds: float = 0.0
    gone: int = 0
    line: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Folder, items: Shelf | None, limit: int) -> _Gathered:
        threshold = math.log10((folder.origin and folder.origin.fpr) or FPR)
        labelled = items is not None and items.labelled
        gathered = cls(Tally(threshold), Picker(threshold), limit, labelled)
        gathered._take_all(folder, items)
        return gathered

    def _take_all(self, folder: Folder, items: Shelf | None) -> None:
        digests = Digests()
        for line in folder.rows():
            item = None if items is None else items.get(line["file"])
            if items is not None and item is None:
                self.gone += 1
                continue
            self._take(seen(line, item, digests.again(bytes.fromhex(line["sha256"] or ""))))
            self.line = self.line or (line if line["error"] is None else {})

    def _take(self, one: Seen) -> None:
        row = one.row
        self.tally.add(row.answer, row.key, row.log10_p, is_unmarked(one, self.labelled))
        self.picker.offer(one)
        self.seconds += row.seconds or 0.0
        if row.answer != FAILED:
            self.pairs[one.label, one.found] += 1
        if row.answer in (FAILED, Answer.NOT_ASSESSABLE.value):
            self._reason(row)
        self.rows.append(row)
        if len(self.rows) > self.limit + self.limit // 8 + 1000:
            self._cut()

    def _reason(self, row: Row) -> None:
        """Count a reason; a sentence that begins with the file's name is the same for all files."""
        reason = row.why.removeprefix(row.file).strip() or "unknown"
        reason = reason[0].upper() + reason[1:]
        known = self.reasons.setdefault(row.answer, {})
        if reason not in known and len(known) >= _REASONS:
            reason = "other reasons"
        count, names = known.get(reason, (0, ()))
        known[reason] = (count + 1, names if len(names) >= _FILES else (*names, row.file))

    def _cut(self) -> None:
        self.rows.sort(key=_rank)
        del self.rows[self.limit :]

    def table(self) -> tuple[Row, ...]:
        """The rows that there is room for, by name."""
        if len(self.rows) > self.limit:
            self._cut()
        return tuple(sorted(self.rows, key=lambda row: row.file))

    @property
    def warnings(self) -> list[str]:
        """What is to be said of files that are gone."""
        return [f"Results of files that are not there any more are left out: {self.gone}."] if self.gone else []


def _rank(row: Row) -> tuple[bool, bool, float]:
    """What a reader looks for comes first: what is wrong, what is not none, what is nearly named."""
    return not row.wrong, row.answer == Answer.NONE.value, row.log10_p or 0.0


def _missing(folder: Folder, gathered: _Gathered, items: Shelf | None) -> int:
    """Pictures of the run that have no result yet."""
    if items is not None:
        return items.missing(folder.last)
    total = folder.origin.total if folder.origin else None
    return max(0, total - gathered.tally.total) if total is not None else 0


def _warnings(folder: Folder, missing: int) -> list[str]:
    found = list(folder.origin.parts()) if folder.origin else []
    if missing:
        found.append(f"The run is not finished: {missing} of its pictures have no result yet.")
    if folder.others:
        keyrings = ", ".join(sorted(folder.others))
        found.append(
            f"The folder has {folder.others.total()} results of other keyrings or settings, which are left out "
            f"(keyrings: {keyrings})."
        )
    if folder.damaged:
        found.append(f"Damaged lines of {RESULTS}, which were ignored: {folder.damaged}.")
    version = folder.origin.settings.get("treering") if folder.origin else None
    if version not in (None, __version__):
        found.append(f"The results are of treering {version}, the report of treering {__version__}.")
    return found


# The page


def _page(folder: Folder, gathered: _Gathered, warnings: Sequence[str]) -> Page:
    origin, table = folder.origin, gathered.table()
    matrix, notes = confusion(gathered.pairs)
    return Page(
        source=origin.source if origin else folder.path.name,
        facts=_facts(folder, gathered),
        fpr=origin.fpr if origin else None,
        tally=gathered.tally,
        confusion=matrix,
        groups=tuple(_groups(gathered, origin.size if origin else None)),
        unassessed=_reasons(gathered, Answer.NOT_ASSESSABLE.value),
        failed=_reasons(gathered, FAILED),
        rows=table,
        left_out=gathered.tally.total - len(table),
        warnings=tuple(warnings),
        notes=tuple(notes),
        effort=_effort(origin.settings if origin else {}),
        power=power(_effort(origin.settings if origin else {})),
    )


def _facts(folder: Folder, gathered: _Gathered) -> dict[str, str]:
    """With what, as words; what is not known is left out."""
    settings = folder.origin.settings if folder.origin else {}
    keyring = settings.get("keyring")
    keys = keyring if isinstance(keyring, Mapping) else {}
    facts = {
        "keyring": _keyrings(settings) or str(gathered.line.get("keyring") or keys.get("id") or "unknown"),
        "keys searched": _keys(settings.get("keys"), keys),
        "model": str(gathered.line.get("model") or settings.get("model") or "unknown"),
        "named up to": f"p = {folder.origin.fpr:g}" if folder.origin and folder.origin.fpr else "",
        "effort": _effort(settings),
        "networks": " ".join(str(settings.get(name) or "") for name in ("device", "dtype")).strip(),
        "labels": Path((folder.origin and folder.origin.labels) or ("known" if gathered.labelled else "none")).name,
        "time of reading": _clock(gathered.seconds),
        "last result": _time(folder.path / RESULTS),
        "treering": str(settings.get("treering") or __version__),
        "settings": folder.settings,
        f"SHA-256 of {RESULTS}": folder.digest,
    }
    return {name: value for name, value in facts.items() if value}


def _keyrings(settings: Mapping[str, object]) -> str:
    """Of a search of several, their names and ids."""
    names, searched = settings.get("names"), settings.get("searched")
    if not (isinstance(names, list) and isinstance(searched, list)):
        return ""
    rings = [one.get("keyring") if isinstance(one, Mapping) else None for one in searched]
    ids = [str(ring.get("id")) if isinstance(ring, Mapping) else "" for ring in rings]
    return ", ".join(f"{name} {one}".strip() for name, one in zip(names, ids, strict=False))


def _keys(searched: object, keyring: Mapping[str, object]) -> str:
    nonces = keyring.get("nonces")
    more = f", {nonces} marks each" if isinstance(nonces, int) and nonces > 1 else ""
    classes = keyring.get("classes")
    if searched is None and not isinstance(classes, int):
        return ""
    return f"{searched if searched is not None else f'all {classes}'}{more}"


def _effort(settings: Mapping[str, object]) -> str:
    try:
        reading = Reading(**{name: settings[name] for name in ("method", "iterations", "scheme", "steps", "effort")})  # type: ignore[arg-type]
    except (KeyError, TypeError, InputError):
        return ""
    return reading.way


def _clock(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _time(path: Path) -> str:
    return datetime.fromtimestamp(path.stat().st_mtime, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def _groups(gathered: _Gathered, size: tuple[int, int] | None) -> Iterable[Group]:
    strange = gathered.picker.strange()
    told = {one.row.file: case(one, remark, size) for remark, one in strange}
    if told:
        cases = tuple(told.values())
        yield Group("Look at these", "The strangest of the run: look at them before you believe the numbers.", cases)
    named = sorted(gathered.picker.named.items(), key=lambda pair: _length(pair[0]))
    cases = tuple(told.get(one.row.file) or case(one, "", size) for _, one in named)
    if cases:
        more = f" of the first {KEYS} keys" if len(gathered.tally.keys) > len(cases) else ""
        yield Group("Named pictures", f"One for every key{more}: that with the strongest evidence.", cases)


def _length(key: str) -> tuple[int, str]:
    """Classes in their order: shorter numbers are smaller ones."""
    return len(key), key


def _reasons(gathered: _Gathered, answer: str) -> tuple[Reasons, ...]:
    known = gathered.reasons.get(answer, {})
    ordered = sorted(known.items(), key=lambda pair: (-pair[1][0], pair[0]))
    return tuple(Reasons(reason, count, names) for reason, (count, names) in ordered)
