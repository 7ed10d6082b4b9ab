"""Make the demo model: ``python -m treering.models.demo STEP --work DIR``."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

STEPS = ("data", "autoencoder", "latents", "diffusion", "export", "measure")


def main() -> None:
    """Run one step, or all of them in order."""
    parser = argparse.ArgumentParser(prog="python -m treering.models.demo", description=__doc__)
    parser.add_argument("step", choices=(*STEPS, "all"), help="what to do; every step resumes where it was stopped")
    parser.add_argument("--work", type=Path, default=Path("work/demo"), help="folder of pictures and checkpoints")
    parser.add_argument("--output", type=Path, default=None, help="pipeline folder [the one in the package]")
    parser.add_argument("--scenes", type=int, default=6000, help="training pictures [6000]")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for step in STEPS if arguments.step == "all" else (arguments.step,):
        _run(step, arguments.work, arguments.output, arguments.scenes)


def _run(step: str, work: Path, output: Path | None, count: int) -> None:
    from . import WEIGHTS, data

    folder = output or WEIGHTS
    if step == "data":
        return data.render(work, count)
    if step == "measure":
        from . import quality

        return quality.measure(folder)
    from . import export, training

    if step == "export":
        return export.export(work, folder)
    {
        "autoencoder": training.train_autoencoder,
        "latents": training.encode_all,
        "diffusion": training.train_diffusion,
    }[step](work)


if __name__ == "__main__":
    main()
