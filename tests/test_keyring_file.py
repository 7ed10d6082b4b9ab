"""The keyring file: round trips, every way to damage it, versions, races and permissions."""

import json
import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from treering import files
from treering.errors import KeyringError
from treering.marks import keyring_file
from treering.marks.keyring import Keyring
from treering.marks.patterns import KINDS, Pattern

SECRET = bytes(range(32))
posix = pytest.mark.skipif(os.name != "posix", reason="other systems have other permissions")


@pytest.fixture
def keyring():
    return Keyring(SECRET)


@pytest.mark.parametrize("kind", KINDS)
def test_file_round_trip(tmp_path, kind):
    rest = {"mixed": ((0,), (1, 2), 2, 8), "paper": ((0,), (), 1, 6)}.get(kind, ((0, 3), (), 2, 8))
    pattern = Pattern(kind, *rest)
    keyring = Keyring.new(pattern=pattern, classes=3, shape=(4, 40, 24), image_size=(320, 192))
    path = tmp_path / "deep" / "keyring.json"
    keyring.save(path)
    assert Keyring.load(path) == keyring
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["keyring.json"]


def test_an_existing_keyring_is_kept(tmp_path, keyring):
    path = tmp_path / "k.json"
    keyring.save(path)
    before = path.read_bytes()
    with pytest.raises(KeyringError, match="exists already; a lost keyring cannot be made again"):
        Keyring.new().save(path)
    assert path.read_bytes() == before
    other = Keyring.new()
    other.save(path, overwrite=True)
    assert Keyring.load(path) == other


def test_a_keyring_that_others_can_read_is_refused(tmp_path, keyring):
    path = tmp_path / "k.json"
    keyring.save(path)
    path.chmod(0o640)
    with pytest.raises(KeyringError, match=r"Other users can read the keyring .*; run: chmod 600"):
        Keyring.load(path)


def test_a_public_keyring_says_so_and_may_be_read_by_all(tmp_path):
    path = tmp_path / "k.json"
    Keyring(SECRET, public=True).save(path)
    path.chmod(0o644)
    assert Keyring.load(path).public
    assert "PUBLIC" in path.read_text()


@given(cut=st.integers(0, 2000))
@settings(deadline=None, max_examples=60)
def test_a_truncated_file_is_refused(tmp_path_factory, cut):
    folder = tmp_path_factory.mktemp("cut")
    Keyring(SECRET, public=True).save(folder / "k.json")
    data = (folder / "k.json").read_bytes()
    (folder / "k.json").write_bytes(data[: min(cut, len(data.rstrip()) - 1)])
    with pytest.raises(KeyringError) as caught:
        Keyring.load(folder / "k.json")
    assert SECRET.hex()[:16] not in str(caught.value)


def change(tmp_path, **changes):
    path = tmp_path / "k.json"
    Keyring(SECRET).save(path, overwrite=True)
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))
    return path


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"version": 3}, "has version 3; this treering reads versions 1 and 2"),
        ({"format": "other"}, "is not a treering keyring"),
        ({"secret": None}, "is damaged: 'secret' is missing"),
        ({"secret": "zz"}, "is damaged: a value is not of the form that is needed"),
        ({"secret": "00"}, "A secret has 32 bytes, this one has 1"),
        ({"classes": 0}, "at least one class"),
        ({"classes": float("inf")}, "is damaged"),
        ({"shape": [4, 32]}, "is damaged"),
        ({"pattern": {"kind": "spiral"}}, "is damaged"),
        ({"pattern": []}, "is damaged"),
        ({"id": "0" * 16}, "its id does not fit its content"),
        ({"mac": None}, "'mac' is missing"),
        ({"mac": "0" * 64}, "its MAC does not fit"),
        ({"classes": 1000}, "its MAC does not fit"),
        ({"model": "/elsewhere"}, "its MAC does not fit"),
        ({"steps": 11}, "its MAC does not fit"),
        ({"classes": 10**30}, "is damaged"),
        ({"classes": True}, "needs at least one class"),
        ({"classes": "100"}, "needs at least one class"),
        ({"classes": 100.0}, "needs at least one class"),
        ({"steps": 1001}, "steps of a keyring lie between 1 and 1000"),
        ({"nonces": 2**63}, "has 1 to 9223372036854775807 nonces"),
        ({"channels": 0}, "have 1 to 4096 channels"),
        ({"sizes": []}, "has 1 to 64 sizes"),
        ({"sizes": [[256, 256]] * 2}, "names every size of pictures once"),
        ({"sizes": [[8 * i, 8] for i in range(1, 66)]}, "has 1 to 64 sizes"),
        ({"sizes": [[257, 256]]}, "in steps of 8"),
        ({"sizes": [[16392, 256]]}, "8 to 16384 pixels"),
        ({"sizes": [[256, "256"]]}, "8 to 16384 pixels"),
        ({"sizes": 5}, "has 1 to 64 sizes"),
        ({"model": "a\x1b[2J"}, "is printable text"),
        ({"model": "a" * 1025}, "is printable text"),
        ({"root": "zz"}, "hexadecimal digits"),
        ({"public": 1}, "is damaged"),
        ({"public": True}, "is damaged"),
        ({"derivation": 3}, "as in version 1 or 2"),
        ({"colour": 1}, "has a field that is not known, number 18"),
        ({"pattern": {"kind": "noise"}}, "'channels' is missing"),
    ],
)
def test_a_changed_file_is_refused(tmp_path, changes, sentence):
    with pytest.raises(KeyringError, match=sentence):
        Keyring.load(change(tmp_path, **changes))


