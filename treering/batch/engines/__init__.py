"""Who does the work of a run with several workers: an engine hands tasks to them and says what became of each.

An engine only schedules.  What is done, it learns from nobody: a worker writes a finished task as a shard, and the run
takes the shards into the journal.  So any engine goes on where another was killed.
"""

from __future__ import annotations

from .common import Engine, Event, Recipe, get
from .worker import Work

__all__ = ["Engine", "Event", "Recipe", "Work", "get"]
