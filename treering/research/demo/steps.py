"""The steps that make the demo model, in order; every one resumes where it was stopped."""

from __future__ import annotations

from pathlib import Path

STEPS = ("data", "autoencoder", "latents", "diffusion", "export", "measure")


def make(step: str, work: Path, output: Path | None, scenes: int) -> None:
    """Run one step, or ``all``: ``work`` holds pictures and checkpoints, ``output`` is the pipeline folder."""
    for name in STEPS if step == "all" else (step,):
        _run(name, work, output, scenes)


def _run(step: str, work: Path, output: Path | None, count: int) -> None:
    from ...models.demo import WEIGHTS
    from . import data

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
