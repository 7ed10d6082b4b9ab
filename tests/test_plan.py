"""Plans of stages: shares, corrections that hold, poses found, and answers that say what is known."""

import math

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from treering.marks.keyring import Keyring
from treering.marks.patterns import Pattern
from treering.reading import Detector
from treering.reading.evidence import Values, fisher
from treering.reading.plan import EFFORTS, outcome, run
from treering.reading.record import Done, Finding, Reading
from treering.reading.stages import Given
from treering.reading.tools import Tools
from treering.settings import EFFORTS as NAMES
from treering.settings import Reading as Settings
from treering.types import Answer, Match
from treering.writing import embed

SECRET = bytes(range(32))
SYNCHRONISED = Pattern(sync_share=0.75)
GIVEN = ("encoder, 2 steps", "encoder, 5 steps")


@pytest.fixture(scope="module")
def ring():
    return Keyring(SECRET, SYNCHRONISED)


@pytest.fixture(scope="module")
def picture(model, ring):
    return embed(model, ring, 7, ["green hills at dawn, trees"], 5)[0]


@pytest.fixture(scope="module")
def detector(model, ring):
    return Detector(model, ring)


# shares and corrections


@pytest.mark.parametrize("name", EFFORTS)
def test_the_shares_of_a_plan_are_an_error_budget(name):
    shares = [stage.share for stage in EFFORTS[name]]
    assert min(shares) > 0
    assert math.fsum(shares) <= 1
    assert len({stage.name for stage in EFFORTS[name]}) == len(shares)


def test_every_effort_has_a_plan():
    assert set(NAMES) < set(EFFORTS)
    assert [Settings(effort=name).way for name in NAMES] == list(NAMES)
    assert (Settings().way, Settings(method="encoder").way, Settings(steps=5).way) == ("normal", "single", "single")
    assert Settings(method="encoder", effort="fast").way == "fast"


@pytest.mark.parametrize("pair", [(-0.3, -0.1), (-6.0, -0.5), (-3.0, -3.0), (-40.0, -12.0)])
def test_fisher_is_fishers(pair):
    expected = stats.combine_pvalues([10.0**p for p in pair], "fisher").pvalue
    assert fisher(*pair) == pytest.approx(math.log10(expected), rel=1e-9)


def test_nothing_and_nothing_is_nothing():
    assert fisher(0.0, 0.0) == 0.0
    assert fisher(-400.0, 0.0) == pytest.approx(-400 + math.log10(1 + 400 * math.log(10)), rel=1e-9)


class Fixed:
    """A stage that says what it is told to."""

    def __init__(self, name, share, log10_class, log10_keyring=0.0):
        self.name, self.share = name, share
        self.finding = Finding(log10_class, log10_keyring, Match(3, 5.0, log10_class, 0.0))
        self.asked = 0

    def run(self, reading, tools):
        self.asked += 1
        return self.finding


def blank(model):
    return Reading(np.zeros((*model.image_size, 3), np.uint8), np.ones((32, 32), bool))


def test_what_could_have_been_tried_is_paid_for(model, ring):
    tools = Tools(model, ring, Settings(), None)
    done = [Done("a", 0.25, Finding(-8.0, -2.0), 0.0), Done("b", 0.125, Finding(-8.2, -9.0), 0.0)]
    found = outcome(done, tools)
    assert found.log10_class == pytest.approx(-8.0 + math.log10(4 * 2))  # stages, then two questions
    assert (found.by_class.stage, found.by_keyring.stage) == ("a", "b")
    assert found.log10_keyring == pytest.approx(-9.0 + math.log10(8 * 2))
    plain = outcome(done, Tools(model, Keyring(SECRET), Settings(), None))
    assert plain.log10_class == pytest.approx(-8.0 + math.log10(4))  # one question


def test_a_reading_stops_when_a_class_is_named_and_not_before(model, ring):
    tools, reading = Tools(model, ring, Settings(), None), blank(model)
    stages = Fixed("a", 0.5, -6.4, -30.0), Fixed("b", 0.25, -8.0), Fixed("c", 0.25, -20.0)
    run(stages, reading, tools, 1e-6)
    assert [stage.asked for stage in stages] == [1, 1, 0]  # -6.4 is not enough after correction
    assert [one.stage for one in reading.done] == ["a", "b"]
    run(stages, blank(model), tools, 1e-6, every=True)
    assert [stage.asked for stage in stages] == [2, 2, 1]


# the null


