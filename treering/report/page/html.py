"""The page from its data: templates, style and script are files beside this one and go into the one that comes out."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from ... import __version__
from ...statistics import Confusion, Rate
from ...text import p_bound, shown
from ...types import Answer
from ..confusion import interval_text, name, percent
from ..confusion import others as other_columns
from ..confusion import shown as worth_showing
from ..power import Power
from .content import FAILED, Page, Row
from .histogram import histogram
from .words import certainty, verdict

ANSWERS = (*(answer.value for answer in Answer), FAILED)
"""In the order of the page."""

WIDEST = 30
"""Classes in a confusion matrix; of more, a table tells only those with mistakes."""

_LISTED = 100
_FIRST = 25  # rows that are there without a script


def html(page: Page) -> str:
    """The whole file.  Names of strangers are escaped twice: what is invisible for people, then for HTML."""
    style, script = _file("report.css"), _file("report.js")
    environment = _environment()
    environment.globals["named"] = lambda key: shown(page.names.get(str(key), ""))
    return environment.get_template("report.html").render(
        page=page,
        style=Markup(style),
        script=Markup(script),
        policy=_policy(style, script),
        answers=[(answer, page.tally.answers[answer]) for answer in ANSWERS],
        histogram=histogram(page.tally),
        matrix=page.confusion and _matrix(page.confusion),
        rates=_rates(page.confusion),
        hidden=_hidden(page.power) if page.tally.answers[Answer.NONE.value] else [],
        expectations=list(page.tally.expectations()) if page.fpr and page.tally.tested else [],
        first=page.rows[:_FIRST],
        data=_data(page.rows, page.names),
        version=__version__,
    )


def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _environment() -> Environment:
    environment = Environment(
        loader=DictLoader({name: _file(name) for name in ("report.html", "parts.html")}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(_FILTERS)
    return environment


def _policy(style: str, script: str) -> str:
    """Content security policy: this style and this script, pictures of the file itself, and nothing from anywhere."""
    return (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


# What the templates need besides


def _picture(data: bytes) -> Markup:
    return Markup(f"data:image/jpeg;base64,{base64.b64encode(data).decode()}")


def _number(count: float) -> str:
    """A count with thin gaps, or a small expectation.

    >>> _number(12345), _number(0.00002)
    ('12\\u202f345', '0.00002')
    """
    if isinstance(count, int):
        return f"{count:,}".replace(",", "\u202f")
    if count < 0.00001:
        return "less than 0.00001" if count else "0"
    return f"{count:.6f}".rstrip("0").rstrip(".") if count < 100 else f"{count:,.0f}".replace(",", "\u202f")


def _short(log10_p: float) -> str:
    return p_bound(log10_p).replace("1.0e", "1e")


_FILTERS: dict[str, Callable[..., Any]] = {
    "visible": shown,
    "picture": _picture,
    "number": _number,
    "p": _short,
    "verdict": lambda row: verdict(row.answer, row.key),
    "certainty": lambda row: certainty(row.answer, row.log10_p, row.why),
    "kind": lambda answer: str(answer).replace(" ", "-"),
}


# Confusion


def _matrix(confusion: Confusion) -> dict[str, Any]:
    """The cells of the matrix; of many classes, the rows with mistakes and no columns."""
    rows, columns = worth_showing(confusion)
    if max(len(rows), len(columns)) > WIDEST:
        return {"columns": None, "rows": _mistaken(confusion, rows)}
    heads = [name(confusion.labels[j]) for j in columns] + [answer.value for answer in other_columns(confusion)]
    return {"columns": heads, "rows": [_matrix_row(confusion, i, columns) for i in rows]}


def _matrix_row(confusion: Confusion, i: int, columns: Sequence[int]) -> dict[str, Any]:
    counts = [confusion.counts[i][j] for j in columns] + [column[i] for column in other_columns(confusion).values()]
    total, right = confusion.totals[i], [j == i for j in columns] + [False] * len(other_columns(confusion))
    cells = [
        {"count": count, "right": fits, "shade": -(-8 * count // total) if total else 0}
        for count, fits in zip(counts, right, strict=True)
    ]
    return {"name": name(confusion.labels[i]), "cells": cells, "total": total}


def _mistaken(confusion: Confusion, rows: Iterable[int]) -> list[dict[str, Any]]:
    wrong = ((confusion.totals[i] - confusion.counts[i][i], i) for i in rows)
    worst = sorted(((count, i) for count, i in wrong if count), key=lambda pair: (-pair[0], pair[1]))[:_LISTED]
    return [
        {
            "name": name(confusion.labels[i]),
            "total": confusion.totals[i],
            "right": confusion.counts[i][i],
            "none": confusion.counts[i][-1] if confusion.labels[i] is not None else 0,
            "wrong": count,
        }
        for count, i in worst
    ]


def _rates(confusion: Confusion | None) -> list[dict[str, Any]]:
    """The rates as sentences and as places of a scale, in percent of its length."""
    if confusion is None:
        return []
    told = [
        ("Right", "Pictures found to be what they are, marked or not", confusion.accuracy),
        ("Marked by mistake", "Unmarked pictures in which a mark was found", confusion.false_positives),
        ("Wrong key", "Marked pictures in which another key was found", confusion.wrong_class),
        ("Missed", "Marked pictures in which nothing was found", confusion.missed),
        ("Key not readable", "Marked pictures with a mark of this keyring, but no key", confusion.unread),
        ("Not assessable", "Pictures of which nothing can be said", confusion.unassessed),
    ]
    return [_rate(*one) for place, one in enumerate(told) if place < 4 or one[2].count]


def _rate(title: str, text: str, rate: Rate) -> dict[str, Any]:
    low, high = (round(100 * end, 2) for end in rate.interval)
    value = None if rate.value is None else round(100 * rate.value, 2)
    share = "unknown" if rate.value is None else percent(rate.value)
    ends = {"low": low, "high": high, "value": value, "interval": interval_text(rate)}
    return {"title": title, "text": text, "share": share, "count": rate.count, "total": rate.total, **ends}


# What would have been found


def _hidden(power: Power | None) -> list[dict[str, Any]]:
    """Damages and how often marks are named after them, in percent of a scale's length."""
    return [_rate(one.words, "", one.named) for one in power.damages] if power else []


