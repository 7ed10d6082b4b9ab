"""The server's signed answers, names of classes, and stages as they happen, by the real model and a real client."""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Browser
from click.testing import CliRunner
from PIL import Image

pytest.importorskip("starlette")
pytest.importorskip("cryptography", reason="the extra evidence is not installed")

from schemas import check, holds
from test_serve import Client, form, running, wait_for

import treering
from treering import serve
from treering.errors import InputError
from treering.evidence import Signer
from treering.marks.names import Names
from treering.serve.stages import words
from treering_cli.main import main

TOKEN, SIMPLE = "a-token-of-enough-letters", "another-token-for-answers"
NAME = "Anna's <b>shop</b>"
KEYRING = treering.Keyring(bytes(range(1, 33)), treering.Pattern.synchronised(), nonces=64)


class Real(serve.Service):
    """The real thing, where a stand-in is expected."""

    go = threading.Event()


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer.new()


@pytest.fixture(scope="module")
def given(model: Any) -> bytes:
    """A marked picture as it was made, a file."""
    return png(treering.embed(model, KEYRING, 2, ["green hills at dawn"], 5, steps=5)[0])


@pytest.fixture(scope="module")
def mirrored(given: bytes) -> bytes:
    """The same, so that its pose is to be found."""
    return png(np.ascontiguousarray(np.asarray(Image.open(io.BytesIO(given)))[:, ::-1]))


