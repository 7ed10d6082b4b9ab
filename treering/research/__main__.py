"""The front door of research: ``python -m treering.research NAME`` is ``treering experiment NAME``."""

from __future__ import annotations

from importlib import import_module

if __name__ == "__main__":
    import_module("treering_cli.start").research()
