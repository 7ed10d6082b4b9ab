"""How experiments run and what they compute; the two slow ones are run for real, at their smallest."""

import json
import math

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from schemas import check

from treering import inversion
from treering.errors import InputError, TreeringError
from treering.inversion import DecoderInversion
from treering.pictures import images
from treering.research import experiments, published
from treering.research.experiments import (
    ablation,
    bench,
    convergence,
    decoder_inversion,
    decoder_tables,
    figures,
    statistics,
    variants,
)
from treering.research.experiments import peak as peak_room
from treering.research.experiments.bench import Settings, run
from treering.research.experiments.peak import peak
from treering.research.experiments.watched import follow
from treering.research.studies import sizes
from treering.solvers import Anderson, ForwardStep, InertialKM, solve
from treering_cli.main import main


class Counting:
    """An experiment of two units a picture that notes what it was asked to do."""

    images, iterations, largest, constants = 2, (1,), False, ()

    def __init__(self, fail_at=None):
        self.asked, self.fail_at = [], fail_at

    def units(self, settings):
        return [f"picture {i}: {part}" for i in range(settings.images) for part in "ab"]

    def measure(self, bench, unit):
        if len(self.asked) == self.fail_at:
            raise KeyboardInterrupt
        self.asked.append(unit)
        return [{"unit": unit, "value": len(unit)}, {"unit": unit, "value": math.nan}]

    def table(self, rows):
        return f"{len(rows)} rows"

    def figure(self, rows, folder):
        page = figures.page(3, 2)
        page.subplots().plot([row["value"] for row in rows])
        return page


def measured(output, settings=None, **how):
    experiment = Counting(**how)
    outcome = run(experiment, settings or Settings(2, (1,)), output)
    return experiment.asked, outcome


def test_a_stopped_run_goes_on_with_what_is_missing(tmp_path):
    broken = Counting(fail_at=3)
    with pytest.raises(KeyboardInterrupt):
        run(broken, Settings(2, (1,)), tmp_path)
    asked, outcome = measured(tmp_path)
    assert broken.asked + asked == Counting().units(Settings(2, (1,)))
    assert outcome.table == "8 rows\n"
    assert measured(tmp_path)[0] == []
    assert measured(tmp_path, Settings(3, (1,)))[0] == ["picture 2: a", "picture 2: b"]


@pytest.mark.parametrize("other", [Settings(2, (2,)), Settings(2, (1,), seed=1), Settings(2, (1,), dtype="bfloat16")])
def test_rows_of_other_settings_do_not_count(tmp_path, other):
    measured(tmp_path)
    assert len(measured(tmp_path, other)[0]) == 4
    assert measured(tmp_path)[0] == []


def test_a_damaged_or_cut_journal_costs_one_unit(tmp_path):
    measured(tmp_path)
    journal = tmp_path / bench.ROWS
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(lines[0] + b"{rubbish\n" + b"".join(lines[2:3]) + lines[3][:20])
    assert measured(tmp_path)[0] == ["picture 0: b", "picture 1: b"]


@pytest.mark.parametrize("rows", ['"x"', '["x"]', "null", "3", '[{"a": 1}', "[" * 200_000])
def test_a_line_of_another_shape_is_measured_again(tmp_path, rows):
    measured(tmp_path)
    run_id = json.loads((tmp_path / bench.ROWS).read_text().splitlines()[0])["run"]
    line = f'{{"run": "{run_id}", "unit": "picture 0: a", "rows": {rows}}}\n'
    (tmp_path / bench.ROWS).write_text(line)
    assert measured(tmp_path)[0] == Counting().units(Settings(2, (1,)))


