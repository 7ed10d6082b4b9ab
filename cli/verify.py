"""``treering verify``: a folder of pictures checked, counted and compared with labels."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from treering.settings import Reading

from .checked import MANIFEST, RESULTS, Checked
from .console import SOME_FAILED, Failure, complain, emit, on_terminal, say, sentences, shown
from .options import (
    FiniteRange,
    Many,
    ModelChoices,
    Named,
    Place,
    json_option,
    keyring_path,
    keyrings_option,
    many_options,
    models_options,
    reading_options,
)
from .searched import Searched, names_of
from .work import recipe, work

if TYPE_CHECKING:
    from treering.batch import Item, Progress, Summary
    from treering.review import Shelf
    from treering.types import Found

_COMPLAINTS = 20


@click.command(short_help="Check a folder of pictures and count what is found.")
@click.argument("source", type=Place(), metavar="SOURCE")
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
@click.option(
    "--run-fpr",
    type=FiniteRange(0, 1, min_open=True, max_open=True),
    metavar="P",
    show_default="each picture by itself: --fpr",
    help="Bound the probability that any picture of the whole run is named falsely: each gets P divided by the number "
    "of pictures as its --fpr. With more pictures all are read again.",
)
@keyrings_option
@models_options
@reading_options
@many_options
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    source: str,
    labels: str | None,
    output: Path | None,
    batch: int | None,
    run_fpr: float | None,
    keyrings: tuple[Path, ...],
    models: ModelChoices,
    reading: Reading,
    many: Many,
    as_json: bool,
) -> None:
    """Check all pictures and clips in a folder and the folders below it, in a bucket, an archive, or those of a list.

    SOURCE is a folder; an address s3://, gs:// or https:// (each with its extra: pip install 'treering[s3]', [gcs],
    [https]); a ZIP or TAR of pictures, here or at an address; a manifest; or a Parquet file ([parquet]) with the
    columns of a manifest, whose files may be addresses.

    Prints how many pictures of which class were found and, where the true classes are known, the confusion matrix,
    accuracy and false positives with 95 % intervals (Wilson). A keyring.json in the folder is used only if you name
    it with --keyring, as for treering's sample pictures: --keyring samples/keyring.json.

    Results are saved as they come: the same command goes on where it was stopped, with any engine and any number of
    workers, and reads only what is new or has changed. What is checked stays as it is. In --output lie afterwards
    report.html (a page to look at), results.jsonl (one line for each picture), summary.json and, with labels,
    confusion.md and confusion.png.

    \b
    Manifest: a CSV file with the header file,key; files are relative to it, key is a number or none.
    Where several keyrings are searched, a column keyring may say whose class it is, by the name of the keyring's
    file; without it, a class is right whosesoever it is.
    --json prints one object: the summary. Exit code 3: some files could not be read, or are not
    assessable.
    """
    with sentences(interrupted="Interrupted; the same command goes on where it stopped."):
        from treering.batch.run import check_output

        _check_places(output)
        checked = Checked(source, labels, many, names_of(keyrings) if len(keyrings) > 1 else ())
        items = checked.items()  # what is wrong with the first of them is said before anything is loaded or written
        if max(len(keyrings), len(models.names)) > 1:
            items = _no_clips(items)
        checked.warn_of_keyring(keyrings or (keyring_path(None),))
        if run_fpr is not None:
            items = list(items)  # as many as there are, before the first is read
            reading = _shared(ctx, reading, run_fpr, len(items))
        searched = Searched.load(keyrings, models, reading)
        _ = searched.class_names  # a broken file of names is told before the work
        folder = output or checked.output()
        check_output(folder)
        from treering.review import Shelf

        shelf = Shelf()
        run = Run(shelf.filled(items), checked, searched, reading, many, folder, batch)
        summary = _bounded(_verify(run), reading, run_fpr)
        part = checked.part(whole=True)
        summary = replace(summary, notes=(*summary.notes, *(part.sentences() if part else ()), *_page(folder, shelf)))
    _report(summary, searched, folder, as_json)
    ctx.exit(SOME_FAILED if summary.failures or summary.not_assessable else 0)


def _check_places(output: Path | None) -> None:
    if str(output) == "-":
        raise Failure("Results are a folder of files; name one with --output, or use --json for the summary.")


def _shared(ctx: click.Context, reading: Reading, run_fpr: float, count: int) -> Reading:
    """The reading with its part of the whole run's false-positive rate (Bonferroni)."""
    if ctx.get_parameter_source("fpr") is not ParameterSource.DEFAULT:
        raise click.UsageError("--fpr and --run-fpr exclude each other; give one of them.")
    return replace(reading, fpr=run_fpr / count)


def _bounded(summary: Summary, reading: Reading, run_fpr: float | None) -> Summary:
    """The summary with what --run-fpr promises."""
    if run_fpr is None:
        return summary
    sentence = (
        f"The probability that any of these {summary.total} pictures is named falsely is at most {run_fpr:g}: each was "
        f"named up to p = {reading.fpr:.3g}."
    )
    return replace(summary, notes=(*summary.notes, sentence))


