"""Buckets on a real S3 server of the loopback, and what can go wrong there; other sources by address."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batch_tools import SETTINGS, Formula, lines, paint, run, sentence
from batch_tools import gallery as labelled

from treering.batch import UNKNOWN, Item, addresses, archives, find, opening, places, remote, verify
from treering.batch.engines import Recipe, get
from treering.errors import InputError

BUCKET = "pictures"


def gallery(folder: Path, count: int) -> list[Item]:
    """Pictures without labels, so that no figure is drawn."""
    labelled(folder, count)
    return find(folder)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server; skipped where its package is missing."""
    pytest.importorskip("s3fs", reason="the extra s3 is not installed")
    moto = pytest.importorskip("moto.server", reason="moto's server is not installed")
    running = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def bucket(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty bucket, as s3fs sees it; nothing waits long."""
    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(remote, "PAUSE", 0.01)
    remote._opened.cache_clear()
    fs, _ = remote.filesystem("s3://")
    fs.retries = 1
    fs.call_s3("create_bucket", Bucket=BUCKET)
    yield fs
    fs.rm(BUCKET, recursive=True)
    remote._opened.cache_clear()


def upload(fs: Any, folder: Path, count: int = 5) -> list[Item]:
    items = gallery(folder, count)
    for item in items:
        fs.pipe_file(f"{BUCKET}/in/{item.name}", item.path.read_bytes())
    return items


def test_a_bucket(bucket: Any, tmp_path: Path) -> None:
    """Listed, read once, and not read again by whoever goes on: ETags are in the lines."""
    there = upload(bucket, tmp_path / "in")
    bucket.pipe_file(f"{BUCKET}/in/notes.txt", b"text")
    bucket.pipe_file(f"{BUCKET}/in/.hidden.png", b"x")
    bucket.pipe_file(f"{BUCKET}/in/empty.png", b"")
    bucket.pipe_file(f"{BUCKET}/inner.png", b"not below")
    items = list(remote.find(f"s3://{BUCKET}/in"))
    assert [item.name for item in items] == sorted(["empty.png", *(item.name for item in there)])
    summary = run(items, tmp_path / "out")
    assert summary.failed == (("empty.png", "empty.png is empty."),)
    assert summary.found == run(there, tmp_path / "local").found
    assert all(line["stamp"] for line in lines(tmp_path / "out") if not line["error"])
    with counted(bucket) as asked:
        again = run(list(remote.find(f"s3://{BUCKET}/in/")), tmp_path / "out")
    assert (again.resumed, again.checked) == (5, 0)
    assert asked.count("get_object") == 1  # the empty one


class counted:
    """Which operations are asked of a bucket."""

    def __init__(self, fs: Any) -> None:
        self.fs, self.asked, self.whole = fs, list[str](), fs._call_s3

    def __enter__(self) -> list[str]:
        async def call(method: str, *given: Any, **named: Any) -> Any:
            self.asked.append(method)
            return await self.whole(method, *given, **named)

        self.fs._call_s3 = call
        return self.asked

    def __exit__(self, *_: object) -> None:
        self.fs._call_s3 = self.whole


def test_pages_of_a_listing(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{number:03}.png" for number in range(7)]
    for name in names:
        bucket.pipe_file(f"{BUCKET}/{name}", b"x")
    call = bucket.call_s3
    monkeypatch.setattr(bucket, "call_s3", lambda method, **given: call(method, MaxKeys=3, **given))
    assert [item.name for item in remote.find(f"s3://{BUCKET}")] == names


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError("lost"),
        TimeoutError(),
        OSError(16, "Please reduce your request rate. (SlowDown)"),
        RuntimeError("the driver's own"),
    ],
    ids=["lost", "timeout", "throttled", "other"],
)
def test_what_passes_is_tried_again(bucket: Any, tmp_path: Path, error: Exception) -> None:
    upload(bucket, tmp_path / "in", 2)
    items = list(remote.find(f"s3://{BUCKET}/in"))
    with failing(bucket, "get_object", error, remote.TRIES - 1):
        assert run(items, tmp_path / "out").checked == 2
    with failing(bucket, "get_object", error, 2 * remote.TRIES):
        summary = run(items, tmp_path / "other")
    assert (summary.checked, summary.failures) == (0, 2)
    assert all("cannot be read: " in text for _, text in summary.failed)
    assert run(items, tmp_path / "other").checked == 2


class failing(counted):
    """The first calls of an operation fail."""

    def __init__(self, fs: Any, method: str, error: Exception, times: int) -> None:
        super().__init__(fs)
        self.method, self.error, self.times = method, error, times

    def __enter__(self) -> list[str]:
        async def call(method: str, *given: Any, **named: Any) -> Any:
            if method == self.method and self.times:
                self.times -= 1
                raise self.error
            return await self.whole(method, *given, **named)

        self.fs._call_s3 = call
        return self.asked


def test_what_is_gone_or_forbidden_is_a_failed_line(bucket: Any, tmp_path: Path) -> None:
    upload(bucket, tmp_path / "in", 3)
    items = list(remote.find(f"s3://{BUCKET}/in"))
    bucket.rm(f"{BUCKET}/in/{items[0].name}")
    with failing(bucket, "get_object", PermissionError("Forbidden"), 1):
        summary = run(items[1:], tmp_path / "out", batch=1)
    assert summary.checked == 1
    assert summary.failed == ((items[1].name, f"No permission to read {items[1].name}."),)
    assert run(items[:1], tmp_path / "out").failed == ((items[0].name, f"{items[0].name} does not exist."),)


def test_an_object_that_changes_is_told(bucket: Any, tmp_path: Path) -> None:
    upload(bucket, tmp_path / "in", 1)
    (item,) = remote.find(f"s3://{BUCKET}/in")
    bucket.pipe_file(f"{BUCKET}/in/{item.name}", paint(tmp_path / "new.png", 7).read_bytes())
    assert run([item], tmp_path / "out").found == {7: 1, None: 0}
    assert lines(tmp_path / "out")[0]["notes"] == [opening.NEWER]
    assert run(list(remote.find(f"s3://{BUCKET}/in")), tmp_path / "out").resumed == 1


def test_an_object_that_does_not_rest(bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upload(bucket, tmp_path / "in", 1)
    (item,) = remote.find(f"s3://{BUCKET}/in")
    read, number = remote.read, iter(range(99))

    def restless(address: str, name: str) -> bytes:
        data = read(address, name)
        bucket.pipe_file(f"{BUCKET}/in/{name}", paint(tmp_path / "new.png", 7, next(number)).read_bytes())
        return data

    monkeypatch.setattr(remote, "read", restless)
    assert run([item], tmp_path / "out").failed == ((item.name, f"{item.name} changed while it was read."),)


def denied(*_: object, **__: object) -> None:
    raise PermissionError("Access Denied")


def test_buckets_that_cannot_be_listed(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError) as caught:
        list(remote.find("s3://nowhere-at-all/in"))
    assert sentence(caught) == "There is no bucket or folder s3://nowhere-at-all/in."
    assert list(remote.find(f"s3://{BUCKET}/empty")) == []
    monkeypatch.setattr(bucket, "call_s3", denied)
    with pytest.raises(InputError) as caught:
        list(remote.find(f"s3://{BUCKET}/in"))
    assert sentence(caught) == f"No permission to list s3://{BUCKET}/in."


def test_an_archive_in_a_bucket(bucket: Any, tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for i in range(3):
            archive.write(paint(tmp_path / "one.png", i, i), f"{i}.png")
    bucket.put_file(str(tmp_path / "a.zip"), f"{BUCKET}/a.zip")
    items = list(archives.find(f"s3://{BUCKET}/a.zip"))
    assert run(items, tmp_path / "out").found == {0: 1, 1: 1, 2: 1, None: 0}


def test_workers_read_buckets(bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    upload(bucket, tmp_path / "in", 6)
    items = list(remote.find(f"s3://{BUCKET}/in"))
    with get("local", Recipe("stands:make", {}), 1) as engine:
        assert verify(items, engine, tmp_path / "out", **engine.about).checked == 6
    detect = Formula()
    assert run(list(remote.find(f"s3://{BUCKET}/in")), tmp_path / "out", detect).resumed == 6


def test_a_manifest_of_addresses(bucket: Any, tmp_path: Path) -> None:
    """Without stamps of a listing: a second run asks for the stamp of each, and reads none."""
    upload(bucket, tmp_path / "in", 3)
    names = [f"s3://{BUCKET}/in/{item.name}" for item in gallery(tmp_path / "in", 3)]
    (tmp_path / "list.csv").write_text("file,key\n" + "".join(f"{name},none\n" for name in names))
    assert run(places.find(str(tmp_path / "list.csv")), tmp_path / "out").checked == 3
    with counted(bucket) as asked:
        assert run(places.find(str(tmp_path / "list.csv")), tmp_path / "out").resumed == 3
    assert "get_object" not in asked


# Other addresses, and lists


def test_memory_and_what_is_no_address(tmp_path: Path) -> None:
    """Any file system of fsspec goes the same way."""
    import fsspec

    fs = fsspec.filesystem("memory")
    fs.pipe_file("/top/deep/a.png", paint(tmp_path / "a.png", 3).read_bytes())
    (item,) = remote.find("memory://top")
    assert (item.name, item.address) == ("deep/a.png", "memory://top/deep/a.png")
    assert run([item], tmp_path / "out").found == {3: 1, None: 0}
    with pytest.raises(InputError) as caught:
        list(remote.find("ftp://host/in"))
    assert sentence(caught) == "Addresses begin with s3://, gs:// or https://, not ftp://."


@pytest.mark.parametrize(("scheme", "extra"), [("s3", "s3"), ("gs", "gcs"), ("https", "https")])
def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch, scheme: str, extra: str) -> None:
    import sys

    remote._opened.cache_clear()
    monkeypatch.setitem(sys.modules, remote.DRIVERS[scheme][0], None)
    with pytest.raises(InputError) as caught:
        list(remote.find(f"{scheme}://somewhere/in"))
    assert sentence(caught) == f"For addresses {scheme}:// more is needed: pip install 'treering[{extra}]'"
    remote._opened.cache_clear()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A server of files on the loopback, with listings."""
    pytest.importorskip("aiohttp", reason="the extra https is not installed")
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "web"))) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()


