"""What commands print, held to the JSON Schemas that come along."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

SCHEMAS: dict[str, dict[str, Any]] = {
    Path(one.name).stem: json.loads(one.read_text(encoding="utf-8"))
    for one in (resources.files("treering") / "schemas").iterdir()
}


def holds(name: str, record: Any) -> bool:
    """Whether a record is what the schema says."""
    jsonschema = pytest.importorskip("jsonschema", reason="the extra test is not installed")
    return bool(jsonschema.Draft202012Validator(SCHEMAS[name]).is_valid(record))


def check(name: str, *records: Any) -> None:
    """Fail with the first thing that is wrong."""
    jsonschema = pytest.importorskip("jsonschema", reason="the extra test is not installed")
    for record in records:
        jsonschema.Draft202012Validator(SCHEMAS[name]).validate(record)


def lines(text: str) -> Iterable[Any]:
    """The records that a command printed."""
    return [json.loads(line) for line in text.splitlines()]
