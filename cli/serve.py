"""``treering serve``: a page and an API that read marks."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from treering.settings import Reading

from .console import Failure, say, sentences
from .options import (
    SIGNER_VARIABLE,
    ModelChoice,
    NamedFile,
    keyring_option,
    keyring_path,
    model_options,
    reading_options,
)

if TYPE_CHECKING:
    from treering.evidence import Signer
    from treering.marks.keyring import Keyring
    from treering.serve import Access, Limits

PORT = 8765


@click.command(short_help="A page and an API that read marks.")
@click.option("--host", default="127.0.0.1", metavar="ADDRESS", help="Address to listen on: this machine alone.")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, metavar="N", help="Port; 0 takes a free one.")
@click.option(
    "--token-file",
    type=NamedFile(),
    metavar="FILE",
    help="Bearer tokens, one a line, in a file that you alone can read; the word answers after a token gives its "
    "bearers answers without details. Needed for any address but this machine's own.",
)
@click.option("--anonymous", is_flag=True, help="Give callers without a token answers without details.")
@click.option("--name", "names", multiple=True, metavar="HOST", help="A further name that the server goes by.")
@click.option("--allow-embed", is_flag=True, help="Let callers who may know details make marked pictures.")
@click.option("--queue", type=click.IntRange(1, 10_000), default=64, metavar="N", help="Pictures that may wait.")
@click.option(
    "--per-minute",
    type=click.IntRange(1),
    default=30,
    metavar="N",
    help="Pictures a minute of a caller without details.",
)
@click.option("--max-bytes", type=click.IntRange(1), default=32 << 20, metavar="N", help="Bytes of a request.")
@click.option("--max-pixels", type=click.IntRange(1), default=40_000_000, metavar="N", help="Pixels of a picture.")
@click.option(
    "--seconds",
    type=click.IntRange(1, 3600),
    default=120,
    metavar="N",
    help="Time for a request to arrive, and again for its answer.",
)
@click.option(
    "--signing-key",
    type=NamedFile(),
    envvar=SIGNER_VARIABLE,
    metavar="FILE",
    show_default=f"${SIGNER_VARIABLE}, else answers are not signed",
    help="Private key that signs evidence for callers who ask for it: see `treering keys signer`.",
)
@click.option("--log", is_flag=True, help="Tell every request on standard error: route, status, seconds.")
@keyring_option
@model_options
@reading_options
def command(
    host: str,
    port: int,
    token_file: Path | None,
    anonymous: bool,
    names: tuple[str, ...],
    allow_embed: bool,
    signing_key: Path | None,
    log: bool,
    keyring: Path | None,
    model: ModelChoice,
    reading: Reading,
    **limits: Any,
) -> None:
    """Serve a page on which pictures are dropped, pasted or photographed and their marks are read, and the same as an
    API: POST /v1/detect, GET /v1/keyring, /healthz, /metrics, /openapi.json. With stages=true, detect tells what is
    being done as it happens; with evidence=true and --signing-key, its answer carries the signed document that
    `treering detect --evidence` writes. Names of classes (`treering keys name`) are read once, at the start.

    Nothing is kept on disk, and no picture or name is logged. One worker owns the model; when the queue is full,
    requests are answered 429 with a time to try again. Ctrl-C or a kill stops it when what was taken is finished.

    It listens on this machine alone. On another address it needs a token file: callers with a token get all details;
    others nothing or, with --anonymous, the answer and the key alone, and not many a minute, because a detector that
    answers everybody without end shows how to remove marks. Put a proxy that speaks HTTPS before it: tokens and
    pictures are not encrypted here.

    Needs the extra treering[serve].
    """
    with sentences():
        serve = _room()
        access = _access(serve, host, port, token_file, anonymous, names, _limits(serve, limits))
        from treering.marks import names as names_of_classes
        from treering.marks.keyring import Keyring

        path = keyring_path(keyring)
        ring = Keyring.load(path)
        ring.check_classes(reading.keys)
        known = names_of_classes.load(path, ring)
        signer = _signer(signing_key, ring)
        listening = serve.bind(host, port)
        number = listening.getsockname()[1]
        if number != port:
            access = _access(serve, host, number, token_file, anonymous, names, access.limits)
        _log(log)
        service = serve.Service(model.load(ring.model), ring, reading, signer=signer, names=known)
        worker = serve.Worker(service, service.rows, access.limits.queue)
        app = serve.application(service, worker, access, allow_embed)
        place = f"[{host}]" if ":" in host else host
        serve.serve(app, listening, access.limits, lambda: say(f"Serving on http://{place}:{number} until Ctrl-C."))
    say("Stopped.")


def _room() -> Any:
    try:
        from treering import serve
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in (
            "starlette",
            "uvicorn",
            "python_multipart",
            "prometheus_client",
        ):
            raise
        raise Failure("The server needs more packages: pip install 'treering[serve]'") from None
    return serve


def _signer(path: Path | None, ring: Keyring) -> Signer | None:
    if path is None:
        return None
    from treering.evidence import Signer, check_secret

    check_secret(ring)
    return Signer.load(path)


def _limits(serve: Any, values: dict[str, Any]) -> Limits:
    return serve.Limits(
        size=values["max_bytes"],
        pixels=values["max_pixels"],
        seconds=values["seconds"],
        queue=values["queue"],
        per_minute=values["per_minute"],
        memory=max(512 << 20, 2 * values["max_bytes"]),
    )


def _access(
    serve: Any, host: str, port: int, tokens: Path | None, anonymous: bool, names: tuple[str, ...], limits: Limits
) -> Access:
    if tokens is None and not serve.is_loopback(host):
        raise Failure(f"On {host} others can reach the server: it needs a token file, --token-file FILE.")
    if tokens is None and anonymous:
        raise click.UsageError("--anonymous is for servers with a --token-file; without one, all callers get details.")
    known = () if tokens is None else serve.read_tokens(tokens)
    return serve.Access.of(host, port, names, tokens=known, anonymous=anonymous, limits=limits)


def _log(requests: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger = logging.getLogger("treering.serve")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO if requests else logging.WARNING)
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # it would tell of every malformed request
