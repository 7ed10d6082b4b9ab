"""The studies of scale: what must hold of a simulation, and that a study runs."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from treering.research.studies import simulation


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 5000), st.integers(1, 50), st.sampled_from([0.01, 0.3, 7.0]), st.sampled_from([0.0, 1e-4, 0.01]))
def test_no_simulation_is_faster_than_its_parts(pictures: int, workers: int, cost: float, own: float) -> None:
    """Neither than the workers together, nor than the run alone."""
    seconds, busy = simulation.simulate(pictures, workers, cost, own)
    assert seconds >= 0.8 * pictures * cost / workers
    assert seconds >= pictures * own
    assert 0 < busy <= 1


def test_more_workers_help_until_the_run_is_busy() -> None:
    seconds = [simulation.simulate(100_000, workers, 0.1, 0.001) for workers in (1, 10, 100, 1000)]
    assert seconds[0][0] > 9 * seconds[1][0] > 9 * seconds[2][0]
    assert seconds[3][1] > 0.9
    assert seconds[3][0] > 100
