"""A pipeline called from noise to latent and back, as many samples at a time as go through its networks together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..errors import InputError, ModelError
from ..solvers import Method
from .backwards import Backwards, Watch
from .batching import Batching
from .calling import Caller
from .layout import Layout
from .planning import Plan
from .response import unclipped
from .undo import Found

Prompts = Sequence[str] | str
T = TypeVar("T")


class Walker:
    """Of one pipeline."""

    def __init__(self, caller: Caller, batching: Batching) -> None:
        self.caller, self.batching = caller, batching
        self._direct = self._short = False

    @torch.no_grad()
    def forwards(
        self,
        found: Layout,
        noise: Tensor,
        texts: list[str] | str,
        watch: Watch,
        steps: int | None,
        guidance: float | None,
        call: dict[str, Any],
    ) -> Tensor:
        """One call from noise to latents, watched."""
        given = found.to_given(noise).to(self.caller.dtype)
        scheduler = unclipped(self.caller.pipe.scheduler)
        self.caller.call(scheduler, watch, found, texts, steps, guidance, call, given)
        assert watch.last is not None
        return found.from_looped(watch.last)

    @torch.no_grad()
    def backwards(
        self,
        found: Layout,
        plan: Plan,
        latent: Tensor,
        texts: list[str] | str,
        how: tuple[int | None, float | None, int],
        method: Method,
        call: dict[str, Any],
    ) -> Found:
        """One call from latents to noise."""
        steps, guidance, evaluations = how
        if evaluations < 1:
            raise InputError("Undoing a step takes at least one evaluation.")
        own, looped = len(plan.response.a) + self.caller.spare, found.to_looped(latent)
        for most in (own,) if self._short else (None, own):
            role = Backwards(
                plan.grid, plan.response, looped, evaluations, method, self.caller.spare, self._direct, most
            )
            try:
                while role.found is None and role.left:
                    given = found.reordered(role.point).to(self.caller.dtype)
                    self.caller.call(self.caller.pipe.scheduler, role, found, texts, steps, guidance, call, given)
            except ModelError as error:
                if most is not None or role.turn < own or not isinstance(error.__cause__, IndexError):
                    raise
                self._short = True  # it keeps a place for each of its own steps, and no more
                continue
            break
        self._direct = role.direct
        if role.found is None:
            raise ModelError(f"{self.caller.name} left its loop before all steps were undone.")
        return role.found

    def together(
        self,
        found: Layout,
        batch: Tensor,
        prompts: Prompts,
        guidance: float | None,
        group: Callable[[Tensor, list[str] | str, Tensor], tuple[Tensor, T]],
    ) -> tuple[Tensor, list[T]]:
        """``group`` of samples, prompts and their places, as many as go through the networks together.

        Answers the tensors as one, and what came with each.
        """
        texts = [prompts] * len(batch) if isinstance(prompts, str) else list(prompts)
        if len(texts) != len(batch):
            raise InputError(f"There are {len(texts)} prompts for {len(batch)} pictures.")

        ends = list[T]()

        def work(rows: Tensor, which: Tensor) -> Tensor:
            done = list[tuple[Tensor, T]]()
            for part in self._parts(found, len(rows)):
                some = [texts[i] or self.caller.empty for i in which[part].tolist()]
                done.append(group(rows[part].to(self.caller.device), some[0] if len(some) == 1 else some, which[part]))
            ends.extend(end for _, end in done)  # all or none: where memory runs out, the same rows come again
            return torch.cat([value for value, _ in done])

        if not texts:
            return batch, ends
        passes = 1 if guidance == 1.0 else 2
        return self.batching.run("denoiser", work, batch, torch.arange(len(batch)), passes=passes), ends

    def _parts(self, found: Layout, count: int) -> Iterator[slice]:
        """Rows of a group: all; one by one where a call makes one sample; or as many as kept prompts are there for."""
        closed, i = self.caller.memo is not None and self.caller.memo.closed, 0
        while i < count:
            left = count - i
            rows = 1 if found.alone else 1 << left.bit_length() - 1 if closed else left
            yield slice(i, i + rows)
            i += rows

    def groups(self) -> list[int]:
        """Powers of two up to what goes through the denoiser together."""
        return [1 << i for i in range(self.batching.rows("denoiser").bit_length())]
