"""The engine ray, where it is installed: one cluster on this machine for all of these tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from batch_tools import gallery, run
from test_batch_engines import by_name

from treering.batch import find, verify
from treering.batch.engines import Recipe, get
from treering.marks.keyring import Keyring

ray = pytest.importorskip("ray", reason="the extra ray is not installed")
pytestmark = pytest.mark.filterwarnings("default")  # Ray's own


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Six logical cores: with two, Ray has waited for its own helpers."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)  # for its workers
    ray.init(address="local", num_cpus=6, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()
    os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


def test_actors_find_what_one_process_finds(cluster: None, tmp_path: Path) -> None:
    """They go on where a run without workers was stopped, and the other way round."""
    gallery(tmp_path / "in", 12)
    items = find(tmp_path / "in")
    run(items, tmp_path / "whole")
    run(items[:4], tmp_path / "out")
    with get("ray", Recipe("stands:make", {}), 2) as engine:
        summary = verify(items, engine, tmp_path / "out", **engine.about)
    assert (summary.resumed, summary.checked) == (4, 8)
    assert by_name(tmp_path / "out") == by_name(tmp_path / "whole")
    assert run(items, tmp_path / "out").resumed == 12


def test_actors_that_die_are_replaced(cluster: None, tmp_path: Path) -> None:
    gallery(tmp_path / "in", 5)
    (tmp_path / "in" / "key-1" / "001.png").rename(tmp_path / "in" / "bad.png")
    items = [item for item in find(tmp_path / "in") if "key-1" not in item.name]
    with get("ray", Recipe("stands:deadly", {"key": 1, "log": str(tmp_path / "log")}), 2) as engine:
        summary = verify(items, engine, tmp_path / "out", **engine.about)
    assert (summary.checked, summary.failures) == (3, 1)
    assert "5 workers ended" in summary.failed[0][1]


def test_no_secret_is_in_what_ray_writes_down(cluster: None, tmp_path: Path) -> None:
    secret = bytes(range(100, 132))
    Keyring(secret).save(tmp_path / "ring.json")
    gallery(tmp_path / "in", 3)
    with get("ray", Recipe("stands:with_keyring", {"keyring": str(tmp_path / "ring.json")}), 1) as engine:
        assert verify(find(tmp_path / "in"), engine, tmp_path / "out", **engine.about).checked == 3
    logs = Path(ray._private.worker._global_node.get_session_dir_path())
    written = [path for path in logs.rglob("*") if path.is_file()]
    assert len(written) > 5
    for path in written:
        data = path.read_bytes()
        assert secret not in data and secret.hex().encode() not in data, path