@pytest.mark.parametrize("data", [b"", b"\xff\xfe\x00", b"[]", b"null", b"{", b"[" * 100_000])
def test_rubbish_is_refused(tmp_path, data):
    path = tmp_path / "k.json"
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(KeyringError):
        Keyring.load(path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(KeyringError, match=r"There is no keyring .*; `treering keys new` makes one"):
        Keyring.load(tmp_path / "none.json")
    with pytest.raises(KeyringError, match="cannot be read: Is a directory"):
        Keyring.load(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(KeyringError, match="cannot be written"):
        Keyring.new().save(tmp_path / "file" / "k.json")


@pytest.mark.parametrize(
    "text",
    [
        '{"format": "treering keyring", "version": 2, "classes": ' + "9" * 100_000 + "}",
        '{"format": "treering keyring", "version": 2, "classes": 1e999}',
        '{"format": "treering keyring", "version": 2, "classes": NaN}',
        '{"format": "treering keyring", "version": 2, "classes": 1, "classes": 2}',
        '{"a":' * 100_000,
        "[" * 400 + "]" * 400,
        " " * 2**21,
        '{"format": "treering keyring", "version": true}',
        '{"format": "treering keyring", "version": ["' + SECRET.hex() + '"]}',
        '{"format": "treering keyring", "version": "' + SECRET.hex() + '"}',
    ],
)
def test_hostile_files_end_in_one_sentence_at_once(tmp_path, text):
    path = tmp_path / "k.json"
    path.write_text(text)
    path.chmod(0o600)
    started = time.monotonic()
    with pytest.raises(KeyringError) as caught:
        Keyring.load(path)
    assert time.monotonic() - started < 2
    assert len(str(caught.value)) < 300 + len(str(path))
    assert SECRET.hex()[:8] not in str(caught.value)


def leaves(content, path=()):
    """Every value in the file, by the way to it."""
    if isinstance(content, dict | list):
        for name, value in content.items() if isinstance(content, dict) else enumerate(content):
            yield from leaves(value, (*path, name))
    else:
        yield path


def put(content, path, value):
    for name in path[:-1]:
        content = content[name]
    content[path[-1]] = value


MANY = Pattern("mixed", (0, 2), (1,), 2, 9, 0.5, (1,), 0.5)
FULL = Keyring(SECRET, MANY, nonces=3, root="ab" * 32, model="m", public=True)
TEXT = json.dumps(keyring_file.content(FULL))
PATHS = list(leaves(json.loads(TEXT)))
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**25), 10**25) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)
OFTEN = settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])


