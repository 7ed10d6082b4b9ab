"""The page and the API: who may know what, what is refused, and that one caller cannot harm another.

Most tests have a stand-in for the model behind the real server, on the loopback, with a real client.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from browser import Browser
from click.testing import CliRunner
from PIL import Image

pytest.importorskip("starlette")

import treering
from treering import serve
from treering.errors import InputError
from treering.marks.keyring import Keyring
from treering.serve.run import server
from treering.settings import Reading
from treering_cli.main import main

TOKEN, SIMPLE = "a-token-of-enough-letters", "another-token-for-answers"


class Stand(serve.Service):
    """Knows pictures of one grey, which is their key; 255 is none.  Works while ``go`` is set."""

    def __init__(self) -> None:
        self.keyring = Keyring.new(shape=(4, 32, 32), image_size=(32, 32))
        self.detector = SimpleNamespace(settings=Reading())  # type: ignore[assignment]
        self.go = threading.Event()
        self.go.set()
        self.begun = 0

    rows = 1  # type: ignore[assignment]

    def __call__(self, tasks: Sequence[Any]) -> list[Any]:
        self.begun += len(tasks)
        assert self.go.wait(30)
        return [self.answer(int(task.picture.pixels[0, 0, 0])) for task in tasks]

    @staticmethod
    def answer(grey: int) -> dict[str, Any]:
        if grey == 66:
            raise RuntimeError("a bug")
        key = None if grey == 255 else grey
        answer = {"answer": "none" if key is None else "key", "key": key, "verdict": "words", "reason": None}
        return {**answer, "log10_p": -9.0, "log10_p_keyring": -9.0, "certainty": "sure", "pose": None, "stage": "s"}


class Client:
    """A real client, one connection a request."""

    def __init__(self, port: int) -> None:
        self.port = port

    def __call__(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            data = response.read()
        finally:
            connection.close()
        is_json = response.headers.get("content-type") == "application/json"
        return response.status, json.loads(data) if is_json else data, response.headers

    def detect(self, body: bytes, kind: str = "image/png", **headers: str) -> tuple[int, Any, http.client.HTTPMessage]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self("POST", "/v1/detect", body, {"content-type": kind, **named})


@contextmanager
def running(service: Stand | None = None, **rules: Any) -> Iterator[tuple[Client, Stand, serve.Worker]]:
    """A server in a thread."""
    service = service or Stand()
    limits = rules.pop("limits", serve.Limits(seconds=20))
    listening = serve.bind("127.0.0.1", 0)
    port = listening.getsockname()[1]
    access = serve.Access.of("127.0.0.1", port, rules.pop("names", ()), limits=limits, **rules)
    worker = serve.Worker(service, service.rows, limits.queue)
    ready = threading.Event()
    uvicorn = server(serve.application(service, worker, access, True), limits, ready.set)
    thread = threading.Thread(target=lambda: uvicorn.run([listening]))
    thread.start()
    try:
        assert ready.wait(20)
        yield Client(port), service, worker
    finally:
        service.go.set()
        uvicorn.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def plain() -> Iterator[Client]:
    with running() as (client, _, _):
        yield client


def png(grey: int, size: tuple[int, int] = (32, 32)) -> bytes:
    import io

    stream = io.BytesIO()
    Image.new("RGB", size, (grey, grey, grey)).save(stream, "PNG")
    return stream.getvalue()


def form(*files: tuple[str, bytes]) -> tuple[bytes, str]:
    """A multipart body and its type."""
    parts = [
        b'--xyz\r\nContent-Disposition: form-data; name="picture"; filename="%s"\r\n\r\n%s\r\n' % (name.encode(), data)
        for name, data in files
    ]
    return b"".join(parts) + b"--xyz--\r\n", "multipart/form-data; boundary=xyz"


def wait_for(what: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


# Answers


def test_one_picture_and_many(plain: Client) -> None:
    status, found, _ = plain.detect(png(7))
    assert (status, [(one["answer"], one["key"]) for one in found["results"]]) == (200, [("key", 7)])
    body, kind = form(("a.png", png(1)), ("b.png", b"no picture"), ("c.png", png(255)))
    status, found, _ = plain.detect(body, kind)
    assert status == 200
    assert [one["file"] for one in found["results"]] == ["a.png", "b.png", "c.png"]
    assert [one.get("key") for one in found["results"]] == [1, None, None]
    assert found["results"][1]["error"] == "b.png is not a picture that can be read."


def test_answers_come_one_by_one_if_they_are_asked_for_so(plain: Client) -> None:
    body, kind = form(("a.png", png(1)), ("b.png", png(2)))
    status, data, headers = plain.detect(body, kind, accept="application/x-ndjson")
    events = [json.loads(line) for line in data.splitlines()]
    assert (status, headers["content-type"], events[0]) == (200, "application/x-ndjson", {"taken": 2})
    assert [event["result"]["key"] for event in events if "result" in event] == [1, 2]


def test_a_name_is_shown_and_never_obeyed(plain: Client) -> None:
    body, kind = form(("\u202egnp.<b>\x1b[1m.png", png(1)))
    _, found, _ = plain.detect(body, kind)
    assert found["results"][0]["file"] == "\\u202egnp.<b>\\x1b[1m.png"


def test_the_keyring_is_shown_without_its_secret(plain: Client) -> None:
    status, found, _ = plain("GET", "/v1/keyring")
    assert status == 200
    assert "secret" not in found and found["classes"] == 100


def test_the_api_describes_itself(plain: Client) -> None:
    _, found, _ = plain("GET", "/openapi.json")
    assert found["openapi"].startswith("3.1")
    for path, methods in found["paths"].items():
        for method in methods:
            assert plain(method.upper(), path)[0] not in (404, 405), (method, path)
    for name in re.findall(r'"#/components/schemas/(\w+)"', json.dumps(found)):
        assert name in found["components"]["schemas"]


def test_counts(plain: Client) -> None:
    plain.detect(png(3))
    status, text, _ = plain("GET", "/metrics")
    assert status == 200
    assert re.search(rb'^treering_pictures_total\{answer="key"\} [1-9]', text, re.M)
    assert re.search(rb'^treering_requests_total\{route="/v1/detect",status="200"\} [1-9]', text, re.M)
    assert b"treering_queue_places 64.0" in text


def test_what_is_wrong_is_one_sentence_and_a_status(plain: Client) -> None:
    cases = [
        ("GET", "/nowhere", None, {}, 404),
        ("PUT", "/v1/detect", b"", {}, 405),
        ("POST", "/v1/detect", b"x", {"content-type": "text/plain"}, 415),
        ("POST", "/v1/detect", b"", {"content-type": "image/png"}, 400),
        ("POST", "/v1/detect", b"x", {"content-type": "multipart/form-data"}, 400),
        ("POST", "/v1/detect", b"x" * 99, {"content-type": "multipart/form-data; boundary=xyz"}, 400),
        ("POST", "/v1/detect", form(("a", png(1)))[0][:-9], {"content-type": "multipart/form-data; boundary=xyz"}, 400),
        (
            "POST",
            "/v1/detect",
            form(*[("a", b"x")] * 17)[0],
            {"content-type": "multipart/form-data; boundary=xyz"},
            413,
        ),
        ("POST", "/v1/embed", b"[1]", {}, 400),
        ("POST", "/v1/embed", b'{"key": 100}', {}, 400),
        ("POST", "/v1/embed", b'{"key": 1, "seed": -1}', {}, 400),
    ]
    for method, path, body, headers, wanted in cases:
        status, found, _ = plain(method, path, body, headers)
        assert (status, list(found)) == (wanted, ["error"]), (method, path, found)
        assert re.fullmatch(r"[A-Z][^\n]*\.", found["error"])


def test_a_bug_is_not_told_and_ends_nothing(plain: Client, caplog: pytest.LogCaptureFixture) -> None:
    status, found, _ = plain.detect(png(66))
    assert (status, found) == (500, {"error": "Something went wrong here; the server's log has more."})
    wait_for(lambda: "a bug" in caplog.text)
    assert plain.detect(png(5))[0] == 200


# Limits


def test_too_many_bytes_and_pixels() -> None:
    with running(limits=serve.Limits(size=5000, pixels=2000, seconds=20)) as (client, service, _):
        assert client.detect(b"x" * 6000)[0] == 413
        with socket.create_connection(("127.0.0.1", client.port), timeout=20) as connection:
            head = f"POST /v1/detect HTTP/1.1\r\nHost: localhost:{client.port}\r\nContent-Type: image/png\r\n"
            connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
            answer = b"cut off"
            with contextlib.suppress(ConnectionError):  # it need not listen to the end, and may hang up while we talk
                for _ in range(9):  # without saying how many there will be
                    connection.sendall(b"400\r\n" + b"x" * 1024 + b"\r\n")
                answer = connection.recv(100)
            assert answer == b"cut off" or b" 413 " in answer
        assert "2000 pixels" in client.detect(png(1, (50, 50)))[1]["results"][0]["error"]
        assert service.begun == 0


def test_a_full_queue_says_when_to_try_again() -> None:
    with running(limits=serve.Limits(queue=3, seconds=20)) as (client, service, worker):
        service.go.clear()
        results: list[int] = []
        threads = [threading.Thread(target=lambda: results.append(client.detect(png(1))[0])) for _ in range(3)]
        for thread in threads:
            thread.start()
        wait_for(lambda: worker.taken == 3)
        status, found, headers = client.detect(png(2))
        assert status == 429
        assert int(headers["retry-after"]) >= 1
        assert "full" in found["error"]
        assert client("GET", "/healthz")[0] == 200
        service.go.set()
        for thread in threads:
            thread.join(20)
        assert results == [200] * 3
        wait_for(lambda: worker.taken == 0)
        assert client.detect(png(2))[0] == 200


def test_a_client_that_goes_frees_its_place() -> None:
    with running(limits=serve.Limits(queue=3, seconds=20)) as (client, service, worker):
        service.go.clear()
        sockets = []
        for accept in ("application/json", "application/x-ndjson", "application/json"):
            connection = socket.create_connection(("127.0.0.1", client.port))
            body = png(1)
            head = f"POST /v1/detect HTTP/1.1\r\nHost: localhost:{client.port}\r\nAccept: {accept}\r\n"
            head += f"Content-Type: image/png\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            sockets.append(connection)
            wait_for(lambda: worker.taken == len(sockets))
        wait_for(lambda: service.begun == 1)
        for connection in sockets:
            connection.close()
        wait_for(lambda: worker.taken == 0)
        service.go.set()
        assert client.detect(png(2))[0] == 200
        assert service.begun == 2  # the first, which had begun, and the last
        wait_for(lambda: b"treering_clients_gone_total 3.0" in client("GET", "/metrics")[1])


def test_slow_clients_harm_nobody() -> None:
    with running(limits=serve.Limits(queue=4, seconds=2, head=1)) as (client, _, worker):
        slow = [socket.create_connection(("127.0.0.1", client.port), timeout=20) for _ in range(40)]
        for number, connection in enumerate(slow):
            if number % 2:  # a body that never comes; the others have not even a head
                head = "POST /v1/detect HTTP/1.1\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n"
                connection.sendall(f"{head}Host: localhost:{client.port}\r\n\r\n".encode())
        ends: dict[int, bytes] = {}
        started = time.monotonic()
        while len(ends) < len(slow) and time.monotonic() < started + 15:
            for number, connection in enumerate(slow):
                if number not in ends:
                    try:
                        connection.sendall(b"x")
                    except OSError:
                        ends[number] = b""
            assert client.detect(png(3))[0] == 200
            assert worker.taken == 0
            for number, connection in enumerate(slow):
                connection.setblocking(False)
                try:
                    if number not in ends:
                        ends[number] = connection.recv(100)
                except OSError:
                    pass
                connection.setblocking(True)
            time.sleep(0.3)
        assert len(ends) == len(slow)
        assert all(end == b"" or b" 408 " in end or b" 400 " in end for end in ends.values())
        assert sum(b" 408 " in end for end in ends.values()) == 20
        for connection in slow:
            connection.close()


def test_malformed_requests_harm_nobody() -> None:
    rng = random.Random(0)
    whole, kind = form(("a.png", png(1)), ("b.jpg", b"\xff\xd8" + bytes(50)))
    with running() as (client, _, worker):
        head = f"POST /v1/detect HTTP/1.1\r\nHost: localhost:{client.port}\r\nContent-Type: {kind}\r\n"
        good = f"{head}Content-Length: {len(whole)}\r\n\r\n".encode() + whole
        for _ in range(150):
            data = bytearray(good)
            for _ in range(rng.randrange(1, 30)):
                data[rng.randrange(len(data) if rng.random() < 0.5 else 120)] = rng.randrange(256)
            with socket.create_connection(("127.0.0.1", client.port), timeout=20) as connection:
                connection.sendall(data[: rng.randrange(1, len(data) + 1)])
                connection.shutdown(socket.SHUT_WR)
                answer = connection.recv(1000)
                assert not answer.startswith(b"HTTP/1.1 5"), answer
        assert client.detect(png(3))[0] == 200
        wait_for(lambda: worker.taken == 0)


def test_nothing_is_kept_on_disk_and_no_name_is_logged(
    plain: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a temporary file")

    for name in ("TemporaryFile", "NamedTemporaryFile", "SpooledTemporaryFile", "mkstemp", "mkdtemp"):
        monkeypatch.setattr(tempfile, name, refuse)
    caplog.set_level(logging.DEBUG)
    body, kind = form(("holiday-with-aunt.png", png(4, (900, 900))), ("holiday-two.png", os.urandom(2 << 20)))
    status, found, _ = plain.detect(body, kind)
    assert status == 200
    assert found["results"][0]["key"] == 4
    wait_for(lambda: re.search(r"POST /v1/detect 200 \d", caplog.text) is not None)
    assert "holiday" not in caplog.text


# Who may know what


@pytest.fixture(scope="module")
def guarded() -> Iterator[Client]:
    import hashlib

    tokens = tuple(serve.Token(hashlib.sha256(t.encode()).digest(), t == TOKEN) for t in (TOKEN, SIMPLE))
    with running(tokens=tokens, anonymous=True, limits=serve.Limits(per_minute=5)) as (client, _, _):
        yield client


def test_details_are_for_those_with_the_right(guarded: Client) -> None:
    full = guarded.detect(png(3), authorization=f"Bearer {TOKEN}")[1]["results"][0]
    assert full["log10_p"] == -9.0
    for headers in ({}, {"authorization": f"Bearer {SIMPLE}"}):
        found = guarded.detect(png(3), **headers)[1]["results"][0]
        assert found == {"number": 0, "file": "", "answer": "key", "key": 3, "verdict": "words"}
        for path in ("/v1/keyring", "/metrics"):
            assert guarded("GET", path, headers=headers)[0] == 403
    assert guarded.detect(png(3), authorization="Bearer wrong")[0] == 401
    assert guarded("POST", "/v1/embed", b"{}")[0] == 403


def test_callers_without_details_have_a_limit() -> None:
    import hashlib

    token = serve.Token(hashlib.sha256(TOKEN.encode()).digest())
    with running(tokens=(token,), anonymous=True, limits=serve.Limits(per_minute=3)) as (client, _, _):
        statuses = [client.detect(png(3))[0] for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        assert int(client.detect(png(3))[2]["retry-after"]) <= 21
        assert client.detect(png(3), authorization=f"Bearer {TOKEN}")[0] == 200


def test_without_a_token_nothing_where_there_are_tokens() -> None:
    with running(tokens=(serve.Token(b"x" * 32),)) as (client, _, _):
        status, _, headers = client.detect(png(3))
        assert (status, headers["www-authenticate"][:6]) == (401, "Bearer")
        assert client("GET", "/")[0] == client("GET", "/healthz")[0] == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:{port}"}, 200),
        ({"Host": "evil.example"}, 421),
        ({"Host": "localhost:1"}, 421),
        ({"Origin": "http://127.0.0.1:{port}"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:{port}"}, 403),  # another name than the host's
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
def test_pages_of_others_may_not_ask(plain: Client, headers: dict[str, str], status: int) -> None:
    filled = {name: value.format(port=plain.port) for name, value in headers.items()}
    assert plain("GET", "/v1/about", headers=filled)[0] == status


def test_every_answer_has_its_policy(plain: Client) -> None:
    for path in ("/", "/page.js", "/page.css", "/icon.svg", "/healthz", "/nowhere", "/v1/keyring"):
        _, _, headers = plain("GET", path)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers
    assert not re.search(rb"<script(?! src)| on\w+=|style=", plain("GET", "/")[1])


def test_tokens_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"# mine\n{TOKEN}\n\n{SIMPLE} answers\n")
    path.chmod(0o600)
    assert [token.details for token in serve.read_tokens(path)] == [True, False]
    assert TOKEN not in repr(serve.read_tokens(path))
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        with pytest.raises(InputError, match=r"Others can read the token file .*: chmod 600 "):
            serve.read_tokens(path)
    path.chmod(0o600)
    for text, sentence in [("", "has no token"), ("short", "fewer than 16"), (f"{TOKEN} all", "more than a token")]:
        path.write_text(text)
        with pytest.raises(InputError, match=sentence):
            serve.read_tokens(path)
    with pytest.raises(InputError, match=str(tmp_path / "nowhere")):
        serve.read_tokens(tmp_path / "nowhere")


# The command


@pytest.mark.parametrize(
    ("words", "sentence", "code"),
    [
        (["--host", "0.0.0.0"], "On 0.0.0.0 others can reach the server: it needs a token file", 1),
        (["--host", "::"], "it needs a token file", 1),
        (["--host", "example.org"], "it needs a token file", 1),
        (["--anonymous"], "--anonymous is for servers with a --token-file", 2),
        (["--token-file", "open.txt"], "Others can read the token file open.txt", 1),
        (["--keyring", "nowhere.json"], "nowhere.json", 1),
    ],
)
def test_the_command_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_model: None, words: list[str], sentence: str, code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("open.txt").write_text(f"{TOKEN}\n")
    Path("open.txt").chmod(0o644)
    done = CliRunner().invoke(main, ["serve", *words])
    assert done.exit_code == code, done.stderr
    assert re.search(rf"^Error: [^\n]*{re.escape(sentence)}[^\n]*\n\Z", done.stderr, re.M)


def test_a_busy_port_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_model: None) -> None:
    monkeypatch.chdir(tmp_path)
    Keyring.new(shape=(4, 32, 32), image_size=(256, 256)).save(Path("own.json"))
    taken = serve.bind("127.0.0.1", 0)
    port = taken.getsockname()[1]
    done = CliRunner().invoke(main, ["serve", "--keyring", "own.json", "--port", str(port)])
    taken.close()
    assert (done.exit_code, done.stderr) == (
        1,
        f"Error: Port {port} of 127.0.0.1 is in use already; choose another with --port.\n",
    )


def test_the_missing_extra_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("treering.serve", "starlette"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(treering, "serve")
    monkeypatch.setitem(sys.modules, "starlette", None)
    done = CliRunner().invoke(main, ["serve"])
    assert (done.exit_code, done.stderr) == (
        1,
        "Error: The server needs more packages: pip install 'treering[serve]'\n",
    )


# The real thing: the command, the demo model, a real browser


class Process:
    """A `treering serve` of its own."""

    def __init__(self, folder: Path) -> None:
        program = "import sys; from treering_cli.start import treering; sys.argv[0] = 'treering'; treering()"
        words = ["serve", "--port", "0", "--keyring", "own.json", "--allow-embed", "--effort", "fast"]
        environment = {**os.environ, "TREERING_CACHE": "off"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, *words], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        found = re.fullmatch(r"Serving on http://127\.0\.0\.1:(\d+) until Ctrl-C\.\n", line)
        assert found, line + self.process.stderr.read()
        self.client = Client(int(found[1]))


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, keyring: Any, pictures: Any) -> Iterator[tuple[Process, Path]]:
    folder = tmp_path_factory.mktemp("serve")
    keyring.save(folder / "own.json")
    for key, pixels in pictures.items():
        Image.fromarray(pixels).save(folder / f"{key}.png")
    process = Process(folder)
    yield process, folder
    if process.process.poll() is None:
        process.process.kill()
    process.process.wait()
    if process.process.stderr is not None:
        process.process.stderr.close()


def test_pictures_are_read_by_the_real_model(real: tuple[Process, Path]) -> None:
    process, folder = real
    body, kind = form(*((f"{key}.png", (folder / f"{key}.png").read_bytes()) for key in (2, None)))
    status, found, _ = process.client("POST", "/v1/detect?spectrum=1", body, {"content-type": kind})
    assert status == 200
    marked, unmarked = found["results"]
    assert (marked["answer"], marked["key"], unmarked["answer"]) == ("key", 2, "none")
    assert marked["verdict"] == "Carries the mark of key 2."
    assert unmarked["certainty"].startswith("That does not show that the picture has none")
    assert marked["spectrum"].startswith("data:image/png;base64,")


def test_a_picture_is_made_and_read_again(real: tuple[Process, Path]) -> None:
    client = real[0].client
    status, made, headers = client("POST", "/v1/embed", b'{"prompt": "mountains at dawn", "key": 1, "seed": 5}')
    assert (status, headers["content-type"]) == (200, "image/png")
    assert client.detect(made)[1]["results"][0]["key"] == 1


NAME = "<img src=x onerror=document.title='hacked'>.png"


def test_the_page_shows_what_a_picture_carries(real: tuple[Process, Path], browser: Browser) -> None:
    process, folder = real
    (folder / NAME.replace("/", "")).write_bytes((folder / "2.png").read_bytes())
    own = f"http://127.0.0.1:{process.client.port}"
    browser.open(f"{own}/")
    wait_for(lambda: browser.run("document.getElementById('embed').hidden") is False)
    files = browser.driver.find_element("id", "files")
    files.send_keys(f"{folder / NAME}\n{folder / 'None.png'}")
    wait_for(lambda: browser.run("document.querySelectorAll('.card:not(.waiting)').length") == 2, 120)
    verdicts = dict(
        browser.run(
            "[...document.querySelectorAll('.card')]"
            ".map(card => ['.file', '.verdict'].map(name => card.querySelector(name).innerText))"
        )
    )
    assert verdicts == {NAME: "Carries the mark of key 2.", "None.png": "No mark was found."}
    assert browser.run("document.title") == "treering: is this picture marked?"
    assert browser.run("[...document.querySelectorAll('.spectrum img')].every(one => one.naturalWidth === 32)")
    assert browser.run("document.querySelector('.card.key .spectrum').hidden") is False
    assert browser.problems() == []
    assert all(url.startswith((own, "data:", "blob:")) for url in browser.requests())
    for width, dark in ((390, False), (1200, True)):
        browser.open(f"{own}/", width, 800, dark)
        assert browser.run("document.documentElement.scrollWidth") <= width


def test_a_stop_finishes_what_was_taken(real: tuple[Process, Path]) -> None:
    """Last of this file: the server is gone after it."""
    process, folder = real
    body, kind = form(*[(f"{i}.png", (folder / "2.png").read_bytes()) for i in range(4)])
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(process.client.detect(body, kind)))
    thread.start()
    wait_for(lambda: b"treering_queue_places_taken 0.0" not in process.client("GET", "/metrics")[1])
    process.process.send_signal(signal.SIGTERM)
    thread.join(300)
    assert [one["key"] for one in found[0][1]["results"]] == [2] * 4
    assert process.process.wait(60) == 0
    assert process.process.stderr is not None
    assert process.process.stderr.read() == "Stopped.\n"
    with pytest.raises(ConnectionRefusedError):
        process.client("GET", "/healthz")