# The table


def _data(rows: Sequence[Row], names: Mapping[str, str]) -> Markup:
    """The rows as JSON in columns, with nothing in it that ends a script."""
    columns: dict[str, Any] = {
        "file": [shown(row.file) for row in rows],
        "digest": [row.digest for row in rows],
        "answer": _coded([row.answer for row in rows], ANSWERS),
        "key": _coded([shown(row.key) for row in rows]),
        "true": _coded([row.true for row in rows]),
        "wrong": [int(row.wrong) for row in rows],
        "p": [_rounded(row.log10_p) for row in rows],
        "pKeyring": [_rounded(row.log10_p_keyring) for row in rows],
        "seconds": [row.seconds for row in rows],
        **{part: _coded([shown(getattr(row, part)) for row in rows]) for part in ("pose", "stage", "why", "notes")},
    }
    called = {shown(key): shown(name) for key, name in names.items()}
    known = {word: called[word] for part in ("key", "true") for word in columns[part]["words"] if word in called}
    columns["names"] = known
    text = json.dumps(columns, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _coded(values: Sequence[str], words: Sequence[str] | None = None) -> dict[str, Any]:
    """Words that come again and again as their numbers; numbers have the order of the words."""
    words = sorted(set(values), key=_natural) if words is None else words
    number = {word: place for place, word in enumerate(words)}
    return {"words": list(words), "codes": [number[value] for value in values]}


def _natural(word: str) -> tuple[str, int, str]:
    """By what is before the last number, then by the number: classes in their order, keyring by keyring."""
    head, _, last = word.rpartition(" ")
    return (head, int(last), "") if last.isascii() and last.isdigit() and len(last) < 20 else (word, -1, "")