def _no_clips(items: Iterable[Item]) -> Iterator[Item]:
    from treering import clips

    for item in items:
        if item.address is None and clips.is_clip(item.path):
            raise Failure(f"{item.name} is a clip; clips are searched for one keyring with one model.")
        yield item


# The run


@dataclass(frozen=True)
class Run:
    """All that a run is made of."""

    items: Iterable[Item]
    checked: Checked
    searched: Searched
    reading: Reading
    many: Many
    output: Path
    batch: int | None


def _verify(run: Run) -> Summary:
    from treering.batch import engines, verify

    by_name = run.checked.kind == "folder"
    if run.many.is_inline:
        own = work(run.searched, run.reading, run.batch)
        about = own.about()
        _begin(run, about)
        with _bar() as progress:
            found = verify(run.items, own.detect, run.output, progress=progress, by_name=by_name, **about)
    else:
        made = recipe(run.searched, run.reading, run.batch)
        with engines.get(run.many.engine, made, run.many.workers) as engine, _bar() as progress:
            about = engine.about
            _begin(run, about)
            found = verify(run.items, engine, run.output, progress=progress, by_name=by_name, **about)
    _begin(run, about, found)
    return found


def _begin(run: Run, about: Mapping[str, Any], found: Summary | None = None) -> None:
    """Write down what is asked for; ``found``: what came out, once that is known."""
    from treering.review import Origin

    checked, total = run.checked, None if found is None else found.total
    names = {} if found is None else run.searched.called(found)
    part = checked.part(whole=found is not None)
    origin = Origin.of(checked.source, checked.labels, about["settings"], about["size"], total, part, names)
    origin.write(run.output)


@contextmanager
def _bar() -> Iterator[Callable[[Progress], None] | None]:
    """A progress bar with counts, rate and remaining time, if there is a terminal."""
    if not on_terminal():
        yield None
        return
    bar = click.progressbar(length=1, file=sys.stderr, width=30, show_pos=True, show_eta=False, item_show_func=_pace)
    with bar:

        def tell(progress: Progress) -> None:
            bar.length = max(progress.total, 1)
            bar.update(progress.done - bar.pos, progress)

        yield tell


def _pace(progress: Progress | None) -> str | None:
    if progress is None:
        return None
    counts = {"marked": progress.marked, "failed": progress.failed}
    parts = [f"{count} {name}" for name, count in counts.items() if count]
    if progress.remaining is not None:
        parts += [_rate(progress.rate), f"{_clock(progress.remaining)} left"]
    return ", ".join(parts) or None


def _rate(rate: float) -> str:
    return f"{rate:.1f} a second" if rate >= 1 else f"{1 / rate:.1f} s each"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


# What came out


def _page(output: Path, shelf: Shelf) -> list[str]:
    """Write the report for people; results are there whether that goes or not.  ``shelf``: what was listed."""
    from treering import review
    from treering.errors import InputError

    try:
        review.report(review.Folder.open(output), output / review.REPORT, shelf, unfinished=True)
    except InputError as error:
        return [f"{review.REPORT} was not written. {error}"]
    return []


def _report(summary: Summary, searched: Searched, output: Path, as_json: bool) -> None:
    for name, sentence in summary.failed[:_COMPLAINTS]:
        complain(sentence if name in sentence else f"{name}: {sentence}")
    if summary.failures > _COMPLAINTS:
        say(f"{summary.failures - _COMPLAINTS} more errors are in {output / 'results.jsonl'}.")
    for note in summary.notes:
        say(note)
    if as_json:
        ids = [ring.id for ring in searched.keyrings]
        which = {"keyrings": dict(zip(searched.names, ids, strict=True))} if searched.several else {"keyring": ids[0]}
        called = {"names": searched.called(summary)}
        return emit({**summary.as_dict(), **which, **called, "output": str(output)})
    for line in _lines(summary, searched.called(summary)):
        click.echo(line)
    click.echo(f"Results are in {shown(str(output))}")


def _lines(summary: Summary, names: Mapping[str, str]) -> Iterator[str]:
    from treering import report

    earlier = f", {summary.resumed} of them earlier" if summary.resumed else ""
    copies = f", {summary.copies} of them copies of others" if summary.copies else ""
    failed = f"; {summary.failures} could not be read" if summary.failures else ""
    done = summary.checked + summary.resumed + summary.copies
    yield f"Checked {done} of {summary.total} pictures{earlier}{copies}{failed}."
    yield "Found: " + ", ".join(f"{_name(key, names)} {count}x" for key, count in summary.found.items())
    if summary.confusion:
        yield f"\n{report.confusion_text(summary.confusion)}\n"
        yield from report.rate_lines(summary.confusion)
        yield ""


def _name(found: Found, names: Mapping[str, str]) -> str:
    from treering import report
    from treering.types import Key

    called = names.get(report.name(found))
    quoted = f' "{shown(called)}"' if called else ""
    if isinstance(found, int):
        return f"key {found}{quoted}"
    return f"key {found.key} of {shown(found.keyring)}{quoted}" if isinstance(found, Key) else report.name(found)
