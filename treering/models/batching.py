"""How many pictures go through which network together: the one place that decides.

On a CPU one at a time, through every network.  Batches of 8 make the demo's denoiser 1.4 times as fast there and its
autoencoder slower, but a product of matrices is summed in another order for another number of rows: results would
differ in the last bits with the company that a picture is in (``python -m treering.research batching`` measures
both), and a reading must not.  Elsewhere as many as memory allows; results agree up to rounding.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ..errors import ModelError

Part = Literal["encoder", "decoder", "denoiser"]
PARTS: tuple[Part, ...] = ("encoder", "decoder", "denoiser")
MOST = 64
"""Pictures beyond which a GPU gains nothing from more."""
SHARE = 0.5
"""Share of the free memory that a batch may take by estimate."""

log = logging.getLogger("treering")


class OutOfMemoryError(ModelError, MemoryError):
    """The device's memory does not suffice for a single picture."""


class Batching:
    """``rows``: pictures that each part takes at once; halved for good where memory runs out."""

    def __init__(self, rows: Mapping[Part, int]) -> None:
        self._rows = {part: max(1, rows.get(part, 1)) for part in PARTS}

    @classmethod
    def of(cls, device: torch.device, needs: Mapping[Part, int]) -> Batching:
        """For a device with the memory that it has free now; ``needs``: bytes that one picture takes in a part."""
        if device.type == "cpu":
            return cls({})
        free = free_memory(device)
        return cls({part: power_of_two(SHARE * free / max(need, 1)) for part, need in needs.items()})

    def rows(self, part: Part | Literal["detect"]) -> int:
        """Pictures that a part takes at once; ``detect``: that a caller should bring together."""
        return max(self._rows.values()) if part == "detect" else self._rows[part]

    def run(self, part: Part, work: Callable[..., Tensor], *inputs: Tensor, passes: int = 1) -> Tensor:
        """``work`` of inputs ``[B, ...]``, in groups of rows, joined again.

        ``passes``: rows of the network for each row of the inputs (2 under classifier-free guidance).  Where memory
        runs out the groups are halved, which is logged once; raises ``OutOfMemoryError`` at a single row.
        """
        done: list[Tensor] = []
        i, count = 0, max(len(inputs[0]), 1)
        while i < count:
            rows = max(self._rows[part] // passes, 1)
            try:
                done.append(work(*(x[i : i + rows] for x in inputs)))
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                self._halve(part, min(rows, count - i), passes, error)
            else:
                i += rows
        return torch.cat(done)

    def _halve(self, part: Part, rows: int, passes: int, error: BaseException) -> None:
        if rows == 1:
            raise OutOfMemoryError("The device's memory does not suffice for one picture of this model.") from error
        self._rows[part] = max(rows // 2, 1) * passes
        log.warning("The device's memory ran out: the %s takes %d pictures at once from now.", part, rows // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def power_of_two(rows: float) -> int:
    """The largest power of two up to ``rows`` and ``MOST``, at least 1.

    >>> power_of_two(11.5), power_of_two(0.2), power_of_two(1e9)
    (8, 1, 64)
    """
    return 1 << max(min(int(rows), MOST).bit_length() - 1, 0)


def free_memory(device: torch.device) -> int:
    """Bytes that may be taken on a device; a guess where it cannot be asked."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return host_memory() or 1 << 33


def host_memory() -> int | None:
    """Bytes of memory that the system says are available (Linux), or None."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1])
    except (OSError, ValueError, StopIteration):
        return None


def out_of_memory(error: BaseException) -> bool:
    """Whether an allocator said so: CUDA's, MPS's or the CPU's."""
    said = ("out of memory", "can't allocate memory")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(text in str(error) for text in said)
