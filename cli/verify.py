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
from click.core import ParameterSource

import treering
from treering.settings import AUTO, Reading

from .console import SOME_FAILED, Failure, complain, emit, on_terminal, say, sentences, shown
from .options import (
    FiniteRange,
    ModelChoices,
    Named,
    detector,
    json_option,
    keyring_path,
    keyrings_option,
    models_options,
    reading_options,
)
from .searched import Searched, names_of

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
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    source: Path,
    labels: str | None,
    output: Path | None,
    batch: int | None,
    run_fpr: float | None,
    keyrings: tuple[Path, ...],
    models: ModelChoices,
    reading: Reading,
    as_json: bool,
) -> None:
    """Check all pictures and clips in a folder and in the folders below it, or those that a manifest names.

    Prints how many pictures of which class were found and, where the true classes are known, the confusion matrix,
    accuracy and false positives with 95 % intervals (Wilson). A keyring.json in the folder is used only if you name
    it with --keyring, as for treering's sample pictures: --keyring samples/keyring.json.

    Results are saved as they come: the same command goes on where it was stopped. The folder that is checked stays
    as it is. In --output lie afterwards results.jsonl (one line for each picture), summary.json and, with labels,
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
        items = _items(source, labels, names_of(keyrings) if len(keyrings) > 1 else ())
        reading = _shared(ctx, reading, run_fpr, len(items))
        searched = _searched(_folder(source), keyrings, models, reading)
        folder = output or _default_output(_folder(source))
        check_output(folder)
        summary = _bounded(_verify(items, searched, reading, folder, batch), reading, run_fpr)
    _report(summary, searched, folder, as_json)
    ctx.exit(SOME_FAILED if summary.failed or summary.not_assessable else 0)


def _check_places(output: Path | None) -> None:
    if str(output) == "-":
        raise Failure("Results are a folder of files; name one with --output, or use --json for the summary.")


# Which pictures


def _folder(source: Path) -> Path:
    return source if source.is_dir() else source.parent


def _items(source: Path, labels: str | None, keyrings: Sequence[str]) -> list[Item]:
    from treering import batch
    from treering.pictures import images

    if source.is_dir():
        items = _labelled(source, batch.find(source), labels, keyrings)
    elif source.suffix.lower() in images.SUFFIXES and source.exists():
        raise Failure(f"{source} is a picture; read it with `treering detect {source}`.")
    elif not source.exists():
        raise Failure(f"There is no folder or manifest {source}.")
    elif labels not in (None, str(source)):
        raise click.UsageError("A manifest has labels of its own; leave --labels out.")
    else:
        items = batch.labels_from_manifest(source, None, keyrings)
    if not items:
        raise Failure(f"There are no pictures in {source}.")
    return items


def _labelled(folder: Path, items: list[Item], labels: str | None, keyrings: Sequence[str]) -> list[Item]:
    from treering import batch

    if labels is None and (folder / MANIFEST).is_file():
        say(f"Labels are taken from {folder / MANIFEST}.")
        labels = str(folder / MANIFEST)
    if labels == "folders":
        return batch.labels_from_folders(items)
    if labels in (None, "none") or not items:
        return items
    return batch.labels_from_manifest(Path(labels or ""), items, keyrings)


def _shared(ctx: click.Context, reading: Reading, run_fpr: float | None, count: int) -> Reading:
    """The reading with its part of the whole run's false-positive rate (Bonferroni)."""
    if run_fpr is None:
        return reading
    if ctx.get_parameter_source("fpr") is not ParameterSource.DEFAULT:
        raise click.UsageError("--fpr and --run-fpr exclude each other; give one of them.")
    return dataclasses.replace(reading, fpr=run_fpr / count)


def _bounded(summary: Summary, reading: Reading, run_fpr: float | None) -> Summary:
    """The summary with what --run-fpr promises."""
    if run_fpr is None:
        return summary
    sentence = (
        f"The probability that any of these {summary.total} pictures is named falsely is at most {run_fpr:g}: each was "
        f"named up to p = {reading.fpr:.3g}."
    )
    return dataclasses.replace(summary, notes=(*summary.notes, sentence))


# With which keyring, and where to


def _searched(folder: Path, given: Sequence[Path], models: ModelChoices, reading: Reading) -> Searched:
    """The keyrings named, else the user's own; that of the folder is used only if it is one that is named.

    A folder from somebody else must not decide how it is checked.
    """
    paths, theirs = tuple(given) or (keyring_path(None),), folder / KEYRING
    if os.path.lexists(theirs) and os.path.realpath(theirs) not in map(os.path.realpath, paths):
        say(f"The keyring {theirs} in the folder is not used; --keyring {theirs} uses it.")
    return Searched.load(paths, models, reading)


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


def _verify(items: Sequence[Item], searched: Searched, reading: Reading, output: Path, batch: int | None) -> Summary:
    from treering.batch import Detect, verify
    from treering.reading.clips import either

    read: Detect
    if searched.several:
        _check_no_clips(items)
        read = searched.detectors(reading)
        pairs = [(one.model, one.keyring) for one in read.all]
    else:
        model = searched.model.load(searched.keyring.model)
        read, pairs = either(detector(model, searched.keyring, reading)), [(model, searched.keyring)]
    settings = _settings(pairs, searched, reading)
    rows = max(model.batching.rows("detect") for model, _ in pairs)
    with _bar(len(items)) as progress:
        return verify(
            items,
            read,
            output,
            settings,
            batch=batch or rows,
            size=searched.size,
            progress=progress,
            strict=reading.strict,
        )


def _check_no_clips(items: Sequence[Item]) -> None:
    from treering import clips

    for item in items:
        if clips.is_clip(item.path):
            raise Failure(f"{item.name} is a clip; clips are searched for one keyring with one model.")


def _settings(pairs: Sequence[tuple[LatentModel, Keyring]], searched: Searched, reading: Reading) -> dict[str, Any]:
    """All that a result depends on besides the picture."""
    how = dataclasses.asdict(reading) | {"keys": _spans(reading.keys)}
    what = [{"keyring": _identity(ring), "model": f"{model.name}:{model.fingerprint}"} for model, ring in pairs]
    several = {"searched": what, "names": list(searched.names)}
    return {
        "treering": treering.__version__,
        **(several if searched.several else what[0]),
        "device": searched.models.device,
        "dtype": next((model.chosen for model, _ in pairs if searched.models.dtype == AUTO), searched.models.dtype),
        "tf32": searched.models.tf32,
        **how,
    }


def _identity(keyring: Keyring) -> dict[str, Any]:
    """What of a keyring decides on results."""
    keys = keyring.as_dict()
    return {name: keys[name] for name in ("id", "classes", "nonces", "variants", "steps")}


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


def _report(summary: Summary, searched: Searched, output: Path, as_json: bool) -> None:
    for name, sentence in summary.failed[:_COMPLAINTS]:
        complain(sentence if name in sentence else f"{name}: {sentence}")
    if len(summary.failed) > _COMPLAINTS:
        say(f"{len(summary.failed) - _COMPLAINTS} more errors are in {output / 'results.jsonl'}.")
    for note in summary.notes:
        say(note)
    if as_json:
        ids = [ring.id for ring in searched.keyrings]
        which = {"keyrings": dict(zip(searched.names, ids, strict=True))} if searched.several else {"keyring": ids[0]}
        return emit({**summary.as_dict(), **which, "output": str(output)})
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
    from treering.types import Key

    if isinstance(found, int):
        return f"key {found}"
    return f"key {found.key} of {shown(found.keyring)}" if isinstance(found, Key) else report.name(found)
