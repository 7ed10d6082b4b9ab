"""The front door of research: ``python -m treering.research NAME``.

``NAME`` is a study, an experiment of the paper (as ``treering experiment NAME``), or ``demo STEP``, which makes the
demo model.
"""

from __future__ import annotations

import argparse
import logging
import sys
from importlib import import_module
from pathlib import Path

from .demo.steps import STEPS, make
from .experiments import SUMMARIES
from .studies import STUDIES


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m treering.research", description=__doc__)
    names = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    for name, (count, text) in STUDIES.items():
        _study_options(names.add_parser(name, help=text, description=text), count)
    for name, text in SUMMARIES.items():
        _experiment_options(names.add_parser(name, help=text, description=text))
    _demo_options(names.add_parser("demo", help="make the demo model, step by step"))
    return parser


def _study_options(parser: argparse.ArgumentParser, count: int) -> None:
    parser.add_argument("--output", type=Path, default=Path("out/studies"), help="folder for tables and rows")
    parser.add_argument("--count", type=int, default=count, help=f"pictures [{count}]")
    _model_options(parser)


def _experiment_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, default=None, help="folder for the results [out/experiments/NAME]")
    parser.add_argument("--count", type=int, default=None, help="pictures [a few, by experiment]")
    parser.add_argument("--iterations", type=int, nargs="+", default=None, help="budgets [by experiment]")
    _model_options(parser)


def _model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="demo", help="demo or a pipeline folder")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:1")


def _demo_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("step", choices=(*STEPS, "all"), help="what to do; every step resumes where it was stopped")
    parser.add_argument("--work", type=Path, default=Path("work/demo"), help="folder of pictures and checkpoints")
    parser.add_argument("--output", type=Path, default=None, help="pipeline folder [the one in the package]")
    parser.add_argument("--scenes", type=int, default=6000, help="training pictures [6000]")


def main() -> None:
    """Print the table of a study or experiment; progress goes to stderr."""
    given = _parser().parse_args()
    if given.name == "demo":
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
        make(given.step, given.work, given.output, given.scenes)
    elif given.name in SUMMARIES:
        print(_experiment(given))
    else:
        given.output.mkdir(parents=True, exist_ok=True)
        print(_study(given))


def _study(given: argparse.Namespace) -> str:
    module = import_module(f"{__package__}.studies.{given.name}")
    if given.name == "speed":
        return str(module.speed(given.output, given.count))
    if given.name == "families":
        return str(module.families(given.output, given.count, _note))
    if given.name == "sizes":
        return str(module.sizes(given.output, given.device, given.count, _note))
    from ..marks.keyring import Keyring
    from ..models import load
    from .common import SECRET

    model = load(given.model, given.device)
    keyring = Keyring(secret=SECRET, shape=model.shape, image_size=model.image_size, public=True)
    return str(getattr(module, given.name)(model, keyring, given.output, given.count, _note))


def _experiment(given: argparse.Namespace) -> str:
    from .experiments import bench, get

    experiment = get(given.name)
    settings = bench.Settings(
        given.count or experiment.images,
        tuple(given.iterations or experiment.iterations),
        given.model,
        given.device,
    )
    folder = given.output or Path("out/experiments") / given.name
    outcome = bench.run(experiment, settings, folder, lambda done, total: _note(f"{done} of {total}"))
    return "\n".join((outcome.table, *outcome.notes))


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
