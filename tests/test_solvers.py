"""Every method on every toy problem reaches a root; statuses, batches and budgets."""

import inspect
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from treering import solvers
from treering.solvers import Adam, Anderson, BarzilaiBorwein, ForwardStep, InertialKM, rms, solve
from treering.types import Status

METHODS = {
    "forward-step": ForwardStep(0.9),
    "inertial-km": InertialKM(0.9, 0.3),
    "adam": Adam(0.05, schedule="cosine"),
    "adam-fixed": Adam(0.005, schedule="fixed"),
    "anderson": Anderson(4),
    "barzilai-borwein": BarzilaiBorwein(),
}


def linear(x, rows):
    """Jacobian with eigenvalues in [0.6, 1.4]."""
    scale = torch.linspace(0.6, 1.4, x[0].numel()).view(x.shape[1:])
    return scale * (x - rows.view(-1, 1, 1, 1) * 0.1 - 0.3)


def bent(x, rows):
    return x + 0.3 * torch.sin(x) - 0.5 - 0.1 * rows.view(-1, 1, 1, 1)


def rotated(x, rows):
    """Not symmetric: the identity and a quarter of a rotation."""
    swapped = torch.stack([-x[:, 1], x[:, 0]], 1)
    return x + 0.25 * swapped - 1.0


PROBLEMS = {"linear": linear, "bent": bent, "rotated": rotated}


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("name", METHODS)
def test_reaches_a_root(name, problem):
    start = torch.zeros(3, 2, 4, 4)
    residual = PROBLEMS[problem]
    tolerance = 0.02 if name.startswith("adam") else 1e-5
    solution = solve(residual, start, METHODS[name], tolerance, 600)
    assert solution.status == (Status.CONVERGED,) * 3
    left = rms(residual(solution.value, torch.arange(3)))
    assert (left <= tolerance).all()
    assert torch.equal(left, solution.residual)


@pytest.mark.parametrize("name", METHODS)
def test_a_sample_does_not_depend_on_its_neighbours(name):
    generator = torch.Generator().manual_seed(1)
    start = torch.randn(4, 2, 4, 4, generator=generator)
    together = solve(bent, start, METHODS[name], 1e-4, 25)
    for i in range(4):
        alone = solve(lambda x, rows, i=i: bent(x, rows + i), start[i : i + 1], METHODS[name], 1e-4, 25)
        assert torch.equal(alone.value[0], together.value[i])
        assert alone.evaluations[0] == together.evaluations[i]
        assert alone.status[0] == together.status[i]


def test_tolerance_of_each_sample_counts():
    solution = solve(linear, torch.zeros(2, 2, 4, 4), ForwardStep(0.5), torch.tensor([0.5, 1e-4]), 100)
    assert solution.evaluations[0] < solution.evaluations[1]
    assert torch.isnan(solution.trace[int(solution.evaluations[0]) :, 0]).all()


@given(budget=st.integers(0, 6))
@settings(deadline=None, max_examples=7)
def test_budget_is_never_passed(budget):
    calls = []

    def counted(x, rows):
        calls.append(len(x))
        return linear(x, rows)

    solution = solve(counted, torch.ones(2, 2, 4, 4), ForwardStep(0.1), 0.0, budget)
    assert len(calls) == budget
    assert solution.status == (Status.BUDGET,) * 2
    assert solution.evaluations.tolist() == [budget] * 2


def test_keep_last_returns_the_point_after_the_last_step():
    start = torch.zeros(1, 2, 4, 4)
    solution = solve(linear, start, ForwardStep(1.0), 0.0, 1, keep="last")
    assert torch.equal(solution.value, start - linear(start, torch.zeros(1)))


def test_divergence_keeps_the_best_iterate_and_says_so():
    solution = solve(lambda x, rows: -x, torch.ones(1, 2, 2, 2), ForwardStep(1.0), 1e-3, 50, patience=3)
    assert solution.status == (Status.STALLED,)
    assert torch.equal(solution.value, torch.ones(1, 2, 2, 2))
    assert solution.evaluations.tolist() == [4]


def test_an_iterate_that_is_hardly_better_is_not_accepted():
    """The residual falls to 0.8 of itself a step, without end: not enough at 0.7, enough at 0.9."""
    for accept, status, evaluations in ((0.7, Status.STALLED, 2), (0.9, Status.BUDGET, 5)):
        solution = solve(lambda x, rows: x, torch.ones(1, 3), ForwardStep(0.2), 0.0, 5, 1, "last", accept)
        assert solution.status == (status,)
        assert solution.evaluations.tolist() == [evaluations]
        assert torch.allclose(solution.value, torch.full((1, 3), 1.0 if accept == 0.7 else 0.8**5))


def test_barzilai_borwein_cannot_run_away():
    """Outside its bounds the step is cut: where the residual points the wrong way, it stays small."""
    start = torch.ones(1, 2, 2, 2)
    moved = solve(lambda x, rows: -x, start, BarzilaiBorwein(0.1, 0.5), 0.0, 4, keep="last").value
    assert torch.allclose(moved, start * 1.5 * 1.1**3)


def test_a_point_that_blows_up_is_never_returned():
    """x grows until it overflows; the best iterate is the first."""
    start = torch.full((1, 1, 2, 2), 1e4)
    solution = solve(lambda x, rows: -(x**2), start, ForwardStep(1.0), 1e-3, 50, keep="last")
    assert solution.status == (Status.NONFINITE,)
    assert torch.equal(solution.value, start)
    assert torch.isfinite(solution.residual).all()


@pytest.mark.parametrize("keep", ["best", "last"])
def test_nonfinite_residual_stops_one_sample_only(keep):
    def broken(x, rows):
        r = linear(x, rows)
        r[rows == 1] = math.nan
        return r

    solution = solve(broken, torch.zeros(3, 2, 4, 4), ForwardStep(0.9), 1e-4, 100, keep=keep)
    assert [s.name for s in solution.status] == ["CONVERGED", "NONFINITE", "CONVERGED"]
    assert torch.isfinite(solution.value).all()


def test_the_papers_schedule():
    factors = [solvers.factor("cosine", k, 100) for k in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == pytest.approx(factors[9])
    assert factors[80:] == [pytest.approx(0.5 * (1 + math.cos(0.8 * math.pi)))] * 20
    assert solvers.factor("fixed", 50, 100) == 1.0


@pytest.mark.parametrize("method", [ForwardStep(0.5, "cosine"), InertialKM(0.5, 0.0, "cosine")])
def test_a_schedule_scales_the_step(method):
    start = torch.ones(1, 2)
    moved = solve(lambda x, rows: x, start, method, 0.0, 10, keep="last").value
    expected = math.prod(1 - 0.5 * solvers.factor("cosine", k, 10) for k in range(10))
    assert torch.allclose(moved, expected * start)


def test_anderson_is_exact_on_a_small_linear_problem():
    solution = solve(lambda x, rows: x * torch.tensor([0.5, 1.5]) - 1, torch.zeros(1, 2), Anderson(3), 1e-4, 5)
    assert solution.status == (Status.CONVERGED,)
    assert torch.allclose(solution.value, torch.tensor([[2.0, 2 / 3]]), atol=1e-3)


def test_negative_budget_is_refused():
    with pytest.raises(ValueError, match="must not be negative"):
        solve(linear, torch.zeros(1, 2, 4, 4), ForwardStep(), 0.0, -1)


def test_the_abstraction_stays_small():
    assert len(inspect.getsource(solvers).splitlines()) <= 300


def test_every_status_is_a_sentence():
    assert all(status.value.endswith(".") for status in Status)