def refused(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    path.chmod(0o600)
    with pytest.raises(KeyringError) as caught:
        Keyring.load(path)
    assert SECRET.hex()[:8] not in str(caught.value)
    assert str(caught.value).count("\n") == 0


@given(where=st.sampled_from(PATHS), value=ANYTHING)
@OFTEN
def test_no_field_can_be_edited(tmp_path, where, value):
    """By those who do not know the secret; whatever the field, whatever is put there."""
    content = json.loads(TEXT)
    put(content, where, value)
    if json.dumps(content) != TEXT:
        refused(tmp_path / "k.json", json.dumps(content))


@given(where=st.sampled_from([path for path in PATHS if path != ("mac",)]), value=ANYTHING)
@OFTEN
def test_an_owner_who_writes_nonsense_under_a_good_mac_gets_a_sentence(tmp_path, where, value):
    content = json.loads(TEXT)
    put(content, where, value)
    try:
        content["mac"] = keyring_file.mac(content, SECRET)
    except ValueError:  # numbers that are none have no MAC
        content["mac"] = ""
    path = tmp_path / "k.json"
    path.write_text(json.dumps(content))
    path.chmod(0o600)
    try:
        loaded = Keyring.load(path)
    except KeyringError:
        return
    assert keyring_file.content(loaded) == {**content, **keyring_file.content(loaded)}


@given(cut=st.integers(0, len(TEXT) - 1), extra=st.binary(max_size=3), flip=st.integers(1, 255))
@OFTEN
def test_no_byte_can_be_changed(tmp_path, cut, extra, flip):
    data = TEXT.encode()
    changed = data[:cut] + bytes([data[cut] ^ flip]) + data[cut + 1 :]
    try:
        same = json.loads(changed) == json.loads(TEXT)
    except ValueError:
        same = False
    if not same:
        refused(tmp_path / "k.json", changed)
    refused(tmp_path / "k.json", data[:cut] + extra if data[:cut] + extra != data else b"")


@given(data=st.binary(max_size=300))
@OFTEN
def test_random_bytes_are_refused(tmp_path, data):
    refused(tmp_path / "k.json", data)


def test_vector_of_the_mac():
    content = keyring_file.content(Keyring(SECRET, model="demo"))
    assert content["mac"] == "389a6aa2e49594d9fbc415916e5db05edf9edd21263dc66af2f976619a3e1690"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(KeyringError, match="cannot be read: it is not a file"):
        Keyring.load(tmp_path / "pipe")


# Version 1


NOISE = {"kind": "noise", "channels": [0, 1, 2, 3], "noise_channels": [], "inner": 4, "outer": 15, "weight": 0.5}


def first(pattern=None, **changes):
    """A file as version 1 wrote it."""
    old = {
        "format": "treering keyring",
        "version": 1,
        "id": "df0e9ee9ef605571",
        "public": False,
        "classes": 100,
        "model": "demo",
        "shape": [4, 32, 32],
        "image_size": [256, 256],
        "steps": 10,
        "pattern": NOISE | (pattern or {}) if not isinstance(pattern, int) else pattern,
        "secret": SECRET.hex(),
    }
    return {name: value for name, value in (old | changes).items() if value is not None}


MIXED = {"kind": "mixed", "channels": [0], "noise_channels": [1, 2], "inner": 2, "outer": 8, "weight": 1}
PUBLIC = {"public": True, "notice": "PUBLIC", "id": "5167b54a3c5f6a95", "shape": [4, 40, 24], "image_size": [320, 192]}


def write(path, content, mode=0o600):
    path.write_text(json.dumps(content, indent=2))
    path.chmod(mode)
    return path


def test_files_of_version_1_are_read(tmp_path):
    old = Keyring.load(write(tmp_path / "k.json", first()))
    assert old == Keyring(SECRET, model="demo", derivation=1)
    old = Keyring.load(write(tmp_path / "k.json", first(MIXED, **PUBLIC)))
    assert (old.id, old.shape, old.image_size, old.pattern.weight) == ("5167b54a3c5f6a95", (4, 40, 24), (320, 192), 1)


@pytest.mark.parametrize(
    "changes",
    [
        *({"classes": 10**30}, {"classes": "5"}, {"shape": [4, 32]}, {"shape": [4, 32, 0]}, {"image_size": [1, 1]}),
        *({"steps": None}, {"steps": 10**9}, {"model": 5}, {"secret": "00"}, {"shape": [4, "32", 32]}),
        *({"shape": [4, -32, 32]}, {"pattern": {"kind": "noise", "inner": "4"}}, {"pattern": {"channels": ["a"]}}),
        *({"pattern": {"sync_share": 1}}, {"pattern": {"weight": "x"}}, {"pattern": 5}, {"id": None}),
        *({"image_size": [300, 256]}, {"pattern": {"kind": ["x"]}}),
    ],
)
def test_bad_files_of_version_1_are_refused(tmp_path, changes):
    with pytest.raises(KeyringError) as caught:
        Keyring.load(write(tmp_path / "k.json", first(**changes)))
    assert SECRET.hex()[:8] not in str(caught.value)


@posix
def test_a_public_file_of_version_1_proves_nothing_until_it_is_upgraded(tmp_path):
    path = write(tmp_path / "k.json", first(MIXED, **PUBLIC), 0o644)
    with pytest.raises(KeyringError, match=r"run: treering keys upgrade .*k.json, or: chmod 600"):
        Keyring.load(path)
    keyring, done = keyring_file.upgrade(path)
    assert done
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert Keyring.load(path) == keyring
    assert json.loads(path.read_text())["version"] == 2
    path.chmod(0o600)
    write(path, first())
    path.chmod(0o644)
    with pytest.raises(KeyringError, match="Other users can read the keyring"):
        keyring_file.upgrade(path)


@posix
def test_public_is_believed_only_with_its_mac(tmp_path):
    content = keyring_file.content(Keyring(SECRET)) | {"public": True}
    content |= {"notice": keyring_file.content(Keyring(SECRET, public=True))["notice"]}
    with pytest.raises(KeyringError, match="its MAC does not fit"):
        Keyring.load(write(tmp_path / "k.json", content, 0o644))


def test_an_upgrade_keeps_secret_id_and_marks(tmp_path):
    path = write(tmp_path / "k.json", first())
    before = Keyring.load(path)
    after, done = keyring_file.upgrade(path)
    assert (done, after, after.id) == (True, before, "df0e9ee9ef605571")
    assert (Keyring.load(path).values([3]) == before.values([3])).all()
    data = path.read_bytes()
    assert keyring_file.upgrade(path) == (after, False)
    assert path.read_bytes() == data
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 or os.name != "posix"
    changed = replace(after, classes=7, steps=20)
    keyring_file.rewrite(changed, path)
    assert (Keyring.load(path), changed.id) == (changed, before.id)


def test_what_is_of_version_1_is_upgraded_before_it_is_changed(tmp_path):
    with pytest.raises(KeyringError, match="is of version 1; run: treering keys upgrade"):
        keyring_file.load_to_change(write(tmp_path / "k.json", first()))


@posix
def test_a_link_stays_a_link(tmp_path, keyring):
    keyring.save(tmp_path / "k.json")
    (tmp_path / "link").symlink_to("k.json")
    changed = replace(keyring, steps=3)
    assert keyring_file.rewrite(changed, tmp_path / "link") == (tmp_path / "k.json").resolve()
    assert (tmp_path / "link").is_symlink()
    assert Keyring.load(tmp_path / "k.json") == changed


# Races


def test_of_many_who_make_the_first_keyring_all_use_one(tmp_path):
    path = tmp_path / "deep" / "k.json"
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: keyring_file.create_or_load(path, Keyring.new), range(8)))
    assert {keyring.id for keyring, _ in found} == {Keyring.load(path).id}
    assert sum(made for _, made in found) == 1
    assert os.listdir(path.parent) == ["k.json"]


def test_a_loser_waits_for_the_winner(tmp_path, monkeypatch, keyring):
    """Where a name is claimed before it has content, as on file systems without hard links."""
    path = tmp_path / "k.json"
    write_file = files.write

    def slow(target, data, **settings):
        Path(target).touch(0o600)
        pool.submit(lambda: (time.sleep(0.1), write_file(path, keyring_file._bytes(keyring), private=True)))
        raise FileExistsError

    monkeypatch.setattr(files, "write", slow)
    with ThreadPoolExecutor(1) as pool:
        assert keyring_file.create_or_load(path, Keyring.new) == (keyring, False)
