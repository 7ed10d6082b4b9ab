"""Evidence as Content Credentials, written and read back by C2PA's own library."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from treering.errors import InputError
from treering.evidence import Evidence, Signer, Statement, checks
from treering.marks.keyring import Keyring
from treering.marks.patterns import Pattern
from treering.pictures import images
from treering.pictures.credentials import without
from treering.settings import Reading
from treering.types import Answer, Detection
from treering_cli.main import main

c2pa = pytest.importorskip("c2pa", reason="the extra c2pa is not installed")
pytest.importorskip("cryptography")

from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives import serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: E402
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID  # noqa: E402

from treering.evidence import credentials  # noqa: E402

RING = Keyring(bytes(range(32)), Pattern.synchronised())


def certificate(name: str, issuer: str, key: Ed25519PrivateKey, signer: Ed25519PrivateKey, ca: bool) -> bytes:
    """One certificate as C2PA wants it, PEM."""
    now = datetime.datetime.now(datetime.timezone.utc)
    names = [
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "T")])
        for one in (name, issuer)
    ]
    usage = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False)
    made = (
        x509.CertificateBuilder()
        .subject_name(names[0])
        .issuer_name(names[1])
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
        .add_extension(
            x509.KeyUsage(True, key_cert_sign=ca, crl_sign=ca, encipher_only=False, decipher_only=False, **usage),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False)
    )
    if not ca:
        made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
    return made.sign(signer, None).public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A chain of certificates and its private key."""
    folder = tmp_path_factory.mktemp("signer")
    root, leaf = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    chain = certificate("leaf", "root", leaf, root, False) + certificate("root", "root", root, root, True)
    (folder / "chain.pem").write_bytes(chain)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(leaf.private_bytes(*form))
    return folder / "chain.pem", folder / "key.pem"


def picture(folder: Path, suffix: str) -> Path:
    pixels = np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).save(folder / f"p{suffix}")
    return folder / f"p{suffix}"


def evidence(data: bytes) -> Evidence:
    values = np.arange(len(RING.cells().index)) * (1 / 3 + 1j / 7)
    found = Detection(2, 1e-9, -9.123456789012345, Answer.KEY, 2, 7.1, 0.0, "m", RING.id, "encoder", 1, "", 0.1)
    return Evidence.signed(
        Statement.of(data, RING, Reading(), found, values, share=0.25, created="2026-11-24T00:00:00Z"), Signer.new()
    )


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_what_was_written_is_read_back(tmp_path: Path, signer: tuple[Path, Path], suffix: str) -> None:
    original = picture(tmp_path, suffix)
    made = evidence(original.read_bytes())
    copy = credentials.write(made, original.read_bytes(), *signer, "ed25519")
    (tmp_path / f"copy{suffix}").write_bytes(copy)
    back, state = credentials.read(copy)
    assert (state, back.genuine) == ("Valid", True)
    assert back.as_dict() == made.as_dict()
    assert checks.picture(back, original.read_bytes()).holds
    assert without(copy) == original.read_bytes() == without(original.read_bytes())
    assert (checks.picture(back, copy).holds, "is a copy" in checks.picture(back, copy).says) == (True, True)
    told = checks.copy(back, copy)
    assert told and told.holds is None and "hold this very evidence; C2PA calls them Valid" in told.says
    assert checks.copy(back, original.read_bytes()) is None
    for short in (copy[:9], copy[:30]):
        assert not checks.picture(back, short).holds
    assert (images.read(tmp_path / f"copy{suffix}", (64, 64)).pixels == images.read(original, (64, 64)).pixels).all()
    reader = c2pa.Reader(credentials.FORMATS[next(s for s in credentials.FORMATS if copy.startswith(s))], _stream(copy))
    bindings = [a["data"] for a in reader.get_active_manifest()["assertions"] if a["label"] == "c2pa.soft-binding"]
    assert bindings == [{"alg": credentials.ALGORITHM, "blocks": [{"scope": {}, "value": RING.id}]}]


def _stream(data: bytes) -> object:
    import io

    return io.BytesIO(data)


def test_a_changed_copy_is_not_valid(tmp_path: Path, signer: tuple[Path, Path]) -> None:
    original = picture(tmp_path, ".png")
    copy = credentials.write(evidence(original.read_bytes()), original.read_bytes(), *signer, "ed25519")
    place = copy.rindex(b"IDAT") + 40
    changed = copy[:place] + bytes([copy[place] ^ 1]) + copy[place + 1 :]
    assert credentials.read(changed)[1] == "Invalid"
    told = checks.copy(evidence(original.read_bytes()), changed)
    assert told and told.holds is False  # other evidence, by the time of its signature or its key
    inside = credentials.read(changed)[0]
    assert [one and one.holds for one in (checks.picture(inside, changed), checks.copy(inside, changed))] == [False] * 2


def test_pictures_without_evidence(tmp_path: Path, signer: tuple[Path, Path]) -> None:
    with pytest.raises(InputError, match="has no readable Content Credentials"):
        credentials.read(picture(tmp_path, ".png").read_bytes())
    with pytest.raises(InputError, match="are written into PNG, JPEG and WebP"):
        credentials.read(b"GIF89a")


def test_the_command(tmp_path: Path, signer: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    original = picture(tmp_path, ".png")
    evidence(original.read_bytes()).save(Path("e.json"))
    words = [
        "c2pa",
        "e.json",
        "p.png",
        "--output",
        "copy.png",
        "--certificate",
        str(signer[0]),
        "--key",
        str(signer[1]),
    ]
    result = CliRunner().invoke(main, words)
    assert (result.exit_code, result.stderr) == (0, "Wrote copy.png.\n")
    assert credentials.read(Path("copy.png").read_bytes())[0].genuine
    for words_of_check in (["copy.png"], ["e.json", "copy.png"]):
        told = CliRunner().invoke(main, ["check", *words_of_check, "--json"])
        found = {one["what"]: one["holds"] for one in map(json.loads, told.stdout.splitlines())}
        assert (found["picture"], found["copy"]) == (True, None), told.output
    alone = CliRunner().invoke(main, ["check", "e.json"])
    assert (alone.exit_code, "are written into PNG, JPEG and WebP" in alone.stderr) == (1, True)
    assert "copy.png exists already" in CliRunner().invoke(main, words).stderr
    wrong = [*words[:-4], "--certificate", str(signer[1]), "--key", str(signer[0]), "--force"]
    refused = CliRunner().invoke(main, wrong)
    assert (refused.exit_code, "No Content Credentials could be written" in refused.stderr) == (1, True)
    original.write_bytes(original.read_bytes() + b"\0")
    assert "is another file" in CliRunner().invoke(main, [*words, "--force"]).stderr
    assert json.loads(Path("e.json").read_text())["format"] == "treering evidence"
