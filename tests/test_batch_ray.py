"""The engine ray, where it is installed: one cluster on this machine for all of these tests."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_batch_engines import by_name

pytestmark = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra ray is not installed")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What came of the runs of ``ray_runs.py``, and where."""
    top, here = tmp_path_factory.mktemp("ray"), Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, str(here / "ray_runs.py"), str(top)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if "timed out during startup" in done.stderr:  # Ray's own patience, which a busy machine outlasts
        pytest.skip("no cluster could be begun in Ray's own time")
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout.splitlines()[-1]), "top": top}


def test_actors_find_what_one_process_finds(results: dict[str, Any]) -> None:
    """They go on where a run without workers was stopped, and the other way round."""
    assert (results["goes on"]["resumed"], results["goes on"]["checked"]) == (4, 8)
    assert by_name(results["top"] / "out") == by_name(results["top"] / "whole")
    assert results["again"]["resumed"] == 12


def test_actors_that_die_are_replaced(results: dict[str, Any]) -> None:
    failed = results["deadly"]["failed"]
    assert results["deadly"]["checked"] + len(failed) == 5
    assert failed and all("5 workers ended" in line["error"] for line in failed)


def test_a_worker_that_is_killed_is_started_again_and_nothing_is_lost_or_doubled(results: dict[str, Any]) -> None:
    assert (results["top"] / "killed").exists()
    assert (results["mortal"]["checked"], results["mortal"]["failures"]) == (12, 0)
    assert by_name(results["top"] / "mortal") == by_name(results["top"] / "whole")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the object store's memory is looked at by /proc")
def test_no_secret_is_in_the_object_store(results: dict[str, Any]) -> None:
    count, *found = results["stored"]
    assert int(count) > 0
    assert found == []


def test_no_secret_is_in_what_ray_writes_down(results: dict[str, Any]) -> None:
    count, *found = results["written"]
    assert int(count) > 5
    assert found == []
