"""Which pictures `verify` checks, with which labels, and where its results go."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import Failure, say
from .options import KEYRING_FILE, Many

if TYPE_CHECKING:
    from treering.batch import Item
    from treering.review import Part

MANIFEST = "manifest.csv"
"""What a folder may bring along: the classes of its pictures."""

RESULTS = "treering-results"


@dataclass(frozen=True)
class Checked:
    """A source of pictures: a folder, an address, an archive, or a list; ``labels`` as given on the command line.

    ``keyrings``: their names, which a manifest may use, where several are searched.  ``counts``: how many pictures
    went by in the last listing: ``listed``, and of these ``changed`` since the moment asked for.
    """

    source: str
    labels: str | None
    many: Many
    keyrings: tuple[str, ...] = ()
    quiet: bool = False
    counts: Counter[str] = field(default_factory=Counter, compare=False)

    @property
    def kind(self) -> str:
        """What the source is; raises ``InputError`` for what is none."""
        from treering.batch import places

        return places.kind_of(self.source)

    @property
    def folder(self) -> Path | None:
        """The folder of the pictures, where they lie on this machine."""
        from treering.batch import remote

        if remote.is_address(self.source):
            return None
        path = Path(self.source)
        return path if path.is_dir() else path.parent

    @property
    def is_here(self) -> bool:
        """Whether the pictures are files on this machine."""
        return self.kind in ("folder", "manifest")

    def items(self) -> Iterable[Item]:
        """The pictures, one after the other; at least one.  Raises ``InputError``, also while it goes on."""
        from treering.batch import places

        self.counts.clear()
        items: Iterable[Item] = self._counted("listed", self._labelled(places.find(self.source, self.keyrings)))
        if self.many.since is not None:
            items = self._counted("changed", places.since(items, self.many.since))
        if self.many.sample is not None:
            items = places.sample(items, self.many.sample, self.many.seed)
        return self._not_empty(iter(items))

    def _counted(self, what: str, items: Iterable[Item]) -> Iterator[Item]:
        for item in items:
            self.counts[what] += 1
            yield item

    def part(self, whole: bool = False) -> Part | None:
        """Which of the pictures are asked for, None for all; ``whole``: with their numbers, as all went by."""
        from treering.review import Part

        many = self.many
        if many.sample is None and many.since is None:
            return None
        listed = self.counts["listed"] if whole else None
        changed = self.counts["changed"] if whole and many.since is not None else None
        return Part(many.sample, many.seed, many.since, listed, changed)

    def _not_empty(self, items: Iterator[Item]) -> Iterable[Item]:
        first = next(items, None)
        if first is None:
            late = "" if self.many.since is None else " that were changed since then"
            raise Failure(f"There are no pictures in {self.source}{late}.")
        return chain([first], items)

    def _labelled(self, items: Iterable[Item]) -> Iterable[Item]:
        from treering.batch.labels import labelled_by_folders, labelled_by_manifest

        labels = self.labels
        if self.kind in ("manifest", "parquet"):
            if labels not in (None, self.source):
                raise click.UsageError("A manifest has labels of its own; leave --labels out.")
            return items
        if labels is None and self.kind == "folder" and Path(self.source, MANIFEST).is_file():
            labels = str(Path(self.source, MANIFEST))
            if not self.quiet:
                say(f"Labels are taken from {labels}.")
        if labels == "folders":
            return labelled_by_folders(items)
        return items if labels in (None, "none") else labelled_by_manifest(Path(labels or ""), items, self.keyrings)

    def warn_of_keyring(self, used: Sequence[Path]) -> None:
        """Say that a keyring in the folder is not used, unless it is one of those that are named.

        A folder from somebody else must not decide how it is checked.
        """
        theirs = self.folder and self.folder / KEYRING_FILE
        if theirs and os.path.lexists(theirs) and os.path.realpath(theirs) not in map(os.path.realpath, used):
            say(f"The keyring {theirs} in the folder is not used; --keyring {theirs} uses it.")

    def output(self) -> Path:
        """``treering-results/NAME``, here; beside the checked folder where here is in it."""
        from treering.batch import places

        if self.kind != "folder" and (self.folder is None or self.kind == "archive"):
            return Path(RESULTS, places.short_name(self.source))
        checked = (self.folder or Path()).resolve()
        path = Path(RESULTS, checked.name or "root")
        if not path.resolve().is_relative_to(checked):
            return path
        if checked.parent == checked:
            raise Failure("Results must not go into the folder that is checked; name a folder for them with --output.")
        return checked.parent / path
