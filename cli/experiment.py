"""``treering experiment``: the paper's tables and figures."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from treering.research.experiments import CHOOSING, SUMMARIES

from .console import emit, on_terminal, say, sentences, shown
from .options import ModelChoice, Named, Seed, demo_model_options, json_option, whole

if TYPE_CHECKING:
    from treering.research.experiments.bench import Outcome

RESULTS = Path("treering-results", "experiments")


def _iterations(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """``20,50,100``."""
    if value is None:
        return None
    try:
        numbers = tuple(whole(word.strip()) for word in value.split(","))
    except ValueError:
        numbers = (0,)
    if not 0 < min(numbers) <= max(numbers) <= 100_000:
        raise click.BadParameter(f"{value!r} is not a list of numbers from 1 up, such as 20,50,100.")
    return numbers


_HELP = """Measure what Hong et al. (NeurIPS 2024) report on gradient-free decoder inversion, and what marks withstand.

\b
{names}

Prints the table. In --output lie afterwards table.md, rows.csv, figure.png and figure.svg (with matplotlib), and
rows.jsonl: the same command, on the same machine with as many threads, goes on where it was stopped, and does only
what is new if there are more --images.
With the demo model each takes minutes on two cores.

--json prints one object: the experiment and its files.
""".format(names="\n".join(f"{name:19}{text}" for name, text in SUMMARIES.items()))


@click.command(short_help="Measure a table and figure of the decoder-inversion paper.", help=_HELP)
@click.argument("name", type=click.Choice(tuple(SUMMARIES)), metavar="NAME")
@click.option(
    "--images",
    type=click.IntRange(1, 100_000),
    metavar="N",
    show_default="a few, by experiment",
    help="How many pictures. More make the intervals narrower; earlier ones are not measured again.",
)
@click.option(
    "--iterations",
    callback=_iterations,
    metavar="N,N,...",
    show_default="by experiment",
    help="Budgets of the iterative methods; all but decoder-inversion and ablation take the largest alone. "
    "The paper has 20,30,50,100,200.",
)
@click.option("--seed", type=Seed(), default=0, metavar="N", help="Other pictures for another number.")
@click.option(
    "--output",
    type=Named(),
    metavar="DIR",
    show_default=f"{RESULTS}/NAME",
    help="Folder for the results.",
)
@click.option(
    "--attacks",
    metavar="NAMES",
    show_default="13 of all kinds",
    help=f"For {CHOOSING}: selections (default, tree-ring, gaussian-shading, ringid, waves, poses, formats, curves, "
    "all) or attacks, such as jpeg:25,crop; `treering attack --list` shows all.",
)
@click.option(
    "--methods",
    metavar="NAMES",
    show_default="treering at every effort, others at max",
    help=f"For {CHOOSING}: marks, or marks with an effort, such as 'treering, max; Gaussian Shading'.",
)
@demo_model_options
@json_option
def command(
    name: str,
    images: int | None,
    iterations: tuple[int, ...] | None,
    seed: int,
    output: Path | None,
    attacks: str | None,
    methods: str | None,
    model: ModelChoice,
    as_json: bool,
) -> None:
    """Run one experiment."""
    from treering.research import experiments

    if name != CHOOSING and (attacks is not None or methods is not None):
        raise click.UsageError(f"--attacks and --methods are for the experiment {CHOOSING} alone.")
    with sentences(interrupted="Interrupted; the same command goes on where it stopped."):
        from treering.research.experiments.bench import Settings, run

        experiment = experiments.get(name)
        if name == CHOOSING:
            from treering.research.experiments.robustness import chosen

            experiment = chosen(attacks, methods)
        budgets, which = iterations or experiment.iterations, (model.name or "demo", model.device, model.dtype)
        settings = Settings(images or experiment.images, budgets, *which, seed, model.download)
        folder = output or RESULTS / name
        with _bar(name) as progress:
            outcome = run(experiment, settings, folder, progress)
    _report(outcome, name, as_json)


@contextmanager
def _bar(name: str) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar, if there is a terminal; a unit takes seconds to minutes."""
    if not on_terminal():
        yield None
        return
    bar = click.progressbar(length=1, label=name, width=30, show_pos=True, file=sys.stderr)

    def tell(done: int, total: int) -> None:
        bar.length = total
        bar.update(done - bar.pos)

    with bar:
        yield tell


def _report(outcome: Outcome, name: str, as_json: bool) -> None:
    for note in outcome.notes:
        say(note)
    if as_json:
        return emit({"experiment": name, "files": [str(path) for path in outcome.files], "notes": outcome.notes})
    click.echo(outcome.table)
    for path in outcome.files:
        click.echo(f"Wrote {shown(str(path))}")
