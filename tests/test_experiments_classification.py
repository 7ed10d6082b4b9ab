"""Three keys and what to look at: counts and words from made-up rows, and one tiny real run that is resumed."""

import json

import numpy as np
import pytest

from treering import files
from treering.errors import InputError
from treering.research import common
from treering.research.experiments import bench, classification, qualitative, readings
from treering.research.experiments.peak import Peak
from treering.research.experiments.readings import BASED, EXACT, FREE, KNOWN, METHODS, OURS, PROMPTS
from treering.research.studies import accuracy

PICTURES = 12


def reading(mark, i, method, prompt, **verdicts):
    true = None if mark == "unmarked" else i % 3
    head = {"kind": "reading", "picture": i, "mark": mark, "true": true, "method": method, "prompt": prompt}
    return {**head, "evaluations": 4, "decoder_seconds": 1.0 + i, "seconds": 2.0 + i, **verdicts}


def paper_rows(right):
    """``right(method, prompt, i)`` says which closed-set verdicts are right; the others name key 2, or 0 for key 2."""
    for i in range(PICTURES):
        for prompt in PROMPTS:
            for method in METHODS:
                found = i % 3 if right(method, prompt, i) else (0 if i % 3 == 2 else 2)
                yield reading("paper", i, method, prompt, closed_set=found, gain_fitted=i % 3, classical=None)


def secret_rows():
    """Gradient-free misses picture 0; treering finds a key in the unmarked picture 1, where the prompt is known."""
    for i in range(PICTURES):
        for prompt in PROMPTS:
            for method in EXACT:
                found = None if method == FREE and i == 0 else i % 3
                yield reading("secret", i, method, prompt, exact=found, exact_log10_p=-50.0)
                found = 1 if method == OURS and i == 1 and prompt == KNOWN else None
                yield reading("unmarked", i, method, prompt, exact=found, exact_log10_p=-0.1, classical=0)


def memory_rows():
    for method in METHODS:
        above = 300.0 if method.startswith(BASED) else 100.0
        yield {"kind": "memory", "method": method, "peak_mb": 500 + above, "model_mb": 60.0, "above_mb": above}


def made_up(right=lambda method, prompt, i: method != FREE or i < 3):
    counts = {"iterations": 4, "wanted": 4, "most": 20}
    calibration = {"kind": "calibration", **counts, "based_seconds": 0.5, "free_seconds": 0.1}
    return [calibration, *memory_rows(), *paper_rows(right), *secret_rows()]


def line(table, *begin):
    """Cells of the table's line that begins with these cells."""
    for text in table.splitlines():
        cells = [cell.strip() for cell in text.strip("|").split("|")]
        if cells[: len(begin)] == list(begin):
            return cells[len(begin) :]
    raise AssertionError(f"no line {begin} in\n{table}")


def test_the_table_counts():
    table = classification.EXPERIMENT.table(made_up())
    right = line(table, "unknown", "correct, closed set (paper)")
    assert [cell.split()[0] for cell in right] == ["12/12", "12/12", "12/12", "3/12", "12/12"]
    assert right[3] == "3/12 (25 %, 9 to 53)"  # Wilson's interval
    assert {cell.split()[0] for cell in line(table, "known", "correct, gain fitted")} == {"12/12"}
    assert {cell.split()[0] for cell in line(table, "known", "correct, classical test")} == {"0/12"}
    assert line(table, "any", "of it above the loaded model, MB") == ["100", "300", "300", "100", "100"]
    assert set(line(table, "any", "decoder inversion alone, s")) == {"6.5 / 6.5"}  # of all pictures, not of the last
    assert [cell.split()[0] for cell in line(table, "unknown", "marked", "right key")] == ["12/12", "11/12", "12/12"]
    assert [cell.split()[0] for cell in line(table, "unknown", "marked", "none")] == ["0/12", "1/12", "0/12"]
    assert [cell.split()[0] for cell in line(table, "known", "unmarked", "a key found")] == ["0/12", "0/12", "1/12"]
    assert line(table, "any", "of it the model's weights, MB") == ["60"] * len(METHODS)
    assert line(table, "gradient-free")[0] == "[1 0 3; 0 1 3; 3 0 1]"
    assert line(table, "gradient-free")[3] == "[4 0 0; 0 4 0; 0 0 4]"  # gain fitted, prompt known


def without_answer(rule):
    """Rows in which gradient-free names no key in picture 3, whose key is 0."""
    for row in made_up():
        silent = (row.get("method"), row.get("picture"), row.get("mark")) == (FREE, 3, "paper")
        yield row | {rule: None} if silent else row


