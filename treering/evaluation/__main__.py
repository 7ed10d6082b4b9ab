"""Run a study: ``python -m treering.evaluation NAME``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main() -> None:
    """Print the study's table; progress goes to stderr."""
    parser = argparse.ArgumentParser(prog="python -m treering.evaluation", description=__doc__)
    parser.add_argument("name", choices=("methods", "patterns", "accuracy", "robustness", "null", "speed", "sizes"))
    parser.add_argument("--output", type=Path, default=Path("out/studies"), help="folder for tables and rows")
    parser.add_argument("--count", type=int, default=None, help="pictures; calls that sizes times")
    parser.add_argument("--model", default="demo", help="demo or a pipeline folder")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:1")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    if arguments.name == "speed":
        from .speed import speed

        print(speed(arguments.output, arguments.count or 1000))
        return
    if arguments.name == "sizes":
        from .sizes import sizes

        print(sizes(arguments.output, arguments.device, arguments.count or 1, _note))
        return
    from ..keys import Keyring
    from ..models import load
    from .studies import COUNTS, SECRET, STUDIES

    model = load(arguments.model, arguments.device)
    keyring = Keyring(secret=SECRET, shape=model.shape, image_size=model.image_size, public=True)
    study, count = STUDIES[arguments.name], arguments.count or COUNTS[arguments.name]
    print(study(model, keyring, arguments.output, count, _note))


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
