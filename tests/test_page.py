"""The report in a real browser: hostile names, long tables, the keyboard, both themes, a phone, paper."""

from __future__ import annotations

import math

import numpy as np
import pytest
from browser import Browser

from treering.report.page import Case, Group, Page, Row, Tally, html
from treering.statistics import Confusion

COUNT = 20_000
HOSTILE = "</script><img src=https://example.org/x onerror=\"document.title='hacked'\">.png"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report with many rows, a picture and names that mean harm."""
    from treering.review.thumbnails import jpeg

    rng = np.random.default_rng(0)
    rows = [_row(i, float(p)) for i, p in enumerate(rng.random(COUNT))]
    rows.append(Row(HOSTILE, "ab" * 32, "failed", why=f"{HOSTILE} is empty."))
    tally = Tally(-6.0)
    for row in rows:
        tally.add(row.answer, row.key, row.log10_p, row.answer == "none")
    picture = jpeg(rng.integers(0, 255, (64, 64, 3), np.uint8))
    case = Case(Row(HOSTILE, None, "key", key="3", log10_p=-44.0, pose="Found mirrored."), HOSTILE, picture, picture)
    page = Page(
        source=HOSTILE,
        facts={"keyring": "k"},
        fpr=1e-6,
        tally=tally,
        confusion=Confusion.of([(3, 3), (None, None)]),
        groups=(Group("Look", HOSTILE, (case,)),),
        unassessed=(),
        failed=(),
        rows=tuple(sorted(rows, key=lambda row: row.file)),
        warnings=(HOSTILE,),
    )
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(html(page), encoding="utf-8")
    return path.as_uri()


def _row(number: int, p: float) -> Row:
    named = number % 50 == 0
    answer, key = ("key", str(number % 100)) if named else ("none", "")
    log10_p = -10.0 - number / 1000 if named else math.log10(p)
    return Row(f"{number:06}.png", "cd" * 32, answer, key, log10_p=log10_p, log10_p_keyring=log10_p)


def test_a_report_runs_nothing_and_asks_for_nothing(browser: Browser, address: str) -> None:
    browser.open(address)
    assert browser.problems() == []
    assert {url.partition(":")[0] for url in browser.requests()} <= {"file", "data"}
    assert browser.run("document.title") == f"treering report: {HOSTILE}"
    assert browser.text("h1") == HOSTILE
    assert browser.run("[...document.images].every(one => one.complete && one.naturalWidth > 0 && one.alt)")


def test_the_table_has_only_what_is_in_view(browser: Browser, address: str) -> None:
    browser.open(address)
    rows = "document.querySelectorAll('#pictures tbody tr').length"
    assert 10 < browser.run(rows) < 100
    browser.run("document.getElementById('rows').scrollTop = 5e5")
    browser.frame()
    assert 10 < browser.run(rows) < 100
    assert browser.run("document.getElementById('pictures').getAttribute('aria-rowcount')") == str(COUNT + 2)
    height = browser.run("document.getElementById('pictures').getBoundingClientRect().height")
    assert height == pytest.approx(36 * (COUNT + 2), rel=0.01)


def first(browser: Browser) -> list[str]:
    return browser.run(
        "[...document.querySelectorAll('#pictures tbody tr[data-place=\"0\"] td')].map(td => td.innerText)"
    )


def test_sorting_and_filtering(browser: Browser, address: str) -> None:
    browser.open(address)
    head = "document.querySelector('th[data-column=p] button')"
    browser.run(f"{head}.click()")
    assert first(browser)[0] == "019950.png"
    assert browser.run(f"{head}.parentElement.getAttribute('aria-sort')") == "ascending"
    browser.run(f"{head}.click()")
    assert float(first(browser)[4]) == 0.0
    set_value = "(one => {{ one.value = '{}'; one.dispatchEvent(new Event('{}')) }})(document.getElementById('{}'))"
    browser.run(set_value.format("01990", "input", "find"))
    browser.frame()
    assert browser.text("#count") == "11 of 20,001 pictures"
    browser.run(set_value.format("0", "change", "answer"))
    browser.frame()
    assert browser.text("#count") == "1 of 20,001 pictures"
    browser.run(set_value.format("", "input", "find"))
    browser.run(set_value.format("50", "input", "key"))
    browser.frame()
    assert browser.text("#count") == "200 of 20,001 pictures"


def test_the_keyboard_reaches_every_row(browser: Browser, address: str) -> None:
    from selenium.webdriver import Keys

    browser.open(address)
    browser.run("document.querySelector('#pictures tbody tr[tabindex=\"0\"]').focus()")
    place = "Number(document.activeElement.dataset.place)"
    browser.press(Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    assert browser.run(place) == 2
    browser.press(Keys.END)
    assert browser.run(place) == COUNT
    box = browser.run("(r => [r.top, r.bottom])(document.activeElement.getBoundingClientRect())")
    view = browser.run("(r => [r.top, r.bottom])(document.getElementById('rows').getBoundingClientRect())")
    assert view[0] <= box[0] < box[1] <= view[1] + 1
    browser.press(Keys.HOME, Keys.ENTER)
    assert browser.run("document.getElementById('detail').open")
    assert "SHA-256" in browser.text("#detail")
    browser.press(Keys.ESCAPE)
    assert browser.run("document.getElementById('detail').open") is False


def test_both_themes_and_a_phone(browser: Browser, address: str) -> None:
    colours = {}
    for dark in (False, True):
        for width in (1200, 390):
            browser.open(address, width, 844, dark)
            assert browser.run("document.documentElement.scrollWidth") <= width
            paper, ink = (
                browser.run(f"getComputedStyle(document.body).{name}") for name in ("backgroundColor", "color")
            )
            colours[dark] = (paper, ink)
            assert contrast(paper, ink) > 7
    assert colours[False] != colours[True]


def contrast(one: str, other: str) -> float:
    """Of two colours, as WCAG 2 defines it."""
    low, high = sorted(luminance([int(part) / 255 for part in colour[4:-1].split(",")]) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: list[float]) -> float:
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_a_screen_reader_finds_its_way(browser: Browser, address: str) -> None:
    browser.open(address)
    nodes = browser.command("Accessibility.getFullAXTree")["nodes"]
    roles = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"]]
    assert all(
        name for role, name in roles if role in ("button", "textbox", "searchbox", "combobox", "img", "image", "region")
    )
    assert ("heading", "All pictures") in roles
    assert sum(role == "main" for role, _ in roles) == 1
    assert [role for role, _ in roles].count("columnheader") >= 6


def test_on_paper_there_are_rows_and_no_controls(browser: Browser, address: str) -> None:
    browser.open(address, dark=True)
    browser.run("dispatchEvent(new Event('beforeprint'))")
    browser.command("Emulation.setEmulatedMedia", media="print")
    assert browser.run("document.querySelectorAll('#pictures tbody tr').length") == 500
    assert browser.run("getComputedStyle(document.getElementById('filters')).display") == "none"
    assert browser.run("getComputedStyle(document.body).color") == "rgb(29, 35, 38)"
    assert "The first 500 of 20,001 rows." in browser.text("#print-note")


def test_without_a_script_the_numbers_are_there(browser: Browser, address: str) -> None:
    browser.command("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.go("about:blank")
        browser.go(address)
        source = browser.driver.page_source
    finally:
        browser.command("Emulation.setScriptExecutionDisabled", value=False)
    assert "400" in source
    assert source.count("<tr><td><bdi>") == 25