def test_no_answer_is_counted_as_none():
    table = classification.EXPERIMENT.table(list(without_answer("gain_fitted")))
    assert line(table, "gradient-free")[2:] == ["[3 0 0 1; 0 4 0 0; 0 0 4 0]"] * 2
    assert line(table, "unknown", "correct, gain fitted")[3].startswith("11/12")
    page = classification.EXPERIMENT.figure(list(without_answer("closed_set")), None)
    panel = [axes for axes in page.axes if axes.texts][3]
    assert [text.get_text() for text in panel.get_xticklabels()] == ["0", "1", "2", "none"]
    assert sum(int(text.get_text()) for text in panel.texts if text.get_text().isdigit()) == 12


@pytest.mark.parametrize(("wanted", "count", "limits"), [(4, 4, "not hit"), (130, 20, "hit"), (0, 1, "hit")])
def test_the_shortened_method_is_explained(wanted, count, limits):
    first, *rest = made_up()
    table = classification.EXPERIMENT.table([first | {"wanted": wanted, "iterations": count}, *rest])
    assert (
        f"Gradient-based, shortened: {count} iterations. By a calibration on picture 0 (0.5 s an iteration of "
        f"gradient-based, 0.1 s of gradient-free, beyond the encoder) {wanted} take the time of 20 gradient-free ones; "
        f"the limits, 1 and 20, were {limits}." in table
    )


def test_memory_that_did_not_suffice_is_unknown():
    rows = [row | {"above_mb": float("nan")} if row.get("method") == BASED else row for row in made_up()]
    table = classification.EXPERIMENT.table(rows)
    assert line(table, "any", "of it above the loaded model, MB") == ["100", "unknown", "300", "100", "100"]
    assert "memory beyond the loaded model: gradient-based took" not in table


def test_the_words_say_what_is_significant():
    table = classification.EXPERIMENT.table(made_up())
    said = (
        "Prompt unknown: treering, closed set (paper), was more often right than gradient-free, 12 against 3 of 12; "
        "the difference is significant at 5 %"
    )
    assert f"{said} (corrected p = 0.031)" in table  # 9 pictures against 0: p = 2/2^9, times 8 tests
    said = "gradient-free, gain fitted, was more often right than closed set (paper), 12 against 3 of 12"
    assert f"Prompt known: {said}; the difference is significant at 5 % (corrected p = 0.039)" in table  # times 10
    assert "gradient-based took 3 times what gradient-free took" in table
    assert "was wrong in 9 of 60 readings, 6 times with key 2, the one of least energy; with a gain fitted, 0" in table
    assert "16 of 26 comparisons are not significant. That does not mean equal: 12 pictures show" in table


def test_a_small_difference_is_not_called_significant():
    table = classification.EXPERIMENT.table(made_up(lambda method, prompt, i: method != FREE or i > 2))
    lined = line(table, "closed set (paper)", "treering", "known")
    assert lined == ["12/12", "gradient-free", "9/12", "0.25", "1", "not significant"]
    assert "26 of 26 comparisons are not significant" in table
    assert "significant at 5 %" not in table


def test_holms_correction():
    assert classification.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert classification.holm([0.9, 0.8]) == [1.0, 1.0]


def test_the_figure_shows_the_counts():
    page = classification.EXPERIMENT.figure(made_up(), None)
    panels = [axes for axes in page.axes if axes.texts]
    assert len(panels) == 4 * (len(METHODS) + 1) - 1  # and a note
    counts = [[text.get_text() for text in axes.texts if text.get_text().isdigit()] for axes in panels]
    assert counts[3] == ["1", "0", "3", "0", "1", "3", "3", "0", "1"]
    assert counts[5] == ["4", "0", "0", "0", "0", "4", "0", "0", "0", "0", "4", "0", "0", "0", "0", "12"]
    assert panels[3].get_title() == "3/12 right (25 %)"
    assert panels[9].get_title() == "12/12 right (100 %)"  # gain fitted
    known = panels[2 * (len(METHODS) + 1) + len(METHODS)]
    assert known.get_title() == "12/12 right (100 %)\n1/12 false (8 %)"


