"""The package as others get it: an sdist that builds the wheel, and a wheel that runs where there is no checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MOST = 60_000_000
"""Bytes of the wheel."""

BACKEND = "from setuptools import build_meta; build_meta.{}({!r})"


def python(*words: str, cwd: Path, path: Sequence[Path] = ()) -> str:
    """What Python prints; without the checkout, and with other folders instead."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([sys.executable, *words], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist, and the wheel that is built from it alone."""
    pytest.importorskip("setuptools")
    place = tmp_path_factory.mktemp("built")
    left = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "build", "dist", "treering-results", "work", "out")
    shutil.copytree(ROOT, place / "source", ignore=left)
    python("-c", BACKEND.format("build_sdist", str(place)), cwd=place / "source")
    (sdist,) = place.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(place / "unpacked", filter="data")
    (source,) = (place / "unpacked").iterdir()
    python("-c", BACKEND.format("build_wheel", str(place)), cwd=source)
    (wheel,) = place.glob("*.whl")
    return sdist, wheel


def test_the_wheel_is_small_and_whole(built: tuple[Path, Path]) -> None:
    wheel = built[1]
    assert wheel.stat().st_size < MOST
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    here = {
        str(Path("treering_cli" if path.parts[0] == "cli" else path.parts[0], *path.parts[1:]))
        for top in ("treering", "cli")
        for path in (file.relative_to(ROOT) for file in (ROOT / top).rglob("*.py"))
    }
    assert here <= held
    assert {name for name in held if name.endswith(".py")} == here
    assert any(name.endswith(".safetensors") for name in held)


def test_the_sdist_has_what_a_developer_needs(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[0]) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "constraints.txt",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "tests/conftest.py",
        "samples/keyring.json",
    } <= held


def test_the_wheel_runs_without_the_checkout(built: tuple[Path, Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(built[1]) as archive:
        archive.extractall(tmp_path / "site")
    code = (
        "import sys; sys.path = [p for p in sys.path if not p.startswith({root!r}) or 'site-packages' in p];"
        "import treering; assert treering.__file__.startswith({site!r}), treering.__file__;"
        "from treering_cli.start import treering; sys.argv = ['treering', 'doctor']; treering()"
    ).format(root=str(ROOT), site=str(tmp_path / "site"))
    told = python("-c", code, cwd=tmp_path, path=[tmp_path / "site"])
    assert "ok        mark         marked a picture and read key 2 from it" in told