def noises():
    rng = np.random.default_rng(3)
    white = rng.standard_normal((4, 32, 32))
    ramp = np.linspace(-1, 1, 32)
    low_rank = np.stack([np.outer(np.sin(3 * ramp + i), np.cos(5 * ramp)) for i in range(4)])
    coloured = np.cumsum(np.cumsum(white, 1), 2) / 30
    return {"white": white, "coloured": coloured, "low rank": low_rank + 1e-3 * white}


@pytest.mark.parametrize("name", ["white", "coloured", "low rank"])
def test_p_values_of_wrong_secrets_are_valid_and_not_wasteful(name):
    noise = noises()[name].astype(np.float32)
    rng = np.random.default_rng(11)
    rings = [Keyring(rng.bytes(32), SYNCHRONISED, classes=3) for _ in range(400)]
    found = [Values(ring).read(noise) for ring in rings]
    for p in ([10**one.match.log10_p for one in found], [10**one.log10_keyring for one in found]):
        assert stats.kstest(p, "uniform").pvalue > 1e-3


# poses, on the model


def test_as_given_the_first_stage_names_it(detector, picture):
    (found,) = detector(picture[None])
    assert (found.answer, found.key, found.stage, found.pose) == (Answer.KEY, 7, GIVEN[0], None)
    assert [one["stage"] for one in found.stages] == [GIVEN[0]]
    assert found.p_keyring <= found.p_value <= 1e-6


def test_a_mirror_hides_nothing(detector, picture):
    (found,) = detector(picture[None, :, ::-1].copy())
    assert (found.answer, found.key, found.stage) == (Answer.KEY, 7, "pose")
    assert found.pose["mirror"]
    assert abs(found.pose["angle"]) < 3
    assert abs(found.pose["scale"] - 1) < 0.05
    record = found.as_dict()
    assert record["answer"] == "key"
    assert {"stage", "share", "seconds", "log10_p", "log10_p_keyring", "tried", "statuses"} == set(record["stages"][0])


def test_a_class_that_is_not_searched_is_a_mark_of_the_keyring(model, ring, picture):
    (found,) = Detector(model, ring, keys=range(3))(picture[None, :, ::-1].copy())
    assert (found.answer, found.key) == (Answer.KEYRING, None)
    assert found.found is Answer.KEYRING
    assert found.p_keyring <= 1e-6 < found.p_value
    assert found.pose["mirror"]


def test_another_secret_finds_nothing_in_any_stage(model, picture):
    (found,) = Detector(model, Keyring(bytes(32), SYNCHRONISED))(picture[None])
    assert (found.answer, found.key) == (Answer.NONE, None)
    assert [one["stage"] for one in found.stages] == [*GIVEN, "trimmed", "pose"]  # and no more of the same
    assert min(found.p_value, found.p_keyring) > 1e-4


def test_a_dear_stage_is_left_out_where_the_common_part_shows_nothing(model, ring):
    class Noted(Given):
        def count(self, tools):
            raise AssertionError("read")

    tools, stage = Tools(model, ring, Settings(), None), Noted("", 0.125, "plan", 0, hope=-1.0)
    weak, seen = Done("a", 0.5, Finding(0.0, -0.9), 0.0), Done("b", 0.25, Finding(0.0, -1.1), 0.0)
    reading = blank(model)
    reading.done = [weak]
    assert stage.run(reading, tools) is None
    for done in ([], [weak, seen]):
        reading.done = done
        with pytest.raises(AssertionError, match="read"):
            stage.run(reading, tools)
    reading.done = [weak]  # without a common part there is nothing to tell by
    with pytest.raises(AssertionError, match="read"):
        stage.run(reading, Tools(model, Keyring(SECRET), Settings(), None))


def test_the_effort_max_goes_on_to_the_end_unless_it_is_told_to_stop(model, ring):
    wanted = {("max", None): True, ("max", False): False, ("normal", None): False, ("normal", True): True}
    for (effort, every), expected in wanted.items():
        assert Detector(model, ring, effort=effort, every=every).every is expected


def test_the_places_beside_a_pose_share_what_the_pose_leaves():
    from treering.reading.stages import CENTRE, PLACES, WARPS

    assert 0 < CENTRE < 1
    assert len({*PLACES, *WARPS}) == len(PLACES) + len(WARPS)


