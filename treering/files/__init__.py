"""Files that are written whole or not at all, locks, and journals that lose at most what was not yet written.

Every byte goes through ``os.open``, ``os.write`` and ``os.fsync``, and so does every new name: tests make each of
these calls fail in turn.
"""

from .disk import content, explained, make_folder, open_file, problem, read, sync_folder, truncate, write_all
from .guards import LOCK, held, locked
from .journal import Journal
from .locks import take
from .whole import clean, replace, write

__all__ = [
    "LOCK",
    "Journal",
    "clean",
    "content",
    "explained",
    "held",
    "locked",
    "make_folder",
    "open_file",
    "problem",
    "read",
    "replace",
    "sync_folder",
    "take",
    "truncate",
    "write",
    "write_all",
]
