"""How much memory this process has taken; plain Python, so that asking adds nothing."""

from __future__ import annotations

import math
import sys
from pathlib import Path


def status(name: str) -> float:
    """A figure of this process in bytes (Linux, proc(5)); raises ``OSError`` elsewhere."""
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    return 1024 * float(next(line for line in lines if line.startswith(name)).split()[1])


def peak() -> float:
    """Largest resident set of this process in bytes; NaN where the system does not tell (Windows).

    Where there is /proc it is read there, as ``ru_maxrss`` of a child begins with what its parent had.
    """
    try:
        return status("VmHWM")
    except OSError:
        return _maxrss()


def _maxrss() -> float:
    try:
        import resource
    except ImportError:
        return math.nan
    unit = 1 if sys.platform == "darwin" else 1024
    return float(unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
