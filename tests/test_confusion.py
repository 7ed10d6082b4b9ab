"""Rates, their intervals and confusion matrices."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treering.errors import InputError
from treering.statistics import Confusion, Rate, wilson

LABELS = st.none() | st.integers(0, 6)
PAIRS = st.lists(st.tuples(LABELS, LABELS), max_size=60)
COUNTS = st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


# The first three are in Newcombe, Stat. Med. 17 (1998) 857, table I, method 3.
@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),
    ],
)
def test_wilson_known(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)


@given(COUNTS, st.floats(0.5, 0.999))
def test_wilson_holds_the_share(counts: tuple[int, int], confidence: float) -> None:
    low, high = wilson(*counts, confidence)
    assert 0 <= low <= counts[0] / counts[1] <= high <= 1
    assert low < high


@given(COUNTS)
def test_wilson_mirrors(counts: tuple[int, int]) -> None:
    successes, trials = counts
    low, high = wilson(successes, trials)
    assert wilson(trials - successes, trials) == pytest.approx((1 - high, 1 - low), abs=1e-12)


@given(COUNTS)
def test_wilson_ends_solve_its_equation(counts: tuple[int, int]) -> None:
    successes, trials = counts
    for end in wilson(successes, trials):
        if 0 < end < 1:  # |share - end| = z sqrt(end (1 - end) / n): where the interval comes from
            distance = abs(successes / trials - end)
            assert distance == pytest.approx(1.959963984540054 * (end * (1 - end) / trials) ** 0.5, rel=1e-6)


@given(COUNTS)
def test_more_confidence_is_wider(counts: tuple[int, int]) -> None:
    narrow, wide = wilson(*counts, 0.9), wilson(*counts, 0.99)
    assert wide[0] <= narrow[0] <= narrow[1] <= wide[1]


def test_wilson_of_nothing_says_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert Rate(0, 0).value is None


@pytest.mark.parametrize(("successes", "trials"), [(-1, 3), (4, 3), (0, -1)])
def test_wilson_refuses_counts(successes: int, trials: int) -> None:
    with pytest.raises(InputError, match=f"There cannot be {successes} successes in {trials} trials"):
        wilson(successes, trials)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, float("nan")])
def test_wilson_refuses_confidence(confidence: float) -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        wilson(1, 2, confidence)


@given(PAIRS)
def test_counts_are_the_pairs(pairs: list[tuple[int | None, int | None]]) -> None:
    confusion = Confusion.of(pairs)
    cells = {
        (true, found): count
        for true, row in zip(confusion.labels, confusion.counts, strict=True)
        for found, count in zip(confusion.labels, row, strict=True)
        if count
    }
    assert cells == Counter(pairs)
    assert confusion.labels[-1] is None
    assert confusion.total == len(pairs)


@given(PAIRS)
def test_rates_are_the_pairs(pairs: list[tuple[int | None, int | None]]) -> None:
    confusion = Confusion.of(iter(pairs))
    marked = [(true, found) for true, found in pairs if true is not None]
    unmarked = [found for true, found in pairs if true is None]
    assert confusion.accuracy == Rate(sum(true == found for true, found in pairs), len(pairs))
    assert confusion.false_positives == Rate(sum(found is not None for found in unmarked), len(unmarked))
    assert confusion.missed == Rate(sum(found is None for _, found in marked), len(marked))
    assert confusion.wrong_class == Rate(sum(found not in (true, None) for true, found in marked), len(marked))


@given(PAIRS)
def test_every_picture_is_right_or_wrong_in_one_way(pairs: list[tuple[int | None, int | None]]) -> None:
    confusion = Confusion.of(pairs)
    wrong = (confusion.false_positives, confusion.wrong_class, confusion.missed)
    assert confusion.accuracy.count + sum(rate.count for rate in wrong) == confusion.total


@given(PAIRS)
def test_as_dict_is_json(pairs: list[tuple[int | None, int | None]]) -> None:
    confusion = Confusion.of(pairs)
    read = json.loads(json.dumps(confusion.as_dict(), allow_nan=False))
    assert Confusion(tuple(read["labels"]), tuple(map(tuple, read["counts"]))) == confusion
    assert read["accuracy"]["rate"] == confusion.accuracy.value


def test_classes_that_do_not_occur() -> None:
    assert Confusion.of([(2, None)], classes=range(2)).labels == (0, 1, 2, None)


@pytest.mark.parametrize(
    ("labels", "counts"),
    [
        ((0,), ((1,),)),
        ((1, 0, None), ((0,) * 3,) * 3),
        ((None, 0), ((0,) * 2,) * 2),
        ((0, None), ((0, 0),)),
        ((0, None), ((0, 0), (0,))),
        ((0, None), ((0, 0), (0, -1))),
    ],
)
def test_other_forms_are_refused(labels: tuple[int | None, ...], counts: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(InputError):
        Confusion(labels, counts)
