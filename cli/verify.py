"""``treering verify``: a folder of pictures checked, counted and compared with labels."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import treering
from treering.settings import Reading

from .console import SOME_FAILED, Failure, complain, emit, on_terminal, say, sentences, shown
from .options import (
    ModelChoice,
    Named,
    detector,
    json_option,
    keyring_option,
    keyring_path,
    model_options,
    reading_options,
)

if TYPE_CHECKING:
    from treering.batch import Item, Progress, Summary
    from treering.marks.keyring import Keyring
    from treering.models import LatentModel
    from treering.types import Found

MANIFEST, KEYRING = "manifest.csv", "keyring.json"
"""What a folder may bring along: the classes of its pictures, and a keyring, which is used only if it is named."""

RESULTS = "treering-results"
_COMPLAINTS = 20


@click.command(short_help="Check a folder of pictures and count what is found.")
@click.argument("source", type=Named(), metavar="FOLDER|MANIFEST")
@click.option(
    "--labels",
    metavar="folders|FILE|none",
    show_default=f"{MANIFEST} of the folder if it has one, else none",
    help="Where the true classes come from: the names of the folders that the pictures lie in (2, key-2, none, "
    "unmarked), a CSV file with the columns file and key, or nowhere.",
)
@click.option(
    "--output",
    type=Named(),
    metavar="DIR",
    show_default=f"{RESULTS}/NAME, with the folder's name",
    help="Folder for the results.",
)
@click.option(
    "--batch",
    type=click.IntRange(1, 1024),
    metavar="N",
    show_default="as many as go through the networks together",
    help="Pictures read at a time; results are saved after every batch.",
)
@keyring_option
@model_options
@reading_options
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    source: Path,
    labels: str | None,
    output: Path | None,
    batch: int | None,
    keyring: Path | None,
    model: ModelChoice,
    reading: Reading,
    as_json: bool,
) -> None:
    """Check all pictures in a folder and in the folders below it, or those that a manifest names.

    Prints how many pictures of which class were found and, where the true classes are known, the confusion matrix,
    accuracy and false positives with 95 % intervals (Wilson). A keyring.json in the folder is used only if you name
    it with --keyring, as for treering's sample pictures: --keyring samples/keyring.json.

    Results are saved as they come: the same command goes on where it was stopped. The folder that is checked stays
    as it is. In --output lie afterwards report.html (a page to look at), results.jsonl (one line for each picture),
    summary.json and, with labels, confusion.md and confusion.png.

    \b
    Manifest: a CSV file with the header file,key; files are relative to it, key is a number or none.
    --json prints one object: the summary. Exit code 3: some files could not be read, or are not
    assessable.
    """
    with sentences(interrupted="Interrupted; the same command goes on where it stopped."):
        from treering.batch.run import check_output

        _check_places(output)
        items = _items(source, labels)
        ring = _keyring(_folder(source), keyring)
        folder = output or _default_output(_folder(source))
        check_output(folder)
        summary = _verify(items, ring, model, reading, folder, batch, (source, labels))
        notes = _page(folder, items)
    _report(dataclasses.replace(summary, notes=(*summary.notes, *notes)), ring, folder, as_json)
    ctx.exit(SOME_FAILED if summary.failed or summary.not_assessable else 0)


def _check_places(output: Path | None) -> None:
    if str(output) == "-":
        raise Failure("Results are a folder of files; name one with --output, or use --json for the summary.")


# Which pictures


def _folder(source: Path) -> Path:
    return source if source.is_dir() else source.parent


def _items(source: Path, labels: str | None) -> list[Item]:
    from treering import batch
    from treering.pictures import images

    if source.is_dir():
        items = _labelled(source, batch.find(source), labels)
    elif source.suffix.lower() in images.SUFFIXES and source.exists():
        raise Failure(f"{source} is a picture; read it with `treering detect {source}`.")
    elif not source.exists():
        raise Failure(f"There is no folder or manifest {source}.")
    elif labels not in (None, str(source)):
        raise click.UsageError("A manifest has labels of its own; leave --labels out.")
    else:
        items = batch.labels_from_manifest(source)
    if not items:
        raise Failure(f"There are no pictures in {source}.")
    return items


def _labelled(folder: Path, items: list[Item], labels: str | None) -> list[Item]:
    from treering import batch

    if labels is None and (folder / MANIFEST).is_file():
        say(f"Labels are taken from {folder / MANIFEST}.")
        labels = str(folder / MANIFEST)
    if labels == "folders":
        return batch.labels_from_folders(items)
    if labels in (None, "none") or not items:
        return items
    return batch.labels_from_manifest(Path(labels or ""), items)


# With which keyring, and where to


def _keyring(folder: Path, given: Path | None) -> Keyring:
    """The keyring named, else the user's own; that of the folder is used only if it is the one that is named.

    A folder from somebody else must not decide how it is checked.
    """
    from treering.marks.keyring import Keyring

    path, theirs = keyring_path(given), folder / KEYRING
    if os.path.lexists(theirs) and os.path.realpath(theirs) != os.path.realpath(path):
        say(f"The keyring {theirs} in the folder is not used; --keyring {theirs} uses it.")
    return Keyring.load(path)


def _default_output(folder: Path) -> Path:
    """``treering-results/NAME``, here; beside the checked folder where here is in it."""
    checked = folder.resolve()
    path = Path(RESULTS, checked.name or "root")
    if not path.resolve().is_relative_to(checked):
        return path
    if checked.parent == checked:
        raise Failure("Results must not go into the folder that is checked; name a folder for them with --output.")
    return checked.parent / path


# The run


def _verify(
    items: Sequence[Item],
    keyring: Keyring,
    choice: ModelChoice,
    reading: Reading,
    output: Path,
    batch: int | None,
    source: tuple[Path, str | None],
) -> Summary:
    from treering.batch import verify
    from treering.review import Origin

    model = choice.load(keyring.model)
    read = detector(model, keyring, reading)
    settings = _settings(keyring, model, choice, reading)
    Origin.of(*source, settings, keyring.image_size, len(items)).write(output)
    with _bar(len(items)) as progress:
        return verify(
            items,
            read,
            output,
            settings,
            batch=batch or model.batching.rows("detect"),
            size=keyring.image_size,
            progress=progress,
            strict=reading.strict,
        )


def _settings(keyring: Keyring, model: LatentModel, choice: ModelChoice, reading: Reading) -> dict[str, Any]:
    """All that a result depends on besides the picture."""
    keys = keyring.as_dict()
    how = dataclasses.asdict(reading) | {"keys": _spans(reading.keys)}
    return {
        "treering": treering.__version__,
        "keyring": {name: keys[name] for name in ("id", "classes", "nonces", "variants", "steps")},
        "model": f"{model.name}:{model.fingerprint}",
        "device": choice.device,
        "dtype": choice.dtype,
        "tf32": choice.tf32,
        **how,
    }


def _spans(keys: Sequence[int] | None) -> str | None:
    if isinstance(keys, range):
        return f"{keys.start}-{keys.stop - 1}"
    return None if keys is None else ",".join(map(str, keys))


@contextmanager
def _bar(total: int) -> Iterator[Callable[[Progress], None] | None]:
    """A progress bar with rate and remaining time, if there is a terminal."""
    if not on_terminal():
        yield None
        return
    bar = click.progressbar(
        length=total, file=sys.stderr, width=30, show_pos=True, show_eta=False, item_show_func=_pace
    )
    with bar:
        yield lambda progress: bar.update(progress.done - bar.pos, progress)


def _pace(progress: Progress | None) -> str | None:
    if progress is None or progress.remaining is None:
        return None
    return f"{_rate(progress.rate)}, {_clock(progress.remaining)} left"


def _rate(rate: float) -> str:
    return f"{rate:.1f} a second" if rate >= 1 else f"{1 / rate:.1f} s each"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


# What came out


def _page(output: Path, items: Sequence[Item]) -> list[str]:
    """Write the report for people; results are there whether that goes or not."""
    from treering import review
    from treering.errors import InputError

    try:
        review.report(review.Folder.open(output), output / review.REPORT, items, unfinished=True)
    except InputError as error:
        return [f"{review.REPORT} was not written. {error}"]
    return []


def _report(summary: Summary, keyring: Keyring, output: Path, as_json: bool) -> None:
    for name, sentence in summary.failed[:_COMPLAINTS]:
        complain(sentence if name in sentence else f"{name}: {sentence}")
    if len(summary.failed) > _COMPLAINTS:
        say(f"{len(summary.failed) - _COMPLAINTS} more errors are in {output / 'results.jsonl'}.")
    for note in summary.notes:
        say(note)
    if as_json:
        return emit({**summary.as_dict(), "keyring": keyring.id, "output": str(output)})
    for line in _lines(summary):
        click.echo(line)
    click.echo(f"Results are in {shown(str(output))}")


def _lines(summary: Summary) -> Iterator[str]:
    from treering import report

    earlier = f", {summary.resumed} of them earlier" if summary.resumed else ""
    copies = f", {summary.copies} of them copies of others" if summary.copies else ""
    failed = f"; {len(summary.failed)} could not be read" if summary.failed else ""
    done = summary.checked + summary.resumed + summary.copies
    yield f"Checked {done} of {summary.total} pictures{earlier}{copies}{failed}."
    yield "Found: " + ", ".join(f"{_name(key)} {count}x" for key, count in summary.found.items())
    if summary.confusion:
        yield f"\n{report.confusion_text(summary.confusion)}\n"
        yield from report.rate_lines(summary.confusion)
        yield ""


def _name(found: Found) -> str:
    from treering import report

    return f"key {found}" if isinstance(found, int) else report.name(found)
