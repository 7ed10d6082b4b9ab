"""The steps that make the one-step demo model, in order; every one resumes where it was stopped."""

from __future__ import annotations

from pathlib import Path

STEPS = ("couplings", "reflow", "straight", "distil", "export", "measure")


def make(step: str, work: Path, output: Path | None) -> None:
    """Run one step, or ``all``: ``work`` holds couplings and checkpoints, ``output`` is the pipeline folder."""
    for name in STEPS if step == "all" else (step,):
        _run(name, work, output)


def _run(step: str, work: Path, output: Path | None) -> None:
    if step == "measure":
        from ...models.demo.flow import FOLDER
        from . import quality

        return quality.measure(output or FOLDER)
    from . import export, training

    if step == "export":
        return export.export(work, output)
    {
        "couplings": training.draw_teacher,
        "reflow": training.reflow,
        "straight": training.draw_flow,
        "distil": training.distil,
    }[step](work)
