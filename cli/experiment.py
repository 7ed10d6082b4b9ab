"""``treering experiment``: the paper's tables and figures, treering's own studies, and the demo's training."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from click.core import ParameterSource

from treering.research import door
from treering.research.experiments import CHOOSING, SUMMARIES
from treering.research.studies import STUDIES

from .console import Mannered, emit, on_terminal, say, sentences, tell
from .helping import Narrow
from .options import Budgets, ModelChoice, Named, Seed, default_model_options, json_option


def _listed(names: Iterator[str]) -> str:
    return "\n".join(f"{name:19}{door.NAMES[name]}" for name in names)


_STEPS = tuple(dict.fromkeys(step for steps in (*door.MAKERS.values(), ("all",)) for step in steps))
"""Of all models that are made; which of them has which is checked later."""

_HELP = f"""Measure what Hong et al. (NeurIPS 2024) report on decoder inversion, and what treering itself does.

\b
Experiments of the paper, on any model:
{_listed(iter(SUMMARIES))}

\b
Studies behind treering's defaults and claims:
{_listed(iter(STUDIES))}

\b
Models that ship with the package:
{_listed(iter(door.MAKERS))}

Prints the table. In --output lie afterwards, of an experiment, table.md, rows.csv, figure.png and figure.svg (with
matplotlib), and rows.jsonl: the same command, on the same machine with as many threads, goes on where it was stopped,
and does only what is new if there are more --images. Of a study NAME there lie NAME.md and its raw rows; of a model
its pipeline.
With the demo model each experiment takes minutes on two cores.

--json prints one object: the experiment and its files.
"""


@click.command(
    cls=Mannered,
    short_help="Measure the decoder-inversion paper and treering itself.",
    help=_HELP,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 110},
)
@click.argument("name", type=click.Choice(tuple(door.NAMES)), metavar="NAME")
@click.argument("step", type=click.Choice(_STEPS), metavar="[STEP]", required=False)
@click.option(
    "--images",
    "--count",
    "count",
    type=click.IntRange(1, 100_000),
    metavar="N",
    show_default="a few, by experiment",
    help="How many pictures. More make the intervals narrower; an experiment does not measure earlier ones again.",
)
@click.option(
    "--iterations",
    type=Budgets(),
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
    show_default=f"{door.RESULTS}/experiments/NAME or {door.RESULTS}/studies",
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
@click.option(
    "--work",
    type=Named(),
    metavar="DIR",
    show_default=f"{door.WORK}/NAME",
    help="For a model that is made: folder of its checkpoints and of what it learns from.",
)
@default_model_options
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    name: str,
    step: str | None,
    count: int | None,
    iterations: tuple[int, ...] | None,
    seed: int,
    output: Path | None,
    attacks: str | None,
    methods: str | None,
    work: Path | None,
    model: ModelChoice,
    as_json: bool,
) -> None:
    """Run one experiment, study or step."""
    _check(ctx, name, step)
    if name in door.MAKERS:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    with sentences(interrupted="Interrupted; the same command goes on where it stopped."):
        request = door.Request(name, step, count, iterations, seed, model, output, work, attacks, methods)
        with _bar(name) as progress:
            result = door.run(request, door.Listener(progress, say if on_terminal() else _keep_quiet))
    _report(result, name, as_json)


command.context_class = Narrow


def _check(ctx: click.Context, name: str, step: str | None) -> None:
    """Refuse options that would change nothing."""
    steps = door.MAKERS.get(name)
    if steps and step not in (*steps, "all"):
        raise click.UsageError(f"{name} needs a step: {', '.join(steps)}, or all.")
    takes = {*door.takes(name), "name", "as_json"}
    for parameter in ctx.command.params:
        given = ctx.get_parameter_source(parameter.name or "") == ParameterSource.COMMANDLINE
        if given and parameter.name not in takes:
            what = parameter.opts[0] if isinstance(parameter, click.Option) else "step"
            raise click.UsageError(f"{name} has no {what}.")


def _keep_quiet(text: str) -> None:
    """Progress is for a terminal."""


@contextmanager
def _bar(name: str) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar, if there is a terminal and units are counted; a unit takes seconds to minutes."""
    if not on_terminal() or name not in SUMMARIES:
        yield None
        return
    bar = click.progressbar(length=1, label=name, width=30, show_pos=True, file=sys.stderr)

    def advance(done: int, total: int) -> None:
        bar.length = total
        bar.update(done - bar.pos)

    with bar:
        yield advance


def _report(result: door.Result, name: str, as_json: bool) -> None:
    for note in result.notes:
        say(note)
    if as_json:
        return emit({"experiment": name, "files": [str(path) for path in result.files], "notes": result.notes})
    if result.table:
        click.echo(result.table)
    for path in result.files:
        tell(f"Wrote {path}")
