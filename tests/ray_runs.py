"""Runs with the engine ray, in a process of their own: Ray leaves processes and warnings behind that are not ours.

What came out is one JSON object on standard output.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import ray
from batch_tools import gallery, run

from treering.batch import Item, find, verify
from treering.batch.engines import Recipe, get
from treering.marks.keyring import Keyring

SECRET = bytes(range(100, 132))


def work(function: str, arguments: dict[str, Any], items: list[Item], output: Path) -> dict[str, Any]:
    with get("ray", Recipe(f"stands:{function}", arguments), 2) as engine:
        return verify(items, engine, output, **engine.about).as_dict()


def written() -> list[str]:
    """Files of Ray's own in which the secret stands, and how many there were."""
    folder = Path(ray._private.worker._global_node.get_session_dir_path())
    files = [path for path in folder.rglob("*") if path.is_file()]
    found = [path.name for path in files if {SECRET, SECRET.hex().encode()} & {*_parts(path.read_bytes())}]
    return [str(len(files)), *found]


def stored() -> list[str]:
    """Memory of Ray's object store in which the secret stands, and how many pieces of it were looked at."""
    pieces = [
        link
        for process in Path("/proc").glob("[0-9]*")
        if b"raylet" in _read(process / "cmdline")
        for link in _links(process / "fd")
        if os.readlink(link).startswith("/dev/shm/")
    ]
    return [str(len(pieces)), *(os.readlink(link) for link in pieces if _parts(_read(link)))]


def _links(folder: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return [link for link in folder.iterdir() if link.is_symlink()]
    return []


def _read(path: Path) -> bytes:
    with contextlib.suppress(OSError):
        return path.read_bytes()
    return b""


def _parts(data: bytes) -> list[bytes]:
    return [needle for needle in (SECRET, SECRET.hex().encode()) if needle in data]


def main(top: Path) -> None:
    few = 100 << 20  # bytes of the object store, all of which are looked at
    # See engines/on_ray.
    ray.init(address="local", num_cpus=6, include_dashboard=False, log_to_driver=False, object_store_memory=few)
    gallery(top / "in", 12)
    items = [Item(item.path, item.name) for item in find(top / "in")]
    run(items, top / "whole")
    run(items[:4], top / "out")
    Keyring(SECRET).save(top / "ring.json")
    results = {
        "goes on": work("with_keyring", {"keyring": str(top / "ring.json")}, items, top / "out"),
        "deadly": work("deadly", {"key": 1, "log": str(top / "log")}, items[:5], top / "deadly"),
        "mortal": work("mortal", {"key": 1, "log": str(top / "killed")}, items, top / "mortal"),
        "written": written(),
        "stored": stored(),
        "again": run(items, top / "out").as_dict(),
    }
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
