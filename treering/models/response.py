"""A scheduler as a list of numbers: its answer to unit inputs, through all its steps.

A deterministic sampler on a fixed grid is linear in the first sample x_0 and the model outputs f_j: every sample is
x_k = alpha_k x_0 + sum_{j<k} beta_kj f_j, whatever the scheduler remembers.  One run through the scheduler's own
``step`` with unit inputs, all at once, gives alpha and beta; so one form serves Euler and DDIM as well as multistep
(DPM-Solver++, UniPC, DEIS, LMS, PNDM) and two-stage samplers (Heun):

    x_{i+1} = a_i x_i + b_i f(scale_i x_i, t_i) + sum_{j<i} c_ij f_j.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import SamplerError
from .twin import Draws, plain_copy

_LINEAR = 1e-4
"""Largest relative departure from linearity that is rounding (schedulers compute in float32)."""
_NOTHING = 2e-5
"""Smallest relative weight of an earlier model output that is not rounding."""
_CLIPS = ("clip_sample", "thresholding", "use_dynamic_thresholding")
"""Scheduler settings that make a step forget where the sample was."""


@dataclass(frozen=True)
class Response:
    """Steps from noise to latent: ``n`` numbers each; ``history[i]`` has the weights c_ij of f_0 to f_{i-1}.

    ``noisy``: whether a step adds noise.  ``linear``: whether the answers are linear in what went in.
    """

    scheduler: str
    times: Tensor
    scales: tuple[float, ...]
    a: tuple[float, ...]
    b: tuple[float, ...]
    history: tuple[tuple[float, ...], ...]
    noisy: bool
    linear: bool

    @property
    def remembers(self) -> bool:
        """Whether a step depends on earlier model outputs."""
        return any(any(row) for row in self.history)

    def check_deterministic(self) -> None:
        """Raise ``SamplerError`` for a sampler that adds noise."""
        if self.noisy:
            raise SamplerError(
                f"{self.scheduler} adds noise in its steps, which destroys a mark; use a deterministic sampler, "
                "such as DDIM, DPM-Solver++ or flow matching Euler."
            )

    def check_keeps(self) -> None:
        """Raise ``SamplerError`` for a sampler that loses a mark: one that adds noise, clips, or forgets its sample."""
        self.check_deterministic()
        if not self.linear:
            raise SamplerError(
                f"{self.scheduler} is not linear, so it cannot be inverted; does its configuration clip or "
                "threshold samples? Set that to False."
            )
        if any(abs(value) < 1e-6 for value in self.a):
            raise SamplerError(f"{self.scheduler} forgets its sample in a step (a = 0), so it cannot be inverted.")


def unclipped(scheduler: Any) -> Any:
    """A copy that neither clips nor thresholds: in a latent, such a setting only loses information."""
    config = getattr(scheduler, "config", {})
    changes = {name: False for name in _CLIPS if config.get(name)}
    copied = plain_copy(scheduler)
    if changes:
        copied.register_to_config(**changes)
    return copied


def respond(scheduler: Any, spare: int = 0, **step: Any) -> Response:
    """Probe a scheduler whose timesteps are set; it is not changed.

    ``spare``: how many of the last timesteps are not stepped from.  ``step``: what else its ``step`` is given.
    """
    count, name = len(scheduler.timesteps) - spare, type(scheduler).__name__
    outputs = torch.zeros(count, count + 4, dtype=torch.float64)
    first = torch.zeros(count + 4, dtype=torch.float64)
    first[1] = 1.0  # entry 0 stays zero; entries 2 to count + 1: one model output each
    outputs[torch.arange(count), torch.arange(count) + 2] = 1.0
    source = torch.Generator().manual_seed(0)
    for entry, size in ((count + 2, 3.0), (count + 3, 300.0)):  # two mixtures, to see whether all this is linear
        first[entry] = size
        outputs[:, entry] = size * torch.randn(count, generator=source, dtype=torch.float64)
    samples, scales = _run(scheduler, first, outputs, 0.0, step)
    noisy = not torch.equal(_run(scheduler, first, outputs, 1.0, step)[0], samples)
    alpha, beta = samples[:, 1], samples[:, 2 : count + 2]
    linear = bool(samples[:, 0].abs().max() <= 1e-5)
    for entry in (count + 2, count + 3):
        expected = alpha * first[entry] + beta @ outputs[:, entry]
        room = alpha.abs() * first[entry].abs() + beta.abs() @ outputs[:, entry].abs()
        linear &= bool(((samples[:, entry] - expected).abs() <= _LINEAR * (1 + room)).all())
    a, b, history = _one_by_one(alpha, beta)
    return Response(name, scheduler.timesteps[:count].clone(), scales, a, b, history, noisy, linear)


def _one_by_one(
    alpha: Tensor, beta: Tensor
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[tuple[float, ...], ...]]:
    """Steps from each sample to the next, from the answers ``[n + 1]`` and ``[n + 1, n]`` to the first inputs."""
    a, b, history = list[float](), list[float](), list[tuple[float, ...]]()
    for i in range(len(alpha) - 1):
        factor = float(alpha[i + 1] / alpha[i]) if abs(float(alpha[i])) > 1e-12 else 0.0
        carried = factor * beta[i, :i]
        left = beta[i + 1, :i] - carried
        size = beta[i + 1, :i].abs() + carried.abs()
        a.append(factor)
        b.append(float(beta[i + 1, i]))
        history.append(tuple(torch.where(left.abs() > _NOTHING * size, left, 0.0).tolist()))
    return tuple(a), tuple(b), tuple(history)


_GIVEN = frozenset(("model_output", "timestep", "sample", "return_dict"))


def _needed(step: Any) -> set[str]:
    """What else a scheduler's ``step`` must be given: earlier predictions and times, which at first are None."""
    parameters = inspect.signature(step).parameters.values()
    plain = (one for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD and one.default is one.empty)
    return {one.name for one in plain} - _GIVEN


def _run(
    scheduler: Any, first: Tensor, outputs: Tensor, draws: float, step: dict[str, Any]
) -> tuple[Tensor, tuple[float, ...]]:
    """All samples ``[n + 1, N]`` and the factors of ``scale_model_input``; whatever is drawn at random is ``draws``."""
    fresh, x = plain_copy(scheduler), first[None, None, None]
    nothing = dict.fromkeys(_needed(fresh.step) - step.keys())
    samples, scales = [first], list[float]()
    try:
        with Draws(draws):
            for f, t in zip(outputs, fresh.timesteps[: len(outputs)], strict=True):
                scaled = fresh.scale_model_input(torch.ones_like(x), t) if hasattr(fresh, "scale_model_input") else None
                scales.append(1.0 if scaled is None else float(scaled.flatten()[0]))
                given = {"model_output": f[None, None, None], "timestep": t, "sample": x, **step, "return_dict": False}
                x = fresh.step(**nothing, **given)[0].double()
                samples.append(x.flatten())
    except (ValueError, IndexError, ZeroDivisionError, NotImplementedError, TypeError, RuntimeError) as error:
        raise SamplerError(f"{type(scheduler).__name__} cannot be probed: {error}") from error
    return torch.stack(samples), tuple(scales)
