"""Many pictures checked, with a run that can be stopped at any moment and goes on where it was.

Results are one JSON line a picture in ``results.jsonl``, appended as they are known.  What a picture
is, is its bytes: a result is found again by the SHA-256 of the file and a hash of the settings, so a
file that was moved or copied is not detected twice; and a file whose name, size and times are those of an earlier run
is not even read.  Listing and index are on the disk (:mod:`.listing`, :mod:`.index`), so that memory stays flat; in
memory are as many pictures as two batches have: one that is detected while the next is read and decoded.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from .. import files
from ..errors import InputError
from . import alike
from .book import Book, Progress
from .engines import Engine
from .fleet import Fleet
from .inline import Inline
from .items import FIGURE, RESULTS, Detect, Item
from .journal import Results, is_ours, settings_id
from .lines import Size
from .listing import Listing
from .shards import Shards
from .summary import Summary, confusion, counts, differences, publish


def verify(
    items: Iterable[Item],
    detect: Detect | Engine,
    output: Path,
    settings: Mapping[str, Any],
    batch: int = 8,
    size: Size | Sequence[Size] | None = None,
    progress: Callable[[Progress], None] | None = None,
    strict: bool = False,
    by_name: bool = False,
) -> Summary:
    """Check the pictures; what an earlier run in ``output`` has found out is not found out again.

    ``items``: gone through once, so that a source of any length may be a generator.  ``detect``: a detector, for a
    run in this process, or an engine that has workers.  ``settings``: all that a result depends on besides the
    picture, for JSON; with ``size`` they decide which earlier results count.  ``batch``: pictures a call of
    ``detect`` at most; as many again are read meanwhile.  ``size``: (height, width), or the best of
    several, to which pictures are brought; None: as they are.  ``strict``: damaged files are failed lines.
    ``by_name``: in the order of their names, and not as they come.  Writes ``results.jsonl`` as it goes and, at the
    end, ``summary.json`` and, if labels are known, ``confusion.md`` and ``confusion.png``.  A picture that cannot be
    read is a line with an error, not an end.  Raises ``InputError`` if ``output`` cannot be used; what ``detect``
    raises is not caught.
    """
    started = time.perf_counter()
    if batch < 1:
        raise InputError("A batch has at least one picture.")
    whole = {"settings": dict(settings), "size": size}
    with contextlib.ExitStack() as stack:
        listing = stack.enter_context(closing(Listing(items, _Apart(output).look, by_name)))
        journal = stack.enter_context(_opened(output))
        results = stack.enter_context(closing(Results(journal, settings_id(whole), listing.total)))
        book, shards = Book(results, listing.total, batch, progress), Shards(output, results.settings)
        shards.collect(results)
        results.begin()
        book.known(listing.compare(results.keys))
        if isinstance(detect, Engine):
            Fleet(book, detect, shards).all(listing.todo())
        else:
            Inline(book, detect, size, strict).all(listing.todo())
        shards.collect(results)
        same = alike.notes(output / RESULTS, results.settings, _nonces(settings), listing.where)
        notes = (*results.notes, *_notes(results, whole, output), *shards.notes, *same)
        return publish(_summary(book, time.perf_counter() - started, notes), output, whole)


def _nonces(settings: Mapping[str, Any]) -> dict[str, int]:
    """Nonces of a class by the id of its keyring, as the settings tell; nothing where they do not."""
    searched = settings.get("searched", [settings])
    rings = [one.get("keyring") for one in searched if isinstance(one, Mapping)]
    return {str(one.get("id")): int(one.get("nonces", 1)) for one in rings if isinstance(one, Mapping)}


@contextlib.contextmanager
def _opened(output: Path) -> Iterator[files.Journal]:
    """The journal of a results folder, for this process alone; raises ``InputError``."""
    busy = f"Another verification is writing to {output}; wait for its end or choose another folder."
    with files.locked(output, busy), files.Journal(output / RESULTS, is_ours) as journal:
        yield journal


def check_output(output: Path) -> None:
    """Refuse, before anything is loaded, a folder that is there and cannot be used; raises ``InputError``."""
    if os.path.lexists(output):
        with _opened(output):
            return


class _Apart:
    """Refuses an output whose figure would replace one of the pictures."""

    def __init__(self, output: Path) -> None:
        self._figure = os.path.realpath(output / FIGURE)

    def look(self, item: Item) -> None:
        """Raises ``InputError`` for the picture that would be replaced."""
        if item.path.name == FIGURE and item.address is None and os.path.realpath(item.path) == self._figure:
            raise InputError(f"The results would replace the picture {item.path}; choose another folder for them.")


def _notes(results: Results, settings: Mapping[str, Any], output: Path) -> list[str]:
    """What to say of results that do not count."""
    if not results.others:
        return []
    which = differences(output, settings)
    why = f" ({', '.join(which)})" if which else ""
    return [f"{RESULTS} also holds {results.others} results of other settings{why}, which are kept and not counted."]


def _summary(book: Book, seconds: float, notes: tuple[str, ...]) -> Summary:
    matrix, more = confusion(book.pairs)
    return Summary(
        total=book.total,
        checked=book.checked,
        resumed=book.resumed,
        copies=book.copies,
        failed=tuple(book.failed),
        failures=book.failures,
        found=counts(book.pairs),
        confusion=matrix,
        settings=book.results.settings,
        seconds=seconds,
        notes=(*notes, *more),
    )