@pytest.mark.parametrize("offset", [0, 3])
def test_a_class_is_found_in_its_place(detector, model, picture, offset):
    """As given but for three pixels, which take most of the evidence; the place is found by the class itself."""
    from treering.reading.confirm import Confirmed
    from treering.reading.lattice import LEFT_OVER
    from treering.reading.search import Candidate, confirm
    from treering.reading.stages import CENTRE, Posed, _class

    reading, tools = detector.tools.reading(picture), detector.tools
    beside = np.array([[1.0, 0, -offset / 256], [0, 1, offset / 256]])
    pose = Candidate(beside, np.eye(2, 3), -math.inf, 0.0)
    noise = tools.undone(reading, tools.undo(reading, beside), 5)
    found = confirm(noise, tools.values.sync_template, pose, LEFT_OVER, model.offset)
    seen = Confirmed(found, noise, found.level)
    plain, placed = (_class(reading, tools, seen, Posed("", 1.0, 5, placed=on), 1) for on in (False, True))
    assert placed.match.key == 7
    if offset:
        assert placed.log10_class < min(plain.log10_class - 3, -9)
    else:
        assert placed.log10_class == pytest.approx(plain.log10_class - math.log10(CENTRE))


def test_a_picture_on_a_page_is_found_by_its_borders(detector, picture):
    page = np.full((400, 400, 3), 236, np.uint8)
    page[40:296, 60:316] = picture
    (found,) = detector(np.asarray(Image.fromarray(page).resize((256, 256), Image.Resampling.LANCZOS))[None])
    assert (found.answer, found.key, found.stage) == (Answer.KEY, 7, "trimmed")
    assert found.box == pytest.approx((26, 38, 189, 202), abs=2)
    assert found.pose["scale"] == pytest.approx(0.64, abs=0.02)


def test_a_few_classes_are_searched_with_all_they_have(model):
    ring = Keyring(SECRET)  # nothing is common to its classes
    made = embed(model, ring, 1, ["green hills at dawn, trees"], 5)[0]
    (found,) = Detector(model, ring, keys=[1])(made[None, :, ::-1].copy())
    assert (found.answer, found.key, found.stage) == (Answer.KEY, 1, "pose")
    assert found.p_keyring == found.p_value


def test_one_colour_is_not_assessable(detector, model):
    (found,) = detector(np.full((1, *model.image_size, 3), 127, np.uint8))
    assert (found.answer, found.key) == (Answer.NOT_ASSESSABLE, None)
    assert "one colour" in found.reason


def test_numbers_that_fail_are_not_an_answer(model, ring, picture, monkeypatch):
    detector = Detector(model, ring, effort="fast")
    monkeypatch.setattr(detector.tools.model.__class__, "encode", lambda self, x: model_nan(self, x))
    (found,) = detector(picture[None])
    assert (found.answer, found.key, found.p_value) == (Answer.NOT_ASSESSABLE, None, 1.0)
    assert "not finite" in found.reason


def model_nan(model, pixels):
    import torch

    return torch.full((len(pixels), *model.shape), torch.nan)


def test_a_picture_does_not_depend_on_its_neighbours(model, ring, picture):
    detector = Detector(model, ring, effort="fast")
    other = np.random.default_rng(0).integers(0, 256, picture.shape, dtype=np.uint8)
    alone = detector(picture[None])[0]
    beside = detector(np.stack([other, picture]))[1]
    assert (alone.log10_p, alone.log10_p_keyring) == (beside.log10_p, beside.log10_p_keyring)


def test_a_stage_says_its_steps(model, ring):
    tools = Tools(model, ring, Settings(steps=4), None)
    assert Given("", 1.0, "encoder", 2).count(tools) == 2
    assert Given("", 1.0, "plan", 0).count(tools) == 4


def test_the_poses_reached_in_pixels_have_less_than_their_hypothesis_had():
    from treering.reading.confirm import CLIMBS, ROUNDS

    def climb(weight, left):
        return 0 if left == 0 else weight / 8 + climb(weight / 4, left - 1)

    def rounds(weight, left):
        return 0 if left == 0 else weight / 4 + climb(weight / 2, CLIMBS) + rounds(weight / 2, left - 1)

    assert rounds(1, ROUNDS) + rounds(0.5, ROUNDS) <= 1  # two ways to undo it, each with half of its own


def test_nothing_read_is_no_evidence(model):
    ring = Keyring(SECRET, SYNCHRONISED, classes=1)
    found = Values(ring).read(np.zeros((4, 32, 32), np.float32))
    assert (found.match.log10_p, found.log10_sync, found.log10_keyring) == (0.0, 0.0, 0.0)


def test_solver_calls_are_told_by_their_stage(model, ring, picture):
    (found,) = Detector(model, ring, effort="fast", every=True)(picture[None])
    assert [one["statuses"] for one in found.stages] == [
        {"encoder: budget": 1, "sampler: budget": 1},
        {"sampler: budget": 1},
    ]


def test_a_public_pattern_says_which_test_its_p_value_is_of(model, picture):
    (found,) = Detector(model, Keyring(SECRET, Pattern.paper(), classes=3), effort="fast")(picture[None])
    assert found.notes == ("The p-value is the classical one, as the values of this pattern are public.",)
