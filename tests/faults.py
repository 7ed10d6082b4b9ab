"""A disk that fails: the n-th call that changes a file below a folder raises, and, if it lasts, all after it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BY_PATH = ("open", "replace", "link", "rename", "truncate", "mkdir")
BY_HANDLE = ("write", "fsync", "ftruncate")

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | getattr(os, "O_DIRECTORY", 0)  # folders are opened to be synced


class Disk:
    """Counts such calls, and fails from number ``at`` on (once, or for ever if ``lasting``); 0 is never."""

    def __init__(self, folder: Path, at: int = 0, error: int = 0, lasting: bool = False) -> None:
        self.folder, self.at, self.error, self.lasting = os.path.realpath(folder), at, error, lasting
        self.count = 0
        self.failed: list[str] = []
        self._handles: set[int] = set()

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Take the place of the functions in ``os``."""
        for name in (*BY_PATH, *BY_HANDLE):
            patch.setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(first: Any, *rest: Any, **named: Any) -> Any:
            ours = first in self._handles if name in BY_HANDLE else self._is_below(first)
            if name == "open" and not rest[0] & WRITING:
                return call(first, *rest, **named)
            if ours:
                self._pass(name)
            result = call(first, *rest, **named)
            if name == "open" and ours:
                self._handles.add(result)
            return result

        return wrapped

    def _is_below(self, path: Any) -> bool:
        return os.path.abspath(os.fspath(path)).startswith(self.folder)

    def _pass(self, name: str) -> None:
        self.count += 1
        if self.at and (self.count == self.at or (self.lasting and self.count > self.at)):
            self.failed.append(name)
            raise OSError(self.error, os.strerror(self.error))