def test_a_listing_of_a_server(web: str, tmp_path: Path) -> None:
    paint(tmp_path / "web" / "in" / "a b.png", 1)
    paint(tmp_path / "web" / "in" / "deep" / "c.png", 2)
    (tmp_path / "web" / "in" / "notes.txt").write_text("text")
    paint(tmp_path / "web" / "other.png", 3)
    items = list(remote.find(f"{web}in/"))
    assert sorted(item.name for item in items) == ["a b.png", "deep/c.png"]
    assert run(items, tmp_path / "out").found == {1: 1, 2: 1, None: 0}
    assert run(list(remote.find(f"{web}in")), tmp_path / "out").resumed == 2


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    from pyarrow import parquet

    paint(tmp_path / "a.png", 2)
    rows = {"file": ["a.png", "s3://b/c.png", None, "d.png"], "key": ["2", "none", "1", "what"], "more": [1, 2, 3, 4]}
    parquet.write_table(pyarrow.table(rows), tmp_path / "list.parquet")
    one, two, three, four = places.find(str(tmp_path / "list.parquet"))
    assert (one.name, one.label, one.path) == ("a.png", 2, tmp_path / "a.png")
    assert (two.address, two.label) == ("s3://b/c.png", None)
    assert three.problem == f"{tmp_path / 'list.parquet'}, row 3: the file is missing."
    assert four.problem == f"{tmp_path / 'list.parquet'}, row 4: 'what' is not a key."
    parquet.write_table(pyarrow.table({"file": ["a.png"]}), tmp_path / "bare.parquet")
    assert next(iter(places.find(str(tmp_path / "bare.parquet")))).label is UNKNOWN
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match="cannot be read"):
        list(addresses.find(tmp_path / "bad.parquet"))


