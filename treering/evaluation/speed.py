"""How fast, and in how much memory: whole processes, as a user runs them."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .. import report

RUNS = 3
_PROGRAM = """
import resource, sys
from treering_cli.main import main
try:
    main()
finally:
    print("PEAK", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


def _run(folder: Path, *arguments: str) -> tuple[float, float]:
    """Wall seconds and peak resident MB of one ``treering`` process."""
    environment = {**os.environ, "TREERING_KEYRING": str(folder / "keyring.json")}
    command = [sys.executable, "-c", _PROGRAM, *arguments]
    started = time.perf_counter()
    process = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    peak = re.search(r"PEAK (\d+)", process.stderr)
    if process.returncode or peak is None:
        raise RuntimeError(f"treering {arguments[0]} failed: {process.stderr.strip()}")
    return seconds, int(peak.group(1)) / 1024


def _median(folder: Path, *arguments: str) -> tuple[float, float]:
    runs = [_run(folder, *arguments) for _ in range(RUNS)]
    return statistics.median(s for s, _ in runs), max(m for _, m in runs)


def speed(output: Path, more: int = 8) -> str:
    """First and further pictures of embed and detect; medians of three runs, largest memory."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _run(folder, "embed", "--key", "2", "--output", "warm-up")
        embed = ("embed", "--key", "2", "--force", "--output")
        rows = [("treering --help", *_median(folder, "--help"))]
        first, several = _median(folder, *embed, "one"), _median(folder, *embed, "many", "--count", str(more + 1))
        rows += [("embed, first picture", *first), ("embed, each further", (several[0] - first[0]) / more, several[1])]
        pictures = sorted(str(path) for path in (folder / "many").glob("*.png"))
        first, several = _median(folder, "detect", pictures[0]), _median(folder, "detect", *pictures)
        rows += [("detect, cold", *first), ("detect, each further", (several[0] - first[0]) / more, several[1])]
    table = [[what, f"{seconds:.2f}", f"{memory:.0f}"] for what, seconds, memory in rows]
    text: str = report.markdown_table(("what", "seconds", "peak MB"), table)
    (output / "speed.md").write_text(text.rstrip() + "\n", encoding="utf-8")
    return text
