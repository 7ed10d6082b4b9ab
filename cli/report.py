"""``treering report``: the results of a run as one page for people."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import Failure, emit, say, sentences, shown
from .options import Named, NamedFile, force_option, json_option

if TYPE_CHECKING:
    from treering.review import Folder, Shelf

ROWS, MOST_ROWS = 100_000, 1_000_000


@click.command(short_help="Tell the results of a run on one page.")
@click.argument("results", type=Named(), metavar="RESULTS")
@click.option(
    "--output", type=NamedFile(), metavar="FILE", show_default="report.html in RESULTS", help="The file to write."
)
@click.option("--settings", metavar="ID", show_default="those of the last run", help="Results of which settings.")
@click.option(
    "--keyring",
    type=NamedFile(),
    metavar="FILE",
    show_default="as they were when the run ended",
    help="Take names of classes from those of this keyring as they are now; its secret is not needed for anything.",
)
@click.option(
    "--rows",
    type=click.IntRange(0, MOST_ROWS),
    default=ROWS,
    metavar="N",
    help="Pictures of the table at most; the strangest and the named ones first.",
)
@click.option("--unfinished", is_flag=True, help="Report a run that has not come to its end, and say so in it.")
@force_option("Overwrite the file named with --output.")
@json_option
def command(
    results: Path,
    output: Path | None,
    settings: str | None,
    keyring: Path | None,
    rows: int,
    unfinished: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Write what `treering verify` has found as one HTML file.

    It tells what was checked with what, the confusion matrix and its rates, the strength of evidence, how many false
    positives were to be expected and were found, the strangest pictures, and every result in a table that sorts and
    filters. The file holds all it needs: it asks nothing of any network, opens from the disk, and can be printed or
    sent.

    A run of millions of pictures is told whole: all counts are of all, and the table has as many as --rows says.

    RESULTS is the folder that verify wrote its results to. Labels and thumbnails are taken from the pictures where
    they were; if they are not there any more, the report has none.
    """
    with sentences():
        from treering import review

        target = _target(output, results, force)
        folder = review.Folder.open(results, settings)
        names, place = _names(keyring, folder), target or folder.path / review.REPORT
        notes = review.report(folder, place, _items(folder), unfinished=unfinished, rows=rows, names=names)
        for note in notes:
            say(note)
    if as_json:
        return emit({"file": str(place), "notes": notes})
    click.echo(f"The report is {shown(str(place))}")


def _target(output: Path | None, results: Path, force: bool) -> Path | None:
    if output is None:
        return None
    if str(output) == "-":
        raise Failure("A report is not written to standard output; name a file.")
    if output.is_dir():
        raise Failure(f"{output} is a folder; name a file in it, such as {output / 'report.html'}.")
    if os.path.lexists(output) and not force:
        raise Failure(f"{output} exists already; use --force to overwrite it.")
    return output


def _names(keyring: Path | None, folder: Folder) -> dict[str, str] | None:
    """Names of the keyring's classes as they are now; None where none is named."""
    if keyring is None:
        return None
    from treering.marks import names
    from treering.marks.keyring import Keyring

    ring = Keyring.load(keyring)
    settings = folder.origin.settings if folder.origin else {}
    of = settings.get("names")
    if isinstance(of, list):  # a search of several names its classes by the keyring's file too
        return {f"{keyring.stem} {key}": name for key, name in names.load(keyring, ring).names.items()}
    searched = settings.get("keyring")
    if isinstance(searched, Mapping) and searched.get("id") not in (None, ring.id):
        raise Failure(f"The results are of the keyring {searched['id']}, not of {ring.id}, which is in {keyring}.")
    return {str(key): name for key, name in names.load(keyring, ring).names.items()}


def _items(folder: Folder) -> Shelf | None:
    """The pictures of the run with their labels, where they still are."""
    from treering.errors import TreeringError
    from treering.review import Part, Shelf

    from .checked import Checked
    from .options import Many

    origin = folder.origin
    if origin is None or not origin.path:
        say("The results do not tell where the pictures are, so that the report has no thumbnails and no labels.")
        return None
    try:
        part = origin.part or Part()
        many = Many(sample=part.sample, seed=part.seed, since=part.since)
        checked = Checked(origin.path, origin.labels, many, tuple(origin.settings.get("names", ())))
        if not checked.is_here:
            return None
        whole = origin.total is not None  # what came since the run has ended is not missing
        return Shelf(item for item in checked.items() if not whole or item.name in folder.last)
    except (TreeringError, click.ClickException) as error:
        say(f"The report has no thumbnails and no labels. {error}")
        return None