# Fewer of them


def test_a_sample_is_a_function_of_seed_and_names(tmp_path: Path) -> None:
    items = [Item(Path(f"{i}.png"), f"{i}.png") for i in range(1000)]
    some = places.sample(items, 50, 1)
    assert [item.name for item in some] == sorted((item.name for item in some), key=lambda name: int(name[:-4]))
    assert set(places.sample(items[::-1], 50, 1)) == set(some)
    assert set(places.sample(items, 50, 2)) != set(some)
    assert len(set(places.sample(items, 60, 1)) - set(some)) == 10
    assert len(places.sample(items, 5000)) == 1000
    chosen = [set(places.sample(items, 500, seed)) for seed in range(40)]
    counts = [sum(item in some for some in chosen) for item in items]
    assert min(counts) > 8 and max(counts) < 32  # 20 of 40, give or take four deviations


def test_since(tmp_path: Path) -> None:
    import os

    old, new = paint(tmp_path / "old.png", 1), paint(tmp_path / "new.png", 1)
    os.utime(old, (1000, 1000))
    items = [Item(old, "old"), Item(new, "new"), Item(Path("x"), "listed", address="s3://x", modified=500.0)]
    untold = Item(Path("y"), "untold", address="s3://y")
    assert [item.name for item in places.since([*items, untold], time.time() - 3600)] == ["new", "untold"]


def test_results_of_other_settings_are_named(tmp_path: Path) -> None:
    items = gallery(tmp_path / "in", 3)
    run(items, tmp_path / "out")
    other = verify(items, Formula(), tmp_path / "out", {**SETTINGS, "keyring": {"id": "other"}})
    sentence_ = "results.jsonl also holds 3 results of other settings (keyring), which are kept and not counted."
    assert (other.notes, other.checked) == ((sentence_,), 3)
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["failures"] == 0
