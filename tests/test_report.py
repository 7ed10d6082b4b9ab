"""Tables and figures, read back."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from treering import report
from treering.errors import InputError
from treering.statistics import Confusion, Rate

PAIRS = [(0, 0)] * 9 + [(0, None), (2, 2), (2, 2), (2, 7), (None, None), (None, None), (None, 0)]
CONFUSION = Confusion.of(PAIRS, classes=range(10))

TEXT = """\
true \\ found   0   2   7  none  total
0              9   .   .     1     10
2              .   2   1     .      3
none           1   .   .     2      3"""

MARKDOWN = """\
| true \\ found |   0 |   2 |   7 | none | total |
| -----------: | --: | --: | --: | ---: | ----: |
|            0 |   9 |   0 |   0 |    1 |    10 |
|            2 |   0 |   2 |   1 |    0 |     3 |
|         none |   1 |   0 |   0 |    2 |     3 |

- Accuracy: 81.2 % (13 of 16; 95 % interval 57.0 % to 93.4 %)
- False positives, a key found in an unmarked picture: 33.3 % (1 of 3; 95 % interval 6.1 % to 79.2 %)
- Wrong key found in a marked picture: 7.7 % (1 of 13; 95 % interval 1.4 % to 33.3 %)
- Nothing found in a marked picture: 7.7 % (1 of 13; 95 % interval 1.4 % to 33.3 %)
"""


def test_text() -> None:
    assert report.confusion_text(CONFUSION) == TEXT


def test_markdown() -> None:
    assert report.confusion_markdown(CONFUSION) == MARKDOWN


def test_nothing() -> None:
    assert report.confusion_text(Confusion.of([])) == "true \\ found  none  total\nnone             0      0"
    assert "- Accuracy: unknown (of 0)\n" in report.confusion_markdown(Confusion.of([]))


def test_twenty_classes_fit_a_wide_terminal() -> None:
    text = report.confusion_text(Confusion.of([(key, key) for key in range(20)] * 99))
    assert max(map(len, text.splitlines())) <= 120


@given(st.lists(st.tuples(*[st.none() | st.integers(0, 30)] * 2), max_size=50))
def test_text_holds_every_picture(pairs: list[tuple[int | None, int | None]]) -> None:
    header, *rows = report.confusion_text(Confusion.of(pairs, classes=range(31))).splitlines()
    assert len({len(line) for line in (header, *rows)}) == 1
    assert sum(int(row.split()[-1]) for row in rows) == len(pairs)
    found = header.split()[3:-1]
    assert found[-1] == rows[-1].split()[0] == "none"
    assert set(found) == {"none"} | {str(key) for pair in pairs for key in pair if key is not None}


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0.0 %"),
        (1, "100.0 %"),
        (0.975, "97.5 %"),
        (0.9999, "99.99 %"),
        (0.00004, "0.004 %"),
        (1e-12, "1e-10 %"),
    ],
)
def test_percent_never_rounds_to_certainty(share: float, text: str) -> None:
    assert report.percent(share) == text


def test_rate() -> None:
    assert report.rate_text(Rate(39, 40)) == "97.5 % (39 of 40; 95 % interval 87.1 % to 99.6 %)"


def test_markdown_table_escapes() -> None:
    table = report.markdown_table(["method", "z"], [["a|b\nc", 4.5], ["plain", -10]])
    assert table == "| method |   z |\n| ------ | --: |\n| a\\|b c | 4.5 |\n| plain  | -10 |\n"


def test_markdown_table_refuses_ragged_rows() -> None:
    with pytest.raises(InputError, match="does not have 2 cells"):
        report.markdown_table(["a", "b"], [[1, 2], [1]])


@pytest.mark.parametrize("confusion", [CONFUSION, Confusion.of([]), Confusion.of((k, k) for k in range(45))])
def test_figure(tmp_path: Path, confusion: Confusion) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "confusion.png"
    path.write_text("an older one")
    report.confusion_figure(confusion, path)
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert 600 < image.width < 3000
        assert len(image.convert("L").getcolors(256) or ()) > 20
    assert os.listdir(tmp_path) == ["confusion.png"]
    again = tmp_path / "again.png"
    report.confusion_figure(confusion, again)
    assert again.read_bytes() == path.read_bytes()


def test_figure_leaves_pyplot_alone(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    before = "matplotlib.pyplot" in sys.modules
    report.confusion_figure(CONFUSION, tmp_path / "confusion.png")
    assert ("matplotlib.pyplot" in sys.modules) == before


def test_figure_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError) as caught:
        report.confusion_figure(CONFUSION, tmp_path / "confusion.png")
    assert str(caught.value) == "Plots need matplotlib; install it with: pip install 'treering[plots]'"
    assert not os.listdir(tmp_path)
