"""``treering doctor``: versions, devices, keyring, model, extras, and one picture embedded and detected."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec

import click

import treering
from treering.errors import TreeringError

from . import configuration
from .console import FAILED, emit, sentences, tell
from .options import json_option, user_keyring

GOOD, MISSING, BAD = "ok", "missing", "problem"

EXTRAS: dict[str, tuple[tuple[str, ...], str]] = {
    "plots": (("matplotlib",), "figures and confusion matrices as pictures"),
    "evidence": (("cryptography",), "signed answers that others can check"),
    "c2pa": (("c2pa", "cryptography"), "signed answers as Content Credentials in pictures"),
    "video": (("av",), "clips in video files"),
    "serve": (("starlette", "uvicorn", "prometheus_client", "python_multipart"), "a page and an API"),
    "s3": (("s3fs",), "pictures in buckets, s3://"),
    "gcs": (("gcsfs",), "pictures in buckets, gs://"),
    "https": (("aiohttp",), "pictures at https:// addresses"),
    "parquet": (("pyarrow",), "lists of pictures in Parquet files"),
    "ray": (("ray",), "verify on a cluster"),
}
"""Optional packages by the extra that brings them, and what they are for."""


@dataclass(frozen=True)
class Found:
    """One thing that was looked at: ``state`` is ``ok``, ``missing`` (of what is optional) or ``problem``."""

    what: str
    state: str
    says: str


@click.command(short_help="Look whether everything works here, and say what is missing.")
@click.option("--quick", is_flag=True, help="Load no model: neither embed nor detect.")
@json_option
@click.pass_context
def command(ctx: click.Context, quick: bool, as_json: bool) -> None:
    """Look whether everything works here, and say what is missing.

    Versions, devices, settings, your keyring and its permissions, optional packages; then one picture of the default
    model is marked with a keyring that is thrown away, and read. Nothing is written or downloaded.

    \b
    Exit codes:
      0  everything that is needed works
      1  something does not; the line says what to do

    --json prints one object for each thing: what, state (ok, missing, problem), says.
    """
    with sentences():
        found = [_told(one, as_json) for one in _looked(quick)]
    ctx.exit(FAILED if any(one.state == BAD for one in found) else 0)


def _told(found: Found, as_json: bool) -> Found:
    if as_json:
        emit(asdict(found))
    else:
        tell(f"{found.state:<8}  {found.what:<11}  {found.says}")
    return found


def _looked(quick: bool) -> Iterator[Found]:
    """Everything, cheap first."""
    yield _versions()
    yield from _guarded("settings", _settings)
    yield from _guarded("keyring", _keyring)
    yield from _guarded("cache", _cache)
    for extra, (modules, purpose) in EXTRAS.items():
        yield _extra(extra, modules, purpose)
    yield from _guarded("devices", _devices)
    if not quick:
        yield from _guarded("mark", _mark)


def _guarded(what: str, look: Callable[[], Found]) -> Iterator[Found]:
    try:
        yield look()
    except (TreeringError, OSError, ImportError) as error:
        yield Found(what, BAD, str(error))
    except Exception as error:  # whatever it is: the others are looked at all the same
        yield Found(what, BAD, f"{type(error).__name__}: {error}")


def _versions() -> Found:
    names = ("torch", "diffusers", "transformers", "numpy", "scipy", "pillow")
    versions = [f"{name} {_version(name) or 'missing'}" for name in names]
    state = BAD if any(_version(name) is None for name in names) else GOOD
    return Found("versions", state, ", ".join([f"treering {treering.__version__}", _python(), *versions]))


def _python() -> str:
    return f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _settings() -> Found:
    found = configuration.load()
    if found.path is None:
        return Found("settings", GOOD, "no treering.toml")
    return Found("settings", GOOD, f"{found.path}: {', '.join(found.settings) or 'nothing set'}")


def _keyring() -> Found:
    from treering.marks.keyring import Keyring

    path = user_keyring()
    if not os.path.lexists(path):
        return Found("keyring", MISSING, f"none at {path} yet; the first `treering embed` makes one")
    keyring = Keyring.load(path)
    mode = stat.S_IMODE(path.stat().st_mode)
    return Found("keyring", GOOD, f"{keyring.id} in {path}, {keyring.classes} classes, mode {mode:04o}")


def _cache() -> Found:
    from treering.marks import cache

    folder = cache.folder()
    return Found("cache", GOOD, "off" if folder is None else f"{folder}, for tables of many marks")


def _extra(extra: str, modules: tuple[str, ...], purpose: str) -> Found:
    lacking = [name for name in modules if find_spec(name) is None]
    if not lacking:
        return Found(extra, GOOD, purpose)
    return Found(extra, MISSING, f"{purpose}: pip install 'treering[{extra}]' brings {', '.join(lacking)}")


def _devices() -> Found:
    import torch

    found = [f"cpu with {torch.get_num_threads()} threads"]
    found += [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    return Found("devices", GOOD, ", ".join(found + (["mps"] if torch.backends.mps.is_available() else [])))


def _mark() -> Found:
    from treering.marks.keyring import Keyring
    from treering.models import DEFAULT, load
    from treering.reading import Detector
    from treering.writing import embed

    started = time.perf_counter()
    model = load(DEFAULT)
    keyring = Keyring.for_model(model)
    pictures = embed(model, keyring, 2, ["a desert by day"], 1)
    found = Detector(model, keyring)(pictures)[0]
    seconds = time.perf_counter() - started
    if found.key != 2:
        return Found(
            "mark", BAD, f"a picture was marked with key 2, but {found.answer.value} was read; please report it"
        )
    return Found("mark", GOOD, f"marked a picture and read key 2 from it, p = 1e{found.log10_p:.0f}, {seconds:.0f} s")
