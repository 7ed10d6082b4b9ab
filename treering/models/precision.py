"""float32 means float32: a GPU takes TF32 (10 bits of mantissa) for convolutions unless it is told not to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


def _switches() -> tuple[tuple[Any, str, Any], ...]:
    """Where, under which name, and with which value; torch 2.9 replaced the old names and refuses a mixture."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    if hasattr(cudnn, "conv"):
        return tuple((place, "fp32_precision", "ieee") for place in (matmul, cudnn.conv, cudnn.rnn))
    return (matmul, "allow_tf32", False), (cudnn, "allow_tf32", False)


@contextmanager
def exact_float32(device: torch.device, tf32: bool = False) -> Iterator[None]:
    """Within it, products and convolutions of float32 on a CUDA device are exact; afterwards all is as before.

    ``tf32``: leave the process's own setting alone.  Other devices have nothing to set.
    """
    if tf32 or device.type != "cuda":
        yield
        return
    switches = _switches()
    before = [getattr(place, name) for place, name, _ in switches]
    for place, name, value in switches:
        setattr(place, name, value)
    try:
        yield
    finally:
        for (place, name, _), value in zip(switches, before, strict=True):
            setattr(place, name, value)