@pytest.mark.parametrize(
    ("name", "text"), [("rows.jsonl", '{"my": 1}\n{"my": 2}'), ("table.md", "mine"), ("figure.svg", "")]
)
def test_the_files_of_somebody_else_are_left_alone(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(
        InputError, match=rf"{name} is not an experiment's, so it is left alone; choose another folder\."
    ):
        measured(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {name: text}


@pytest.mark.parametrize("text", ["", '{"ru'])
def test_a_run_that_was_killed_at_its_first_line_goes_on(tmp_path, text):
    (tmp_path / bench.ROWS).write_text(text)
    assert len(measured(tmp_path)[0]) == 4


def test_a_model_that_is_not_there_leaves_no_folder(tmp_path):
    with pytest.raises(TreeringError):
        measured(tmp_path / "new", Settings(1, (1,), model=str(tmp_path)))
    assert not (tmp_path / "new").exists()


def test_a_figure_that_cannot_be_drawn_leaves_no_older_one(tmp_path, monkeypatch):
    measured(tmp_path)
    monkeypatch.setattr(figures, "page", lambda *_: (_ for _ in ()).throw(InputError("No.")))
    assert measured(tmp_path)[1].notes == ("The figure was not drawn. No.",)
    assert not list(tmp_path.glob("figure.*"))


def test_a_figure_that_cannot_be_written_is_an_error(tmp_path):
    measured(tmp_path)
    (tmp_path / "figure.png").unlink()
    (tmp_path / "figure.png").mkdir()
    with pytest.raises(InputError, match=r"figure\.png cannot be written"):
        measured(tmp_path)


def test_what_a_run_writes(tmp_path):
    outcome = measured(tmp_path)[1]
    assert [path.name for path in outcome.files] == ["rows.csv", "table.md", "figure.png", "figure.svg"]
    lines = (tmp_path / "rows.csv").read_text().splitlines()
    assert lines[:3] == ["unit,value", "picture 0: a,12", "picture 0: a,nan"]
    before = {path: path.read_bytes() for path in outcome.files}
    assert {path: path.read_bytes() for path in measured(tmp_path)[1].files} == before


def test_without_matplotlib_there_is_a_note(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    outcome = measured(tmp_path)[1]
    assert outcome.notes == (
        "The figure was not drawn. Plots need matplotlib; install it with: pip install 'treering[plots]'",
    )
    assert (tmp_path / "table.md").exists()


def test_settings_are_checked():
    with pytest.raises(InputError, match="at least one picture"):
        Settings(0, (1,))
    with pytest.raises(InputError, match="at least one picture"):
        Settings(1, ())
    assert Settings(1, (5, 2, 5)).iterations == (2, 5)


def test_the_command_knows_every_experiment():
    told = CliRunner().invoke(main, ["experiment", "--help"], terminal_width=200).output
    for name, text in experiments.SUMMARIES.items():
        assert f"{name:19}{text}" in told
        experiment = experiments.get(name)
        units = experiment.units(Settings(experiment.images, experiment.iterations))
        assert len(units) == len(set(units)) > 0
        more = experiment.units(Settings(experiment.images + 1, experiment.iterations))
        assert set(units) < set(more)


def test_an_unknown_experiment_is_refused():
    with pytest.raises(InputError, match="There is no experiment 'x'"):
        experiments.get("x")


# --------------------------------------------------------------------------------- statistics


def test_the_interval_of_a_mean_covers_it_as_often_as_it_says():
    rng = np.random.default_rng(0)
    means = [statistics.mean(rng.normal(3, 2, 6).tolist()) for _ in range(2000)]
    assert np.mean([m.low <= 3 <= m.high for m in means]) == pytest.approx(0.95, abs=0.015)
    assert statistics.mean([1.0]).text() == "1.00"
    assert statistics.mean([1.0, 3.0]).text(1) == "2.0 ± 12.7"


def test_paired_tests():
    assert statistics.mcnemar([True] * 6 + [False], [False] * 6 + [False]) == pytest.approx(2 / 64)
    assert statistics.mcnemar([True, False], [True, False]) == 1.0
    for untold in (([1, 2, 3], [1, 2, 3]), ([1, 2, 3], [2, 3, 4]), ([1], [2])):  # no spread between pairs
        assert math.isnan(statistics.paired(*untold))
    assert statistics.p_text(math.nan) == "too few pictures to tell"
    assert statistics.paired([1.0, 2.0, 4.0, 3.5], [0.0, 0.9, 3.2, 2.4]) < 0.001


def test_a_setting_is_chosen_on_the_other_pictures():
    values = {"a": [0.0, 9.0, 9.0], "b": [1.0, 1.0, 1.0], "c": [math.nan, 0.0, 0.0]}
    assert statistics.chosen_elsewhere(values) == [1e9, 1.0, 1.0]  # c wins for the first picture alone, and fails it
    assert statistics.chosen_elsewhere({"a": [2.0], "b": [1.0]}) == [1.0]


def test_a_line_is_found_with_its_interval():
    rng = np.random.default_rng(1)
    x = rng.uniform(0, 1, 200)
    fit = statistics.line(x.tolist(), (2 - 3 * x + rng.normal(0, 0.1, 200)).tolist())
    assert fit.low < -3 < fit.high
    assert fit.high - fit.low < 0.3
    assert fit.r < -0.9


def test_one_point_carries_a_line_but_not_a_rank_correlation():
    x, y = [*np.linspace(0, 0.1, 9).tolist(), 5.0], [1.0, 2.0, 1.5, 1.2, 2.1, 1.1, 1.9, 1.4, 1.6, -9.0]
    assert statistics.line(x, y).p_value < 1e-6
    assert statistics.ranks(x, y).p_value > 0.3
    assert math.isnan(statistics.ranks([1, 2, 3], [1, 3, 2]).low)


def test_the_interval_of_a_rank_correlation_covers_it_as_often_as_it_says():
    rng = np.random.default_rng(2)
    true = 6 / math.pi * math.asin(0.6 / 2)  # Spearman's of a normal pair of correlation 0.6
    draws = [rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], 24).T for _ in range(1000)]
    found = [statistics.ranks(x.tolist(), y.tolist()) for x, y in draws]
    assert np.mean([r.low <= true <= r.high for r in found]) == pytest.approx(0.95, abs=0.02)


@given(st.lists(st.tuples(st.floats(0, 9), st.floats(-9, 9)), min_size=1, max_size=12))
@settings(deadline=None)
def test_the_pareto_front_is_what_nothing_beats(points):
    kept = decoder_inversion.front(points)
    for point in points:
        beaten = any(a <= point[0] and b <= point[1] and (a, b) != point for a, b in points)
        assert (point in kept) == (not beaten)


# ----------------------------------------------------------------------------- cocoercivity


def test_cocoercivity_of_a_scaled_identity_is_one_over_the_scale():
    z, true = torch.randn(1, 4, 8, 8), torch.zeros(1, 4, 8, 8)
    assert convergence.cocoercivity(2.5 * z, z, true) == pytest.approx(0.4, rel=1e-5)
    assert math.isnan(convergence.cocoercivity(0 * z, z, true))


@given(seed=st.integers(0, 1000), rho=st.floats(0.05, 2))
@settings(deadline=None, max_examples=50)
def test_theorem_1_a_step_within_the_condition_comes_nearer(seed, rho):
    """Where beta(z) > rho / 2 the distance falls, and where it is less the distance grows."""
    generator = torch.Generator().manual_seed(seed)
    z, r = (torch.randn(1, 4, 4, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    r = r + z  # leans towards the root at zero, more or less
    beta = convergence.cocoercivity(r, z, torch.zeros_like(z))
    nearer = float((z - rho * r).norm() < z.norm())
    assert nearer == float(beta > convergence.needed("forward step", rho))


class Other(Counting):
    """Another experiment with units of the same names."""


def test_two_experiments_in_one_folder_do_not_share_rows(tmp_path):
    measured(tmp_path)
    other = Other()
    run(other, Settings(2, (1,)), tmp_path)
    assert len(other.asked) == 4
    changed = Counting()
    changed.constants = (1,)
    run(changed, Settings(2, (1,)), tmp_path)
    assert len(changed.asked) == 4
    assert measured(tmp_path)[0] == []


def test_where_only_the_largest_budget_counts_the_others_change_nothing(tmp_path):
    for budgets, asked in (((3,), 4), ((1, 3), 0)):
        experiment = Counting()
        experiment.largest = True
        run(experiment, Settings(2, budgets), tmp_path)
        assert len(experiment.asked) == asked


def left_after(angle, alpha, share):
    """Residual of inertial KM at a share of the theorem's largest step.

    r = (I - Q) / 2 with Q a rotation: I - 2 r is nonexpansive, so r is 1-cocoercive and no more.
    """
    cos, sin = math.cos(angle), math.sin(angle)
    turn = torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.float64)
    method = InertialKM(share / convergence.needed("inertial KM", 1.0, alpha), alpha)
    start = torch.ones(1, 2, dtype=torch.float64)
    return float(solve(lambda x, rows: (x - x @ turn.T) / 2, start, method, 0.0, 3000, keep="last").residual[0])


@pytest.mark.parametrize("alpha", [0.0, 0.2, 0.5])
@pytest.mark.parametrize("angle", [0.5, math.pi / 2, 2.5, math.pi])
def test_theorem_2_within_the_condition_it_converges(angle, alpha):
    assert left_after(angle, alpha, 0.95) < 1e-4


def test_beyond_the_condition_it_need_not():
    assert not left_after(math.pi, 0.0, 1.05) < 1


def test_theorem_2_without_inertia_is_theorem_1():
    assert convergence.needed("inertial KM", 0.5, 0.2) == pytest.approx(0.34375)
    assert convergence.needed("inertial KM", 0.7, 0.0) == convergence.needed("forward step", 0.7)
    assert convergence.needed("inertial KM", 0.7, 0.3) > convergence.needed("forward step", 0.7)


# ------------------------------------------------------------------------- published sizes


def test_networks_have_the_published_sizes():
    vae, unet = published.networks(published.SIZES["Stable Diffusion 2.1"])
    millions = [sum(p.numel() for p in network.parameters()) / 1e6 for network in (vae, unet)]
    assert millions == pytest.approx([83.7, 865.9], abs=0.1)


def test_every_part_is_measured_at_a_small_size(monkeypatch):
    monkeypatch.setattr(published, "CHANNELS", (32, 32, 64, 64))
    monkeypatch.setattr(published, "WIDTHS", (32, 32, 32, 32))
    unet = {"cross_attention_dim": 32, "attention_head_dim": 8}
    monkeypatch.setitem(published.SIZES, "LaVie", published.Size((64, 128), 2, (32, 1, 2), unet))
    monkeypatch.setattr(sizes, "_no_more_than_there_is", lambda: None)  # this process goes on
    costs = {part: sizes._measure("cpu", 1, "LaVie", "float32", 2, part) for part in sizes.PARTS}
    assert costs[sizes.BASED].above > costs[sizes.FREE].above > 0
    assert costs[sizes.FREE].seconds > costs[sizes.ENCODER].seconds > 0
    assert len({cost.weights for cost in costs.values()}) == 1


def test_a_part_that_needs_more_memory_than_there_is_says_so(monkeypatch):
    monkeypatch.setattr(sizes, "random_model", lambda *how: torch.empty(1 << 50))  # a petabyte
    with pytest.raises(MemoryError):
        sizes._measure("cuda", 1, "LaVie", "float32", 1, sizes.FREE)
    assert sizes._cells(sizes.Cost(*[math.nan] * 4))[0] == "out of memory"


# ------------------------------------------------------------------------ on the demo model


@pytest.fixture(scope="module")
def small():
    return bench.Bench(Settings(1, (1, 2)), None)


def test_the_path_of_an_inversion_ends_at_its_solution(small):
    picture = small.draw(0).picture
    path = follow(small.model, picture, DecoderInversion(ForwardStep(1.0), 2))
    assert len(path.latents) == len(path.seconds) == 3
    assert torch.equal(path.latents[-1], path.solution.value)
    assert torch.equal(path.after(1)[0], follow(small.model, picture, DecoderInversion(ForwardStep(1.0), 1)).latents[1])
    assert list(path.seconds) == sorted(path.seconds)
    alone = follow(small.model, picture, inversion.METHODS["encoder"])
    assert torch.equal(alone.after(7)[0], alone.solution.value)
    assert len(follow(small.model, picture, DecoderInversion(Anderson(2), 3, keep="best")).latents) == 3


def test_gradients_need_more_memory_than_iterations(small, monkeypatch):
    monkeypatch.setattr(peak_room, "_PROCESSES", 1)  # one each is enough to tell them apart
    free, based = (
        peak(small.settings, inversion.METHODS[name].with_budget(2)) for name in ("forward-step", "gradient")
    )
    assert based.above_mb > 1.5 * free.above_mb > 0
    assert based.model_mb == free.model_mb > 20
    assert free.total_mb > free.model_mb + free.above_mb


def test_the_float16_gradient_of_a_mean_underflows_and_that_of_a_sum_does_not(small):
    shares = {(row["dtype"], row["loss"]): row["zero_share"] for row in decoder_inversion.underflow(small)}
    assert shares["float32", "mean"] == shares["float32", "sum"] == 0
    assert shares["float16", "mean"] > 0.5
    assert shares["float16", "sum"] < 0.1


def test_few_forward_steps_beat_the_paper_at_as_many(small, tmp_path):
    names = (
        "forward step, 32 bit",
        "gradient-free, 32 bit, 0.01 fixed",
        "encoder, 32 bit",
        "treering's default, 32 bit",
    )
    rows = [row for name in names for row in decoder_inversion.EXPERIMENT.measure(small, f"picture 0: {name}")]
    error = {(row["method"].split(",")[0], row["iterations"]): row["nmse_db"] for row in rows}
    assert error["forward step", 2] < error["gradient-free", 2] < error["encoder", 0]
    text = decoder_inversion.EXPERIMENT.table(
        [*rows, {"dtype": "float16", "loss": "mean", "zero_share": 1.0, "finite": "yes"}]
    )
    assert f"{error['gradient-free', 2]:.1f} dB" in text
    assert text.count("too few pictures to tell") == 3  # against encoder, forward step and gradient-free
    decoder_inversion.EXPERIMENT.figure(rows, tmp_path)


def point(family, budget, seconds, error, picture=0):
    name = variants.Variant(family, 32, 0.1, "cosine").name
    return {"picture": picture, "method": name, "iterations": budget, "nmse_db": error, "seconds": seconds}


def test_the_headlines_of_the_paper():
    rows = [
        *(point("gradient-based", n, n / 5, error) for n, error in ((10, -15), (50, -20), (100, -25))),
        *(point("gradient-free", n, n / 10, error) for n, error in ((10, -19), (20, -21))),
        {"family": "gradient-free", "bits": 32, "peak_mb": 9, "model_mb": 1, "above_mb": 1},
        {"family": "gradient-based", "bits": 32, "peak_mb": 9, "model_mb": 1, "above_mb": 8},
    ]
    said = decoder_tables._gained(rows)
    assert "up to 5 times as fast to an error as small (at -20.0 dB)" in said  # 2 s against 10
    assert "at equal time at most 6.0 dB better (at 2 s)" in said
    assert "88 % less memory" in said
    slow = [row | {"nmse_db": -9} if "free" in row.get("method", "") else row for row in rows]
    assert "never at an error as small; at equal time at most 6.0 dB worse (at 2 s)" in decoder_tables._gained(slow)


def test_gradient_free_against_gradient_based_picture_by_picture():
    gaps = enumerate((1.0, 1.2, 1.1, 1.1))
    errors = ((i, (("gradient-free", -20 - gap), ("gradient-based", -20))) for i, gap in gaps)
    rows = [point(family, 20, 1, error, i) for i, pair in errors for family, error in pair]
    table = decoder_tables._against_gradient(rows)
    assert "-1.1 ± 0.1 dB (p = " in table
    assert table.count("dB (p") == 1


def test_no_memory_is_a_row_and_not_the_end(small, monkeypatch):
    def full(*how):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(decoder_inversion, "follow", full)
    rows = decoder_inversion.EXPERIMENT.measure(small, "picture 0: gradient-based, 32 bit, 0.1 scheduled")
    assert [row["status"] for row in rows] == ["out of memory"] * 2
    assert "out of memory" in decoder_tables._long_table(rows)


def residual(bench, z):
    pixels = torch.from_numpy(images.to_float(bench.draw(0).picture[None]))
    return inversion.decoder_residual(bench.model, z, bench.model.encode(pixels))


def test_inertial_km_ends_with_a_step_that_is_not_extrapolated(small):
    start, extrapolated, end = follow(
        small.model, small.draw(0).picture, DecoderInversion(InertialKM(0.5, 0.3), 2)
    ).latents
    first = start - 0.5 * residual(small, start)
    assert torch.allclose(extrapolated, first + 0.3 * (first - start), atol=1e-5)
    assert torch.allclose(end, extrapolated - 0.5 * residual(small, extrapolated), atol=1e-5)


def test_ablation_and_convergence_by_command(tmp_path):
    for name in ("ablation", "convergence"):
        folder = tmp_path / name
        words = ["experiment", name, "--images", "1", "--iterations", "1,2", "--output", str(folder), "--json"]
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 0, result.output
        told = json.loads(result.stdout)
        check("experiment", told)
        assert told["experiment"] == name
        assert sorted(path.name for path in folder.iterdir() if path.suffix) == sorted(
            ["figure.png", "figure.svg", "rows.csv", "rows.jsonl", "settings.json", "table.md"]
        )
    assert "forward step, each at its best rate" in (tmp_path / "ablation" / "table.md").read_text()
    assert "too few pictures" in (tmp_path / "convergence" / "table.md").read_text()
    assert "1/1" in (tmp_path / "convergence" / "table.md").read_text()
    assert len(ablation.SETTINGS) == 16


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nothing"], "'nothing' is not one of"),
        (["ablation", "--iterations", "3,x"], "'3,x' is not a list of numbers from 1 up, such as 20,50,100."),
        (["ablation", "--iterations", "0"], "'0' is not a list of numbers"),
        (["ablation", "--iterations", "٣"], "is not a list of numbers"),
        (["ablation", "--output", ""], "An empty name is no folder; . is the current one."),
        (["ablation", "--model", ""], "An empty name is no model."),
        (["ablation", "--images", "0"], "0 is not in the range"),
    ],
)
def test_wrong_words_are_a_usage_error(words, sentence):
    result = CliRunner().invoke(main, ["experiment", *words])
    assert result.exit_code == 2
    assert sentence in result.stderr


def test_a_model_that_is_not_there_and_a_folder_that_is_a_file(tmp_path):
    result = CliRunner().invoke(main, ["experiment", "ablation", "--model", str(tmp_path)])
    assert result.exit_code == 1
    assert "is not a pipeline folder" in result.stderr
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(main, ["experiment", "ablation", "--output", str(tmp_path / "file")])
    assert result.exit_code == 1
    assert result.stderr == f"Error: {tmp_path / 'file'} is not a folder, so results cannot be written there.\n"