@pytest.fixture
def quick(monkeypatch, model):
    """The session's model, few sampler steps and rounds, and no processes of their own; counts what is measured."""
    monkeypatch.setattr(bench.Bench, "model", property(lambda self: model))
    monkeypatch.setattr(model, "steps", 2)  # of both ways
    monkeypatch.setattr(readings, "ROUNDS", 1)
    monkeypatch.setattr(readings, "peak", lambda *_: Peak(3.0, 1.0, 2.0))
    measured = []
    for kind in (classification.Classification, qualitative.Qualitative):
        real = kind.measure
        monkeypatch.setattr(kind, "measure", lambda s, b, unit, real=real: measured.append(unit) or real(s, b, unit))
    return measured


SETTINGS = bench.Settings(images=1, iterations=(2,))


def test_a_run_is_resumed_with_the_same_calibration(quick, tmp_path, monkeypatch):
    first = bench.run(classification.EXPERIMENT, SETTINGS, tmp_path)
    assert quick == ["calibration", "memory", "picture 0"]
    monkeypatch.setattr(readings, "calibrate", None)  # would fail if it were asked again
    units = {unit["unit"]: unit["rows"] for unit in map(json.loads, (tmp_path / bench.ROWS).read_text().splitlines())}
    kept = units["calibration"][0]["iterations"]
    assert 1 <= kept <= 2
    made = bench.Bench(SETTINGS, tmp_path)
    made.known = units
    assert readings.calibrated(made) == kept
    again = bench.run(classification.EXPERIMENT, SETTINGS, tmp_path)
    assert len(quick) == 3
    assert again.table == first.table
    assert not again.notes
    check_rows(units["picture 0"], kept)


def check_rows(rows, kept):
    """5 methods read the paper's marks, 3 the others, with and without the prompt."""
    assert len(rows) == 2 * (5 + 3 + 3)
    budgets = {row["method"]: row["evaluations"] for row in rows}
    assert [budgets[name] for name in METHODS[:4]] == [0, 2, kept, 2]
    assert all(0 < row["decoder_seconds"] < row["seconds"] for row in rows)
    assert all(row["exact"] is None for row in rows if row["mark"] == "unmarked")


def test_a_few_pictures_are_measured_once_and_drawn_again(quick, tmp_path):
    first = bench.run(qualitative.EXPERIMENT, SETTINGS, tmp_path)
    assert not first.notes
    before = (tmp_path / "figure.png").read_bytes()
    assert bench.run(qualitative.EXPERIMENT, SETTINGS, tmp_path).table == first.table
    assert quick == ["picture 0"]
    assert (tmp_path / "figure.png").read_bytes() == before
    assert [text.split("|")[2].strip() for text in first.table.splitlines()[4:]] == list(qualitative.METHODS)
    spectrum = np.load(next((tmp_path / bench.PICTURES).glob("*original*.npy")), allow_pickle=False)
    assert spectrum.shape == (21, 21)
    assert spectrum[10, 16] == pytest.approx(1.25 * 1.8, abs=1e-4)  # key 0 on ring 6: 80/64 (1 + 2 (1.4 - 1))


def test_a_missing_file_is_told_in_the_notes(quick, tmp_path):
    rows = [{"picture": 0, "method": "original", "true": 0, "prompt": "", "files": "gone"}]
    with pytest.raises(InputError, match=r"gone\.png is missing or damaged"):
        qualitative.EXPERIMENT.figure(rows, tmp_path)


class Unknown:
    """A model whose world treering does not know."""

    captions = None


def test_the_prompts_of_a_model_that_is_not_known_differ_from_picture_to_picture():
    made = bench.Bench(SETTINGS, None)
    made.model = Unknown()
    prompts = [made.prompt(i) for i in range(90)]
    assert len(set(prompts)) == len(common.PROMPTS) == 31
    assert len(set(prompts[::3])) == 30  # those of one class, too


def test_a_damaged_line_of_a_study_costs_one_picture(tmp_path):
    good = {"run": "a", "picture": 1, "key": None, "found": {}}
    lines = [good, {"picture": 2}, [3], 4, {"run": "a"}, {**good, "run": "b"}, {**good, "picture": 5}]
    (tmp_path / "rows").write_text("rubbish\n\n" + "".join(json.dumps(line) + "\n" for line in lines))
    with files.Journal(tmp_path / "rows") as journal:
        assert [row["picture"] for row in accuracy._rows(journal, "a")] == [1, 5]


def test_two_studies_do_not_write_to_one_folder(model, keyring, tmp_path):
    with (
        files.locked(tmp_path, ""),
        pytest.raises(
            InputError, match=r"^Another study is writing to .*; wait for its end or choose another folder\.$"
        ),
    ):
        accuracy.accuracy(model, keyring, tmp_path, 1, print)
