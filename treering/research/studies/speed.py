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

import numpy as np

from ... import report
from ...pictures import images

RUNS = 3
_PROGRAM = """
import sys
from treering_cli.main import main
try:
    main()
finally:
    from treering.research import memory
    print("PEAK", memory.peak() / 1024**2, file=sys.stderr)
"""


def _run(folder: Path, *arguments: str) -> tuple[float, float]:
    """Wall seconds and peak resident MB of one ``treering`` process."""
    environment = {**os.environ, "TREERING_KEYRING": str(folder / "keyring.json")}
    command = [sys.executable, "-c", _PROGRAM, *arguments]
    started = time.perf_counter()
    process = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    peak = re.search(r"PEAK (\S+)", process.stderr)
    if process.returncode or peak is None:
        raise RuntimeError(f"treering {arguments[0]} failed: {process.stderr.strip()}")
    return seconds, float(peak.group(1))


def _median(folder: Path, *arguments: str) -> tuple[float, float]:
    runs = [_run(folder, *arguments) for _ in range(RUNS)]
    return statistics.median(s for s, _ in runs), max(m for _, m in runs)


def _variations(pictures: list[str], folder: Path, count: int) -> None:
    """Files of different bytes, by shifting pictures by a few pixels."""
    folder.mkdir()
    for i in range(count):
        pixels = images.read(Path(pictures[i % len(pictures)])).pixels
        images.write(np.roll(pixels, 1 + i // len(pictures), axis=1), folder / f"{i:05d}.png")


def speed(output: Path, verified: int = 1000, more: int = 8) -> str:
    """First and further pictures of embed, detect and verify; medians of three runs, largest memory.

    ``verified``: pictures of the larger of the two folders that verify is run on (once), to see whether
    memory stays flat; with the encoder alone, which is enough for that and takes half the time.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _run(folder, "embed", "--key", "2", "--output", "warm-up")
        embed = ("embed", "--key", "2", "--force", "--output")
        rows = [("treering --help", *_median(folder, "--help"))]
        first, several = _median(folder, *embed, "one"), _median(folder, *embed, "many", "--count", str(more + 1))
        rows += [("embed, first picture", *first), ("embed, each further", (several[0] - first[0]) / more, several[1])]
        pictures = sorted(str(path) for path in (folder / "many").glob("*.png"))[: more + 1]  # of the first run
        first, several = _median(folder, "detect", pictures[0]), _median(folder, "detect", *pictures)
        rows += [("detect, cold", *first), ("detect, each further", (several[0] - first[0]) / more, several[1])]
        for count in sorted({10, verified}):
            _variations(pictures, folder / f"folder-{count}", count)
            checked = _run(folder, "verify", f"folder-{count}", "--method", "encoder")
            rows.append((f"verify, {count} pictures, encoder alone", *checked))
    table = [[what, f"{seconds:.2f}", f"{memory:.0f}"] for what, seconds, memory in rows]
    text: str = report.markdown_table(("what", "seconds", "peak MB"), table)
    (output / "speed.md").write_text(text.rstrip() + "\n", encoding="utf-8")
    return text
