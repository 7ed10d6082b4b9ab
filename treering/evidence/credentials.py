"""Content Credentials (C2PA): evidence in a copy of the picture, by the official library.  Needs ``c2pa-python``.

The copy gets a manifest with an assertion ``c2pa.soft-binding`` (C2PA specification, section on soft bindings), which
names the algorithm and the keyring's id, and one of our own with the whole evidence.  The algorithm's name is not on
C2PA's list of registered ones.  Pixels are not touched: the picture that was examined is the ingredient.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import __version__, files
from ..errors import InputError
from . import canonical
from .document import FORM, VERSION, Evidence, Statement

SOFT_BINDING, ASSERTION = "c2pa.soft-binding", "org.treering.evidence"
ALGORITHM = "org.treering.noise.1"
"""Name of the mark in soft bindings: values in the Fourier plane of the initial noise, version 1."""

FORMATS = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}
"""What the library is given, by the first bytes of a picture."""

ALGORITHMS = ("ed25519", "es256", "es384", "ps256", "ps384")
_MOST = 1 << 20


def _library() -> Any:
    try:
        import c2pa
    except ImportError:
        raise InputError("Content Credentials need a further package: pip install 'treering[c2pa]'.") from None
    return c2pa


def write(evidence: Evidence, picture: bytes, certificate: Path, key: Path, algorithm: str) -> bytes:
    """A copy of the picture (the bytes that were examined) with a signed manifest.

    ``certificate``: chain of X.509 certificates, PEM, the signer's first; ``key``: its private key, PEM; ``algorithm``:
    one of :data:`ALGORITHMS`.  Raises ``InputError``.
    """
    library = _library()
    form = _format(picture)
    try:
        signer = library.Signer.from_info(
            library.C2paSignerInfo(algorithm.encode(), _pem(certificate), _pem(key), None)
        )
        builder = library.Builder(json.dumps(manifest(evidence)))
        builder.set_intent(library.C2paBuilderIntent.EDIT)
        copy = io.BytesIO()
        builder.sign(signer, form, io.BytesIO(picture), copy)
    except library.C2paError as error:
        raise InputError(f"No Content Credentials could be written: {_first_line(error)}") from None
    return copy.getvalue()


def manifest(evidence: Evidence) -> dict[str, Any]:
    """What the library signs."""
    block = {"scope": {}, "value": str(evidence.statement.says("keyring", "id"))}
    return {
        "claim_generator_info": [{"name": "treering", "version": __version__}],
        "assertions": [
            {"label": SOFT_BINDING, "data": {"alg": ALGORITHM, "blocks": [block]}},
            {"label": ASSERTION, "data": {"json": json.dumps(evidence.as_dict())}},  # as text: CBOR rounds no number
        ],
    }


def read(picture: bytes) -> tuple[Evidence, str]:
    """The evidence in a picture's manifest, and what the library says of the manifest: ``Valid``, ``Trusted``, ...

    Raises ``InputError`` where there is none.  What the evidence says is checked by
    :mod:`treering.evidence.checks`, on the bytes of the picture without its manifest.
    """
    library = _library()
    try:
        reader = library.Reader(_format(picture), io.BytesIO(picture))
        state, active = str(reader.get_validation_state()), reader.get_active_manifest()
    except library.C2paError as error:
        raise InputError(f"The picture has no readable Content Credentials: {_first_line(error)}") from None
    for assertion in (active or {}).get("assertions", ()):
        if assertion.get("label") == ASSERTION:
            return _evidence(assertion.get("data")), state
    raise InputError("The Content Credentials of the picture hold no evidence of treering.")


def _evidence(data: Any) -> Evidence:
    broken = "The evidence in the Content Credentials is broken."
    try:
        content: Mapping[str, Any] = canonical.parsed(data["json"], broken)
        statement, signature = content["statement"], content["signature"]
        whole = (content["format"], content["version"]) == (FORM, VERSION) and isinstance(statement, dict)
        if whole:
            return Evidence(Statement(statement), str(signature["public_key"]), str(signature["signature"]))
    except (TypeError, KeyError, AttributeError):
        pass
    raise InputError(broken)


def _format(picture: bytes) -> str:
    for start, name in FORMATS.items():
        if picture.startswith(start):
            return name
    raise InputError("Content Credentials are written into PNG, JPEG and WebP files.")


def _pem(path: Path) -> bytes:
    return files.content(path, _MOST)


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
