"""One marked picture and the model: its mark put on another picture, or taken off, by optimisation.

Reprompting: the noise recovered from a marked picture begins another one.  Imprinting: the latent of a picture
is moved until the noise recovered from it is that of a marked one; removal: until it is the opposite (Mueller et al.,
Black-Box Forgery Attacks on Semantic Watermarks for Diffusion Models, CVPR 2025).  Here the attacker has the model
itself, which is the worst case.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ... import files, writing
from ...marks.keyring import Keyring
from ...models import LatentModel
from ...models.walk import invert
from ...pictures import images
from .. import averaging, scores
from ..common import Note, Pictures, fixed, words, write_table
from ..pool import Pool

STEPS = 2
"""Steps of the inversion that is differentiated; more make the attack dearer and change it little."""

RATE, CHECKED = 0.02, (10, 25, 50)
"""Adam's step, and after how many steps the picture is looked at."""

HEADER = ("attack", "steps", "class named", "median log10 p", "median PSNR, dB")


def imprinting(model: LatentModel, keyring: Keyring, output: Path, count: int, note: Note) -> str:
    """``count`` marked pictures, each with one unmarked picture.  Rows go to ``imprinting.jsonl``; a rerun goes on."""
    pool = Pool(model, output, note)
    run = scores.run_of(model.fingerprint, pool.keyring.id, STEPS, RATE, CHECKED, averaging.TESTS)
    busy = f"Another study is writing to {output}; wait for its end or choose another folder."
    with files.locked(output, busy), files.Journal(output / "imprinting.jsonl") as journal:
        rows = [row for row in scores.rows_of(journal, run) if row["picture"] < count]
        for i in sorted(set(range(count)) - {row["picture"] for row in rows}):
            fresh = [{"run": run, "picture": i, **row} for row in Attempt(pool, i).rows()]
            journal.append([json.dumps(row).encode() + b"\n" for row in fresh])
            rows += fresh
            note(f"picture {i + 1} of {count}")
    kinds = dict.fromkeys((row["attack"], row["steps"]) for row in rows)
    table = [_row(*kind, [row for row in rows if (row["attack"], row["steps"]) == kind]) for kind in kinds]
    return write_table(output / "imprinting.md", HEADER, table)


def _row(attack: str, steps: int, rows: list[dict[str, Any]]) -> list[str]:
    levels, quality = [row["log10_p"] for row in rows], [row["psnr"] for row in rows if row["psnr"] is not None]
    named = f"{sum(level <= -6 for level in levels)}/{len(levels)}"
    told = fixed(float(np.median(quality)), 1) if quality else "-"
    return [attack, str(steps), named, fixed(float(np.median(levels)), 1), told]


class Attempt:
    """All attacks with one marked picture and one that is not."""

    def __init__(self, pool: Pool, i: int) -> None:
        self.pool, self.model, self.seed = pool, pool.model, averaging.VICTIMS + i
        self.read = averaging.Reader(pool)
        self.marked = next(pool.get("one", [self.seed])).picture
        self.plain = next(pool.get("plain", [self.seed])).picture

    def rows(self) -> Iterator[dict[str, Any]]:
        """What became of each."""
        yield self._told("none", 0, self.marked, None)
        yield self._told("reprompting", 0, self._reprompted(), None)
        target = self._noise(self._latent(self.marked)).detach()
        for steps, picture in self._moved(self.plain, target):
            yield self._told("imprinting", steps, picture, self.plain)
        for steps, picture in self._moved(self.marked, -target):
            yield self._told("removal", steps, picture, self.marked)

    def _told(self, attack: str, steps: int, picture: Pictures, before: Pictures | None) -> dict[str, Any]:
        seen = self.read(picture, [0], before)
        quality = None if before is None else seen.psnr
        return {"attack": attack, "steps": steps, "log10_p": seen.log10_class, "psnr": quality}

    def _reprompted(self) -> Pictures:
        """Another prompt, from the noise of the marked picture."""
        noise = torch.from_numpy(self.pool.recovered(self.marked))[None]
        return writing.generate(self.model, noise / noise.std(), [words(self.model, self.seed + 1)])[0]

    # ------------------------------------------------------------------------------------- optimisation

    def _moved(self, picture: Pictures, target: Tensor) -> Iterator[tuple[int, Pictures]]:
        """A picture whose latent is moved towards one that has this noise, after some steps."""
        start = self._latent(picture)
        latent = start.clone().requires_grad_(True)
        adam = torch.optim.Adam([latent], RATE)
        for step in range(1, CHECKED[-1] + 1):
            adam.zero_grad()
            ((self._noise(latent) - target) ** 2).mean().backward()  # type: ignore[no-untyped-call]
            adam.step()
            if step in CHECKED:
                yield step, writing.pictures(self.model, latent.detach())[0]

    def _latent(self, picture: Pictures) -> Tensor:
        return self.model.encode(torch.from_numpy(images.to_float(picture[None])))

    def _noise(self, latent: Tensor) -> Tensor:
        """The noise of a latent, ``[1, C, h, w]``, to be differentiated."""
        return invert(self.pool.tools.schedule(STEPS), self._denoiser, latent).value

    @cached_property
    def _context(self) -> Tensor:
        return self.model.context("").detach()

    def _denoiser(self, x: Tensor, time: float, rows: Tensor) -> Tensor:
        moment = torch.tensor(time, dtype=torch.float32, device=self.model.device)
        output: Tensor = self.model.unet(x, moment, encoder_hidden_states=self._context).sample
        return output
