"""A pipeline's sampler at a number of steps and a size, seen in one call of the pipeline that is cut short."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ..errors import ModelError, SamplerError
from .backwards import Watch
from .calling import Caller
from .layout import Layout
from .response import Response, respond, unclipped


@dataclass(frozen=True)
class Plan:
    """A number of steps at one size: the scheduler set to them, its response, and the factor from unit noise."""

    grid: Any
    response: Response
    init: float


class Planner:
    """Plans of one pipeline, each probed once."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self._plans: dict[tuple[Any, ...], Plan] = {}

    def plan(self, found: Layout, steps: int | None, call: dict[str, Any], exactly: bool = False) -> Plan:
        """The scheduler's steps in a call of this size, and the factor that noise is scaled with.

        ``exactly``: with the scheduler's own settings, even where it clips samples.
        """
        scheduler = self.caller.pipe.scheduler
        simple = {k: v for k, v in call.items() if isinstance(v, (int, float, str, list, tuple))}
        what = (steps, exactly, sorted(simple.items()), type(scheduler), dict(scheduler.config))
        key = (found.size, found.frames, repr(what))
        if key not in self._plans:
            self._plans[key] = self._probed(found, steps, call, scheduler if exactly else unclipped(scheduler))
        return self._plans[key]

    def _probed(self, found: Layout, steps: int | None, call: dict[str, Any], scheduler: Any) -> Plan:
        caller, watch = self.caller, Watch(cut=1 + self.caller.spare)
        noise = torch.randn(1, *found.shape, generator=torch.Generator().manual_seed(0))
        given = found.to_given(noise.to(caller.device)).to(caller.dtype)
        try:
            caller.call(scheduler, watch, found, caller.empty, steps, 1.0, call, given)
        except ModelError as error:
            raise caller.noisy or error from None
        assert watch.first is not None
        first, sent = found.from_looped(watch.first), noise.to(watch.first.device)
        init = float((first * sent).sum() / sent.square().sum())
        return Plan(watch.grid, respond(watch.grid, caller.spare, **watch.extra), init)

    def for_reading(self, found: Layout, steps: int | None, call: dict[str, Any]) -> Plan:
        """The sampler's own plan if it can be inverted, else that of DDIM with the same noise levels."""
        plan = self.plan(found, steps, call)
        try:
            plan.response.check_keeps()
            return plan
        except SamplerError:
            grid = _ddim(plan.grid)
            if grid is None:
                raise
            return Plan(grid, respond(grid, self.caller.spare), 1.0)


def _ddim(grid: Any) -> Any:
    """DDIM over the same steps as a scheduler of variance-preserving diffusion, or None for other schedulers."""
    predictions = ("epsilon", "v_prediction", "sample")
    if not hasattr(grid, "alphas_cumprod") or grid.config.get("prediction_type", "epsilon") not in predictions:
        return None
    from diffusers import DDIMScheduler

    made = DDIMScheduler.from_config(grid.config, clip_sample=False, thresholding=False, set_alpha_to_one=False)
    made.set_timesteps(len(grid.timesteps))
    return made