def png(pixels: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def signing(model: Any, signer: Signer) -> Iterator[Client]:
    """A server that signs, with callers of every kind."""
    tokens = tuple(serve.Token(hashlib.sha256(t.encode()).digest(), t == TOKEN) for t in (TOKEN, SIMPLE))
    service = Real(model, KEYRING, signer=signer, names=Names(KEYRING.id, {2: NAME}))
    limits = serve.Limits(seconds=60)
    with running(service, tokens=tokens, anonymous=True, limits=limits) as (client, _, _):  # type: ignore[arg-type]
        yield client


def asked(client: Client, what: str, picture: bytes, token: str | None = TOKEN) -> tuple[int, Any]:
    """The answer to ``POST /v1/detect?what``; lines come as a list."""
    body, kind = form(("p.png", picture))
    headers = {"content-type": kind, **({"authorization": f"Bearer {token}"} if token else {})}
    status, data, _ = client("POST", f"/v1/detect?{what}", body, headers)
    return status, [json.loads(line) for line in data.splitlines()] if isinstance(data, bytes) else data


def test_an_answer_that_others_can_check(signing: Client, signer: Signer, mirrored: bytes, tmp_path: Path) -> None:
    status, events = asked(signing, "evidence=true&stages=true", mirrored)
    result = events[-1]["result"]
    assert (status, events[0], result["key"], result["name"]) == (200, {"taken": 1}, 2, NAME)
    _stages_fit(events, result)
    check("evidence", result["evidence"])
    assert not holds("evidence", result["evidence"] | {"signature": {}})
    (tmp_path / "e.json").write_text(json.dumps(result["evidence"]))
    (tmp_path / "p.png").write_bytes(mirrored)
    KEYRING.save(tmp_path / "k.json")
    _, about, _ = signing("GET", "/v1/about", headers={"authorization": f"Bearer {TOKEN}"})
    assert about["signer"] == signer.public
    names = [str(tmp_path / name) for name in ("e.json", "p.png", "k.json")]
    words = ["check", *names[:2], "--keyring", names[2], "--signer", about["signer"], "--json"]
    told = CliRunner().invoke(main, words)
    checks = {one["what"]: one["holds"] for one in map(json.loads, told.stdout.splitlines())}
    assert checks == {"signature": True, "picture": True, "answer": None, "test": True}, told.output
    assert KEYRING.secret.hex() not in json.dumps(events)
    assert result["evidence"]["statement"]["answer"]["pose"]["mirror"] is True


def test_a_picture_with_nothing_in_it_has_an_answer_and_no_evidence(signing: Client) -> None:
    _, found = asked(signing, "evidence=1", png(np.full((256, 256, 3), 255, np.uint8)))
    (result,) = found["results"]
    assert (result["answer"], result["evidence"]) == ("not assessable", None)
    assert result["no_evidence"].endswith(".")


@pytest.mark.parametrize("token", [None, SIMPLE])
def test_evidence_names_and_stages_are_for_those_with_the_right(
    signing: Client, given: bytes, token: str | None
) -> None:
    status, found = asked(signing, "evidence=true", given, token)
    assert (status, found) == (403, {"error": "Only callers who may know details may have evidence."})
    status, events = asked(signing, "stages=true", given, token)
    assert (status, sorted(events[-1]["result"])) == (200, ["answer", "file", "key", "number", "verdict"])
    assert events[-1]["result"]["key"] == 2
    assert not any("stage" in event for event in events)
    assert NAME not in json.dumps(events)
    assert signing("GET", "/v1/about", headers={"authorization": f"Bearer {SIMPLE}"})[1]["signer"] is None


def test_a_server_without_a_key_signs_nothing() -> None:
    with running() as (client, _, _):
        status, found = asked(client, "evidence=true", png(np.full((32, 32, 3), 7, np.uint8)), None)
        assert (status, "started without --signing-key" in found["error"]) == (403, True)
        assert asked(client, "evidence=false", png(np.full((32, 32, 3), 7, np.uint8)), None)[0] == 200


def _stages_fit(events: list[Any], result: Any, one: str = "pose, confirm") -> None:
    """Whether what was told on the way is what was done."""
    stages = [event["stage"] for event in events if "stage" in event]
    run = [stage["stage"] for stage in result["stages"]]
    told = [stage for stage in stages if not stage.endswith("confirm")]
    assert [stage for stage in told if stage in run] == run  # a stage that had nothing to do is told too
    assert one in stages
    assert all(event["number"] == 0 and event["says"] == words(event["stage"]) for event in events if "stage" in event)


def test_stages_without_evidence(signing: Client, given: bytes) -> None:
    _, events = asked(signing, "stages=1", given)
    _stages_fit(events, events[-1]["result"], "encoder, 2 steps")


def test_public_values_are_no_evidence(model: Any, signer: Signer) -> None:
    public = treering.Keyring.new(pattern=treering.Pattern.paper(), classes=3)
    with pytest.raises(InputError, match="public"):
        serve.Service(model, public, signer=signer)


def test_the_page_tells_stages_names_and_evidence(
    model: Any, signer: Signer, mirrored: bytes, browser: Browser, tmp_path: Path
) -> None:
    (tmp_path / "p.png").write_bytes(mirrored)
    service = Real(model, KEYRING, signer=signer, names=Names(KEYRING.id, {2: NAME}))
    with running(service, limits=serve.Limits(seconds=60)) as (client, _, _):  # type: ignore[arg-type]
        browser.open(f"http://127.0.0.1:{client.port}/")
        wait_for(lambda: browser.run("document.getElementById('embed').hidden") is False)
        browser.driver.execute_script(
            "window.told = []; new MutationObserver(() => { const one = document.querySelector('.verdict');"
            "if (one && told.at(-1) !== one.textContent) told.push(one.textContent) })"
            ".observe(document.getElementById('results'), { childList: true, subtree: true, characterData: true })"
        )
        browser.driver.find_element("id", "files").send_keys(str(tmp_path / "p.png"))
        wait_for(lambda: browser.run("document.querySelectorAll('.card:not(.waiting)').length") == 1, 60)
        told = browser.run("told")
        for text in (words("encoder, 2 steps"), words("pose"), words("pose, confirm"), "Carries the mark of key 2."):
            assert text in told, told
        assert browser.text(".card .name") == f"The class is called: {NAME}"
        link = "document.querySelector('.evidence a')"
        assert browser.run(f"{link}.download") == "p.evidence.json"
        saved = browser.run(f"fetch({link}.href).then(one => one.text()).catch(() => '')")
        assert saved == "" or json.loads(saved)["format"] == "treering evidence"  # the policy lets nobody fetch a blob
        browser.problems()
        for width in (390, 1200):
            browser.command(
                "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False
            )
            assert browser.run("document.documentElement.scrollWidth") <= width
